"""Models with a hierarchy-aware frame or its targets, with what is known of their values."""

from __future__ import annotations

from typing import Any

from proofs_check._trees import symmetric_nested
from ufm import theory
from ufm.geometry.similarity import Exponential
from ufm.geometry.specs import HAFrame
from ufm.hierarchy import Tree
from ufm.losses import CrossEntropy, SoftTargets
from ufm.problem import (
    AverageBudget,
    ClassMeanDecay,
    Fixed,
    NoReg,
    Problem,
    Regulariser,
    Sphere,
    VectorBudget,
    WeightDecay,
)


# The trees of the printed tables: K = 8, gamma = 2, at s*.
TREES: dict[str, Any] = {
    "flat": list(range(8)),
    "balanced": symmetric_nested((2, 2, 2)),
    "caterpillar": [0, [1, [2, 3, [4, 5, [6, 7]]]]],
    "mixed": [[0, 1, 2, 3], [4, [5, 6]], 7],
}
SIZES = (40, 1, 7, 2, 2, 30, 5, 11)


def tree_frame(name: str, *, s: float | None = None, E_W: float = 1.0) -> HAFrame:
    """Frame of one of the trees.

    Args:
        name: Name of the tree.
        s: Asymptote; s* by default.
        E_W: Squared norm of the rows.

    Returns:
        The frame.
    """
    return HAFrame(Tree.from_nested(TREES[name]), Exponential(2.0), s=s, E_W=E_W)


def frame_problem(
    frame: HAFrame, reg: Regulariser, *, d: int, beta: float | None = None
) -> Problem:
    """Classifier fixed to a frame, unequal class sizes.

    Args:
        frame: The frame.
        reg: What bounds the features.
        d: Feature dimension.
        beta: Calibrated soft targets of this norm; cross-entropy by default.

    Returns:
        The problem.
    """
    loss = CrossEntropy() if beta is None else SoftTargets(frame, beta)
    return Problem(K=8, d=d, n=SIZES, loss=loss, reg=reg, classifier=Fixed(frame))


def emerging_problem(nested: Any, beta: float, *, slack: float = 1.0) -> Problem:
    """Soft targets with a learnable classifier, in the smallest radius that fits them.

    The multiplier vanishes there, so optima are slow to find: for small trees.

    Args:
        nested: Nested lists of the tree.
        beta: Norm aimed at.
        slack: Factor on the radius.

    Returns:
        The problem.
    """
    frame = HAFrame(Tree.from_nested(nested), Exponential(2.0))
    K, loss = frame.tree.K, SoftTargets(frame, beta)
    E = slack * theory.smallest_radius(loss) / K
    return Problem(K=K, d=K - 1, n=SIZES[:K], loss=loss, reg=AverageBudget(E, E))


def ridge_targets(
    arities: tuple[int, ...], beta: float, reg: Regulariser, *, n: int = 1, gamma: float = 2.0
) -> Problem:
    """Soft targets of a symmetric tree with a learnable classifier and ridges.

    Args:
        arities: Children of a node, from the lowest level up.
        beta: Norm aimed at.
        reg: Ridges.
        n: Samples a class.
        gamma: Decay of the similarity.

    Returns:
        The problem.
    """
    frame = HAFrame(Tree.from_nested(symmetric_nested(arities)), Exponential(gamma))
    K = frame.tree.K
    return Problem(K=K, d=K - 1, n=(n,) * K, loss=SoftTargets(frame, beta), reg=reg)


def _rows() -> list[tuple[str, Problem, float | None]]:
    tight = tree_frame("caterpillar", E_W=1.5)
    return [
        ("frame-ce-flat", frame_problem(tree_frame("flat"), VectorBudget(1.0, 1.0), d=7), None),
        ("frame-ce-flat-sphere", frame_problem(tree_frame("flat"), Sphere(1.0, 4.0), d=8), None),
        ("frame-ce-mixed", frame_problem(tree_frame("mixed"), VectorBudget(1.0, 1.0), d=7), None),
        ("targets-fixed-mixed", frame_problem(tree_frame("mixed"), NoReg(), d=7, beta=4.0), 0.0),
        ("targets-fixed-flat", frame_problem(tree_frame("flat"), NoReg(), d=7, beta=1.0), 0.0),
        ("targets-fixed-ball", frame_problem(tight, VectorBudget(1.5, 6.0), d=8, beta=3.0), 0.0),
        ("targets-emerge", emerging_problem([[0, 1], [2, 3]], 3.0), 0.0),
        ("targets-emerge-mixed", emerging_problem([[0, 1], 2, 3], 2.0), 0.0),
        ("targets-emerge-wide", emerging_problem([[0, 1], 2, 3], 2.0, slack=1.5), 0.0),
        ("targets-ridge-all", ridge_targets((2, 2, 2), 4.0, ClassMeanDecay(1e-3, 2e-3)), None),
        ("targets-ridge-two", ridge_targets((2, 2, 2), 1.0, ClassMeanDecay(0.024, 0.025)), None),
        ("targets-ridge-one", ridge_targets((2, 3, 2), 2.0, WeightDecay(0.018, 0.018), n=5), None),
        ("targets-ridge-zero", ridge_targets((3, 2), 1.0, ClassMeanDecay(0.1, 0.1)), None),
        ("targets-budget", _short((2, 3, 2), 2.0, 0.5), None),
        ("targets-budget-merged", _short((2, 2, 2), 1.0, 0.05), None),
        ("targets-fixed-ridge", frame_problem(
            tree_frame("flat", E_W=1.5), WeightDecay(1e-3, 2e-3), d=7, beta=4.0), None),
        ("targets-fixed-ridge-means", frame_problem(
            tree_frame("flat"), ClassMeanDecay(0.0, 5e-3), d=8, beta=2.0), None),
        ("targets-turned", frame_problem(
            tree_frame("balanced"), ClassMeanDecay(0.0, 1e-3), d=7, beta=4.0), None),
        ("targets-unequal", _unequal(ClassMeanDecay(1e-3, 1e-3)), None),
        ("targets-unequal-samples", _unequal(WeightDecay(1e-3, 1e-3)), None),
    ]  # fmt: skip


def _unequal(reg: Regulariser) -> Problem:
    return Problem(K=8, d=8, n=SIZES, loss=SoftTargets(tree_frame("mixed"), 3.0), reg=reg)


def _short(arities: tuple[int, ...], beta: float, share: float) -> Problem:
    # Budgets that allow a share of the nuclear norm that the targets need.
    loss = ridge_targets(arities, beta, NoReg()).loss
    assert isinstance(loss, SoftTargets)
    K = loss.frame.tree.K
    E = share * theory.smallest_radius(loss) / K
    return Problem(K=K, d=K, n=(3,) * K, loss=loss, reg=AverageBudget(E / 2, 2 * E))


ROWS = tuple(_rows())
