"""The commands and their flags, as dataclasses for tyro. Torch-free."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union

import tyro

from ufm.counts import (
    balanced_sizes,
    check_count,
    check_number,
    exponential_sizes,
    step_sizes,
    step_weights,
)
from ufm.geometry.specs import SimplexETF
from ufm.losses import CrossEntropy, DotRegression, Loss, SquaredError
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


def _one_of(*kinds: type) -> Any:
    # Sub-commands such as `average-budget`, each described by its docstring's first line.
    options = []
    for kind in kinds:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower()
        summary = (kind.__doc__ or "").partition("\n")[0]
        summary = re.sub(r"(, by)? *:math:`[^`]*`", "", summary).replace("``", "")
        options.append(Annotated[kind, tyro.conf.subcommand(name=name, description=summary)])
    return Union[tuple(options)]  # noqa: UP007 - built at run time


if TYPE_CHECKING:
    AnyLoss: TypeAlias = Loss
    AnyRegulariser: TypeAlias = Regulariser
    AnyBias: TypeAlias = Bias
    AnyMethod: TypeAlias = Method
else:
    AnyLoss = _one_of(CrossEntropy, SquaredError, DotRegression)
    AnyRegulariser = _one_of(
        AverageBudget, VectorBudget, Sphere, WeightDecay, ClassMeanDecay, NoReg
    )  # fmt: skip
    AnyBias = _one_of(NoBias, FreeBias, PenalisedBias)
    AnyMethod = _one_of(LBFGS, GradientFlow, GradientDescent, Convex, ClosedForm)


@dataclass(frozen=True, kw_only=True)
class Model:
    """The model.

    Attributes:
        K: Number of classes, >= 2.
        d: Feature dimension; K by default, which no optimum needs more than.
        n: Class sizes, K of them; or use --n-max, --rho and --K-A.
        n_max: Size of the largest class.
        rho: Imbalance n_max / n_min; exponential long tail, or step if --K-A is given.
        K_A: Number of majority classes of a step profile.
        R: Real ratio of a step profile by loss weights instead of class sizes (with --K-A).
        fixed_etf: Fix the classifier to a simplex ETF with rows of this squared norm.
        loss: The loss.
        reg: The regulariser or budget.
        bias: The bias.
    """

    K: int | None = None
    d: int | None = None
    n: tuple[int, ...] = ()
    n_max: int = 1
    rho: float = 1.0
    K_A: int | None = None
    R: float | None = None
    fixed_etf: float | None = None
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
        if self.K is None:
            raise ValueError("K must be given as --K, got nothing")
        K = self.K
        weights, classifier = None, Learnable()
        if self.fixed_etf is not None:
            check_number("fixed_etf", self.fixed_etf, strict=True)
            classifier = Fixed(SimplexETF(self.fixed_etf))
        if self.R is not None:
            if self.K_A is None:
                raise ValueError("K_A must be given with --R, got nothing")
            weights = step_weights(K=K, K_A=self.K_A, R=self.R)
        return Problem(
            K=K,
            d=K if self.d is None else self.d,
            n=self._sizes(K),
            loss=self.loss,
            reg=self.reg,
            bias=self.bias,
            classifier=classifier,
            weights=weights,
        )

    def _sizes(self, K: int) -> tuple[int, ...]:
        if self.n:
            if self.rho != 1.0 or self.n_max != 1:
                raise ValueError(f"n must not be combined with --n-max or --rho, got {self.n}")
            return self.n
        check_count("n_max", self.n_max)
        if self.rho == 1.0:
            return balanced_sizes(K=K, n=self.n_max)
        if self.K_A is not None and self.R is None:
            return step_sizes(K=K, K_A=self.K_A, n_max=self.n_max, rho=self.rho)
        return exponential_sizes(K=K, n_max=self.n_max, rho=self.rho)


@dataclass(frozen=True, kw_only=True)
class Solve(Model):
    """Solve a model and certify the result.

    Attributes:
        method: The solver.
        seeds: Number of seeds, solved as one batch.
        polish: Take Newton steps after the solver.
        rigorous: Prove a bracket of the optimum in ball arithmetic (extra `rigorous`).
        device: Where to solve, for example cpu or cuda.
        out: Write the solution to this safetensors file.
        json: Print the result as JSON on stdout.
    """

    method: AnyMethod = LBFGS()
    seeds: int = 1
    polish: bool = False
    rigorous: bool = False
    device: str = "cpu"
    out: Path | None = None
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Certify(Model):
    """Certify anybody's (W, H): a file of `ufm solve --out`, or an .npz with W, H and maybe b.

    Attributes:
        file: The file. An .npz has W (K x d) and H (d x K or d x N) and needs the model's flags.
        rigorous: Prove a bracket of the optimum in ball arithmetic (extra `rigorous`).
        json: Print the result as JSON on stdout.
    """

    file: tyro.conf.Positional[Path]
    rigorous: bool = False
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Nc:
    """Neural-collapse metrics of saved features: an .npz with W (K x d), H (d x N), y (N), maybe b.

    Attributes:
        file: The file; one of `ufm solve --out` works too.
        json: Print the result as JSON on stdout.
    """

    file: tyro.conf.Positional[Path]
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Predict(Model):
    """Every theorem whose hypotheses hold for a model, and what it predicts.

    Attributes:
        json: Print the result as JSON on stdout.
    """

    json: bool = False


@dataclass(frozen=True, kw_only=True)
class List:
    """All claims with their computed status.

    Attributes:
        json: Print the result as JSON on stdout.
    """

    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Show:
    """One claim: statement, source, assumptions, prediction and evidence.

    Attributes:
        id: Id of the claim, for example fang2021.thm5.
        json: Print the result as JSON on stdout.
    """

    id: tyro.conf.Positional[str]
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Which claim rests on which."""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """The registry of claims.

    Attributes:
        action: What to do.
    """

    action: Annotated[
        List | Show | Graph,
        tyro.conf.arg(name=""),
    ]


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The store of runs.

    Attributes:
        action: `list` shows what is stored, `verify` checks every chunk against its hashes.
        store: Folder of the store; $UFM_RUNS or `runs` by default.
        json: Print the result as JSON on stdout.
    """

    action: tyro.conf.Positional[Literal["list", "verify"]]
    store: Path | None = None
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """What this installation can do: versions, devices, extras.

    Attributes:
        json: Print the result as JSON on stdout.
    """

    json: bool = False


Command = Solve | Certify | Nc | Predict | Claims | Runs | Doctor
