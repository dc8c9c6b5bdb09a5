"""Batches larger than the memory are split; nothing about an instance changes."""

from __future__ import annotations

import pytest
import torch

import ufm
from ufm import _capacity
from ufm.solvers import lbfgs


CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("count", "fit", "expected"),
    [(10, 10, [10]), (10, 9, [5, 5]), (11, 5, [4, 4, 3]), (3, 1, [1, 1, 1]), (0, 5, [])],
)
def test_pieces_are_the_fewest_that_fit_and_nearly_equal(monkeypatch, count, fit, expected):
    monkeypatch.setattr(
        _capacity, "free_bytes", lambda device: int(fit * 100 / _capacity.SHARE) + 1
    )
    found = list(_capacity.pieces(count, 100, CPU))
    assert [last - first for first, last in found] == expected
    assert [i for first, last in found for i in range(first, last)] == list(range(count))


def test_an_instance_larger_than_the_memory_is_still_tried(monkeypatch):
    monkeypatch.setattr(_capacity, "free_bytes", lambda device: 10)
    assert list(_capacity.pieces(2, 10**6, CPU)) == [(0, 1), (1, 2)]


def test_nothing_is_split_where_the_memory_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(_capacity, "MEMINFO", tmp_path / "absent")
    assert _capacity.free_bytes(CPU) is None
    assert list(_capacity.pieces(7, 10**12, CPU)) == [(0, 7)]


def test_available_memory_is_read(monkeypatch, tmp_path):
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 8 kB\nMemAvailable: 3 kB\n")
    monkeypatch.setattr(_capacity, "MEMINFO", path)
    assert _capacity.free_bytes(CPU) == 3 * 1024


@pytest.mark.parametrize("given", [False, True])
def test_split_batch_is_bitwise_the_whole_one(monkeypatch, given: bool):
    batch = [
        ufm.Problem(K=4, d=3, n=(k, 5, 5, 9), reg=ufm.AverageBudget(1.0, 2.0)) for k in range(1, 8)
    ]
    method = ufm.LBFGS(engine="tensors")
    start = ufm.solve(batch, ufm.LBFGS(engine="tensors", gtol=1e-1)).point if given else None
    whole = ufm.solve(batch, method, start=start)
    each = lbfgs.bytes_each(whole.objective(), method)
    monkeypatch.setattr(_capacity, "free_bytes", lambda device: int(2.5 * each / _capacity.SHARE))
    seen: dict[int, set[int]] = {}

    def watch(count, slots, point):
        seen.setdefault(count, set()).update(slots.tolist())

    split = ufm.solve(batch, method, start=start, callback=watch)
    for name in ("W", "H", "value", "code", "steps", "grad_norm"):
        assert torch.equal(getattr(split, name), getattr(whole, name)), name
    assert set().union(*seen.values()) == {i for i in range(7) if whole.steps[i] > 0}


def test_planned_bytes_bound_the_measured_peak():
    # Allocations of one instance's share, counted by the largest tensors that live together.
    problem = ufm.Problem(K=10, d=9, n=(3,) * 10, reg=ufm.AverageBudget(1.0, 2.0))
    objective = ufm.objective.Objective.stack([problem], 10)
    method = ufm.LBFGS()
    P = 2 * 10 * 9
    pairs = 8 * 2 * method.memory * P
    assert pairs < lbfgs.bytes_each(objective, method) < 4 * pairs
