"""Cosines of the class means of trained networks beside those that the theory predicts."""

from __future__ import annotations

import numpy as np
import polars as pl

from figures._network_results import job, seeds
from figures._registry import Axes, Job, figure
from figures._style import INK, SMALLEST_POINTS


NETWORKS = {
    "digits-ce": ("CE", "digits"),
    "digits-lt-ce": ("CE", r"digits, $\rho=10$"),
    "digits-lt-etf-dr": ("ETF + DR", r"digits, $\rho=10$"),
    "digits-lt-haframe": ("HAFrame", r"digits, $\rho=10$"),
    "digits-lt-cal": ("CAL", r"digits, $\rho=10$"),
    "fashion-lt-ce": ("CE", r"Fashion, $\rho=50$"),
    "fashion-lt-etf-dr": ("ETF + DR", r"Fashion, $\rho=50$"),
}
OPPOSED, DARK = -0.2, -0.45
SIDES = {"value": "measured", "predicted": "predicted"}
# Violet to orange, white at zero: told apart by colour-blind readers; bars in cells below OPPOSED
# tell the sign to grey ones.
SCALE = "PuOr_r"
PANELS = tuple(tuple(f"{name} {side}" for name in NETWORKS) for side in SIDES)


def runs() -> list[Job]:
    """The stored results of seven networks.

    Returns:
        The runs.
    """
    return [job(name) for name in NETWORKS]


def off(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """Cosines of different classes with their errors.

    Args:
        rows: The table.
        name: Which network.

    Returns:
        The rows with ``error``, the absolute difference of measured and predicted.
    """
    pairs = rows.filter(part="cosine", recipe=name).filter(pl.col("i") != pl.col("j"))
    return pairs.with_columns(error=(pl.col("value") - pl.col("predicted")).abs())


def caption(rows: pl.DataFrame) -> str:
    """Caption with the errors of the cosines.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    errors = "; ".join(
        f"{method} on {data.replace('$', '').replace(chr(92) + 'rho', 'rho')}: "
        f"{_mean(off(rows, name), 'error'):.3f}, {off(rows, name)['error'].to_numpy().max():.3f}"
        for name, (method, data) in NETWORKS.items()
    )
    return (
        "Cosines of the class means of a two-layer network on scikit-learn's digits after 300 "
        "epochs, and of ResNet-20 on Fashion-MNIST (rho = 50) after 60, not yet terminal "
        f"(mean over seeds, {seeds(rows)} of each); and predicted: for cross-entropy the "
        "certified optimum of the layer-peeled model with the network's class sizes and mean "
        "squared norms, else the fixed frame (for CAL orthogonal mean centers). Classes 0 to 9, "
        f"largest first where they are long-tailed; bars mark cosines below {OPPOSED:g}. Mean and "
        f"largest error of a cosine: {errors}. Fixed frames are met on the digits; the classes of "
        "a learned classifier stay as alike as their images are, which a model with free features "
        "cannot know. ResNet-20 gives cross-entropy non-negative features, so no cosine is below 0."
    )


def _mean(rows: pl.DataFrame, column: str) -> float:
    return float(rows[column].to_numpy().mean())


def draw_matrix(rows: pl.DataFrame, axes, *, name: str, side: str):
    """One matrix of cosines.

    Args:
        rows: The table.
        axes: One panel.
        name: Which network.
        side: ``value`` or ``predicted``.

    Returns:
        The image, for the colour bar.
    """
    own = rows.filter(part="cosine", recipe=name)
    means = own.group_by("i", "j").agg(pl.col(side).mean()).sort("i", "j")
    K = int(means["i"].to_numpy().max()) + 1
    matrix = means[side].to_numpy().reshape(K, K)
    image = axes.imshow(matrix, cmap=SCALE, vmin=-1, vmax=1, interpolation="none")
    dark = matrix.T < DARK
    for cells, color in ((dark, "white"), ((matrix.T < OPPOSED) & ~dark, INK)):
        axes.scatter(*np.nonzero(cells), marker="_", s=5, linewidths=0.7, color=color)
    axes.set_xticks([0, K - 1])
    axes.set_yticks([0, K - 1])
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_xlabel("class", labelpad=-5)
    return image


@figure(
    "network-gram",
    title="Class means of trained networks, measured and predicted",
    claims=("fang2021.balanced", "fang2021.lost-classes", "yang2022.dr-minimiser",
            "liang2023.mix-limit", "yan2024.cosine-minimiser"),
    panels=PANELS,
    runs=runs,
    caption=caption,
    aspect=0.34,
)  # fmt: skip
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Networks in columns; measured above predicted.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    image = None
    for row, (side, words) in zip(PANELS, SIDES.items(), strict=True):
        for panel, name in zip(row, NETWORKS, strict=True):
            image = draw_matrix(rows, axes[panel], name=name, side=side)
            if side == "value":
                axes[panel].set_title("\n".join(NETWORKS[name]), fontsize=SMALLEST_POINTS)
        axes[row[0]].set_ylabel(words)
    panels = [axes[panel] for row in PANELS for panel in row]
    bar = panels[0].figure.colorbar(image, ax=panels, pad=0.01, aspect=30)
    bar.set_label("cosine of two class means")
