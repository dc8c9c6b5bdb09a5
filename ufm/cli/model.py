"""The flags that state a model, and the problem they stand for. Torch-free."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union

import tyro

from ufm.center_counts import class_aware_centers
from ufm.counts import (
    balanced_sizes,
    check_count,
    check_number,
    exponential_sizes,
    step_sizes,
    step_weights,
)
from ufm.geometry.similarity import Exponential
from ufm.geometry.specs import Frame, HAFrame, MultiCenter, OrthogonalFrame, SimplexETF
from ufm.hierarchy import Tree, load
from ufm.hierarchy.tree import Convention
from ufm.losses import (
    CenterSquaredError,
    CosineAlignment,
    CosineRegression,
    CrossEntropy,
    DotRegression,
    FeatureLoss,
    HAFrameMix,
    Loss,
    SoftTargets,
    SquaredError,
)
from ufm.methods import LBFGS, ClosedForm, Convex, GradientDescent, GradientFlow, Method
from ufm.problem import (
    AverageBudget,
    Bias,
    ClassMeanDecay,
    Fixed,
    FreeBias,
    Learnable,
    NoBias,
    NoReg,
    PenalisedBias,
    Problem,
    Regulariser,
    Sphere,
    VectorBudget,
    WeightDecay,
)


SHIPPED = {
    "cifar100": "cifar100_level5",
    "cifar100_level5": "cifar100_level5",
    "cifar100_superclasses": "cifar100_superclasses",
}


@dataclass(frozen=True)
class TreeTargets:
    """Cross-entropy against soft targets of the frame of --tree, --gamma and --asymptote.

    Attributes:
        beta: Feature norm aimed at, > 0.
    """

    beta: float


@dataclass(frozen=True)
class Centers:
    """Problem P: squared error against the centers of --f and --theta, on the mean directions."""


NAMES = {TreeTargets: SoftTargets.__name__, Centers: CenterSquaredError.__name__}


def _one_of(*kinds: type) -> Any:
    # Sub-commands such as `average-budget`, each described by its docstring's first line.
    options = []
    for kind in kinds:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", NAMES.get(kind, kind.__name__)).lower()
        summary = (kind.__doc__ or "").partition("\n")[0]
        summary = re.sub(r"(, by)? *:math:`[^`]*`", "", summary).replace("``", "")
        options.append(Annotated[kind, tyro.conf.subcommand(name=name, description=summary)])
    return Union[tuple(options)]  # noqa: UP007 - built at run time


if TYPE_CHECKING:
    AnyLoss: TypeAlias = Loss | TreeTargets | Centers | FeatureLoss
    AnyRegulariser: TypeAlias = Regulariser
    AnyBias: TypeAlias = Bias
    AnyMethod: TypeAlias = Method
else:
    AnyLoss = _one_of(
        CrossEntropy, SquaredError, DotRegression, TreeTargets, Centers, HAFrameMix,
        CosineAlignment, CosineRegression,
    )  # fmt: skip
    AnyRegulariser = _one_of(
        AverageBudget, VectorBudget, Sphere, WeightDecay, ClassMeanDecay, NoReg
    )  # fmt: skip
    AnyBias = _one_of(NoBias, FreeBias, PenalisedBias)
    AnyMethod = _one_of(LBFGS, GradientFlow, GradientDescent, Convex, ClosedForm)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Class sizes.

    Attributes:
        K: Number of classes, >= 2; that of --n, --f or --tree by default.
        n: Class sizes, K of them; or use --n-max, --rho and --K-A.
        n_max: Size of the largest class.
        rho: Imbalance n_max / n_min; exponential long tail, or step if --K-A is given.
        K_A: Number of majority classes of a step profile.
    """

    K: int | None = None
    n: tuple[int, ...] = ()
    n_max: int = 1
    rho: float = 1.0
    K_A: int | None = None

    def sizes(self, K: int, *, step: bool = True) -> tuple[int, ...]:
        """The class sizes.

        Args:
            K: Number of classes.
            step: Whether --K-A speaks of sizes.

        Returns:
            K sizes, if --n has as many.

        Raises:
            ValueError: If a flag contradicts another or is out of range.
        """
        if self.n:
            if self.rho != 1.0 or self.n_max != 1:
                raise ValueError(f"n must not be combined with --n-max or --rho, got {self.n}")
            return self.n
        check_count("n_max", self.n_max)
        if self.rho == 1.0:
            return balanced_sizes(K=K, n=self.n_max)
        if self.K_A is not None and step:
            return step_sizes(K=K, K_A=self.K_A, n_max=self.n_max, rho=self.rho)
        return exponential_sizes(K=K, n_max=self.n_max, rho=self.rho)


@dataclass(frozen=True, kw_only=True)
class Model(Sizes):
    """The model.

    Attributes:
        d: Feature dimension; by default K, which no optimum needs more than, or what the frame
            needs.
        R: Real ratio of a step profile by loss weights instead of class sizes (with --K-A).
        frame: Fix the classifier to this frame with rows of squared norm --frame-norm.
        frame_norm: Squared norm of the rows of --frame.
        fixed_etf: Short for --frame etf with this --frame-norm.
        tree: Hierarchy of the classes: a JSON file, a text file with a path such as
            animal/mammal/cat a line, or cifar100 or cifar100_superclasses.
        gamma: Decay of the tree's similarities exp(-gamma d / d_max).
        asymptote: Their asymptote s, in [s*, 1); s* by default, the classes as far apart as can be.
        convention: Distance of the tree: height of the lowest common ancestor, or the tree's height
            less its depth.
        f: Centers of each class, K of them; or their mean, shared out by the class-aware rule.
        theta: Angle of the centers, in [0, pi/2].
        loss: The loss.
        reg: The regulariser or budget.
        bias: The bias.
    """

    d: int | None = None
    R: float | None = None
    frame: Literal["etf", "orthogonal", "haframe", "multicenter"] | None = None
    frame_norm: float = 1.0
    fixed_etf: float | None = None
    tree: str | None = None
    gamma: float | None = None
    asymptote: float | None = None
    convention: Convention = "height"
    f: tuple[int, ...] = ()
    theta: float | None = None
    loss: AnyLoss = CrossEntropy()
    reg: AnyRegulariser = AverageBudget(E_W=1.0, E_H=5.0)
    bias: AnyBias = NoBias()

    def problem(self) -> Problem:
        """The problem these flags state.

        Returns:
            The problem.

        Raises:
            ValueError: If a flag is missing, contradicts another or is out of range.
        """
        self._check_used()
        K, weights = self._classes(), None
        if self.R is not None:
            if self.K_A is None:
                raise ValueError("K_A must be given with --R, got nothing")
            weights = step_weights(K=K, K_A=self.K_A, R=self.R)
        n = self.sizes(K, step=self.R is None)
        frame = self._frame(n)
        needed = frame.d_min if isinstance(frame, MultiCenter) else K
        return Problem(
            K=K,
            d=needed if self.d is None else self.d,
            n=n,
            loss=self._loss(n),
            reg=self.reg,
            bias=self.bias,
            classifier=Learnable() if frame is None else Fixed(frame),
            weights=weights,
        )

    def _check_used(self) -> None:
        # The number of classes may come from --tree or --f alone; these flags say nothing else.
        trees = self.frame == "haframe" or isinstance(self.loss, TreeTargets)
        centers = self.frame == "multicenter" or isinstance(self.loss, Centers)
        for name, used, by in (
            ("gamma", trees, "--frame haframe or soft-targets"),
            ("asymptote", trees, "--frame haframe or soft-targets"),
            ("theta", centers, "--frame multicenter or center-squared-error"),
        ):
            value = getattr(self, name)
            if value is not None and not used:
                raise ValueError(f"{name} must be given with {by}, got {value} alone")

    def _classes(self) -> int:
        if self.K is not None:
            return self.K
        if self.tree is not None:
            return read_tree(self.tree).K
        K = max(len(self.n), len(self.f))
        if K < 2:
            raise ValueError("K must be given as --K, got nothing")
        return K

    def _frame(self, n: tuple[int, ...]) -> Frame | None:
        kind, norm = self.frame, self.frame_norm
        if self.fixed_etf is not None:
            if kind not in (None, "etf"):
                raise ValueError(f"frame must not be combined with --fixed-etf, got {kind!r}")
            return SimplexETF(check_number("fixed_etf", self.fixed_etf, strict=True))
        check_number("frame_norm", norm, strict=True)
        match kind:
            case None:
                return None
            case "etf":
                return SimplexETF(norm)
            case "orthogonal":
                return OrthogonalFrame(norm)
            case "haframe":
                return self._tree_frame("--frame haframe")
            case "multicenter":
                return MultiCenter(*self._centers(n, "--frame multicenter"), E_W=norm)

    def _tree_frame(self, by: str) -> HAFrame:
        for name in ("tree", "gamma"):
            if getattr(self, name) is None:
                raise ValueError(f"{name} must be given as --{name} with {by}, got nothing")
        similarity = Exponential(self.gamma or 0.0)
        tree = read_tree(self.tree or "")
        return HAFrame(
            tree, similarity, s=self.asymptote, convention=self.convention, E_W=self.frame_norm
        )

    def _centers(self, n: tuple[int, ...], by: str) -> tuple[tuple[int, ...], float]:
        if not self.f:
            raise ValueError(f"f must be given as --f with {by}, got nothing")
        if self.theta is None:
            raise ValueError(f"theta must be given as --theta with {by}, got nothing")
        return (class_aware_centers(n, *self.f) if len(self.f) == 1 else self.f), self.theta

    def _loss(self, n: tuple[int, ...]) -> Loss:
        match self.loss:
            case TreeTargets(beta=beta):
                return SoftTargets(self._tree_frame("soft-targets"), beta=beta)
            case Centers():
                f, theta = self._centers(n, "center-squared-error")
                return CenterSquaredError.of(f, n=n, theta=theta)
            case FeatureLoss() as loss:
                raise ValueError(
                    "loss must be one of logits for a model, got a loss of features, "
                    f"{type(loss).__name__}: it trains networks, docs/heads.md"
                )
            case loss:
                return loss


def read_tree(name: str) -> Tree:
    """A hierarchy by name or from a file.

    Args:
        name: One that comes with the package, or a file: JSON, or one path a line.

    Returns:
        The tree.

    Raises:
        ValueError: If there is no such tree.
    """
    if name in SHIPPED:
        return load(SHIPPED[name])
    file = Path(name)
    if not file.is_file():
        raise ValueError(f"tree must be a file or one of {', '.join(SHIPPED)}, got {name!r}")
    if file.suffix == ".json":
        return Tree.from_json(file)
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"tree must be JSON or text in UTF-8, got {name!r}") from error
    return Tree.from_paths(line.strip() for line in lines if line.strip())
