"""Numeric evidence on losses, gradients, decision rules and center counts of Yan et al. (2024)."""

from __future__ import annotations

import itertools
import math

import torch
from torch.nn.functional import normalize

from proofs_check._harness import Measurement, evidence
from ufm._typing import Float, Tensor
from ufm.center_counts import class_aware_centers
from ufm.claims import EvidenceKind
from ufm.counts import exponential_sizes
from ufm.geometry import (
    center_mean_cos,
    class_mean_cos,
    cosine_residual,
    general_rule,
    multicenter_frame,
    regular_rule,
)
from ufm.geometry.specs import MultiCenter
from ufm.heads import class_scores
from ufm.losses import CosineRegression
from ufm.metrics import collapsed_sigma
from ufm.theory.yan2024_losses import COSINE_MINIMISER, GRADIENT_PRINTED, VARIABILITY, WEIGHTING
from ufm.theory.yan2024_rules import (
    CLASS_AVERAGE,
    COUNTS_SMALL_END,
    COUNTS_STEPS,
    FEWER_CENTERS,
    GCR_MARGIN,
    PROP_31,
    PROP_C1,
    RCR_SCALE,
)


LONG_TAIL = (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)  # CIFAR-10-LT, ratio 100
LONG_TAIL_CENTERS = (1, 2, 3, 4, 7, 11, 18, 29, 47, 78)
DRAWS = 200_000


def vector(values: tuple[float, ...]) -> Float[Tensor, "K"]:
    """A float64 vector.

    Args:
        values: Its entries.

    Returns:
        The tensor.
    """
    return torch.tensor(values, dtype=torch.float64)


@evidence(
    COSINE_MINIMISER,
    EvidenceKind.NUMERIC,
    domain="f = 2, 5, 20, theta = .2, .7, 1.2: Riemannian descent from 64 random starts each",
)
def random_starts_meet(measure: Measurement) -> None:
    """All starts reach the mean center, with the residual loss."""
    rng = torch.Generator().manual_seed(0)
    for f in (2, 5, 20):
        for theta in (0.2, 0.7, 1.2):
            parts = multicenter_frame(MultiCenter((f, 1), theta))
            own, e = parts.centers[:f], parts.direction[0]
            u = normalize(torch.randn(64, parts.W.shape[1], generator=rng).double(), dim=-1)
            # The inverse of the largest curvature, that at -e.
            c = float(e @ own[0])
            step = 1 / (2 * f * c * (1 + c))
            for _ in range(1500):
                gradient = -2 * (1 - u @ own.mT) @ own
                u = normalize(u - step * (gradient - (gradient * u).sum(-1, True) * u), dim=-1)
            measure.below("1 - cosine", (1 - u @ e).max(), 1e-10)
            loss = (1 - u @ own.mT).square().sum(-1)
            least = cosine_residual(vector((f,)), theta)
            measure.below("loss minus residual", (loss - least).abs().max(), 1e-10)


@evidence(
    GRADIENT_PRINTED,
    EvidenceKind.COUNTEREXAMPLE,
    domain="f = 1, theta = .2, random h with |h| = 1/2, 1, 2: autograd",
)
def printed_gradient_fails(measure: Measurement) -> None:
    """Right at |h| = 1; elsewhere its length is wrong and it has a radial part."""
    parts = multicenter_frame(MultiCenter((1, 1), 0.2))
    w, label = parts.centers[0], torch.tensor([0])
    direction = normalize(
        torch.randn(4, generator=torch.Generator().manual_seed(1)).double(), dim=0
    )
    for length in (0.5, 1.0, 2.0):
        h = (length * direction).requires_grad_()
        value = CosineRegression("one", lam=0.0).value(h.unsqueeze(0), parts, label)[0]
        (true,) = torch.autograd.grad(value, h)
        h = h.detach()
        a = float(w @ h) / length
        printed = -2 * (1 - a) / length**2 * (w - a * h)
        error = float((printed - true).norm() / true.norm())
        if length == 1.0:
            measure.below("relative error at |h| = 1", error, 1e-12)
        else:
            measure.above("relative error elsewhere", error, 0.3)
            measure.above("radial part as printed", (printed @ h).abs() / length, 0.01)
            measure.below("true radial part", (true @ h).abs() / length, 1e-14)


@evidence(
    WEIGHTING, EvidenceKind.NUMERIC, domain="theta = .2, f = 1, 20, 77: ratios quoted for CAL"
)
def emphasis(measure: Measurement) -> None:
    """Weighted pull 2 g; rare against frequent 4.0 with the weight, 17.5 without."""
    pulls = {}
    for f in (1, 20, 77):
        parts = multicenter_frame(MultiCenter((f, 1), 0.2))
        pulls[f] = float(2 * parts.centers[:f].sum(0).norm())
    weight = {f: float(center_mean_cos(vector((f,)), 0.2)) for f in pulls}
    measure.record("weighted pull, f = 20", weight[20] * pulls[20])
    # The references have four decimals and one.
    measure.below("minus 3.4998", abs(weight[20] * pulls[20] - 3.4998), 5e-5)
    measure.below("minus 17.5", abs(pulls[77] / pulls[1] - 17.5), 0.06)
    measure.below("minus 4.0", abs(weight[77] * pulls[77] / pulls[1] - 4.0), 0.05)


@evidence(
    VARIABILITY,
    EvidenceKind.NUMERIC,
    domain="CIFAR-10-LT sizes at ratio 100, theta = .2: f = 20 and class-aware f; f = 2, 3, 5",
)
def quoted_limits(measure: Measurement) -> None:
    """Variability at collapse, and where NC would stay with features at single centers."""
    n = vector(LONG_TAIL)
    for name, f, expected in (("CAL", LONG_TAIL_CENTERS, 0.7014), ("AL", (20,) * 10, 0.3284)):
        sigma = float(collapsed_sigma(MultiCenter(f, 0.2), n))
        measure.record(f"sigma, {name}", sigma)
        measure.below("sigma minus reference", abs(sigma - expected), 5e-5)
    for f, expected in ((2, 0.5582), (3, 0.8006), (5, 1.0376)):
        parts = multicenter_frame(MultiCenter((f, 1), 0.2))
        plateau = float((parts.centers[0] - parts.direction[0]).square().sum())
        # The references are measured, from above, in four decimals.
        measure.below("plateau minus reference", abs(plateau - expected), 1e-4)


def hard_sample_shares(rule: str) -> Float[Tensor, "4"]:
    """How often each of 4 classes is chosen for the mean of all vectors plus noise.

    Args:
        rule: ``general`` on the centers of f = (1, 2, 3, 5), or ``regular``.

    Returns:
        Shares of the draws.
    """
    parts = multicenter_frame(MultiCenter((1, 2, 3, 5), 0.0))
    rows, choose = (parts.centers, general_rule) if rule == "general" else (parts.W, regular_rule)
    rng = torch.Generator().manual_seed(0)
    z = rows.mean(0).unsqueeze(-1)
    z = z + 0.01 * torch.randn(len(z), DRAWS, generator=rng, dtype=torch.float64)
    return torch.bincount(choose(z, parts), minlength=4).double() / DRAWS


@evidence(
    PROP_31, EvidenceKind.NUMERIC, domain="f = (1, 2, 3, 5), p = (.1, .2, .3, .4), 200000 draws"
)
@evidence(CLASS_AVERAGE, EvidenceKind.NUMERIC, domain="f = (1, 2, 3, 5), 200000 draws")
def simulated_success(measure: Measurement) -> None:
    """Shares f_k/F and 1/K to five standard errors; weighted success 17/55."""
    noise = 5 * 0.5 / DRAWS**0.5
    general, regular = hard_sample_shares("general"), hard_sample_shares("regular")
    measure.below("GCR share minus f_k/F", (general - vector((1, 2, 3, 5)) / 11).abs().max(), noise)
    measure.below("RCR share minus 1/K", (regular - 0.25).abs().max(), noise)
    weighted = float(general @ vector((0.1, 0.2, 0.3, 0.4)))
    measure.record("weighted success of GCR", weighted)
    measure.below("minus 17/55", abs(weighted - 17 / 55), noise)
    measure.below("class-averaged success minus 1/4", (general.mean() - 0.25).abs(), 1e-12)


def median_gap(f: int, other: int) -> float:
    """Median of the largest of f standard normals minus the largest of ``other`` others.

    Args:
        f: Number of the first.
        other: Number of the second.

    Returns:
        The median, by the trapezoid rule (spectrally accurate here) and bisection.
    """
    x = torch.linspace(-10, 10, 4001, dtype=torch.float64)
    density = f * torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
    density = density * torch.special.ndtr(x) ** (f - 1) * (x[1] - x[0])
    low, high = -10.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        above = float((density * torch.special.ndtr(x - middle) ** other).sum())
        low, high = (middle, high) if above > 0.5 else (low, middle)
    return (low + high) / 2


def preference(f: int, other: int, *, margin: float, deviation: float, K: int = 4) -> float:
    """How often GCR prefers the first of two classes at a given margin of RCR, theta = .2.

    Args:
        f: Centers of the first class.
        other: Centers of the second; the remaining classes have one.
        margin: ``<w_1 - w_2, z>``.
        deviation: Of the noise.
        K: Number of classes.

    Returns:
        Share of the draws.
    """
    parts = multicenter_frame(MultiCenter((f, other, *(1,) * (K - 2)), 0.2))
    rng = torch.Generator().manual_seed(0)
    p = deviation * torch.randn(DRAWS, parts.W.shape[1], generator=rng, dtype=torch.float64)
    p[:, 0] = p[:, 1] + margin  # w_1 and w_2 are the first two axes
    scores = class_scores(parts.mean.mean(0) + p, parts, rule="general")
    return float((scores[:, 0] > scores[:, 1]).double().mean())


def margin_bound(f: int, other: int, *, median: float, K: int = 4, doubled: bool = False) -> float:
    """Margin of RCR at which GCR prefers either class with probability 1/2, theta = .2.

    Args:
        f: Centers of the first class.
        other: Centers of the second.
        median: Median difference of the best v-scores of the noise.
        K: Number of classes.
        doubled: The printed form, with the median taken on z and the mean term added once more.

    Returns:
        The margin.
    """
    cos, gap = math.cos(0.2), (1 / other - 1 / f) / K
    if doubled:
        return (cos * gap - cos * (median - cos * gap)) / math.sin(0.2)
    return (cos**2 * gap - cos * median) / math.sin(0.2)


@evidence(
    PROP_C1,
    EvidenceKind.COUNTEREXAMPLE,
    domain="K = 4, f = 5 against 2, theta = .2, noise of deviation .05 and .15; 200000 draws",
)
def mean_term_counted_twice(measure: Measurement) -> None:
    """At the margin with the mean term twice the preference is not even: no threshold of it."""
    for deviation in (0.05, 0.15):
        median = deviation * median_gap(5, 2)
        margin = margin_bound(5, 2, median=median, doubled=True)
        share = preference(5, 2, margin=margin, deviation=deviation)
        measure.record(f"preference, deviation {deviation:g}", share)
        measure.above("distance from 1/2", abs(share - 0.5), 0.1)


@evidence(
    GCR_MARGIN,
    EvidenceKind.NUMERIC,
    domain="K = 4, f = 5 against 2, theta = .2, noise of deviation .05 and .15; 200000 draws",
)
def even_at_the_bound(measure: Measurement) -> None:
    """1/2 at the bound to five standard errors, less below it and more above."""
    noise = 5 * 0.5 / DRAWS**0.5
    for deviation in (0.05, 0.15):
        margin = margin_bound(5, 2, median=deviation * median_gap(5, 2))
        share = preference(5, 2, margin=margin, deviation=deviation)
        measure.below("preference minus 1/2", abs(share - 0.5), noise)
        for side in (-1, 1):
            moved = preference(5, 2, margin=margin + side * 0.05, deviation=deviation)
            measure.above("change 0.05 away", side * (moved - 0.5), 2 * noise)


@evidence(
    FEWER_CENTERS,
    EvidenceKind.NUMERIC,
    domain="theta = .2: (f, f', K) = (5, 2, 4), (77, 2, 10), (88, 2, 100); quadrature; 200000 "
    "draws for the first",
)
def noise_levels(measure: Measurement) -> None:
    """The variances at which the preference turns; even there, uneven either side."""
    turn = {}
    for f, other, K in ((5, 2, 4), (77, 2, 10), (88, 2, 100)):
        root = math.cos(0.2) * (1 / other - 1 / f) / (K * median_gap(f, other))
        measure.record(f"1000 s*, K = {K}", 1000 * root**2)
        turn[K] = root
    # References with two digits.
    measure.below("error, K = 10", abs(turn[10] ** 2 / 6.6e-4 - 1), 0.01)
    measure.below("error, K = 100", abs(turn[100] ** 2 / 6.3e-6 - 1), 0.01)
    share = preference(5, 2, margin=0.0, deviation=turn[4])
    measure.below("preference at s* minus 1/2", abs(share - 0.5), 5 * 0.5 / DRAWS**0.5)
    measure.below("below s*", preference(5, 2, margin=0.0, deviation=turn[4] / 3), 0.2)
    measure.above("above s*", preference(5, 2, margin=0.0, deviation=turn[4] * 3), 0.6)


@evidence(
    RCR_SCALE,
    EvidenceKind.NUMERIC,
    domain="class-aware f on CIFAR-10-LT at ratio 100, theta = .2; 1000 mixtures of e_k",
)
def scaled_scores(measure: Measurement) -> None:
    """RCR scores of any mixture are those of the mean rule times cos(rho_k)."""
    parts = multicenter_frame(MultiCenter(LONG_TAIL_CENTERS, 0.2))
    scale = class_mean_cos(vector(LONG_TAIL_CENTERS), 0.2)
    rng = torch.Generator().manual_seed(0)
    u = torch.randn(1000, 10, generator=rng, dtype=torch.float64) @ parts.direction
    scores = [class_scores(u, parts, rule=rule) for rule in ("regular", "mean")]
    measure.below("error", (scores[0] - scale * scores[1]).abs().max(), 1e-13)
    measure.record("smallest cos(rho)", scale.min())
    measure.record("largest cos(rho)", scale.max())
    # Printed with three digits and two.
    measure.below("minus references", (scale[[0, -1]] - vector((0.199, 0.873))).abs().max(), 5e-4)
    measure.below("ratio minus 4.4", (scale[-1] / scale[0] - 4.4).abs(), 0.05)


@evidence(
    COUNTS_STEPS,
    EvidenceKind.COUNTEREXAMPLE,
    domain="n = (3, 3, 1), f = 3, the paper's example; CIFAR-100-LT at tau = .005, .02, .1, f = 20",
)
def literal_steps(measure: Measurement) -> None:
    """(2, 4, 3) is not the example's (1, 4, 4), nor does it rise; nor do the long tails."""
    found = class_aware_centers((3, 3, 1), 3, end="large")
    measure.true("the literal steps give (2, 4, 3)", found == (2, 4, 3))
    measure.true("the example's numbers are those of the small end",
                 class_aware_centers((3, 3, 1), 3) == (1, 4, 4))  # fmt: skip
    for tau in (0.005, 0.02, 0.1):
        n = exponential_sizes(K=100, n_max=500, rho=1 / tau)
        f = class_aware_centers(n, 20, end="large")
        drop = max(a - b for a, b in itertools.pairwise(f))
        measure.above(f"largest fall towards rare classes, tau = {tau:g}", drop, 1)


GOLDEN = {
    (5000, 2775, 1540, 854, 474, 263, 146, 81, 45, 25): (1, 1, 2, 3, 5, 9, 16, 28, 49, 86),
    LONG_TAIL: LONG_TAIL_CENTERS,
    (5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100): (2, 3, 4, 5, 9, 13, 20, 30, 45, 69),
}


@evidence(
    COUNTS_SMALL_END,
    EvidenceKind.NUMERIC,
    domain="CIFAR-10-LT and CIFAR-100-LT at tau = .005, .01, .02, f = 20; balanced classes",
)
def small_end_instances(measure: Measurement) -> None:
    """Reference numbers; sum, order and deficit of the long profiles."""
    for n, f in GOLDEN.items():
        measure.true(f"reference numbers of n_min = {n[-1]}", class_aware_centers(n, 20) == f)
    for tau, N, deficit, ends in (
        (0.005, 9502, 61, (1, 101)), (0.01, 10847, 48, (1, 89)), (0.02, 12608, 52, (2, 77)),
    ):  # fmt: skip
        n = exponential_sizes(K=100, n_max=500, rho=1 / tau)
        f = class_aware_centers(n, 20)
        measure.true("N as quoted", sum(n) == N)
        found = 2000 - sum(19 * 100 * size // N + 1 for size in n)
        measure.record(f"deficit, tau = {tau:g}", found)
        measure.true("deficit as quoted", found == deficit)
        measure.true("sum, order and ends", sum(f) == 2000 and list(f) == sorted(f))
        measure.true("smallest and largest number", (f[0], f[-1]) == ends)
    measure.true("balanced", class_aware_centers((7,) * 5, 4) == (4,) * 5)
