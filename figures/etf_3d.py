"""The simplex ETF of four classes in three dimensions, with features flowing to it."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from matplotlib.ticker import LogLocator

import ufm
from figures._registry import Axes, Job, figure
from figures._style import GREY, INK, LINES, MARKERS, SERIES, letter
from ufm._spec import spec
from ufm.methods import GradientFlow
from ufm.objective import Point
from ufm.problem import Problem
from ufm.runs import Chunk, RunSpec
from ufm.solution import Solution


VERSION = 1
K, SAMPLES, T_END = 4, 10, 1e4
SNAPSHOTS = (0.0, 30.0, T_END)
# Half the edge of the cube shown, in units of the vectors; their norm at the end is 1.99.
REACH = 1.75
METRICS = {
    "nc1_quot": r"NC1: $\mathrm{tr}\,\Sigma_W/\mathrm{tr}\,\Sigma_B$",
    "nc2_etf_err": "NC2: distance of means to an ETF",
    "nc3_dual_err": "NC3: distance of $W$ to the means",
}


@spec
class FlowPaths:
    """A gradient flow looked at from its end: positions at given times, rotated to the frame.

    Attributes:
        problem: The model.
        times: Increasing times, the first 0.
    """

    problem: Problem
    times: tuple[float, ...]


def runs() -> list[Job]:
    """One flow of ten samples a class.

    Returns:
        The run.
    """
    # lam_W |W|^2 = lam_H |H|^2 at the optimum: ten samples a class make the norms equal.
    problem = Problem(
        K=K, d=K - 1, n=(SAMPLES,) * K, reg=ufm.WeightDecay(lam_W=5e-3, lam_H=5e-3 / SAMPLES)
    )
    early = [t for t in np.geomspace(0.5, T_END, 60).round(6).tolist() if t < SNAPSHOTS[-1]]
    times = tuple(sorted({*SNAPSHOTS, *early}))
    spec = RunSpec(
        "flow-paths", FlowPaths(problem, times), GradientFlow(t_end=T_END), version=VERSION
    )
    return [Job(spec, flow_paths)]


def flow_paths(run: RunSpec) -> Chunk:
    """Producer: observables along a flow, and positions at the times asked for.

    The flow is integrated twice: once for the observables, and once in pieces that start where
    the last one ended, for the positions.

    Args:
        run: Subject a `FlowPaths`, method a gradient flow.

    Returns:
        Rows of three parts. ``"metric"``: time, name, value. ``"feature"`` and ``"classifier"``:
        time, k, sample, x, y, z. ``"end"``: name and value of the certified gap, the distance to
        the predicted geometry, and the difference of the two integrations.
    """
    subject, method = run.subject, run.method
    assert isinstance(method, GradientFlow)
    sol = ufm.solve(subject.problem, method, seeds=run.seeds, throw=False)
    trace = sol.trace
    assert trace is not None
    metrics = pl.concat(
        pl.DataFrame({"time": trace.time.numpy(), "value": v[0].numpy()}).with_columns(
            name=pl.lit(name), part=pl.lit("metric")
        )
        for name, v in trace.rows.items()
    )
    points = paths(subject, method, run.seeds[0])
    rotation = ufm.align(points[-1].W, ufm.etf(K, K - 1))
    places = pl.concat(
        frame
        for time, x in zip(subject.times, points, strict=True)
        for frame in _places(x, rotation, time, len(subject.problem.n))
    )
    return Chunk(pl.concat([metrics, places, _end(sol, points[-1])], how="diagonal"))


def paths(subject: FlowPaths, method: GradientFlow, seed: int) -> list[Point]:
    """Positions at the times asked for.

    Args:
        subject: Problem and times.
        method: Settings; its end is replaced.
        seed: Seed of the start.

    Returns:
        One point a time, without batch axis.
    """
    # A flow of no length: the start itself, from the same seed.
    first = ufm.solve(subject.problem, GradientFlow(t_end=1e-12), seeds=(seed,), throw=False)
    points = [Point(*(part[0] for part in first.point))]
    for before, after in zip(subject.times[:-1], subject.times[1:], strict=True):
        piece = GradientFlow(t_end=after - before, rtol=method.rtol, atol=method.atol, samples=2)
        sol = ufm.solve(subject.problem, piece, start=points[-1], throw=False)
        points.append(Point(*(part[0] for part in sol.point)))
    return points


def _places(x: Point, R: torch.Tensor, time: float, K: int) -> list[pl.DataFrame]:
    frames = []
    for part, rows in (("classifier", x.W @ R), ("feature", x.H.mT @ R)):
        each = len(rows) // K
        columns = dict(zip("xyz", rows.T.numpy(), strict=True))
        k, sample = np.repeat(np.arange(K), each), np.tile(np.arange(each), K)
        frame = pl.DataFrame({"k": k, "sample": sample, **columns})
        frames.append(frame.with_columns(time=pl.lit(time), part=pl.lit(part)))
    return frames


def _end(sol: Solution, last: Point) -> pl.DataFrame:
    problem, geometry = sol.problem, sol[0].geometry
    predicted = [p.geometry for p in ufm.predict(problem) if p.unique and p.geometry is not None]
    numbers = {
        "gap": float(ufm.certify(sol).gap[0]),
        "distance": max(float(ufm.distance(geometry, p)) for p in predicted),
        "value": float(sol.value[0]),
        "difference": float((sol.W[0] - last.W).abs().max()),
    }
    rows = {"name": list(numbers), "value": list(numbers.values())}
    return pl.DataFrame(rows).with_columns(part=pl.lit("end"))


def caption(rows: pl.DataFrame) -> str:
    """Caption with the certified end.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    end = dict(rows.filter(part="end").select("name", "value").iter_rows())
    return (
        f"Gradient flow of K = {K} classes with {SAMPLES} samples each in {K - 1} dimensions, "
        "weight decay, Gaussian start. (a-c) Features (symbols) and classifier rows (arrows) at "
        "three times, rotated to the frame of the end; (c) with the features' paths and the edges "
        "of the simplex. (d) Excess of the objective over its end value, and collapse metrics; "
        "vertical lines: the times of (b) and (c). At the end the certified gap to the global "
        f"optimum is {end['gap']:.0e} and the relative distance to the predicted simplex ETF "
        f"{end['distance']:.0e}."
    )


def draw_snapshot(rows: pl.DataFrame, axes, *, time: float) -> None:
    """Features and classifier at one time.

    Args:
        rows: The table.
        axes: A panel in three dimensions.
        time: One of `SNAPSHOTS`.
    """
    now = rows.filter(pl.col("time") == time)
    for k in range(K):
        color = SERIES[k]
        x, y, z = now.filter(part="feature", k=k).select("x", "y", "z").to_numpy().T
        axes.plot(
            x, y, z, MARKERS[k], color=color, markersize=4, markerfacecolor="white",
            markeredgewidth=0.9, label=f"class {k + 1}",
        )  # fmt: skip
        tip = now.filter(part="classifier", k=k).select("x", "y", "z").to_numpy()[0]
        axes.quiver(0, 0, 0, *tip, color=color, linewidth=2, arrow_length_ratio=0.14)
    axes.set_title(f"$t={time:g}$")
    for set_limits in (axes.set_xlim, axes.set_ylim, axes.set_zlim):
        set_limits(-REACH, REACH)
    axes.set_box_aspect((1, 1, 1), zoom=1.45)
    axes.view_init(elev=18, azim=-58)
    axes.set_axis_off()


def draw_paths(rows: pl.DataFrame, axes) -> None:
    """The features' paths and the edges of the simplex.

    Args:
        rows: The table.
        axes: A panel in three dimensions.
    """
    for k in range(K):
        for sample in range(SAMPLES):
            path = rows.filter(part="feature", k=k, sample=sample).sort("time")
            axes.plot(path["x"], path["y"], path["z"], color=SERIES[k], linewidth=0.6, alpha=0.8)
    last = rows.filter(part="classifier", time=T_END).sort("k").select("x", "y", "z").to_numpy()
    for i in range(K):
        for j in range(i):
            axes.plot(*np.stack([last[i], last[j]], 1), color=GREY, linewidth=0.6, linestyle="--")


def draw_metrics(rows: pl.DataFrame, axes) -> None:
    """Objective and collapse metrics over time.

    Args:
        rows: The table.
        axes: One panel.
    """
    metric = rows.filter(part="metric").filter(pl.col("time") > 0).sort("time")
    value = metric.filter(name="value")
    axes.plot(
        value["time"], value["value"] - value["value"][-1], color=INK, linewidth=1.6,
        label="objective, excess",
    )  # fmt: skip
    for index, (name, label) in enumerate(METRICS.items()):
        row = metric.filter(name=name)
        axes.plot(row["time"], row["value"], LINES[index + 1], color=SERIES[index + 1], label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(0.1, T_END)
    axes.set_ylim(1e-9, 1e3)
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.set_xlabel("flow time $t$")
    axes.set_ylabel("excess, metrics")
    for time in SNAPSHOTS[1:]:
        axes.axvline(time, color=GREY, linewidth=0.7)
    axes.legend(loc="lower left")


@figure(
    "etf-3d",
    title="Features flowing to the simplex ETF of four classes",
    claims=("zhu2021.global-etf", "papyan2020.etf-gram"),
    panels=(("start", "middle", "end"), ("metrics", "metrics", "metrics")),
    runs=runs,
    caption=caption,
    aspect=0.62,
    options={
        "height_ratios": (1.25, 1),
        "per_subplot_kw": {("start", "middle", "end"): {"projection": "3d"}},
    },
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw three snapshots and the metrics.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    for name, time in zip(("start", "middle", "end"), SNAPSHOTS, strict=True):
        draw_snapshot(rows, axes[name], time=time)
    draw_paths(rows, axes["end"])
    axes["start"].legend(loc="upper left", bbox_to_anchor=(-0.06, 1.02), handletextpad=0.1)
    draw_metrics(rows, axes["metrics"])
    letter(axes, tuple(axes))
