"""From a method to a head, its losses along training, and its decision rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Literal, TypeAlias, cast

import torch
from torch import nn

from deep.methods import (
    ARB,
    CE,
    ETFCE,
    ETFDR,
    LDAMDRW,
    RBL,
    CalibratedTargets,
    Centers,
    CentersMSE,
    ClassWeightedCE,
    HierarchyMix,
    LogitAdjustedCE,
    Method,
    NearestETF,
    check_dimension,
    check_start,
)
from deep.trees import tree
from ufm._typing import Float, Tensor
from ufm.center_counts import class_aware_centers, proportional_centers
from ufm.geometry import Exponential, HAFrame, MultiCenter
from ufm.heads import (
    ETFHead,
    HAFrameHead,
    Head,
    LearnableHead,
    MultiCenterHead,
    NearestETFHead,
    ResidualTransform,
    RotatedHead,
    adjusted_scores,
    least_cost_scores,
)
from ufm.hierarchy import Tree, distance_matrix
from ufm.losses import (
    LDAM,
    AttractionRepulsion,
    BatchDotRegression,
    CenterRegression,
    ClassBalanced,
    CosineRegression,
    CrossEntropy,
    FeatureLoss,
    FrameTargets,
    HAFrameMix,
    LogitAdjusted,
    Loss,
    SoftTargets,
    schedules,
)


AnyLoss: TypeAlias = Loss | FeatureLoss
Rule: TypeAlias = Callable[[Tensor, Head], Tensor]


@dataclass(frozen=True)
class Built:
    """What a method trains and how it decides.

    Attributes:
        head: The classifier with what is in front of it.
        loss_at: Loss in an epoch, ``loss_at(epoch, epochs)``; equal losses compare equal.
        rules: Decision rules by name, scores ``(B, K)`` from features and head; the first is the
            published one.
        follows: Whether `ufm.heads.NearestETFHead.follow` is called behind each step.
        uncapturable: Why a step cannot be recorded as a CUDA graph, or empty.
    """

    head: Head
    loss_at: Callable[[int, int], AnyLoss]
    rules: Mapping[str, Rule]
    follows: bool = False
    uncapturable: str = ""

    def to(self, device: torch.device | str) -> Built:
        """Move the constants of the rules; the head moves with its network.

        Args:
            device: Where to.

        Returns:
            The same object.
        """
        for rule in self.rules.values():
            if isinstance(rule, nn.Module):
                rule.to(device)
        return self


def build(
    method: Method, *, width: int, n: tuple[int, ...], generator: torch.Generator | None = None
) -> Built:
    """Make the head, losses and rules of a method.

    Learned parameters are drawn from torch's global generator, as those of every layer.

    Args:
        method: The method.
        width: Features that the network gives.
        n: Class sizes of the training set.
        generator: Source of a frame's random rotation.

    Returns:
        Head, losses and rules.

    Raises:
        ValueError: If the frame does not fit: the message says the dimension that is there, the one
            that is needed, and where it is set.
    """
    check_dimension(method)
    try:
        return _build(method, width, n, generator)
    except ValueError as error:
        if not str(error).startswith("d must"):
            raise
        had = f"d={method.d}" if method.d else f"the network's {width} features"
        raise ValueError(
            f"{type(method).__name__} does not fit {had}: {error}; set the method's d "
            "(feature widening) or take a wider network"
        ) from error


@singledispatch
def _build(method: Method, width: int, n: tuple[int, ...], generator) -> Built:
    raise ValueError(f"method must be one of deep.methods, got {method!r}")


def argmax(features: Float[Tensor, "B d"], head: Head) -> Float[Tensor, "B K"]:
    """The class of the largest logit.

    Args:
        features: Features.
        head: The head.

    Returns:
        Its logits.
    """
    return head.logits(features)


class Adjusted(nn.Module):
    """`ufm.heads.adjusted_scores` with its constants on the device, where evaluation is captured.

    Args:
        n: Class sizes.
    """

    shift: Tensor

    def __init__(self, n: tuple[int, ...]):
        super().__init__()
        zero = torch.zeros(1, len(n), dtype=torch.float64)
        self.register_buffer("shift", adjusted_scores(zero, n)[0].float())

    def forward(self, features: Float[Tensor, "B d"], head: Head) -> Float[Tensor, "B K"]:
        """Scores.

        Args:
            features: Features.
            head: The head.

        Returns:
            The scores.
        """
        return head.logits(features) + self.shift


class LeastCost(nn.Module):
    """`ufm.heads.least_cost_scores` (CRM) by the distances of a tree, kept on the device.

    Args:
        hierarchy: The tree.
    """

    distance: Tensor

    def __init__(self, hierarchy: Tree):
        super().__init__()
        distance = torch.as_tensor(distance_matrix(hierarchy), dtype=torch.float32)
        self.register_buffer("distance", distance)

    def forward(self, features: Float[Tensor, "B d"], head: Head) -> Float[Tensor, "B K"]:
        """Scores.

        Args:
            features: Features.
            head: The head.

        Returns:
            The scores.
        """
        return least_cost_scores(head.logits(features), self.distance)


def _fixed(loss: AnyLoss) -> Callable[[int, int], AnyLoss]:
    return lambda epoch, epochs: loss


def _deferred(first: AnyLoss, then: AnyLoss, start: float) -> Callable[[int, int], AnyLoss]:
    check_start(start)
    return lambda epoch, epochs: first if epoch < start * epochs else then


def _softmax_rules(n: tuple[int, ...], tree_name: str = "") -> dict[str, Rule]:
    rules: dict[str, Rule] = {"argmax": argmax, "adjusted": Adjusted(n)}
    if tree_name:
        rules["crm"] = LeastCost(tree(tree_name))
    return rules


@_build.register
def _(method: CE, width: int, n: tuple[int, ...], generator) -> Built:
    d = check_dimension(method)
    if method.transform == "residual":
        d = d or len(n)
        head = LearnableHead(width, len(n), d=d, transform=ResidualTransform(width, d))
    else:
        head = LearnableHead(width, len(n), d=d)
    return Built(head, _fixed(CrossEntropy()), _softmax_rules(n, method.tree))


@_build.register
def _(method: ClassWeightedCE, width: int, n: tuple[int, ...], generator) -> Built:
    head = LearnableHead(width, len(n), d=check_dimension(method))
    plain = CrossEntropy()
    weighted = ClassBalanced(plain, n=n, beta=method.beta)
    return Built(head, _deferred(plain, weighted, method.start), _softmax_rules(n))


@_build.register
def _(method: LDAMDRW, width: int, n: tuple[int, ...], generator) -> Built:
    head = LearnableHead(width, len(n), d=check_dimension(method), unit=True)
    plain = LDAM(n, max_margin=method.max_margin, scale=method.scale)
    # The released code divides by the weights of the batch, on average those of its samples.
    weighted = ClassBalanced(plain, n=n, beta=method.beta, over="samples")
    return Built(head, _deferred(plain, weighted, method.start), {"argmax": argmax})


@_build.register
def _(method: LogitAdjustedCE, width: int, n: tuple[int, ...], generator) -> Built:
    head = LearnableHead(width, len(n), d=check_dimension(method))
    return Built(head, _fixed(LogitAdjusted(n, tau=method.tau)), {"argmax": argmax})


@_build.register
def _(method: ARB, width: int, n: tuple[int, ...], generator) -> Built:
    # The loss is one of features and rows: a bias would not be trained.
    head = LearnableHead(width, len(n), d=check_dimension(method), bias=False)
    counts = n if method.counts == "global" else None
    return Built(head, _fixed(AttractionRepulsion(n=counts)), {"argmax": argmax})


@_build.register
def _(method: ETFDR, width: int, n: tuple[int, ...], generator) -> Built:
    head = ETFHead(width, len(n), d=check_dimension(method), generator=generator)
    counts = n if method.lengths == "global" else None
    loss = BatchDotRegression(normalisation=method.normalisation, n=counts)
    return Built(head, _fixed(loss), {"argmax": argmax})


@_build.register
def _(method: ETFCE, width: int, n: tuple[int, ...], generator) -> Built:
    head = ETFHead(width, len(n), d=check_dimension(method), E_W=method.E_W, E_H=method.E_H,
                   generator=generator)  # fmt: skip
    return Built(head, _fixed(CrossEntropy()), {"argmax": argmax})


@_build.register
def _(method: NearestETF, width: int, n: tuple[int, ...], generator) -> Built:
    head = NearestETFHead(width, len(n), d=check_dimension(method), E_H=method.E_H,
                          generator=generator)  # fmt: skip
    return Built(head, _fixed(CrossEntropy()), {"argmax": argmax}, follows=True,
                 uncapturable="the nearest frame is a decomposition")  # fmt: skip


@_build.register
def _(method: RBL, width: int, n: tuple[int, ...], generator) -> Built:
    head = RotatedHead(width, len(n), d=check_dimension(method), rows=method.rows,
                       generator=generator)  # fmt: skip
    # cuSOLVER is not known to allow a capture, and one that fails spoils the allocator.
    return Built(head, _fixed(CrossEntropy()), _softmax_rules(n),
                 uncapturable="the rotation is a linear solve")  # fmt: skip


@_build.register
def _(method: HierarchyMix, width: int, n: tuple[int, ...], generator) -> Built:
    frame = _hierarchy(method.tree, method.gamma, K=len(n))
    head = HAFrameHead(width, frame, d=check_dimension(method), generator=generator)
    rise = getattr(schedules, method.rise)

    def loss_at(epoch: int, epochs: int) -> AnyLoss:
        return HAFrameMix(alpha=method.alpha * rise(epoch / epochs))

    rules = {"argmax": argmax, "crm": LeastCost(tree(method.tree))}
    return Built(head, loss_at, rules)


@_build.register
def _(method: CalibratedTargets, width: int, n: tuple[int, ...], generator) -> Built:
    frame, d = _hierarchy(method.tree, method.gamma, K=len(n)), check_dimension(method)
    rules = {"argmax": argmax, "crm": LeastCost(tree(method.tree))}
    if method.learnable:
        head = LearnableHead(width, len(n), d=d)
        return Built(head, _fixed(SoftTargets(frame, beta=method.beta)), rules)
    head = HAFrameHead(width, frame, d=d, generator=generator)
    return Built(head, _fixed(FrameTargets(beta=method.beta)), rules)


@_build.register
def _(method: Centers, width: int, n: tuple[int, ...], generator) -> Built:
    f = centers_of(method, n)
    head = MultiCenterHead(width, MultiCenter(f, theta=method.theta), d=check_dimension(method),
                           generator=generator)  # fmt: skip
    loss = CosineRegression(weighting=method.weighting, lam=method.lam)
    return Built(head, _fixed(loss), _center_rules())


@_build.register
def _(method: CentersMSE, width: int, n: tuple[int, ...], generator) -> Built:
    f = centers_of(method, n)
    head = MultiCenterHead(width, MultiCenter(f, theta=method.theta), d=check_dimension(method),
                           generator=generator)  # fmt: skip
    mean_centers = sum(a * b for a, b in zip(f, n, strict=True)) / sum(n)
    loss = CenterRegression(mean_centers=mean_centers, lam=method.lam)
    return Built(head, _fixed(loss), _center_rules())


def centers_of(method: Centers | CentersMSE, n: tuple[int, ...]) -> tuple[int, ...]:
    """Number of centers of each class.

    Args:
        method: A multi-center method.
        n: Class sizes.

    Returns:
        The numbers.

    Raises:
        ValueError: If ``counts`` is unknown, or equal numbers are not whole.
    """
    if method.counts == "aware":
        return class_aware_centers(n, method.f)
    if method.counts == "proportional":
        return proportional_centers(n, method.f)
    if method.counts != "equal" or method.f != int(method.f):
        raise ValueError("counts must be equal (with a whole f), aware or proportional, "
                         f"got {method.counts!r} with f={method.f:g}")  # fmt: skip
    return (int(method.f),) * len(n)


def _center_rules() -> dict[str, Rule]:
    def by(name: Literal["regular", "mean", "general"]) -> Rule:
        return lambda features, head: cast(MultiCenterHead, head).scores(features, rule=name)

    return {"regular": by("regular"), "mean": by("mean"), "general": by("general")}


def _hierarchy(name: str, gamma: float, *, K: int) -> HAFrame:
    hierarchy = tree(name)
    if hierarchy.K != K:
        raise ValueError(f"tree must have the data's K={K} leaves, {name!r} has {hierarchy.K}")
    return HAFrame(hierarchy, Exponential(gamma))
