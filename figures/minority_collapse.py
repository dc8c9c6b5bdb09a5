"""Minority collapse: cosines and norms against the imbalance ratio, exact and solved."""

from __future__ import annotations

import numpy as np
import polars as pl

from figures._registry import Axes, Job, figure
from figures._step_runs import StepGrid, exact_job, log_grid, solved_job
from figures._style import GREY, INK, LINES, MARKERS, SERIES, SMALLEST_POINTS, letter


K, MAJORITIES, ENERGIES = 10, (3, 5, 7), (5.0, 10.0)
SHOWN = ((7, 5.0), (5, 5.0))
# Where the symbols of zero vectors are put, below the axis of cosines.
ZERO_ROW = -0.29


def runs() -> list[Job]:
    """Fang et al.'s settings: E_W = 1, E_H = 5 and 10, R = 10^0, 10^0.1, ..., 10^4.

    Returns:
        The exact curves and the solved points.
    """
    jobs = []
    for K_A in MAJORITIES:
        jobs.append(exact_job(StepGrid(K_A, K - K_A, log_grid(0, 4, 801), ENERGIES)))
        jobs.append(solved_job(StepGrid(K_A, K - K_A, log_grid(0, 4, 41), ENERGIES)))
    return jobs


def caption(rows: pl.DataFrame) -> str:
    """Caption with the numbers of the solved points.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    points = rows.filter(part="solved")
    passed, worst = points["certified"].sum(), points["gap"].max()
    decided = points.filter(pl.col("phase") != "undecided").height
    return (
        "Layer-peeled model with K = 10 classes, K_A of them with R times the samples of the "
        "others, E_W = 1. Cosine between two minority classifier rows (a, b) and features (d, e) "
        "for two feature budgets: it reaches 1 at the ratio R0 (thin vertical lines) and does not "
        "exist from R1 on, where the vectors are zero (curves end; symbols in the lowest row). "
        "Squared norms of majority and minority vectors over their budgets for E_H = 5, K_A = 7 "
        "(c) and K_A = 5 (f). Lines "
        f"are exact, symbols are L-BFGS solutions: {passed} of {points.height} certified optimal, "
        f"largest gap {worst:.0e}; for {decided} the gap also proves the phase."
    )


def draw_cosines(rows: pl.DataFrame, axes, *, E_H: float, vectors: str) -> None:
    """Cosine of two minority vectors against R for each K_A.

    Args:
        rows: The table.
        axes: One panel.
        E_H: Feature budget.
        vectors: ``"W"`` or ``"H"``.
    """
    cosine = f"cos_{vectors}_B"
    for index, K_A in enumerate(MAJORITIES):
        exact, points = _parts(rows, K_A, E_H)
        look = {"color": SERIES[index], "markerfacecolor": "white", "markeredgewidth": 0.8}
        axes.plot(exact["R"], exact[cosine], LINES[index], color=SERIES[index])
        apart = points.filter(pl.col("phase") != "vanished")
        axes.plot(apart["R"], apart[cosine], MARKERS[index], **look)
        zero = points.filter(phase="vanished")
        axes.plot(zero["R"], [ZERO_ROW] * zero.height, MARKERS[index], **look)
        axes.plot([], [], LINES[index] + MARKERS[index], **look, label=f"$K_A={K_A}$")
        _mark_threshold(axes, exact["R0"][0], SERIES[index], LINES[index])
    axes.axhline(-0.2, color=INK, linewidth=0.5)
    axes.set_title(f"$E_W=1,\\ E_H={E_H:g}$")
    axes.set_ylim(-0.38, 1.08)
    axes.set_yticks([ZERO_ROW, 0, 0.5, 1], ["zero", "0", "0.5", "1"])
    axes.set_ylabel(f"minority cosine, ${vectors[0].lower()}_k$")


def _mark_threshold(axes, R0: float, color: str, line: str) -> None:
    axes.axvline(R0, color=color, linewidth=0.6, linestyle=line)
    text = f"$R_0={R0:#.4g}$".replace(".$", "$")
    axes.annotate(
        text, (R0, 0.6), xytext=(2, 0), textcoords="offset points", rotation=90, va="center",
        color=color, fontsize=SMALLEST_POINTS,
    )  # fmt: skip


def draw_norms(rows: pl.DataFrame, axes, *, K_A: int, E_H: float) -> None:
    """Squared norms of both groups against R for one setting.

    Args:
        rows: The table.
        axes: One panel.
        K_A: Majority classes.
        E_H: Feature budget.
    """
    exact, points = _parts(rows, K_A, E_H)
    names = {
        "w_A": r"majority $w_k$", "h_A": r"majority $h_k$",
        "w_B": r"minority $w_k$", "h_B": r"minority $h_k$",
    }  # fmt: skip
    for index, (name, label) in enumerate(names.items()):
        color = SERIES[index]
        axes.plot(exact["R"], exact[name], LINES[index], color=color)
        axes.plot(
            points["R"], points[name], MARKERS[index], color=color, markerfacecolor="white",
            markeredgewidth=0.8, label=label, markevery=2,
        )  # fmt: skip
    thresholds = [R for R in (exact["R0"][0], exact["R1"][0]) if np.isfinite(R)]
    for R in thresholds:
        axes.axvline(R, color=GREY, linewidth=0.7)
    # One label, to the right of the last line: the lines can be close.
    axes.annotate(
        ("$R_0$", r"$R_0,\ R_1$")[len(thresholds) - 1], (thresholds[-1], 0.72),
        xycoords=("data", "axes fraction"), xytext=(2, 0), textcoords="offset points",
    )  # fmt: skip
    axes.set_title(f"$K_A={K_A},\\ E_H={E_H:g}$")
    axes.set_ylabel("squared norm / budget")
    axes.legend(loc=(0.5, 0.22), handlelength=1.0)


def _parts(rows: pl.DataFrame, K_A: int, E_H: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    chosen = rows.filter(K_A=K_A, E_H=E_H).sort("R")
    return chosen.filter(part="exact"), chosen.filter(part="solved")


@figure(
    "minority-collapse",
    title="Minority collapse: exact curves and certified solutions",
    claims=("fang2021.thm5", "fang2021.finite-threshold", "fang2021.r0", "fang2021.collapse"),
    panels=(("W 5", "W 10", "norm 7"), ("H 5", "H 10", "norm 5")),
    runs=runs,
    caption=caption,
    aspect=0.58,
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw the six panels.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    for E_H in ENERGIES:
        for vectors in ("W", "H"):
            draw_cosines(rows, axes[f"{vectors} {E_H:g}"], E_H=E_H, vectors=vectors)
    for name in ("W 5", "H 5"):
        axes[name].legend(loc=(0.63, 0.2), handlelength=1.7, handletextpad=0.4)
    for K_A, E_H in SHOWN:
        draw_norms(rows, axes[f"norm {K_A}"], K_A=K_A, E_H=E_H)
    for panel in axes.values():
        panel.set_xscale("log")
        panel.set_xlim(1, 2e4)
        panel.set_xlabel("ratio $R=n_A/n_B$")
    letter(axes, tuple(axes))
