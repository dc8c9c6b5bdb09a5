"""The five-level tree of CIFAR-100 beside the cosines of its frame and of the simplex ETF."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm

import ufm
from figures._registry import Axes, Job, figure
from figures._style import INK, NAVY, VERMILION
from ufm._spec import spec
from ufm.geometry import Exponential, cosines, frame, similarity_matrix
from ufm.hierarchy import load
from ufm.runs import Chunk, RunSpec


VERSION = 1
TREE, GAMMA = "cifar100_level5", 2.0
FRAMES = {"hierarchy": "hierarchy-aware frame", "etf": "simplex ETF"}
# Below zero the scale is stretched: the most negative cosine is near -0.13, the largest is 1.
LOWEST = -0.15
SCALE = LinearSegmentedColormap.from_list("signed", [VERMILION, "#f7f5f0", NAVY])


@spec
class FramesOfTree:
    """The frame of a shipped hierarchy at its most negative similarity, and the ETF.

    Attributes:
        tree: Name of the hierarchy.
        gamma: Rate of the exponential similarity.
    """

    tree: str
    gamma: float


def runs() -> list[Job]:
    """Both Gram matrices and the tree.

    Returns:
        The run.
    """
    return [Job(RunSpec("frame-gram", FramesOfTree(TREE, GAMMA), version=VERSION), grams)]


def grams(run: RunSpec) -> Chunk:
    """Producer: cosines of the rows of both frames, and the nodes of the tree.

    Args:
        run: Subject a `FramesOfTree`.

    Returns:
        Rows of three parts. ``"cosine"``: frame, i, j (places of the classes in the tree's order),
        value. ``"node"``: name, low and high (places of its first and past its last class), label,
        and the label of its parent (NaN at the root). ``"number"``: name and value of s*, the rank
        and the largest difference of the rows' Gram matrix to the target.
    """
    subject: FramesOfTree = run.subject
    tree, similarity = load(subject.tree), Exponential(subject.gamma)
    spec = ufm.HAFrame(tree, similarity)
    W = frame(spec, tree.K, spec.rank)
    order = torch.tensor(tree.leaf_order)
    found = {"hierarchy": W, "etf": ufm.etf(tree.K, tree.K - 1)}
    places = np.divmod(np.arange(tree.K**2), tree.K)
    tables = [
        pl.DataFrame(
            {"i": places[0], "j": places[1], "value": _cosines(rows[order]).flatten().numpy()}
        ).with_columns(frame=pl.lit(name), part=pl.lit("cosine"))
        for name, rows in found.items()
    ]
    error = float((W @ W.mT - similarity_matrix(tree, similarity)).abs().max())
    numbers = {"s": spec.asymptote, "rank": float(spec.rank), "error": error}
    end = pl.DataFrame({"name": list(numbers), "value": list(numbers.values())})
    tables += [_nodes(tree), end.with_columns(part=pl.lit("number"))]
    return Chunk(pl.concat(tables, how="diagonal"))


def _cosines(rows: torch.Tensor) -> torch.Tensor:
    return cosines(rows @ rows.mT)


def _nodes(tree: ufm.Tree) -> pl.DataFrame:
    labels = tree.labels()
    nodes = [
        {
            "name": tree.names[node],
            "low": tree.spans[node][0],
            "high": tree.spans[node][1],
            "label": labels[node],
            "above": float("nan") if node == tree.root else float(labels[tree.parent[node]]),
        }
        for node in tree.preorder
    ]
    return pl.DataFrame(nodes).with_columns(part=pl.lit("node"))


def caption(rows: pl.DataFrame) -> str:
    """Caption with the cosines that occur.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    number = dict(rows.filter(part="number").select("name", "value").iter_rows())
    levels = " / ".join(f"{value:.3f}" for value in steps(rows)[1:])
    etf = steps(rows, "etf")[-1]
    return (
        "Left: the five-level tree of the CIFAR-100 classes, its 20 superclasses named; the height "
        "at which two classes meet is their distance. Middle: cosines of the rows of the "
        f"hierarchy-aware frame (exponential similarity, gamma = {GAMMA:g}, most negative feasible "
        f"s* = {number['s']:.4f}, rank {number['rank']:.0f}) in the order of the tree; "
        f"{levels} at distances 1 to {len(steps(rows)) - 1}. Right: the simplex ETF, which "
        f"holds every two classes at {etf:.4f}, on the same colours; the frame pays for near "
        "relatives close together with far ones beyond the ETF's angle. The colour scale is "
        "stretched below zero. Gram matrix of the frame's rows against its target: within "
        f"{number['error']:.0e}."
    )


def steps(rows: pl.DataFrame, name: str = "hierarchy") -> list[float]:
    """The different cosines of a frame.

    Args:
        rows: The table.
        name: Which frame.

    Returns:
        Values in falling order, the first being 1.
    """
    values = rows.filter(part="cosine", frame=name)["value"].round(9)
    return values.unique().sort(descending=True).to_list()


def draw_tree(rows: pl.DataFrame, axes) -> None:
    """The tree, its leaves in line with the rows of the matrices.

    Args:
        rows: The table.
        axes: One panel.
    """
    nodes = rows.filter(part="node")
    top = int(nodes["label"].to_numpy().max())
    for low, high, label, above in nodes.select("low", "high", "label", "above").iter_rows():
        y = (low + high - 1) / 2
        if not np.isnan(above):
            axes.plot([above, label], [y, y], color=INK, linewidth=0.7, solid_capstyle="butt")
    for label in range(1, top + 1):
        for low, high in nodes.filter(label=label).select("low", "high").iter_rows():
            inside = (pl.col("low") >= low) & (pl.col("high") <= high) & (pl.col("above") == label)
            y = nodes.filter(inside).select((pl.col("low") + pl.col("high") - 1) / 2).to_series()
            axes.plot([label, label], [y.min(), y.max()], color=INK, linewidth=0.7)
    named = nodes.filter(label=1)
    axes.set_yticks(
        (named["low"] + named["high"] - 1).to_numpy() / 2,
        [_short(name) for name in named["name"]],
    )
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("left")
    axes.set_ylabel("classes, by superclass")
    axes.tick_params(axis="y", length=0, pad=1)
    axes.set_xlim(top + 0.3, -0.1)
    axes.set_xticks(range(top + 1))
    axes.set_ylim(nodes["high"].to_numpy().max() - 0.5, -0.5)
    axes.spines[["left", "right"]].set_visible(False)
    axes.set_xlabel("height")
    axes.set_title("tree")


def _short(name: str) -> str:
    words = name.replace("-", " ").replace("_", " ").replace(" and ", ", ")
    for long, short in (("household ", "house "), ("electrical devices", "electric"),
                        ("invertebrates", "invertebr."), ("man made outdoor", "outdoor made"),
                        ("omnivores, herbivores", "omni-, herbiv."),
                        ("natural outdoor scenes", "outdoor scenes")):  # fmt: skip
        words = words.replace(long, short)
    return words


def draw_cosines(rows: pl.DataFrame, axes, *, name: str):
    """One matrix of cosines.

    Args:
        rows: The table.
        axes: One panel.
        name: Which frame.

    Returns:
        The image, for the colour bar.
    """
    entries = rows.filter(part="cosine", frame=name).sort("i", "j")
    K = int(entries["i"].to_numpy().max()) + 1
    image = axes.imshow(
        entries["value"].to_numpy().reshape(K, K), cmap=SCALE, interpolation="none",
        norm=TwoSlopeNorm(0, LOWEST, 1), aspect="auto",
    )  # fmt: skip
    axes.set_yticks([])
    axes.set_xticks([0, K // 2 - 1, K - 1], ["1", f"{K // 2}", f"{K}"])
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_xlabel("class, in tree order")
    axes.set_title(FRAMES[name])
    return image


@figure(
    "hierarchy-gram",
    title="The CIFAR-100 hierarchy, its frame and the simplex ETF",
    claims=("liang2023.psd", "liang2023.smallest-s", "liang2023.closed-frame"),
    panels=(("tree", "hierarchy", "etf"),),
    runs=runs,
    caption=caption,
    aspect=0.45,
    options={"width_ratios": (0.62, 1, 1)},
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw the tree and both matrices with one colour bar.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    draw_tree(rows, axes["tree"])
    images = [draw_cosines(rows, axes[name], name=name) for name in FRAMES]
    bar = axes["etf"].figure.colorbar(images[-1], ax=[axes["etf"]], pad=0.03, aspect=28)
    bar.set_label("cosine of two classes")
    bar.set_ticks([-0.1, 0, 0.25, 0.5, 0.75, 1], labels=["−0.1", "0", "0.25", "0.5", "0.75", "1"])
    bar.minorticks_off()
