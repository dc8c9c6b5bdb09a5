"""The most negative similarity s* of several trees, and what the published grid search finds."""

from __future__ import annotations

import numpy as np
import polars as pl

import ufm
from figures._registry import Axes, Job, figure
from figures._style import GREY, LINES, MARKERS, SERIES, letter
from ufm._spec import spec
from ufm.geometry import Exponential, grid_search_s, similarity_matrix
from ufm.geometry.tree_network import Network
from ufm.hierarchy import load
from ufm.runs import Chunk, RunSpec


VERSION = 1
GAMMAS = (0.5, 8.0)
LINE_POINTS, GRID_POINTS = 61, 13


def caterpillar(K: int) -> ufm.Tree:
    """The most unbalanced tree: each inner node has one leaf and one inner child.

    Args:
        K: Number of leaves.

    Returns:
        The tree.
    """
    nested = K - 1
    for leaf in range(K - 2, -1, -1):
        nested = [leaf, nested]
    return ufm.Tree.from_nested(nested)


TREES = {
    "flat, $K=10$": ufm.Tree.from_nested(list(range(10))),
    "caterpillar, $K=16$": caterpillar(16),
    "CIFAR-100, 20 superclasses": load("cifar100_superclasses").canonical(),
    "CIFAR-100, five levels": load("cifar100_level5").canonical(),
}


@spec
class LimitSweep:
    """A tree under exponential similarities of several rates.

    Attributes:
        name: Name in the legend.
        tree: The hierarchy.
        gammas: Rates.
        grid: Whether to run the published search too (100 eigendecompositions a rate).
    """

    name: str
    tree: ufm.Tree
    gammas: tuple[float, ...]
    grid: bool = False


def runs() -> list[Job]:
    """A fine sweep of each tree, and a coarse one with the published search.

    Returns:
        The runs.
    """
    sweeps = [
        LimitSweep(name, tree, _rates(points), grid)
        for name, tree in TREES.items()
        for points, grid in ((LINE_POINTS, False), (GRID_POINTS, True))
    ]
    return [Job(RunSpec("similarity-limit", sweep, version=VERSION), limits) for sweep in sweeps]


def _rates(count: int) -> tuple[float, ...]:
    return tuple(float(f"{x:.12g}") for x in np.geomspace(*GAMMAS, count))


def limits(run: RunSpec) -> Chunk:
    """Producer: s* by the tree recursion, and the grid's s.

    Args:
        run: Subject a `LimitSweep`.

    Returns:
        Rows: name, K, gamma, part (``"exact"`` or ``"grid"``), s, and ``far``, the cosine of the
        most distant classes at that s.
    """
    sweep: LimitSweep = run.subject
    rows = []
    for gamma in sweep.gammas:
        similarity = Exponential(gamma)
        if sweep.grid:
            s = grid_search_s(similarity_matrix(sweep.tree, similarity, s=0.0))
        else:
            s = Network.of(sweep.tree, similarity).s_min
        rows.append(
            {
                "name": sweep.name,
                "K": sweep.tree.K,
                "gamma": gamma,
                "part": "grid" if sweep.grid else "exact",
                "s": s,
                # The similarity is a map of the distance, so its least entry is that of D.
                "far": (1 - s) * float(np.exp(-gamma)) + s,
            }
        )
    return Chunk(pl.DataFrame(rows))


def lost(rows: pl.DataFrame) -> pl.DataFrame:
    """Grid rows with the share of the negative cosine of the most distant classes that is lost.

    Args:
        rows: The table.

    Returns:
        The grid's rows with ``best`` (that cosine at s*) and ``lost = 1 - far / best``.
    """
    exact = rows.filter(part="exact").select("name", "gamma", best="far", limit="s")
    both = rows.filter(part="grid").join(exact, on=["name", "gamma"], maintain_order="left")
    return both.with_columns(lost=1 - pl.col("far") / pl.col("best"))


def caption(rows: pl.DataFrame) -> str:
    """Caption with what the grid misses.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    table = lost(rows)
    short, clipped = table.filter(pl.col("s") > -1 + 1e-9), table.filter(pl.col("limit") < -1)
    worst = short.sort("lost", maintain_order=True)[-1]
    return (
        "(a) Most negative feasible similarity s* against the rate gamma of the exponential map "
        "(lines, by one pass over the tree) and the value that the published search over a grid of "
        "100 values finds (symbols). The grid ends at -1 (dotted), although smaller values are as "
        f"valid ({clipped.height} of the {table.height} symbols), and its step of about 0.01 does "
        "not shrink with s*. (b) Cosine of the most distant classes at these values. Where the "
        "grid's end binds, the classes that should be farthest apart get cosines up to "
        f"{clipped['far'].to_numpy().max(initial=-1):.2f} instead of {_range(clipped['best'])}; "
        "elsewhere the grid gives away "
        f"up to {100 * worst['lost'][0]:.0f} % of the negative cosine ({_plain(worst['name'][0])}, "
        f"gamma = {worst['gamma'][0]:.2f}). On the flat tree s* gives the simplex ETF's -1/(K-1) "
        "at every gamma."
    )


def _range(values: pl.Series) -> str:
    found = values.to_numpy()
    return f"{found.min(initial=0):.2f} to {found.max(initial=-1):.2f}"


def _plain(name: str) -> str:
    return name.replace("$", "").replace("=", " = ")


def draw_limits(rows: pl.DataFrame, axes) -> None:
    """Lines of s* and the grid's values.

    Args:
        rows: The table.
        axes: One panel.
    """
    for index, name in enumerate(TREES):
        exact = rows.filter(part="exact", name=name).sort("gamma")
        grid = rows.filter(part="grid", name=name)
        axes.plot(exact["gamma"], -exact["s"], LINES[index], color=SERIES[index])
        axes.plot(
            grid["gamma"], -grid["s"], MARKERS[index], color=SERIES[index],
            markerfacecolor="white", clip_on=False,
        )  # fmt: skip
        axes.plot(
            [], [], LINES[index] + MARKERS[index], color=SERIES[index], label=name,
            markerfacecolor="white",
        )  # fmt: skip
    axes.axhline(1, color=GREY, linewidth=0.9, linestyle=":")
    axes.annotate("end of the grid", (8, 1), xytext=(0, 4), textcoords="offset points", ha="right")
    axes.set_yscale("log")
    axes.set_ylim(6e-3, 12)
    axes.set_ylabel("most negative similarity, $-s$")


def draw_far(rows: pl.DataFrame, axes) -> None:
    """Cosine of the most distant classes, at s* and at the grid's value.

    Args:
        rows: The table.
        axes: One panel.
    """
    for index, name in enumerate(TREES):
        exact = rows.filter(part="exact", name=name).sort("gamma")
        grid = rows.filter(part="grid", name=name)
        axes.plot(exact["gamma"], exact["far"], LINES[index], color=SERIES[index])
        axes.plot(
            grid["gamma"], grid["far"], MARKERS[index], color=SERIES[index],
            markerfacecolor="white", clip_on=False,
        )  # fmt: skip
    axes.axhline(0, color=GREY, linewidth=0.9, linestyle=":")
    axes.set_ylim(-0.3, 0.25)
    axes.set_ylabel("cosine of the most distant classes")


@figure(
    "similarity-limit",
    title="The most negative similarity and the published grid search",
    claims=("liang2023.smallest-s", "liang2023.flat-etf"),
    panels=(("limit", "far"),),
    runs=runs,
    caption=caption,
    aspect=0.42,
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw both panels.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    draw_limits(rows, axes["limit"])
    draw_far(rows, axes["far"])
    for panel in axes.values():
        panel.set_xscale("log")
        panel.set_xlim(*GAMMAS)
        panel.set_xticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
        panel.minorticks_off()
        panel.set_xlabel(r"rate $\gamma$")
    axes["limit"].figure.legend(
        *axes["limit"].get_legend_handles_labels(), loc="outside lower center", ncols=4
    )
    letter(axes, tuple(axes))
