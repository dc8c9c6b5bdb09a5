"""Batches larger than memory: planned pieces, and the same numbers."""

import pytest
import torch

import ufm
from ufm import _pieces
from ufm.solvers._split import bytes_an_instance


CPU = torch.device("cpu")
PROBLEM = ufm.Problem(K=4, d=3, n=(2, 1, 1, 1), reg=ufm.AverageBudget())


def test_pieces_cover_a_batch_evenly_and_fit(monkeypatch):
    monkeypatch.setattr(_pieces, "free_bytes", lambda _: 1000)
    found = list(_pieces.pieces(23, 100, CPU))
    sizes = [piece.stop - piece.start for piece in found]
    assert sum(sizes) == 23
    assert max(sizes) * 100 <= 500
    assert max(sizes) - min(sizes) <= 1
    assert [piece.start for piece in found[1:]] == [piece.stop for piece in found[:-1]]
    # What does not fit at all is tried one by one; nothing is split for nothing.
    assert len(list(_pieces.pieces(3, 10_000, CPU))) == 3
    assert list(_pieces.pieces(5, 100, CPU)) == [slice(0, 5)]
    assert list(_pieces.pieces(0, 100, CPU)) == []


def test_free_memory_is_a_plausible_number():
    free = _pieces.free_bytes(CPU)
    assert free is None or 2**20 < free < 2**50


@pytest.mark.parametrize(
    "method",
    [
        ufm.LBFGS(engine="tensors"),
        ufm.LBFGS(engine="tensors", start="random"),
        ufm.LBFGS(),
        ufm.Newton(gtol=1e-8),
        ufm.GradientFlow(t_end=2.0, samples=4),
        ufm.GradientDescent(steps=5, samples=3),
        ufm.ClosedForm(),
    ],
)
def test_a_batch_in_pieces_has_the_same_numbers(method, monkeypatch):
    template = PROBLEM
    if isinstance(method, ufm.ClosedForm):
        template = ufm.Problem(K=4, d=3, n=(2,) * 4, reg=ufm.AverageBudget())
    batch = ufm.ProblemBatch(template, E_H=[1.0, 2.0, 3.0])
    whole = ufm.solve(batch, method, seeds=2, throw=False)
    monkeypatch.setattr(_pieces, "free_bytes", lambda _: 1)
    split = ufm.solve(batch, method, seeds=2, throw=False)
    assert len(split) == 6
    for a, b in zip(whole.point, split.point, strict=True):
        assert torch.equal(a, b)
    for name in ("value", "code", "steps", "grad_norm"):
        assert torch.equal(getattr(whole, name), getattr(split, name))
    assert split.seeds == whole.seeds
    if whole.trace is not None:
        for name, values in whole.trace.rows.items():
            torch.testing.assert_close(values, split.trace.rows[name], equal_nan=True)


def test_starts_and_callbacks_know_their_place(monkeypatch):
    method = ufm.LBFGS(max_steps=1)
    batch = ufm.ProblemBatch(PROBLEM, E_H=[1.0, 2.0, 3.0])
    start = ufm.solve(batch).point
    monkeypatch.setattr(_pieces, "free_bytes", lambda _: 1)
    again = ufm.solve(batch, start=start)
    assert (again.steps <= 2).all()
    seen = []
    ufm.solve(batch, method, throw=False, callback=lambda _, slots, x: seen.extend(slots.tolist()))
    assert seen == [0, 1, 2]


def test_the_plan_grows_with_memory_and_size():
    def size(method: ufm.LBFGS, K: int = 10, *, fused: bool = False) -> int:
        problem = ufm.Problem(K=K, d=K, n=(1,) * K, reg=ufm.AverageBudget())
        return bytes_an_instance(problem, method, K, fused=fused)

    assert size(ufm.LBFGS(memory=5)) < size(ufm.LBFGS()) < size(ufm.LBFGS(), 20)
    assert size(ufm.LBFGS(), fused=True) < size(ufm.LBFGS(), fused=False) / 5
    # The pairs alone: 2 m vectors of 2 K d numbers.
    assert size(ufm.LBFGS()) > 8 * 24 * 200
