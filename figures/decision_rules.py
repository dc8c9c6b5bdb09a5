"""Three decision rules on samples that are hard to predict: formulas against simulation."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import torch
from scipy.special import ndtr
from scipy.stats import binomtest

import ufm
from figures._registry import Axes, Job, figure
from figures._style import LINES, MARKERS, SERIES, letter
from ufm._spec import spec
from ufm.geometry import (
    Centers,
    center_mean_cos,
    general_rule,
    mean_rule,
    multicenter_frame,
    regular_rule,
)
from ufm.runs import Chunk, RunSpec


VERSION = 1
RHO, CENTERS, THETA = 100.0, 20, 0.2
DRAWS, LEVEL = 20_000, 0.95
NOISE = tuple(float(f"{x:.12g}") for x in np.geomspace(3e-3, 10, 9))
LINE = tuple(float(f"{x:.12g}") for x in np.geomspace(2e-3, 20, 81))
RULES = {"rcr": "class vectors (RCR)", "mean": "mean directions", "gcr": "best center (GCR)"}
APPLY = {"rcr": regular_rule, "mean": mean_rule, "gcr": general_rule}
# Largest score in units of the noise, and points, of the quadrature over it.
REACH, POINTS, NODES = 9.0, 8001, 80


@spec
class HardSamples:
    """Samples between all classes, plus isotropic Gaussian noise.

    Attributes:
        f: Centers of each class.
        theta: Angle of the centers.
        noise: Standard deviations of a noise entry; none for the toy model, in which each rule's
            own vectors are orthonormal, the sample is at their mean, and the noise does not matter.
        draws: Samples drawn for each; 0 for the formulas.
    """

    f: tuple[int, ...]
    theta: float
    noise: tuple[float, ...] = ()
    draws: int = 0


def runs() -> list[Job]:
    """Formulas and draws, in the toy model and at the collapsed frame.

    Returns:
        The runs.
    """
    f = ufm.class_aware_centers(ufm.cifar10_lt_sizes(RHO), CENTERS)
    jobs = []
    for noise, theta in (((), 0.0), (LINE, THETA)):
        recipe = HardSamples(f, theta, noise)
        jobs.append(Job(RunSpec("hard-exact", recipe, version=VERSION), exact))
    for noise, theta in (((), 0.0), (NOISE, THETA)):
        recipe = HardSamples(f, theta, noise, DRAWS)
        jobs.append(Job(RunSpec("hard-drawn", recipe, version=VERSION), draw_samples))
    return jobs


def exact(run: RunSpec) -> Chunk:
    """Producer: probability of each class under each rule, by formula or quadrature.

    Args:
        run: Subject a `HardSamples`.

    Returns:
        Rows of part ``"exact"``: noise (NaN in the toy model), rule, k, f, probability.
    """
    recipe: HardSamples = run.subject
    f = np.array(recipe.f, dtype=float)
    even = np.full(len(f), 1 / len(f))
    if not recipe.noise:
        toy = {"rcr": even, "mean": even, "gcr": f / f.sum()}
        return Chunk(_rows(recipe, math.nan, toy, "exact"))
    c = center_mean_cos(torch.from_numpy(f), recipe.theta).numpy()
    score = np.linspace(-REACH, REACH, POINTS)
    normal = np.tile(ndtr(score), (len(f), 1))
    best = best_center(score, f, recipe.theta)
    tables = []
    for noise in recipe.noise:
        far = math.cos(recipe.theta) ** 2 / (f * len(f))
        found = {
            "rcr": even,
            "mean": winner(score, normal, c / len(f) / noise),
            "gcr": winner(score, best, far / noise),
        }
        tables.append(_rows(recipe, noise, found, "exact"))
    return Chunk(pl.concat(tables))


def best_center(score: np.ndarray, f: np.ndarray, theta: float) -> np.ndarray:
    r"""Distribution of the noise in the score of each class's best center, in units of the noise.

    :math:`P(\sin\theta\,x + \cos\theta\max_{j\le f}y_j \le m) =
    E_x\,\Phi\bigl((m - \sin\theta\,x)/\cos\theta\bigr)^f`, x and y standard normal.

    Args:
        score: Values of m.
        f: Centers of each class.
        theta: Angle of the centers, below pi/2.

    Returns:
        Probabilities, one row a class.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    inside = ndtr((score[:, None] - math.sin(theta) * nodes) / math.cos(theta))
    return np.stack([inside**count @ weights for count in f]) / math.sqrt(2 * math.pi)


def winner(score: np.ndarray, noise: np.ndarray, offset: np.ndarray) -> np.ndarray:
    r"""Probability that each of several independent scores is the largest.

    :math:`P_k = \int \prod_{l\ne k} G_l(m + o_k - o_l)\,dG_k(m)` for scores :math:`o_k` plus noise
    of distribution G_k, by the trapezoidal rule.

    Args:
        score: Equally spaced values m that hold all of the noise.
        noise: G_k at these, one row a class.
        offset: o_k.

    Returns:
        Probabilities.
    """
    found = []
    for k, here in enumerate(offset):
        others = np.ones_like(score)
        for j, there in enumerate(offset):
            if j != k:
                others *= np.interp(score + here - there, score, noise[j], left=0, right=1)
        found.append(((others[1:] + others[:-1]) / 2 * np.diff(noise[k])).sum())
    return np.array(found)


def draw_samples(run: RunSpec) -> Chunk:
    """Producer: how often each rule picks each class, with exact binomial intervals.

    Args:
        run: Subject a `HardSamples` with draws.

    Returns:
        Rows of part ``"drawn"``: noise (NaN in the toy model), rule, k, f, probability (the share),
        low and high.
    """
    recipe: HardSamples = run.subject
    parts = multicenter_frame(ufm.MultiCenter(recipe.f, recipe.theta))
    generator = torch.Generator().manual_seed(run.seeds[0])
    tables = []
    for noise in recipe.noise or (math.nan,):
        size = (parts.W.shape[1], recipe.draws)
        around = torch.randn(size, generator=generator, dtype=torch.float64)
        found = {}
        for rule in RULES:
            middle, scale = (parts.mean.mean(0), noise) if recipe.noise else _toy(parts, rule)
            picked = APPLY[rule](middle[:, None] + scale * around, parts)
            found[rule] = torch.bincount(picked, minlength=len(recipe.f)).numpy()
        tables.append(_with_intervals(_rows(recipe, noise, found, "drawn"), recipe.draws))
    return Chunk(pl.concat(tables))


def _toy(parts: Centers, rule: str) -> tuple[torch.Tensor, float]:
    vectors = {"rcr": parts.W, "mean": parts.direction, "gcr": parts.centers}[rule]
    return vectors.mean(0), 0.01


def _with_intervals(rows: pl.DataFrame, draws: int) -> pl.DataFrame:
    bounds = [
        binomtest(int(count), draws).proportion_ci(LEVEL, method="exact")
        for count in rows["probability"]
    ]
    return rows.with_columns(
        pl.col("probability") / draws,
        low=pl.Series([bound.low for bound in bounds]),
        high=pl.Series([bound.high for bound in bounds]),
    )


def _rows(recipe: HardSamples, noise: float, found: dict, part: str) -> pl.DataFrame:
    k = list(range(1, len(recipe.f) + 1))
    return pl.concat(
        pl.DataFrame({"k": k, "f": recipe.f, "probability": values.astype(float)}).with_columns(
            noise=pl.lit(noise), rule=pl.lit(rule), part=pl.lit(part)
        )
        for rule, values in found.items()
    )


def covered(rows: pl.DataFrame) -> tuple[int, int]:
    """Intervals of the toy model that hold the formula's probability, and their number.

    Args:
        rows: The table.

    Returns:
        Both numbers.
    """
    toy = rows.filter(pl.col("noise").is_nan())
    formula = toy.filter(part="exact").select("rule", "k", right="probability")
    both = toy.filter(part="drawn").join(formula, on=["rule", "k"])
    return both.filter(pl.col("right").is_between("low", "high")).height, both.height


def caption(rows: pl.DataFrame) -> str:
    """Caption with the ends of the lines.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    held, count = covered(rows)
    at = rows.filter(pl.col("noise").is_not_nan(), part="exact").sort("noise")
    last = int(rows["k"].to_numpy().max())
    rare = at.filter(rule="gcr", k=last)["probability"].to_numpy()
    return (
        "Probability that a decision rule is right on samples between all classes, by class; "
        f"K = {last}, centers class-aware for CIFAR-10-LT at ratio {RHO:g}, "
        f"{CENTERS} on average. Lines: formulas (quadrature in b, c); symbols: {DRAWS} draws with "
        f"{100 * LEVEL:.0f} % intervals, {held} of the {count} in (a) holding the formula. (a) Toy "
        "model of the paper, each rule's vectors orthonormal and the sample at their mean: GCR is "
        "right in proportion to the number of centers, the others alike for all. Summed over "
        "classes every rule has probability 1, so the mean over classes is 1/K for all. (b, c) At "
        f"the collapsed frame (theta = {THETA:g}), sample at the mean of the mean centers, against "
        "the noise: at small noise GCR and the mean directions take the class with the fewest "
        f"centers, the largest one (c), and never the rarest (b); GCR's advantage for it appears "
        f"with the noise and reaches {rare[-1]:.2f}."
    )


def draw_toy(rows: pl.DataFrame, axes) -> None:
    """The toy model, class by class.

    Args:
        rows: The table.
        axes: One panel.
    """
    toy = rows.filter(pl.col("noise").is_nan())
    for index, rule in enumerate(RULES):
        line = toy.filter(part="exact", rule=rule).sort("k")
        points = toy.filter(part="drawn", rule=rule).sort("k")
        axes.plot(line["k"], line["probability"], LINES[index], color=SERIES[index])
        _points(axes, points, "k", index, shift=(-0.12, 0.12, 0)[index])
    axes.set_yscale("log")
    axes.set_ylim(2e-3, 1)
    axes.set_xticks(toy["k"].unique().sort().to_list())
    axes.minorticks_off()
    axes.set_xlabel("class, from the largest")
    axes.set_ylabel("probability of being right")
    axes.set_title("toy model")


def draw_noise(rows: pl.DataFrame, axes, *, k: int) -> None:
    """Probability of one class at the collapsed frame against the noise.

    Args:
        rows: The table.
        axes: One panel.
        k: The class.
    """
    own = rows.filter(pl.col("noise").is_not_nan(), k=k)
    for index, rule in enumerate(RULES):
        line = own.filter(part="exact", rule=rule).sort("noise")
        axes.plot(line["noise"], line["probability"], LINES[index], color=SERIES[index])
        _points(axes, own.filter(part="drawn", rule=rule), "noise", index)
    axes.set_xscale("log")
    axes.set_xlim(2e-3, 20)
    axes.set_xlabel("noise (standard deviation)")


def _points(axes, rows: pl.DataFrame, x: str, index: int, shift: float = 0.0) -> None:
    share = rows["probability"]
    axes.errorbar(
        rows[x] + shift, share, [share - rows["low"], rows["high"] - share], fmt=MARKERS[index],
        color=SERIES[index], markerfacecolor="white", elinewidth=0.9, capsize=1.5,
    )  # fmt: skip


@figure(
    "decision-rules",
    title="Decision rules with several centers on hard samples",
    claims=("yan2024.prop31", "yan2024.class-average", "yan2024.gcr-fewer-centers"),
    panels=(("toy", "rarest", "largest"),),
    runs=runs,
    caption=caption,
    aspect=0.38,
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw the toy model, the rarest and the largest class.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    draw_toy(rows, axes["toy"])
    last = int(rows["k"].to_numpy().max())
    for name, k, top in (("rarest", last, 0.45), ("largest", 1, 1.03)):
        draw_noise(rows, axes[name], k=k)
        f = rows.filter(k=k)["f"][0]
        axes[name].set_title(f"{name} class, $f={f}$")
        axes[name].set_ylim(-0.025 * top, top)
    first = axes["toy"]
    handles = [
        first.plot(
            [], [], LINES[i] + MARKERS[i], color=SERIES[i], markerfacecolor="white", label=label
        )[0]
        for i, label in enumerate(RULES.values())
    ]
    first.figure.legend(handles=handles, loc="outside lower center", ncols=3)
    letter(axes, tuple(axes))
