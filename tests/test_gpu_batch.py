"""The benchmark of a card, as far as it goes without one: its batches, counts and records."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tolerances import EXACT

import ufm
from benchmarks import gpu_batch, gpu_ceilings
from ufm.objective import Objective
from ufm.problem_batch import ProblemBatch
from ufm.solvers._manifolds import chart_of
from ufm.solvers._start import start as start_at


def test_starts_are_those_of_the_package():
    weights, tau = gpu_batch.random_batch(30)
    template = ufm.Problem(K=10, d=9, n=(1,) * 10, reg=ufm.AverageBudget(1.0, 1.0))
    batch = ProblemBatch(template, weights=weights, E_H=(tau / 10) ** 2)
    objective = Objective.stack(batch, 10)
    chart = chart_of(objective)
    torch.testing.assert_close(chart.radius2, torch.from_numpy(2 * tau), rtol=EXACT, atol=0)
    ours = gpu_batch.starts(objective.c, chart.radius2)
    theirs = start_at(chart, objective, "frame", (0,) * 30)
    torch.testing.assert_close(ours, theirs, rtol=EXACT, atol=EXACT)


def test_batch_has_a_third_of_each_profile():
    weights, tau = gpu_batch.random_batch(300)
    assert weights.shape == (300, 10)
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=EXACT)
    assert ((tau >= 5) & (tau <= 50)).all()
    # A step has two values; an exponential profile one ratio of neighbours.
    assert all(len(np.unique(row)) <= 2 for row in weights[100:200])
    ratio = weights[200:, 1:] / weights[200:, :-1]
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones(9), rtol=EXACT)


def test_map_covers_the_rectangle_line_by_line():
    weights, tau = gpu_batch.phase_diagram(4)
    R, s = weights[:, 0] / weights[:, -1], tau / 10
    np.testing.assert_allclose(s, np.repeat([0.625, 1.875, 3.125, 4.375], 4), rtol=EXACT)
    np.testing.assert_allclose(R, np.tile(10 ** np.array([0.5, 1.5, 2.5, 3.5]), 4), rtol=EXACT)


def test_counted_work_is_that_of_the_page():
    # Per iteration, K = 10, d = 9, m = 5: 19 kflop; 31 of them and a certificate .66 Mflop.
    flops = gpu_ceilings.solve_flops(10, 9, evaluations=31, steps=27)
    assert 0.4e6 < flops < 0.7e6
    # In 88 bytes and a start, out W, H and scalars, and both read again: 4.5 KB.
    assert gpu_ceilings.solve_bytes(10, 9) == pytest.approx(4500, rel=0.05)


def test_record_counts_only_if_complete_and_of_this_code(tmp_path):
    path = tmp_path / "gpu_batch.json"
    assert not gpu_batch.is_current(path)
    record = {"version": gpu_batch.VERSION, "sources": gpu_batch.sources(), "complete": True}
    for change, expected in (({}, True), ({"complete": False}, False), ({"sources": "0"}, False)):
        path.write_text(json.dumps(record | change))
        assert gpu_batch.is_current(path) is expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_nothing_is_written(tmp_path, capsys):
    assert gpu_batch.main(["--record", str(tmp_path / "out.json")]) == 2
    assert "not yet measured" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
def test_a_small_batch_is_certified_and_counted():
    rates = {
        "multiply-add flop a second": 1e13, "copied bytes a second": 1e12,
        "resident programs": 1000, "seconds an evaluation alone": 1e-6,
    }  # fmt: skip
    row = gpu_batch.throughput(
        lambda: gpu_batch.random_batch(1000), torch.device("cuda"), rates, repeats=1
    )
    assert row["certified"] == 1000
    assert row["left after each attempt"][-1] == 0
    assert row["flop a second"] == pytest.approx(
        row["flop an instance"] * row["instances a second"]
    )
    assert row["latency floor"] == pytest.approx(row["evaluations"] * 1e-6)
