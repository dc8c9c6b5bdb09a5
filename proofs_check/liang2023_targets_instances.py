"""Numeric evidence for calibrated soft targets: emergence of levels, unequal class sizes."""

from __future__ import annotations

import math

import torch

from proofs_check._harness import Measurement, evidence
from proofs_check._optima import optimum
from proofs_check.tree_problems import SIZES, TREES, ridge_targets, tree_frame
from ufm import theory
from ufm._typing import Tensor
from ufm.claims import EvidenceKind
from ufm.geometry import Exponential, HAFrame
from ufm.hierarchy import Tree
from ufm.losses import SoftTargets
from ufm.problem import ClassMeanDecay, Problem, WeightDecay
from ufm.theory.liang2023_targets import EMERGING_FRAME, IMBALANCE, RIDGE_SPECTRUM
from ufm.theory.tree_geometries import target_cosines
from ufm.theory.tree_levels import Levels


@evidence(
    EMERGING_FRAME,
    EvidenceKind.NUMERIC,
    domain="K = 8, beta = 4, s*: the balanced tree, the mixed one, where it fails (gamma = 2), and "
    "one that is not symmetric but has S 1 = 0 (gamma = 4 log 2)",
)
def gram_of_the_rows(measure: Measurement) -> None:
    """Rows of the smallest exact fit against beta S and beta P S P."""
    P = torch.eye(8).double() - 1 / 8
    for name in ("flat", "balanced", "mixed"):
        loss = SoftTargets(tree_frame(name), 4.0)
        S = target_cosines(loss)
        gram = theory.smallest_fit(loss, 1.0).gram_W
        miss = float((gram - 4 * S).abs().max())
        if name != "mixed":
            measure.below("symmetric trees", miss, 1e-12)
            continue
        centred = float((gram - 4 * P @ S @ P).abs().max())
        measure.record("mixed tree, from beta S", miss)
        measure.record("mixed tree, from beta P S P", centred)
        # The references are printed with two decimals.
        measure.below("minus the references", max(abs(miss - 1.13), abs(centred - 0.17)), 6e-3)
    # Row sums 1 + 3 f(2) and 1 + f(1) + 2 f(3) beside 4 f(4), with f(h) = 2^-h.
    tree = Tree.from_nested([[[0], [1], [2], [3]], [[[4, 5]], [[6, 7]]]])
    loss = SoftTargets(HAFrame(tree, Exponential(4 * math.log(2))), 4.0)
    gram = theory.smallest_fit(loss, 1.0).gram_W
    measure.below("equal row sums", (gram - 4 * target_cosines(loss)).abs().max(), 1e-12)


@evidence(
    RIDGE_SPECTRUM,
    EvidenceKind.CERTIFIED,
    domain="arities (2, 2, 2), (2, 3, 2) and (3, 2), beta = 1 and 3: certified optima 1 % on "
    "either side of every threshold",
)
def levels_emerge_one_by_one(measure: Measurement) -> None:
    """Singular values of a level are zero above its threshold and positive below."""
    for arities in ((2, 2, 2), (2, 3, 2), (3, 2)):
        for beta in (1.0, 3.0):
            reference = ridge_targets(arities, beta, ClassMeanDecay(1e-3, 1e-3))
            thresholds = sorted(
                value
                for name, value in RIDGE_SPECTRUM.predict(reference).numbers.items()
                if name.startswith("threshold")
            )
            for surviving, threshold in enumerate(thresholds):
                for factor, alive in ((1.01, surviving + 1), (0.99, surviving)):
                    strength = factor * threshold
                    _check_levels(measure, arities, beta, (strength, len(thresholds) - alive))


def _check_levels(
    measure: Measurement, arities: tuple[int, ...], beta: float, expected: tuple[float, int]
) -> None:
    strength, surviving = expected
    problem = ridge_targets(arities, beta, ClassMeanDecay(strength, strength))
    assert isinstance(problem.loss, SoftTargets)
    levels = Levels.of(problem.loss.frame)
    assert levels is not None
    dimensions = levels.dimensions[len(levels.dimensions) - surviving :]
    values = torch.linalg.svdvals(optimum(problem).solution.Z)
    rank = sum(dimensions)
    measure.below("singular values of lost levels", values[rank:].max(), 1e-6)
    if rank:
        measure.above("singular values of the others", values[rank - 1], 1e-3)


def unequal_problem(
    name: str, lam: float, *, per_mean: bool, sizes: tuple[int, ...] = SIZES
) -> Problem:
    """Soft targets, beta = 3, a learnable classifier and unequal class sizes.

    Args:
        name: Name of the tree.
        lam: Both ridges.
        per_mean: Whether the ridge is per class mean.
        sizes: Class sizes.

    Returns:
        The problem.
    """
    reg = ClassMeanDecay(lam, lam) if per_mean else WeightDecay(lam, lam)
    return Problem(K=8, d=8, n=sizes, loss=SoftTargets(tree_frame(name), 3.0), reg=reg)


@evidence(
    IMBALANCE,
    EvidenceKind.CERTIFIED,
    domain="four trees, K = 8, sizes 40 to 1, both ridges, lam = 1e-2, 1e-3, 1e-4: certified "
    "optima",
)
def deviations_of_rare_classes(measure: Measurement) -> None:
    """Distance of each class's probabilities from its targets, as a share of the bound."""
    for name in TREES:
        for lam in (1e-2, 1e-3, 1e-4):
            for per_mean in (True, False):
                problem = unequal_problem(name, lam, per_mean=per_mean)
                solution = optimum(problem).solution
                assert isinstance(problem.loss, SoftTargets)
                targets = problem.loss.log_targets(solution.Z).exp()
                distance = (solution.Z.softmax(0) - targets).norm(dim=0)
                bounds = IMBALANCE.predict(problem).numbers
                bound = torch.tensor([bounds[f"bound_{k}"] for k in range(8)], dtype=torch.float64)
                measure.below("share of the bound", (distance / bound).max(), 1 + 1e-6)
                if lam == 1e-4:
                    measure.above("share, small ridge", (distance / bound).min(), 0.5)


@evidence(
    IMBALANCE,
    EvidenceKind.CERTIFIED,
    domain="balanced tree, K = 8, sizes 1 to 8, lam = 1e-4, 1e-5, 1e-6: certified optima",
)
def limit_of_vanishing_ridge(measure: Measurement) -> None:
    """Per class mean the frame emerges for all sizes; per sample (P S D S P)^(1/2) does."""
    sizes = tuple(range(1, 9))
    loss = SoftTargets(tree_frame("balanced"), 3.0)
    frame_gram = 3 * target_cosines(loss)
    weights = tuple(map(float, sizes))
    sized = theory.smallest_fit(loss, 1.0, column_weights=weights).gram_W
    for lam, limit in ((1e-4, 0.2), (1e-5, 2e-2), (1e-6, 2e-3)):
        found = {}
        for per_mean in (True, False):
            problem = unequal_problem("balanced", lam, per_mean=per_mean, sizes=sizes)
            W = optimum(problem).solution.W
            found[per_mean] = W @ W.mT
        measure.below(f"per mean, lam = {lam:g}", _miss(found[True], frame_gram), limit)
        measure.below(f"per sample, lam = {lam:g}", _miss(found[False], sized), limit)
    measure.above("frame and limit per sample", _miss(sized / sized.trace() * 24, frame_gram), 0.1)


def _miss(gram: Tensor, limit: Tensor) -> Tensor:
    return (gram - limit).abs().max()
