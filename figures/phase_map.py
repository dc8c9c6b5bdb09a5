"""Minority collapse as a map: proved phases, the angle that closes, the gaps of the proofs."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Patch

from figures import _maps
from figures._registry import Axes, Job, figure
from figures._style import INK, letter
from figures.phase_diagram import PHASES
from ufm.maps import Axis, PhaseMap
from ufm.solvers.thresholds import tau0, tau1


def stated(size: int) -> PhaseMap:
    """The map of a size, that of ``ufm map phase``.

    Args:
        size: Pixels along each side.

    Returns:
        The map.
    """
    return PhaseMap(x=Axis(1.0, 1e4, size, "log"), y=Axis(0.0, 5.0, size))


def runs() -> list[Job]:
    """The bands.

    Returns:
        The runs.
    """
    return _maps.jobs(stated(_maps.size()))


def caption(rows: pl.DataFrame) -> str:
    """Caption with what is proved.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    wrong = rows.height - int(rows["agrees"].sum())
    return (
        "The layer-peeled model with K = 10, five majority and five minority classes, against the "
        "imbalance ratio R and the energy sqrt(E_W E_H). (a) Phase of the optimum, proved from the "
        "certificate of each pixel; lines: the closed forms R0 and R1, which "
        f"{wrong} pixels contradict. (b) Mean cosine of two minority classifier rows: -1/9 for "
        "balanced classes, 1 from R0 on; white where the rows are zero. (c) Duality gap of each "
        f"pixel. {_maps.proved(rows, 'ufm map phase')}"
    )


@figure(
    "phase-map",
    title="Minority collapse, pixel by pixel",
    claims=("fang2021.collapse", "fang2021.r0", "fang2021.r1", "fang2021.refined-gap"),
    panels=(("phase", "cosine", "gap"),),
    runs=runs,
    caption=caption,
    aspect=0.4,
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw phases, cosines and gaps.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    map, names = stated(2), PhaseMap.names
    rows = rows.with_columns(code=rows["phase"].replace_strict(list(PHASES), [0, 1, 2, 3]))
    colours = ListedColormap(list(PHASES.values()))
    code = _maps.image(rows, names, "code")
    _maps.show(axes["phase"], map, code, cmap=colours, norm=BoundaryNorm(np.arange(5) - 0.5, 4))
    zero = (pl.col("phase") == "vanished") | pl.col("cos_W_B").is_nan()
    shown = rows.with_columns(cos=pl.when(zero).then(float("nan")).otherwise(pl.col("cos_W_B")))
    mesh = _maps.show(
        axes["cosine"], map, _maps.image(shown, names, "cos"), vmin=-1 / 9, vmax=1, cmap="cividis"
    )
    _bar(axes["cosine"], mesh, [-1 / 9, 0, 0.5, 1], ["$-1/9$", "0", "0.5", "1"])
    gap = np.log10(_maps.image(rows, names, "gap").clip(1e-17))
    mesh = _maps.show(axes["gap"], map, gap, cmap="bone")
    _bar(axes["gap"], mesh, *_decades(gap))
    _boundaries(axes)
    axes["phase"].set_ylabel(r"energy $\sqrt{E_W E_H}=\tau/K$")
    for name, title in (("phase", "phase"), ("cosine", "cosine of rows"), ("gap", "duality gap")):
        axes[name].set_xlabel("ratio $R=n_A/n_B$")
        axes[name].set_title(title)
    letter(axes, tuple(axes))


def _boundaries(axes: Axes) -> None:
    R = np.geomspace(1 + 1e-6, 1e4, 400)
    for f, line in ((tau0, "-"), (tau1, "--")):
        for name in ("phase", "cosine"):
            colour = "white" if line == "--" else INK
            axes[name].plot(R, f(5, 5, R) / 10, line, color=colour, linewidth=1.1)
    patches = [
        Patch(facecolor=PHASES[name], edgecolor=INK, label=name)
        for name in ("full", "collapsed", "vanished")
    ]
    lines = axes["gap"].plot([], [], "-", color=INK, linewidth=1.1, label="$R_0$ (closed form)")
    lines += axes["gap"].plot([], [], "--", color=INK, linewidth=1.1, label="$R_1$ (closed form)")
    handles = patches + lines
    axes["phase"].figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _bar(axes, mesh, ticks, labels) -> None:
    bar = axes.figure.colorbar(mesh, ax=axes, ticks=ticks, pad=0.03, aspect=18)
    bar.ax.set_yticklabels(labels)
    bar.outline.set_linewidth(0.4)


def _decades(values: np.ndarray) -> tuple[list[float], list[str]]:
    low, high = int(np.ceil(values.min())), int(np.floor(values.max()))
    ticks = list(range(low, high + 1, max(1, (high - low) // 4))) or [low]
    return [float(t) for t in ticks], [f"$10^{{{t}}}$" for t in ticks]
