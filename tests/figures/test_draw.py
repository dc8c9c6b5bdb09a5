"""Each figure drawn from a small table: pure, labelled, legible; and what its numbers mean."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import polars as pl
import pytest
import torch
from drawing import check_drawn
from tolerances import SOLVED

import ufm
from figures import (
    certificate_gap,
    dr_vs_ce,
    etf_3d,
    minority_collapse,
    phase_diagram,
    rank_loss,
)
from figures._step_runs import StepGrid, exact_job, log_grid, solved_job
from ufm.objective import Point
from ufm.runs import RunSpec


STEP = ufm.Problem(
    K=4, d=3, n=(1,) * 4, reg=ufm.AverageBudget(E_W=1, E_H=5),
    weights=ufm.step_weights(K=4, K_A=2, R=10.0),
)  # fmt: skip


def _table(jobs) -> pl.DataFrame:
    return pl.concat([job.produce(job.spec).rows for job in jobs], how="diagonal_relaxed")


def minority_table() -> pl.DataFrame:
    grids = [
        StepGrid(K_A, 10 - K_A, log_grid(0, 4, 5), minority_collapse.ENERGIES)
        for K_A in minority_collapse.MAJORITIES
    ]
    return _table([job(grid) for grid in grids for job in (exact_job, solved_job)])


def phase_table() -> pl.DataFrame:
    grids = [
        StepGrid(K_A, K_B, log_grid(0.5, 3.5, 3), (0.25, 4.0)) for K_A, K_B in phase_diagram.GROUPS
    ]
    return _table([job(grid) for grid in grids for job in (exact_job, solved_job)])


def descent_table() -> pl.DataFrame:
    method = ufm.GradientDescent(lr=2.0, steps=60, samples=20)
    return _table(
        job._replace(spec=dataclasses.replace(job.spec, method=method)) for job in dr_vs_ce.runs()
    )


def rank_table() -> pl.DataFrame:
    spec = RunSpec("long-tail", rank_loss.LongTailSweep(100.0, (0.05, 1.0, 5.0, 20.0)))
    return rank_loss.sweep(spec).rows


def flow_table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    places = [
        {"part": part, "time": time, "k": k, "sample": i, **dict(zip("xyz", x, strict=True))}
        for part, count in (("classifier", 1), ("feature", etf_3d.SAMPLES))
        for time in etf_3d.SNAPSHOTS
        for k in range(etf_3d.K)
        for i in range(count)
        for x in [rng.normal(size=3).tolist()]
    ]
    metrics = [
        {"part": "metric", "name": name, "time": time, "value": 1 / (1 + time)}
        for name in ("value", *etf_3d.METRICS)
        for time in (0.0, 1.0, 100.0)
    ]
    end = [{"part": "end", "name": n, "value": 1e-12} for n in ("gap", "distance", "difference")]
    return pl.concat([pl.DataFrame(rows) for rows in (places, metrics, end)], how="diagonal")


def gap_table() -> pl.DataFrame:
    certificate = {"raw_gap": 1e-5, "gap": 1e-9, "margin": 1e-14, "dual": 0.5, "value": 0.5 + 1e-9}
    trace = [certificate | {"part": "trace", "instance": i, "gap": 10.0**-i} for i in range(12)]
    others = [
        certificate | {"part": "bound", "name": instance.name}
        for instance in certificate_gap.instances()
    ]
    for row in list(others):
        for index, (solver, form) in enumerate(certificate_gap.SOLVERS):
            found = {"solver": solver, "form": form, "reported": 0.5 + (-1) ** index * 1e-7}
            message = {"message": f"{solver} optimal: objective 0.5", "part": "reported"}
            others.append(row | found | message)
    return pl.concat([pl.DataFrame(trace), pl.DataFrame(others)], how="diagonal")


TABLES = {
    "certificate-gap": gap_table,
    "minority-collapse": minority_table,
    "phase-diagram": phase_table,
    "dr-vs-ce": descent_table,
    "rank-loss": rank_table,
    "etf-3d": flow_table,
}


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    return {id: make() for id, make in TABLES.items()}


@pytest.mark.parametrize("id", TABLES)
def test_a_figure_is_drawn_labelled_and_captioned_without_touching_its_table(id, tables):
    check_drawn(id, tables[id])


def test_reported_values_are_compared_with_the_bound_of_their_own_instance(tables):
    table = certificate_gap.compare(tables["certificate-gap"])
    assert table.height == 4 * len(certificate_gap.instances())
    np.testing.assert_allclose(table["excess"].abs(), 1e-7, rtol=SOLVED)
    caption = certificate_gap.caption(tables["certificate-gap"])
    assert "12 of 24 reported values are below it, 12 of them with status optimal" in caption


def test_the_objective_is_read_from_what_the_solver_says():
    for text, value in (
        ("SCS optimal: objective 0.26167667163", 0.26167667163),
        ("CLARABEL optimal_inaccurate: objective -1.5e-07; its rank exceeds d=3", -1.5e-07),
    ):
        found = certificate_gap.OBJECTIVE.search(text)
        assert found is not None
        assert float(found[1]) == value
    assert certificate_gap.OBJECTIVE.search("SCS failed: no answer") is None


def test_a_followed_run_ends_certified_and_its_gap_is_never_below_its_excess():
    step = RunSpec(
        "gap-trace", certificate_gap.Instance("small", STEP), ufm.LBFGS(gtol=1e-9, max_steps=200)
    )
    rows = certificate_gap.trace(step).rows
    assert rows["certified"].to_list()[-1]
    assert not rows["certified"][0]
    excess = rows["value"] - rows["dual"].to_numpy().max()
    assert (rows["gap"] + rows["margin"] - excess).to_numpy().min() >= 0
    assert (rows["raw_gap"] - rows["gap"]).to_numpy().min() >= 0


def test_contradicting_pixels_are_counted():
    row = {"phase": "collapsed", "spread_W": 0.0, "spread_H": 0.0, "w_B": 0.2, "h_B": 0.1}
    rows = pl.DataFrame(
        [
            row,
            row | {"spread_H": 0.3},
            row | {"phase": "vanished"},
            row | {"phase": "vanished", "w_B": 1e-9, "h_B": 1e-9},
            row | {"phase": "full", "spread_W": 1.0},
            row | {"phase": "undecided", "spread_W": 1.0},
        ]
    )
    assert phase_diagram.contradictions(rows) == 2


@pytest.mark.parametrize(("E_W", "E_H"), [(1.0, 1.0), (5.0, 5.0), (2.0, 0.5)])
def test_the_predicted_curvature_is_the_tangent_hessian(E_W, E_H):
    job = next(job for job in dr_vs_ce.runs() if job.spec.subject.problem.reg.E_W == 1.0)
    problem = dataclasses.replace(
        job.spec.subject.problem,
        reg=ufm.Sphere(E_W=E_W, E_H=E_H),
        classifier=ufm.Fixed(ufm.SimplexETF(E_W=E_W)),
    )
    W = ufm.etf(10, 9) * E_W**0.5
    best = ufm.Solution.from_arrays(problem, W[None], (W.T * (E_H / E_W) ** 0.5)[None])
    aside = torch.linalg.qr(torch.stack([W[0], W[1]]).T).Q[:, 1]
    tilt = torch.zeros(9, 10, dtype=torch.float64)
    tilt[:, 0] = aside
    objective = best.objective()
    zero = Point(torch.zeros_like(best.W), tilt[None], torch.zeros_like(best.b))
    second = float((objective.hvp(best.point, zero).H * tilt).sum())
    # Moving along the sphere adds the radial slope times the arc's curvature 1/sqrt(E_H).
    slope = float((objective.value_and_grad(best.point)[1].H[0, :, 0] * best.H[0, :, 0]).sum())
    measured = problem.K * (second - slope / E_H)
    assert measured == pytest.approx(dr_vs_ce.curvature(10, E_W, E_H), rel=1e-10)


def test_measured_rates_are_the_predicted_ones(tables):
    rows = tables["dr-vs-ce"].filter(E_W=1.0)
    ce = rows.filter(loss="ce").sort("step")
    measured = (ce["angle"][-1] / ce["angle"][-2]) ** (1 / (ce["step"][-1] - ce["step"][-2]))
    # First order in the angle reached, about 1e-5 here.
    assert measured == pytest.approx(ce["rate"][0], rel=1e-4)
    dr = rows.filter(loss="dr").sort("step")
    # The next order of 1/sqrt(t) is log(t)/t.
    assert dr["angle"][-1] * math.sqrt(dr["speed"][0] * dr["step"][-1]) == pytest.approx(1, rel=0.1)


def test_every_feature_starts_at_the_angle_asked_for():
    start = dr_vs_ce.runs()[0].spec.subject
    x = dr_vs_ce.tilted(start, seed=3)
    cosine = torch.nn.functional.cosine_similarity(x.W, x.H.T, dim=-1)
    torch.testing.assert_close(cosine, torch.full((10,), math.cos(1.2), dtype=cosine.dtype))


def test_the_long_tail_loses_the_classes_that_are_known_to_be_lost(tables):
    # Reference: E_W E_H = 1: rank 4, the tail is taken for the fourth class; 5: rank 6, the
    # seventh; 20: rank 9, all right.
    rows = tables["rank-loss"]
    by_energy = {E: rows.filter(E=E).sort("k") for E in (1.0, 5.0, 20.0)}
    assert [by_energy[E]["rank"][0] for E in (1.0, 5.0, 20.0)] == [4, 6, 9]
    assert rows["certified"].all()
    assert set(by_energy[20.0]["outcome"]) == {"right"}
    assert by_energy[1.0]["argmax"].to_list() == [1, 2, 3] + [4] * 7
    assert by_energy[5.0]["argmax"].to_list() == [1, 2, 3, 4, 5, 6] + [7] * 4
    assert by_energy[5.0]["outcome"].to_list() == ["right"] * 7 + ["lost"] * 3


def test_the_rank_is_the_number_of_shares_above_the_multiplier_or_one_less(tables):
    counts = rank_loss.summary(tables["rank-loss"])
    assert counts["decided"].all()
    assert set((counts["above"] - counts["rank"]).to_list()) <= {0, 1}


def test_a_flow_in_pieces_ends_where_the_flow_ends():
    job = etf_3d.runs()[0]
    subject = dataclasses.replace(job.spec.subject, times=(0.0, 1.0, 5.0))
    method = ufm.GradientFlow(t_end=5.0, samples=5)
    points = etf_3d.paths(subject, method, seed=0)
    whole = ufm.solve(subject.problem, method, throw=False)
    torch.testing.assert_close(points[-1].W, whole.W[0], rtol=SOLVED, atol=SOLVED)
    torch.testing.assert_close(points[-1].H, whole.H[0], rtol=SOLVED, atol=SOLVED)
    assert len(points) == 3
    assert not torch.allclose(points[0].H, points[1].H)
