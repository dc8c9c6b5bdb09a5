"""What a certificate says along a run, and about the values that convex solvers report."""

from __future__ import annotations

import re

import polars as pl
import torch

import ufm
from figures._registry import Axes, Job, figure
from figures._style import GREY, INK, LINES, MARKERS, SERIES, letter
from ufm._spec import spec
from ufm.methods import LBFGS, Convex
from ufm.objective import Point
from ufm.problem import Problem
from ufm.runs import Chunk, RunSpec, certificate_rows, solved
from ufm.solution import Solution


VERSION = 1
RHO, E_H = 100.0, 5.0
STEPS = ((10, 3, 100.0), (10, 5, 10.0), (10, 5, 100.0), (20, 10, 10.0))
TAILS = (20, 10)
SOLVERS = {
    ("SCS", "nuclear"): "SCS, nuclear norm",
    ("SCS", "sdp"): "SCS, semidefinite",
    ("CLARABEL", "nuclear"): "Clarabel, nuclear norm",
    ("CLARABEL", "sdp"): "Clarabel, semidefinite",
}
OBJECTIVE = re.compile(r"objective (-?[0-9.e+-]+)")
# Differences smaller than this are drawn on a linear scale.
LINEAR = 1e-10


@spec
class Instance:
    """A problem with the name that the figure gives it.

    Attributes:
        name: Text below the axis.
        problem: The problem.
    """

    name: str
    problem: Problem

    def problems(self) -> tuple[Problem, ...]:
        """The problem.

        Returns:
            A tuple of one.
        """
        return (self.problem,)


def instances() -> tuple[Instance, ...]:
    """Step profiles and long tails under average budgets (1, 5).

    Returns:
        The instances; the last one is the one whose run is followed.
    """
    named = [
        (f"step, $K={K}$\n$K_A={K_A}$\n$R={R:g}$", ufm.step_weights(K=K, K_A=K_A, R=R))
        for K, K_A, R in STEPS
    ]
    for K in TAILS:
        weights = tuple(RHO ** (-k / (K - 1)) for k in range(K))
        named.append((f"tail, $K={K}$\n$\\rho={RHO:g}$", weights))
    return tuple(Instance(name, _problem(weights)) for name, weights in named)


def _problem(weights: tuple[float, ...]) -> Problem:
    K = len(weights)
    reg = ufm.AverageBudget(E_W=1.0, E_H=E_H)
    return Problem(K=K, d=K - 1, n=(1,) * K, reg=reg, weights=weights)


def runs() -> list[Job]:
    """One followed run, certified bounds on all instances, and four convex solvers on each.

    Returns:
        The runs.
    """
    chosen = instances()
    jobs = [Job(RunSpec("gap-trace", chosen[-1], LBFGS(gtol=1e-11), version=VERSION), trace)]
    for instance in chosen:
        jobs.append(Job(RunSpec("gap-bound", instance, LBFGS(gtol=1e-8), version=VERSION), bound))
        for solver, form in SOLVERS:
            method = Convex(form=form, solver=solver)  # pyright: ignore[reportArgumentType]
            jobs.append(Job(RunSpec("gap-reported", instance, method, version=VERSION), reported))
    return jobs


def trace(run: RunSpec) -> Chunk:
    """Producer: certificate of every point of an L-BFGS run.

    Args:
        run: Subject an `Instance`, method L-BFGS.

    Returns:
        Rows of `certificate_rows`, instance being the step; part ``"trace"``.
    """
    points: list[Point] = []

    def keep(step: int, alive: torch.Tensor, x: Point) -> None:
        points.append(Point(*(part[0].clone() for part in x)))

    (problem,) = run.problems()
    assert isinstance(run.method, LBFGS)
    sol = ufm.solve(problem, run.method, seeds=run.seeds, throw=False, callback=keep)
    points.append(Point(*(part[0] for part in sol.point)))
    W, H = (torch.stack([getattr(x, name) for x in points]) for name in ("W", "H"))
    along = Solution.from_arrays(problem, W, H)
    rows = certificate_rows(along, ufm.certify(along))
    return Chunk(rows.with_columns(part=pl.lit("trace")), {"W": W, "H": H})


def bound(run: RunSpec) -> Chunk:
    """Producer: certified solution of an instance; part ``"bound"``.

    Args:
        run: Subject an `Instance`, method L-BFGS.

    Returns:
        Rows of `certificate_rows` with the instance's name.
    """
    chunk = solved(run)
    name, part = pl.lit(run.subject.name), pl.lit("bound")
    return Chunk(chunk.rows.with_columns(name=name, part=part), chunk.tensors)


def reported(run: RunSpec) -> Chunk:
    """Producer: the value that a convex solver reports, and the certificate of its point.

    Args:
        run: Subject an `Instance`, method `ufm.Convex`.

    Returns:
        Rows of `certificate_rows` with the instance's name, the solver's message and the objective
        in it; part ``"reported"``.
    """
    (problem,) = run.problems()
    assert isinstance(run.method, Convex)
    sol = ufm.solve(problem, run.method, throw=False)
    found = OBJECTIVE.search(sol.messages[0])
    rows = certificate_rows(sol, ufm.certify(sol)).with_columns(
        name=pl.lit(run.subject.name),
        message=pl.lit(sol.messages[0]),
        reported=pl.lit(float(found[1]) if found else float("nan")),
        form=pl.lit(run.method.form),
        solver=pl.lit(run.method.solver),
        part=pl.lit("reported"),
    )
    return Chunk(rows, {"W": sol.W, "H": sol.H})


def compare(rows: pl.DataFrame) -> pl.DataFrame:
    """Reported values against the certified bounds of the same instances.

    Args:
        rows: The table.

    Returns:
        The reported rows with the excess (reported value minus certified lower bound) and
        ``proved`` (gap of the certified solution).
    """
    bounds = rows.filter(part="bound").select("name", "dual", proved="gap")
    both = rows.filter(part="reported").drop("dual").join(bounds, on="name", maintain_order="left")
    return both.with_columns(excess=pl.col("reported") - pl.col("dual"))


def caption(rows: pl.DataFrame) -> str:
    """Caption with the worst values.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    table = compare(rows)
    below = table.filter(pl.col("excess") < 0)
    optimal = below.filter(pl.col("message").str.contains(" optimal:"))
    last = rows.filter(part="trace").tail(1)
    return (
        "(a) Certificates along one L-BFGS run (long tail, K = 10): excess of the objective over "
        "the best proved bound, raw gap (first order) and refined gap (second order); the refined "
        f"gap ends at {last['gap'][0]:.0e}, below its rounding allowance {last['margin'][0]:.0e} "
        "(grey). Horizontal lines: refined gaps of the points that SCS and Clarabel return for the "
        "same instance (nuclear-norm form, default settings). (b) Objective that each solver "
        "reports minus the certified lower bound, linear below 1e-10: a value below zero is "
        f"impossible for a feasible point. {below.height} of {table.height} reported values are "
        f"below it, {optimal.height} of them with status optimal, by up to "
        f"{-table['excess'].to_numpy().min():.0e}; the bounds are within "
        f"{table['proved'].max():.0e} of the optimum."
    )


def draw_trace(rows: pl.DataFrame, axes) -> None:
    """Gaps along the run.

    Args:
        rows: The table.
        axes: One panel.
    """
    run = rows.filter(part="trace").sort("instance")
    best = run["dual"].to_numpy().max()
    excess = (run["value"] - best).to_numpy()
    curves = (("raw gap", run["raw_gap"]), ("refined gap", run["gap"]), ("excess", excess))
    for index, (label, values) in enumerate(curves):
        axes.plot(
            run["instance"], values, LINES[index] + MARKERS[index], color=SERIES[index],
            markerfacecolor="white", label=label, markevery=2,
        )  # fmt: skip
    axes.axhspan(1e-17, run["margin"].to_numpy()[-1], color=GREY, alpha=0.25, linewidth=0)
    axes.annotate("rounding", (0.02, 0.03), xycoords="axes fraction")
    axes.set_yscale("log")
    axes.set_ylim(1e-16, 10)
    axes.set_xlim(0, run["instance"].to_numpy().max())
    axes.set_xlabel("L-BFGS step")
    axes.set_ylabel("gap (nats)")
    own = compare(rows).filter(name=instances()[-1].name, form="nuclear")
    for solver, gap in own.select("solver", "gap").iter_rows():
        axes.axhline(gap, color=GREY, linewidth=0.8)
        axes.annotate(
            {"SCS": "SCS", "CLARABEL": "Clarabel"}[solver], (1, gap), xytext=(0, 2),
            xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
        )  # fmt: skip
    axes.legend(loc="upper right")


def draw_reported(rows: pl.DataFrame, axes) -> None:
    """Reported values against certified bounds.

    Args:
        rows: The table.
        axes: One panel.
    """
    table = compare(rows)
    names = [instance.name for instance in instances()]
    for index, ((solver, form), label) in enumerate(SOLVERS.items()):
        chosen = table.filter(solver=solver, form=form)
        places = [names.index(name) + 0.16 * (index - 1.5) for name in chosen["name"]]
        axes.plot(
            places, chosen["excess"], MARKERS[index], color=SERIES[index], label=label,
            markersize=4.5, markerfacecolor=SERIES[index] if "SCS" in label else "white",
        )  # fmt: skip
    axes.axhline(0, color=INK, linewidth=0.9)
    axes.set_yscale("symlog", linthresh=LINEAR)
    axes.set_ylim(-1e-3, 1)
    axes.axhspan(-1e-3, 0, color=GREY, alpha=0.18, linewidth=0)
    axes.annotate(
        "below the proved lower bound: impossible", (0.01, 0.03), xycoords="axes fraction"
    )
    axes.set_yticks([-1e-4, -1e-6, -1e-8, 0, 1e-8, 1e-6, 1e-4])
    axes.minorticks_off()
    axes.set_xticks(range(len(names)), [name.replace(", ", "\n") for name in names])
    axes.set_xlabel("instance, $E_W=1$, $E_H=5$")
    axes.set_ylabel("reported $-$ proved bound (nats)")
    axes.legend(loc="upper left", ncols=2, columnspacing=1.0, handletextpad=0.1)


@figure(
    "certificate-gap",
    title="Certificates along a run, and the values that convex solvers report",
    claims=("fang2021.dual", "fang2021.nuclear", "fang2021.sdp"),
    panels=(("trace", "reported"),),
    runs=runs,
    caption=caption,
    aspect=0.42,
    options={"width_ratios": (1, 1.7)},
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw both panels.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    draw_trace(rows, axes["trace"])
    draw_reported(rows, axes["reported"])
    letter(axes, tuple(axes))
