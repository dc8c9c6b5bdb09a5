"""Numeric evidence for Liang and Davis (2023): frames of random and shipped trees, angles.

The reference numbers are those of the theory pages, computed there by other code.
"""

from __future__ import annotations

import random

import torch

from proofs_check._features import degrees, minimised, started_near, unit
from proofs_check._harness import Measurement, evidence
from proofs_check._optima import optimum
from proofs_check._proof import EXACT
from proofs_check._trees import random_nested
from proofs_check.tree_problems import TREES, frame_problem, tree_frame
from ufm._typing import Tensor
from ufm.claims import EvidenceKind
from ufm.geometry import (
    Exponential,
    cholesky_frame,
    eigh_frame,
    frame,
    hierarchy_frame,
    node_frame,
    similarity_matrix,
    smallest_s,
)
from ufm.geometry.similarity import Table
from ufm.hierarchy import Tree, load
from ufm.losses import CosineAlignment, HAFrameMix
from ufm.problem import VectorBudget
from ufm.theory.liang2023 import CLOSED_FRAME, FLAT_ETF, LOWEST_EIGENVALUE, PSD, SMALLEST_S
from ufm.theory.liang2023_features import (
    ALIGNMENT,
    CE_COLLAPSE,
    CE_FRAME,
    MAX_MARGIN,
    MIX_COLLAPSE,
    MIX_LIMIT,
)
from ufm.theory.tree_geometries import max_margin


UNEVEN = ("balanced", "caterpillar", "mixed")
LABELS = torch.arange(8)
# Angles are printed with two decimals.
PRINTED = 6e-3


def random_map(tree: Tree, seed: int, *, falling: bool = True) -> Table:
    """A random map of the height distance with values in [0, 1].

    Args:
        tree: The tree.
        seed: Seed.
        falling: Whether the values are sorted.

    Returns:
        The map.
    """
    rng = random.Random(seed)
    values = [rng.random() for _ in range(tree.d_max())]
    return Table((1.0, *(sorted(values, reverse=True) if falling else values)))


def random_trees(count: int) -> list[tuple[Tree, int]]:
    """Random trees of 2 to 30 classes, each with its seed.

    Args:
        count: How many.

    Returns:
        Trees and seeds.
    """
    return [(Tree.from_nested(random_nested(2 + seed % 29, seed)), seed) for seed in range(count)]


@evidence(
    PSD,
    EvidenceKind.NUMERIC,
    domain="200 random trees, K = 2..30: random maps that fall, and the same number that do not",
)
def random_maps(measure: Measurement) -> None:
    """Sorted values never give a negative eigenvalue, unsorted ones mostly do."""
    negative = 0
    for tree, seed in random_trees(200):
        fall = similarity_matrix(tree, random_map(tree, seed), s=0.0)
        measure.below("negative eigenvalue", -torch.linalg.eigvalsh(fall)[0], EXACT)
        rise = similarity_matrix(tree, random_map(tree, seed, falling=False), s=0.0)
        negative += bool(torch.linalg.eigvalsh(rise)[0] < -1e-6)
    measure.above("share of unsorted maps that fail", negative / 200, 0.5)


@evidence(
    LOWEST_EIGENVALUE,
    EvidenceKind.NUMERIC,
    domain="100 random trees with random falling maps; CIFAR-100, five levels, gamma = 2",
)
def lowest_eigenvalues(measure: Measurement) -> None:
    """One minus the similarity of the closest pair."""
    for tree, seed in random_trees(100):
        F = similarity_matrix(tree, random_map(tree, seed), s=0.0)
        closest = (F - 2 * torch.eye(tree.K)).max()
        error = torch.linalg.eigvalsh(F)[0] - (1 - closest)
        measure.below("error", error.abs(), EXACT)
    F = similarity_matrix(load("cifar100_level5"), Exponential(2.0), s=0.0)
    measure.below("CIFAR-100", (torch.linalg.eigvalsh(F)[0] - 0.32968).abs(), 5e-6)


@evidence(
    SMALLEST_S,
    EvidenceKind.NUMERIC,
    domain="100 random trees, random gamma in [0.5, 5]; CIFAR-100, five levels, gamma = 2",
)
def feasible_asymptotes(measure: Measurement) -> None:
    """Singular at s*, a negative eigenvalue below it."""
    for tree, seed in random_trees(100):
        f = Exponential(0.5 + 4.5 * random.Random(seed).random())
        s = smallest_s(tree, f)
        measure.below("lowest at s*", torch.linalg.eigvalsh(similarity_matrix(tree, f))[0].abs(),
                      EXACT)  # fmt: skip
        under = similarity_matrix(tree, f, s=s - 1e-3 * abs(s))
        measure.above("depth below s*", -torch.linalg.eigvalsh(under)[0], 1e-6)
        measure.below("(K-1) s* + 1", (tree.K - 1) * s + 1, EXACT)
    tree = load("cifar100_level5")
    measure.below("CIFAR-100", abs(smallest_s(tree, Exponential(2.0)) + 0.3057392), 5e-8)


@evidence(
    CLOSED_FRAME,
    EvidenceKind.NUMERIC,
    domain="60 random trees, gamma = 2, at s* and above; four routes to the frame",
)
def routes_agree(measure: Measurement) -> None:
    """Gram errors of the natural frame, the contrasts, Cholesky and eigenvectors; the rank."""
    f = Exponential(2.0)
    for tree, _ in random_trees(60):
        for s in (None, 0.5 * smallest_s(tree, f)):
            S = similarity_matrix(tree, f, s=s)
            frames = [node_frame(tree, f, s=s), hierarchy_frame(tree, f, s=s)]
            for W in (*frames, cholesky_frame(S), eigh_frame(S)):
                measure.below("Gram error", (W @ W.mT - S).abs().max(), EXACT)
            rank = int(torch.linalg.matrix_rank(frames[0], rtol=1e-9))
            measure.true("the rank is K-1 at s*, K above", rank == tree.K - (s is None))


@evidence(FLAT_ETF, EvidenceKind.NUMERIC, domain="K = 2..20, gamma = 0.1 and 3")
def flat_frames(measure: Measurement) -> None:
    """All cosines -1/(K-1)."""
    for K in range(2, 21):
        for gamma in (0.1, 3.0):
            W = hierarchy_frame(Tree.from_nested(list(range(K))), Exponential(gamma))
            P = torch.eye(K).double() - 1 / K
            measure.below("Gram error", (W @ W.mT - K / (K - 1) * P).abs().max(), EXACT)


@evidence(
    ALIGNMENT,
    EvidenceKind.NUMERIC,
    domain="four trees, K = 8, gamma = 2, s*; L-BFGS in d = K-1, values in d = K",
)
def aligned_features(measure: Measurement) -> None:
    """Features on the frame; sixteen times the loss at twice the distance outside its span."""
    loss = CosineAlignment()
    for name in TREES:
        W = frame(tree_frame(name), 8, 7)
        H = minimised(lambda H, W=W: loss.value(H, W, LABELS).sum(), started_near(W))
        measure.below("degrees", degrees(H, W), 1e-5)
        wide = torch.nn.functional.pad(W, (0, 1))
        near, far = (float(loss.value(_leaning(wide, e), wide, LABELS).sum()) for e in (0.01, 0.02))
        measure.below("ratio minus 16", abs(far / near - 16), 2e-2)


def _leaning(W: Tensor, epsilon: float) -> Tensor:
    outside = torch.eye(W.shape[-1], dtype=torch.float64)[-1]
    return (1 - epsilon**2) ** 0.5 * W + epsilon * outside


def optimal_features(name: str, radius: float, *, s: float | None = None) -> Tensor:
    """Certified minimisers of cross-entropy in a ball.

    Args:
        name: Name of the tree.
        radius: Radius of the ball.
        s: Asymptote; s* by default.

    Returns:
        One feature a row.
    """
    spec = tree_frame(name, s=s)
    problem = frame_problem(spec, VectorBudget(1.0, radius**2), d=spec.rank)
    return optimum(problem).solution.H.mT


@evidence(
    CE_COLLAPSE,
    EvidenceKind.COUNTEREXAMPLE,
    domain="three trees, K = 8, gamma = 2, s*, radius 1 and 4: certified optima",
)
def angles_of_cross_entropy(measure: Measurement) -> None:
    """Largest angle of a feature to its row, in degrees."""
    printed = {
        ("balanced", 1): 3.98, ("caterpillar", 1): 13.59, ("mixed", 1): 12.24,
        ("balanced", 4): 11.82, ("caterpillar", 4): 20.97, ("mixed", 4): 19.38,
    }  # fmt: skip
    for (name, radius), reference in printed.items():
        angle = degrees(optimal_features(name, radius), frame(tree_frame(name), 8, 7))
        measure.record(f"{name}, radius {radius}", angle)
        measure.below("minus the reference", abs(angle - reference), PRINTED)
        measure.above("smallest", angle, 1.0)
        problem = frame_problem(tree_frame(name), VectorBudget(1.0, radius**2), d=7)
        excess = CE_FRAME.predict(problem).numbers["value_of_the_frame"]
        excess -= float(optimum(problem).solution.value)
        measure.above("excess of the frame over the optimum", excess, 1e-4)


@evidence(
    CE_FRAME,
    EvidenceKind.CERTIFIED,
    domain="flat tree, K = 8, radius 1, at s* and 0.01 above; three other trees, radius 0.1 and 1",
)
def only_the_simplex(measure: Measurement) -> None:
    """The frame at s* of the flat tree, no other."""
    W = frame(tree_frame("flat"), 8, 7)
    measure.below("flat", degrees(optimal_features("flat", 1.0), W), 1e-5)
    above = tree_frame("flat", s=tree_frame("flat").asymptote + 0.01)
    found = optimal_features("flat", 1.0, s=above.asymptote)
    angle = degrees(found, frame(above, 8, 8))
    measure.below("flat, above s*, minus the reference", abs(angle - 4.99), PRINTED)
    for name in UNEVEN:
        for radius in (0.1, 1.0):
            problem = frame_problem(tree_frame(name), VectorBudget(1.0, radius**2), d=7)
            excess = CE_FRAME.predict(problem).numbers["value_of_the_frame"]
            excess -= float(optimum(problem).solution.value)
            measure.above("excess of the frame over the optimum", excess, 1e-6)


def mixed_angle(name: str, alpha: float, radius: float) -> tuple[float, float]:
    """Minimiser of the mix on a sphere.

    Args:
        name: Name of the tree.
        alpha: Weight of the alignment.
        radius: Radius of the sphere.

    Returns:
        Largest angle to the rows in degrees, and the largest share of the proved bound on
        ``|W(u - w_y)|^2`` that is used.
    """
    W, loss = frame(tree_frame(name), 8, 7), HAFrameMix(alpha)
    H = minimised(lambda H: loss.value(radius * unit(H), W, LABELS).sum(), started_near(W))
    S = W @ W.mT
    closest = (1 - (S - 2 * torch.eye(8))).min(-1).values
    bound = (1 - alpha) / alpha * 7 * (-radius * closest).exp()
    used = ((unit(H) - W) @ W.mT).square().sum(-1) / bound
    return degrees(H, W), float(used.max())


@evidence(
    MIX_COLLAPSE,
    EvidenceKind.COUNTEREXAMPLE,
    domain="three trees, K = 8, gamma = 2, s*, alpha = 0.4: spheres of radius 1 and 4; weight "
    "decay 1e-2",
)
def angles_of_the_mix(measure: Measurement) -> None:
    """Largest angle of a feature to its row, in degrees."""
    printed = {
        ("balanced", 1): 1.39, ("caterpillar", 1): 4.27, ("mixed", 1): 3.54,
        ("balanced", 4): 3.86, ("caterpillar", 4): 8.25, ("mixed", 4): 5.76,
    }  # fmt: skip
    for (name, radius), reference in printed.items():
        angle, _ = mixed_angle(name, 0.4, radius)
        measure.record(f"{name}, radius {radius}", angle)
        measure.below("minus the reference", abs(angle - reference), PRINTED)
        measure.above("smallest", angle, 1.0)
    for name, reference in (("balanced", 3.70), ("caterpillar", 7.63), ("mixed", 4.96)):
        W, loss = frame(tree_frame(name), 8, 7), HAFrameMix(0.4)

        def objective(H: Tensor, W: Tensor = W, loss: HAFrameMix = loss) -> Tensor:
            return (loss.value(H, W, LABELS) + 5e-3 * H.square().sum(-1)).sum()

        angle = degrees(minimised(objective, started_near(W)), W)
        measure.record(f"{name}, weight decay", angle)
        measure.below("minus the reference", abs(angle - reference), PRINTED)


@evidence(
    MIX_LIMIT,
    EvidenceKind.NUMERIC,
    domain="three trees, K = 8, gamma = 2, s*, alpha = 0.4, radius 1, 4, 16, 32",
)
def mix_tends_to_the_frame(measure: Measurement) -> None:
    """Angles grow, then vanish exponentially, always within the proved bound."""
    printed = {"balanced": 0.0063, "caterpillar": 0.255, "mixed": 0.0095}
    for name in UNEVEN:
        angles = []
        for radius in (1.0, 4.0, 16.0, 32.0):
            angle, used = mixed_angle(name, 0.4, radius)
            angles.append(angle)
            measure.below("share of the bound", used, 1.0)
        # The references have two or three digits.
        measure.below("radius 16", abs(angles[2] / printed[name] - 1), 1e-2)
        measure.below("degrees at radius 32", angles[3], 5e-3)
        measure.true("the angle grows at first", angles[1] > angles[0])


@evidence(
    MAX_MARGIN,
    EvidenceKind.NUMERIC,
    domain="four trees, K = 8, gamma = 2, s*; certified optima at radius 4 and 16, L-BFGS at 256 "
    "and 4096, against the quadratic programme",
)
def directions_tend_to_the_margin(measure: Measurement) -> None:
    """Within the proved chord, and 1/radius in fact; the largest angles of the limit."""
    limits = {"flat": 0.0, "balanced": 24.46, "caterpillar": 35.10, "mixed": 30.24}
    for name, reference in limits.items():
        W = frame(tree_frame(name), 8, 7)
        best, margin = max_margin(W)
        angle = degrees(best, W)
        measure.record(f"degrees in the limit, {name}", angle)
        measure.below("minus the reference", abs(angle - reference), PRINTED)
        for radius in (4.0, 16.0, 256.0, 4096.0):
            found = optimal_features(name, radius) if radius < 100 else _saturated(W, radius)
            chord2 = (unit(found) - best).square().sum(-1)
            bound = 4 * torch.tensor(7.0).double().log() / (radius * margin)
            measure.below("share of the bound", (chord2 / bound).max(), 1.0)
        measure.below("degrees from the limit, radius 4096", degrees(found, best), 0.1)


def _saturated(W: Tensor, radius: float) -> Tensor:
    # Cross-entropy rises with the log-sum of the wrong classes alone, which does not underflow.
    def objective(H: Tensor) -> Tensor:
        Z = radius * unit(H) @ W.mT
        others = (Z - Z.diagonal().unsqueeze(-1)).masked_fill(torch.eye(8).bool(), -torch.inf)
        return (others.logsumexp(-1) / radius).sum()

    return minimised(objective, started_near(W), steps=3000)
