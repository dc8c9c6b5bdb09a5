"""Step-imbalance runs: solved points against closed forms, and what a certificate may claim."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tolerances import CERTIFIED, EXACT, SOLVED

import ufm
from figures._registry import Job
from figures._step_runs import (
    StepGrid,
    exact_grid,
    exact_job,
    log_grid,
    shape,
    solve_grid,
    solved_job,
)
from ufm.maps import proved_phase
from ufm.solvers import step_optimum


# Full, collapsed and vanished optima of three group sizes (etf_lpm, reference values).
GRID = StepGrid(5, 5, (1.0, 5.0, 10.0, 100.0), (5.0,))
SMALL = StepGrid(7, 3, (3.0, 5.0, 10.0), (5.0,))


def _rows(job: Job):
    assert job.produce is not None
    return job.produce(job.spec).rows


@pytest.mark.parametrize("grid", [GRID, SMALL])
def test_solved_points_agree_with_the_closed_form(grid):
    solved, exact = _rows(solved_job(grid)), _rows(exact_job(grid))
    assert solved["certified"].all()
    for name in ("K_A", "K_B", "E_W", "E_H", "R", "s"):
        assert solved[name].to_list() == exact[name].to_list()
    np.testing.assert_allclose(solved["value"], exact["value"], rtol=CERTIFIED, atol=0)
    for name in ("w_A", "w_B", "h_A", "h_B"):
        # Vanished vectors are zero in the closed form and of the size of the gap's root here.
        np.testing.assert_allclose(solved[name], exact[name], rtol=SOLVED, atol=SOLVED)


def test_known_phases_are_proved():
    assert _rows(solved_job(GRID))["phase"].to_list() == ["full", "full", "full", "collapsed"]
    assert _rows(solved_job(SMALL))["phase"].to_list() == ["full", "collapsed", "vanished"]


def test_proved_phases_never_contradict_the_closed_form_at_any_accuracy():
    grid = StepGrid(5, 5, log_grid(0.05, 3, 9), (0.3, 2.0, 5.0))
    at = grid.columns()
    exact = step_optimum(at["K_A"], at["K_B"], R=at["R"], tau=10 * at["s"]).phase.astype(str)
    decided = []
    for gtol in (1e-1, 1e-3, 1e-5, 1e-8):
        sol = ufm.solve(grid.problems(), ufm.LBFGS(gtol=gtol), throw=False)
        found = np.array(proved_phase(sol, ufm.certify(sol), grid.K_A))
        known = found != "undecided"
        assert (found[known] == exact[known]).all()
        decided.append(int(known.sum()))
    # The negative control: a loose point proves little, a tight one all.
    assert decided[0] < len(exact) // 2
    assert decided[-1] == len(exact)


def test_a_pixel_at_the_threshold_is_undecided_on_both_sides_until_the_gap_is_small_enough():
    R0 = float(ufm.solvers.R0(5, 5, 10 * 5**0.5))
    near = StepGrid(5, 5, (R0 * (1 - 1e-7), R0 * (1 + 1e-7)), (5.0,))
    assert _rows(solved_job(near))["phase"].to_list() == ["undecided"] * 2
    far = StepGrid(5, 5, (R0 * (1 - 1e-3), R0 * (1 + 1e-3)), (5.0,))
    assert _rows(solved_job(far))["phase"].to_list() == ["full", "collapsed"]


def test_shape_measures_the_collapsed_and_the_spread_minority():
    problem = GRID.problems()[0]
    W = ufm.etf(10, 9)
    merged = W.clone()
    merged[5:] = W[5:].mean(0)
    sol = ufm.Solution.from_arrays(problem, torch.stack([W, merged]), torch.stack([W.T, W.T]))
    columns = shape(sol, 5)
    np.testing.assert_allclose(columns["cos_W_B"], [-1 / 9, 1], rtol=EXACT)
    np.testing.assert_allclose(columns["spread_W"], [(20 / 9) ** 0.5, 0], atol=EXACT)
    np.testing.assert_allclose(columns["w_A"], [1, 1], rtol=EXACT)
    np.testing.assert_allclose(columns["h_B"], [0.2, 0.2], rtol=EXACT)  # |h|^2 = 1, E_H = 5


def test_zero_vectors_have_no_cosine():
    problem = GRID.problems()[0]
    W = ufm.etf(10, 9)
    W[5:] = 0
    sol = ufm.Solution.from_arrays(problem, W[None], W.T[None])
    assert np.isnan(shape(sol, 5)["cos_W_B"]).all()


def test_the_thresholds_of_the_exact_rows_are_inverse_to_each_other():
    rows = exact_grid(exact_job(StepGrid(7, 3, (1.0, 4.0, 5.0, 50.0), (5.0,))).spec).rows
    at_R0 = float(rows["R0"][0])
    at_R1 = float(rows["R1"][0])
    again = exact_grid(exact_job(StepGrid(7, 3, (at_R0, at_R1), (5.0,))).spec).rows
    assert again["s0"][0] == pytest.approx(5**0.5, rel=CERTIFIED)
    assert again["s1"][1] == pytest.approx(5**0.5, rel=CERTIFIED)


def test_a_run_s_key_depends_on_the_grid_only_through_its_numbers():
    assert solved_job(GRID).spec.key == solved_job(dataclasses.replace(GRID)).spec.key
    assert solved_job(GRID).spec.key != solved_job(SMALL).spec.key
    assert log_grid(0, 1, 3) == (1.0, 3.16227766017, 10.0)
    run = solve_grid(solved_job(SMALL).spec)
    assert set(run.tensors) == {"W", "H"}
