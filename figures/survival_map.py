"""How many classes of problem P survive, over ridge and imbalance."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.colors import BoundaryNorm

from figures import _maps
from figures._registry import Axes, Job, figure
from figures._style import INK, letter
from ufm.maps import Axis, SurvivalMap
from ufm.maps.survival import Counts


COUNTS: tuple[Counts, ...] = ("equal", "class-aware")


def stated(counts: Counts, size: int) -> SurvivalMap:
    """The map of a size, that of ``ufm map survival``.

    Args:
        counts: One of `COUNTS`.
        size: Pixels along each side.

    Returns:
        The map.
    """
    x, y = Axis(2e-4, 2e-2, size, "log"), Axis(1.0, 1000.0, size, "log")
    return SurvivalMap(counts=counts, x=x, y=y)


def runs() -> list[Job]:
    """The bands of both rules.

    Returns:
        The runs.
    """
    return [job for counts in COUNTS for job in _maps.jobs(stated(counts, _maps.size()))]


def caption(rows: pl.DataFrame) -> str:
    """Caption with what is proved and where a class is lost first.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    whole = {
        counts: rows.filter(pl.col("least") == pl.col("least").max(), counts=counts).height
        for counts in COUNTS
    }
    total = rows.filter(counts="equal").height
    wrong = rows.height - int(rows["agrees"].sum())
    return (
        "Problem P with a learnable frame and six classes of exponential sizes (largest 1000): "
        "number of classes whose vectors are not zero at the optimum, against the ridge "
        "sqrt(lambda_W lambda_H) and the imbalance ratio, with three centers for each class and "
        "with the class-aware counts (mean three). The number is proved on both sides from the "
        "certificate of each pixel; lines: the closed threshold of each class, which "
        f"{wrong} pixels contradict. All six survive in {whole['equal'] / total:.0%} of the area "
        f"with equal counts and in {whole['class-aware'] / total:.0%} with class-aware ones, whose "
        "steps are those of the integer counts. "
        f"{_maps.proved(rows, 'ufm map survival --counts equal (and class-aware)')}"
    )


@figure(
    "survival-map",
    title="Classes that survive the ridge",
    claims=("yan2024.survival", "yan2024.thm34", "yan2024.diagonal"),
    panels=(COUNTS,),
    runs=runs,
    caption=caption,
    aspect=0.42,
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw both rules with one colour bar.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    K = SurvivalMap().K
    colours = mpl.colormaps["cividis"].resampled(K + 1)
    mesh = None
    for counts in COUNTS:
        map, panel = stated(counts, 2), axes[counts]
        least = _maps.image(rows.filter(counts=counts), SurvivalMap.names, "least")
        norm = BoundaryNorm(np.arange(K + 2) - 0.5, K + 1)
        mesh = _maps.show(panel, map, least, cmap=colours, norm=norm)
        rho = np.geomspace(map.y.low, map.y.high, 400)
        lost = np.stack([map.thresholds(float(r)) for r in rho])
        for k in range(K):
            panel.plot(lost[:, k], rho, color=INK if k else "white", linewidth=0.6)
        panel.set_title(f"{counts} counts")
        panel.set_xlabel(r"ridge $\sqrt{\lambda_W\lambda_H}$")
    axes["equal"].set_ylabel(r"imbalance $n_{\max}/n_{\min}$")
    bar = axes["equal"].figure.colorbar(
        mesh, ax=list(axes.values()), ticks=range(K + 1), pad=0.02, label="surviving classes"
    )
    bar.outline.set_linewidth(0.4)
    letter(axes, tuple(axes))
