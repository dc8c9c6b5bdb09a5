"""How far optimal features are from the hierarchy-aware frame, over norm and mixing weight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from matplotlib.colors import LogNorm

from figures import _maps
from figures._registry import Axes, Job, figure
from figures._style import letter
from ufm.geometry import Exponential, HAFrame
from ufm.maps import TREES, AngleMap, Axis


SHOWN = ("balanced", "caterpillar")
GAMMA, LARGEST = 2.0, 32.0
# Angles below this many degrees are drawn alike.
FLOOR = 1e-4
# Contours in degrees, and the weights at which they are labelled.
LABELS = {0.01: 0.8, 0.1: 0.55, 1.0: 0.35, 5.0: 0.15}


def stated(tree: str, size: int) -> AngleMap:
    """The map of a size, that of ``ufm map angles``.

    Args:
        tree: One of `SHOWN`.
        size: Pixels along each side.

    Returns:
        The map.
    """
    frame = HAFrame(TREES[tree], Exponential(GAMMA))
    return AngleMap(frame, Axis(0.5, LARGEST, size, "log"), Axis(0.0, 1.0, size), tree=tree)


def runs() -> list[Job]:
    """The bands of both trees.

    Returns:
        The runs.
    """
    return [job for tree in SHOWN for job in _maps.jobs(stated(tree, _maps.size()))]


def caption(rows: pl.DataFrame) -> str:
    """Caption with the largest angles and their proof.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    largest = {tree: rows.filter(tree=tree)["angle"].to_numpy().max() for tree in SHOWN}
    said = " and ".join(f"{angle:.1f} degrees ({tree})" for tree, angle in largest.items())
    return (
        "Largest angle over the classes between the optimal feature of norm rho and its row of the "
        f"fixed hierarchy-aware frame (K = 8, gamma = {GAMMA:g}, s*), for (1 - alpha) times "
        "cross-entropy plus alpha times the squared error of the cosines; contours at 0.01, 0.1, 1 "
        "and 5 degrees. The frame is optimal at alpha = 1 and in the limit of long features at any "
        f"alpha > 0; at most {said} are lost. Every class of every pixel is solved by itself; its "
        f"angle is proved to {rows['error'].to_numpy().max():.0e} degrees by convexity. "
        f"{_maps.proved(rows, 'ufm map angles --tree balanced (and caterpillar)')}"
    )


def label_points(x: Any, y: Any, angle: Any) -> Iterator[tuple[float, float]]:
    """Where the contours are labelled: on their falling side, each at a height of its own.

    Args:
        x: Feature norms.
        y: Weights.
        angle: Angles, a row for each weight.

    Yields:
        A point of each contour that reaches its height.
    """
    for level, height in LABELS.items():
        row = int(np.abs(y - height).argmin())
        beyond = np.flatnonzero(angle[row] > level)
        if beyond.size and beyond[-1] + 1 < len(x):
            yield float(x[beyond[-1]]), float(y[row])


@figure(
    "angle-map",
    title="Where the mixed loss leaves the hierarchy-aware frame",
    claims=("liang2023.mix-limit", "liang2023.ce-frame", "liang2023.alignment"),
    panels=(SHOWN,),
    runs=runs,
    caption=caption,
    aspect=0.42,
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw both trees with one colour bar.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    mesh, norm = None, LogNorm(FLOOR, 30)
    for tree in SHOWN:
        map, panel = stated(tree, 2), axes[tree]
        angle = _maps.image(rows.filter(tree=tree), AngleMap.names, "angle").clip(FLOOR)
        mesh = _maps.show(panel, map, angle, cmap="magma", norm=norm)
        x, y = (np.sort(rows.filter(tree=tree)[name].unique()) for name in AngleMap.names)
        if min(angle.shape) > 1:
            lines = panel.contour(
                x, y, angle, list(LABELS), colors=["white", "white", "white", "black"],
                linewidths=0.6,
            )  # fmt: skip
            panel.clabel(lines, fmt="%g", fontsize=7, manual=list(label_points(x, y, angle)))
        panel.set_title(f"{tree} tree")
        panel.set_xlabel(r"feature norm $\rho$")
        panel.set_xticks([0.5, 1, 2, 4, 8, 16, 32], ["0.5", "1", "2", "4", "8", "16", "32"])
        panel.minorticks_off()
    axes[SHOWN[0]].set_ylabel(r"weight $\alpha$ of the auxiliary loss")
    bar = axes[SHOWN[0]].figure.colorbar(
        mesh, ax=list(axes.values()), pad=0.02, label="angle (degrees)", extend="min"
    )
    bar.outline.set_linewidth(0.4)
    letter(axes, tuple(axes))
