"""How many centers each class gets: the two readings of the published rule, and proportions."""

from __future__ import annotations

import numpy as np
import polars as pl

import ufm
from figures._registry import Axes, Job, figure
from figures._style import GREY, LINES, MARKERS, SERIES
from ufm._spec import spec
from ufm.runs import Chunk, RunSpec


VERSION = 1
CENTERS = 20
RATIOS = (50.0, 100.0, 200.0)
PROFILES = {"CIFAR-10-LT": ufm.cifar10_lt_sizes, "CIFAR-100-LT": ufm.cifar100_lt_sizes}
RULES = {
    "small": "rule, topped up at the small classes",
    "large": "rule as printed, at the large classes",
    "proportional": r"in proportion to $1/n_k$",
}


@spec
class CenterCounts:
    """A long-tailed data set and a mean number of centers.

    Attributes:
        data: Name of the data set, one of `PROFILES`.
        rho: Imbalance n_max / n_min.
        f: Mean number of centers a class.
    """

    data: str
    rho: float
    f: int


def runs() -> list[Job]:
    """Both data sets at three ratios.

    Returns:
        The runs.
    """
    return [
        Job(RunSpec("center-counts", CenterCounts(data, rho, CENTERS), version=VERSION), counts)
        for data in PROFILES
        for rho in RATIOS
    ]


def counts(run: RunSpec) -> Chunk:
    """Producer: centers of each class under each rule.

    Args:
        run: Subject a `CenterCounts`.

    Returns:
        Rows: data, rho, k (from the largest class), n, rule, f.
    """
    subject: CenterCounts = run.subject
    n = PROFILES[subject.data](subject.rho)
    found = {
        "small": ufm.class_aware_centers(n, subject.f, end="small"),
        "large": ufm.class_aware_centers(n, subject.f, end="large"),
        "proportional": ufm.proportional_centers(n, subject.f),
    }
    return Chunk(
        pl.concat(
            pl.DataFrame({"k": list(range(1, len(n) + 1)), "n": n, "f": f}).with_columns(
                data=pl.lit(subject.data), rho=pl.lit(subject.rho), rule=pl.lit(rule)
            )
            for rule, f in found.items()
        )
    )


def evenness(rows: pl.DataFrame) -> pl.DataFrame:
    """How even the products f_k n_k are, and whether rarer classes never get fewer centers.

    Args:
        rows: The table.

    Returns:
        Rows: data, rho, rule, ``spread`` (largest over smallest product) and ``monotone``.
    """
    product = pl.col("f") * pl.col("n")
    return (
        rows.sort("data", "rho", "rule", "k")
        .group_by("data", "rho", "rule", maintain_order=True)
        .agg(
            spread=product.max() / product.min(),
            monotone=(pl.col("f").diff().drop_nulls() >= 0).all(),
        )
    )


def caption(rows: pl.DataFrame) -> str:
    """Caption with the spread of the products.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    table = evenness(rows)
    spread = {rule: table.filter(rule=rule)["spread"].to_numpy() for rule in RULES}
    broken = table.filter(rule="large").filter(~pl.col("monotone"))
    odd = ", ".join(f"{data} at {rho:g}" for data, rho in broken.select("data", "rho").iter_rows())
    return (
        f"Centers of each class against its size, mean {CENTERS} centers a class, imbalance n_max "
        "/ n_min over the panels. Both readings of the published rule reverse the profile of the "
        "sizes; they differ in where the centers lost to rounding go, one each to the smallest or "
        "to the largest classes. Topped up at the large end the counts are not monotone "
        f"({odd or 'nowhere here'}). Grey line: f_k proportional to 1/n_k, the aim of the rule. "
        "The largest product f_k n_k is "
        f"{spread['small'].min():.1f} to {spread['small'].max():.1f} times the smallest with the "
        f"first reading, {spread['large'].min():.1f} to {spread['large'].max():.1f} times with "
        f"the second and {spread['proportional'].min():.1f} to "
        f"{spread['proportional'].max():.1f} times with counts in proportion."
    )


def draw_counts(rows: pl.DataFrame, axes, *, data: str, rho: float) -> None:
    """Counts of one data set at one ratio.

    Args:
        rows: The table.
        axes: One panel.
        data: Data set.
        rho: Imbalance.
    """
    own = rows.filter(data=data, rho=rho)
    n = np.array(PROFILES[data](rho))
    axes.plot(n, CENTERS * len(n) / (1 / n).sum() / n, color=GREY, linewidth=0.9, zorder=0)
    every = max(1, own["k"].n_unique() // 20)
    for index, rule in enumerate(RULES):
        run = own.filter(rule=rule).sort("k")
        axes.plot(
            run["n"], run["f"], MARKERS[index], linestyle=LINES[index] if every > 1 else "none",
            color=SERIES[index], markerfacecolor="white", markersize=(3.2, 3.2, 3.6)[index],
            linewidth=0.8, markevery=every,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(0.7, 150)
    axes.set_yticks([1, 10, 100], ["1", "10", "100"])
    axes.invert_xaxis()


@figure(
    "center-counts",
    title="Class-aware numbers of centers on CIFAR-10-LT and CIFAR-100-LT",
    claims=("yan2024.counts-steps", "yan2024.counts"),
    panels=(("a50", "a100", "a200"), ("b50", "b100", "b200")),
    runs=runs,
    caption=caption,
    aspect=0.56,
    options={"sharey": True},
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw the data sets in two rows.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    for row, data in zip("ab", PROFILES, strict=True):
        for rho in RATIOS:
            panel = axes[f"{row}{rho:g}"]
            draw_counts(rows, panel, data=data, rho=rho)
            panel.set_title(f"{data}, ratio {rho:g}")
            panel.set_xlabel("class size $n_k$")
        axes[f"{row}50"].set_ylabel("centers $f_k$")
    first = axes["a50"]
    handles = [
        first.plot([], [], MARKERS[i], color=SERIES[i], markerfacecolor="white", label=label)[0]
        for i, label in enumerate(RULES.values())
    ]
    handles += first.plot([], [], color=GREY, linewidth=0.9, label=r"$f_k n_k$ constant")
    first.figure.legend(handles=handles, loc="outside lower center", ncols=4, columnspacing=1.2)
