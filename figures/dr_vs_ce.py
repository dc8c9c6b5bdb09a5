"""Cross-entropy against dot regression with a fixed simplex ETF: the regime decides who wins."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import torch

import ufm
from figures._registry import Axes, Job, figure
from figures._style import INK, SERIES, letter
from ufm._spec import spec
from ufm.geometry import frame
from ufm.objective import Point
from ufm.problem import Problem
from ufm.runs import Chunk, RunSpec


VERSION = 1
K, ANGLE, STEP, STEPS = 10, 1.2, 0.2, 4000
REGIMES = ((1.0, 1.0), (5.0, 5.0), (10.0, 10.0))
# Below this angle the linear rate at the optimum is drawn as a prediction.
NEAR = 0.2
LOSSES = {"ce": "cross-entropy", "dr": "dot regression"}


@spec
class TiltedStart:
    """Features on their sphere, each tilted from its classifier row in a random direction.

    Attributes:
        problem: Fixed simplex ETF, one sample a class, features on a sphere.
        angle: Angle of each feature to its row, in radians.
    """

    problem: Problem
    angle: float


def runs() -> list[Job]:
    """Both losses in the three regimes, from the same directions, with the same step.

    Returns:
        The runs.
    """
    return [
        Job(RunSpec("sphere-descent", start, _method(), version=VERSION), descend)
        for E_W, E_H in REGIMES
        for start in (
            _start(ufm.CrossEntropy(), E_W, E_H),
            _start(ufm.DotRegression(s=math.sqrt(E_W * E_H)), E_W, E_H),
        )
    ]


def _method() -> ufm.GradientDescent:
    # The risk is a mean over K samples, so this is the step STEP on each sample's own loss.
    return ufm.GradientDescent(lr=K * STEP, steps=STEPS, samples=120)


def _start(loss: ufm.CrossEntropy | ufm.DotRegression, E_W: float, E_H: float) -> TiltedStart:
    problem = Problem(
        K=K, d=K - 1, n=(1,) * K, loss=loss, reg=ufm.Sphere(E_W=E_W, E_H=E_H),
        classifier=ufm.Fixed(ufm.SimplexETF(E_W=E_W)),
    )  # fmt: skip
    return TiltedStart(problem, ANGLE)


def tilted(start: TiltedStart, seed: int) -> Point:
    """The start as a point.

    Args:
        start: What it is.
        seed: Seed of the directions.

    Returns:
        Classifier and features.
    """
    problem = start.problem
    assert isinstance(problem.classifier, ufm.Fixed)
    assert isinstance(problem.reg, ufm.Sphere)
    W = frame(problem.classifier.frame, problem.K, problem.d)
    own = W / torch.linalg.vector_norm(W, dim=-1, keepdim=True)
    generator = torch.Generator().manual_seed(seed)
    aside = torch.randn(own.shape, generator=generator, dtype=own.dtype)
    aside -= (aside * own).sum(-1, keepdim=True) * own
    aside /= torch.linalg.vector_norm(aside, dim=-1, keepdim=True)
    H = math.sqrt(problem.reg.E_H) * (math.cos(start.angle) * own + math.sin(start.angle) * aside)
    return Point(W, H.mT, torch.zeros(problem.K, dtype=W.dtype))


def descend(run: RunSpec) -> Chunk:
    """Producer: largest angle of a feature to its row after each recorded step.

    Args:
        run: Subject a `TiltedStart`, method gradient descent.

    Returns:
        Rows: loss, E_W, E_H, step, angle (radians), rate (predicted factor a step near the
        optimum; 1 for dot regression), speed (predicted ``angle^-2`` gained a step; 0 for
        cross-entropy).
    """
    start: TiltedStart = run.subject
    problem, method = start.problem, run.method
    assert isinstance(method, ufm.GradientDescent)
    assert isinstance(problem.reg, ufm.Sphere)
    E_W, E_H = problem.reg.E_W, problem.reg.E_H
    sol = ufm.solve(problem, method, start=tilted(start, run.seeds[0]), throw=False)
    trace = sol.trace
    assert trace is not None
    entropy = isinstance(problem.loss, ufm.CrossEntropy)
    step = method.lr / problem.K
    rows = pl.DataFrame({"step": trace.time.numpy(), "angle": trace.rows["angle"][0].numpy()})
    return Chunk(
        rows.with_columns(
            loss=pl.lit("ce" if entropy else "dr"),
            E_W=pl.lit(E_W),
            E_H=pl.lit(E_H),
            rate=pl.lit(1 - step * curvature(problem.K, E_W, E_H) if entropy else 1.0),
            speed=pl.lit(0.0 if entropy else step * math.sqrt(E_W / E_H)),
        )
    )


def curvature(K: int, E_W: float, E_H: float) -> float:
    r"""Tangent curvature of cross-entropy on the feature sphere at the optimum, within the frame.

    :math:`\frac{K}{K-1}[(1-p_1)\sqrt{E_W/E_H} + E_W p_o]` with
    :math:`p_1 = 1/(1 + (K-1)e^{-Ks/(K-1)})`, :math:`p_o = (1-p_1)/(K-1)`, :math:`s^2 = E_W E_H`.

    Args:
        K: Number of classes.
        E_W: Squared norm of a classifier row.
        E_H: Squared norm of a feature.

    Returns:
        Every tangent eigenvalue of the Hessian in the span of the frame.
    """
    odds = (K - 1) * math.exp(-K * math.sqrt(E_W * E_H) / (K - 1))
    missing = odds / (1 + odds)
    return K / (K - 1) * (missing * math.sqrt(E_W / E_H) + E_W * missing / (K - 1))


def caption(rows: pl.DataFrame) -> str:
    """Caption with the last angles.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    last = rows.filter(pl.col("step") == rows["step"].max())
    ends = "; ".join(
        f"({E_W:g}, {E_H:g}): {_angle(last, 'ce', E_W):.1e} and {_angle(last, 'dr', E_W):.1e}"
        for E_W, E_H in REGIMES
    )
    return (
        f"Largest angle between a feature and its classifier row under gradient descent on the "
        f"feature sphere, simplex ETF with K = {K} fixed, step {STEP:g}, every feature starting at "
        f"{ANGLE:g} rad. Thin lines are predictions: the linear rate of cross-entropy (1 - step x "
        "curvature at the optimum; where it is reached) and 1/sqrt(step x t) for dot "
        "regression, whose minimum is quartic. Dot regression is the faster one only where "
        f"cross-entropy has saturated. Angles after {STEPS} steps, cross-entropy and dot "
        f"regression, by (E_W, E_H): {ends}."
    )


def _angle(rows: pl.DataFrame, loss: str, E_W: float) -> float:
    return float(rows.filter(loss=loss, E_W=E_W)["angle"][0])


def draw_regime(rows: pl.DataFrame, axes, *, E_W: float, E_H: float) -> None:
    """Angles against steps in one regime.

    Args:
        rows: The table.
        axes: One panel.
        E_W: Classifier norm squared.
        E_H: Feature norm squared.
    """
    for index, (loss, label) in enumerate(LOSSES.items()):
        run = rows.filter(loss=loss, E_W=E_W, E_H=E_H).filter(pl.col("step") > 0).sort("step")
        step, angle = run["step"].to_numpy(), run["angle"].to_numpy()
        axes.plot(step, angle, ("-", "--")[index], color=SERIES[index], label=label, linewidth=1.5)
        predicted, shown = _predicted(run, step, angle)
        axes.plot(step[shown], predicted[shown], ":", color=INK, linewidth=1.0, zorder=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1, STEPS)
    axes.set_ylim(1e-12, 10)
    axes.set_xlabel("step")
    axes.set_title(f"$E_W={E_W:g},\\ E_H={E_H:g}$")


def _predicted(
    run: pl.DataFrame, step: np.ndarray, angle: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted angles and where to show them."""
    if run["loss"][0] == "dr":
        return 1 / np.sqrt(run["speed"].to_numpy() * step), step > 3
    # Placed at the last point above rounding; shown only where the linear rate is meant to hold.
    anchor = int(np.flatnonzero(angle > 1e-12)[-1])
    predicted = angle[anchor] * run["rate"].to_numpy() ** (step - step[anchor])
    return predicted, (predicted < NEAR) & (angle[anchor] < NEAR)


@figure(
    "dr-vs-ce",
    title="Dot regression against cross-entropy on the feature sphere",
    claims=(
        "yang2022.ce-rate", "yang2022.dr-quartic", "yang2022.dr-regimes", "yang2022.dr-faster",
    ),
    panels=(("1", "5", "10"),),
    runs=runs,
    caption=caption,
    aspect=0.36,
    options={"sharey": True},
)  # fmt: skip
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """Draw the three regimes.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    for E_W, E_H in REGIMES:
        draw_regime(rows, axes[f"{E_W:g}"], E_W=E_W, E_H=E_H)
    first = axes[f"{REGIMES[0][0]:g}"]
    first.set_ylabel("angle to classifier row (rad)")
    first.plot([], [], ":", color=INK, label="predicted")
    handles, labels = first.get_legend_handles_labels()
    first.figure.legend(handles, labels, loc="outside lower center", ncols=3)
    letter(axes, tuple(axes))
