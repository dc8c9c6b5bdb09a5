"""Phases of the layer-peeled optimum in (R, energy): closed boundaries over certified pixels."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Patch

from figures._registry import Axes, Job, figure
from figures._step_runs import StepGrid, exact_job, log_grid, solved_job
from figures._style import INK, letter
from ufm.maps import UNDECIDED


GROUPS = ((7, 3), (5, 5), (3, 7))
PIXELS, CHUNK, HIGHEST = 64, 16, 5.0
# From light to dark in the order of lost information; hatching is not needed in grey.
PHASES = {"full": "#f3ead2", "collapsed": "#d98a4b", "vanished": "#1f3f6e", UNDECIDED: "#d40000"}


def energies(count: int) -> tuple[float, ...]:
    """Values of s = sqrt(E_W E_H), in the middle of equal pixels from 0 to `HIGHEST`.

    Args:
        count: Number of pixels.

    Returns:
        The values.
    """
    return tuple(round((i + 0.5) * HIGHEST / count, 10) for i in range(count))


def runs() -> list[Job]:
    """A grid of pixels for each pair of group sizes, in chunks of rows, and fine boundaries.

    Returns:
        The runs.
    """
    edges = np.linspace(0, 4, PIXELS + 1)
    half = (edges[1] - edges[0]) / 2
    R = log_grid(edges[0] + half, edges[-1] - half, PIXELS)
    jobs = []
    for K_A, K_B in GROUPS:
        squares = [round(s * s, 12) for s in energies(PIXELS)]
        for first in range(0, PIXELS, CHUNK):
            part = tuple(squares[first : first + CHUNK])
            jobs.append(solved_job(StepGrid(K_A, K_B, R, part)))
        jobs.append(exact_job(StepGrid(K_A, K_B, log_grid(0, 4, 401), (1.0,))))
    return jobs


def caption(rows: pl.DataFrame) -> str:
    """Caption with what is proved about the pixels.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    pixels = rows.filter(part="solved")
    return (
        "Phases of the optimum of the layer-peeled model with K = 10 against the imbalance ratio R "
        "and the energy sqrt(E_W E_H) = tau/K. Pale: minority classes told apart; middle: one "
        "direction for all of them (collapsed); dark: their vectors are zero. Each of the "
        f"{pixels.height} pixels is a solved instance, {pixels['certified'].sum()} certified "
        "optimal; its phase is what the certificate proves about the optimum (multiplier, softmax "
        f"of the minority), and {pixels.filter(phase=UNDECIDED).height} pixels are too near a "
        f"boundary to decide. {contradictions(pixels)} pixels contradict the norms and differences "
        "of the solved vectors. Lines: the closed forms R0 (solid) and R1 (dashed)."
    )


def contradictions(pixels: pl.DataFrame, *, visible: float = 1e-2) -> int:
    """Pixels whose vectors are plainly not in the phase that was proved for the optimum.

    Args:
        pixels: Solved rows.
        visible: Differences and norms above this, in units of the budgets, count as not zero.

    Returns:
        Their number.
    """
    apart = pl.max_horizontal("spread_W", "spread_H") > visible
    nonzero = pl.max_horizontal("w_B", "h_B") > visible**2
    collapsed_but_apart = pl.col("phase").is_in(["collapsed", "vanished"]) & apart
    return pixels.filter(collapsed_but_apart | ((pl.col("phase") == "vanished") & nonzero)).height


def draw_phases(rows: pl.DataFrame, axes, *, K_A: int, K_B: int) -> None:
    """One phase diagram.

    Args:
        rows: The table.
        axes: One panel.
        K_A: Majority classes.
        K_B: Minority classes.
    """
    chosen = rows.filter(K_A=K_A, K_B=K_B)
    pixels = chosen.filter(part="solved").sort("s", "R")
    R, s = (pixels[name].unique().sort().to_numpy() for name in ("R", "s"))
    code = np.array([list(PHASES).index(phase) for phase in pixels["phase"]])
    axes.pcolormesh(
        R, s, code.reshape(len(s), len(R)), shading="nearest", rasterized=True,
        cmap=ListedColormap(list(PHASES.values())), norm=BoundaryNorm(np.arange(5) - 0.5, 4),
    )  # fmt: skip
    exact = chosen.filter(part="exact").sort("R")
    axes.plot(exact["R"], exact["s0"], "-", color=INK, linewidth=1.4)
    axes.plot(exact["R"], exact["s1"], "--", color="white", linewidth=1.4)
    axes.set_xscale("log")
    axes.set_xlim(1, 1e4)
    axes.set_ylim(0, HIGHEST)
    axes.set_xlabel("ratio $R=n_A/n_B$")
    axes.set_title(f"$K_A={K_A},\\ K_B={K_B}$")


@figure(
    "phase-diagram",
    title="Phases of minority collapse",
    claims=("fang2021.collapse", "fang2021.r0", "fang2021.r0-monotone", "fang2021.r0-limits"),
    panels=(("7", "5", "3"),),
    runs=runs,
    caption=caption,
    aspect=0.42,
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw the diagrams side by side with one legend above.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    for K_A, K_B in GROUPS:
        draw_phases(rows, axes[str(K_A)], K_A=K_A, K_B=K_B)
    first = axes[str(GROUPS[0][0])]
    first.set_ylabel(r"energy $\sqrt{E_W E_H}=\tau/K$")
    solved = rows.filter(part="solved")
    shown = [name for name in PHASES if solved.filter(phase=name).height]
    handles = [Patch(facecolor=PHASES[name], edgecolor=INK, label=name) for name in shown]
    handles += first.plot([], [], "-", color=INK, linewidth=1.4, label="$R_0$ (closed form)")
    handles += first.plot([], [], "--", color=INK, linewidth=1.4, label="$R_1$ (closed form)")
    first.figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    letter(axes, tuple(axes))
