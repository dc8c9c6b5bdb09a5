"""The loop: statuses, freezing, compaction and order, on a toy iteration."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from ufm.solvers._loop import FAR, iterate
from ufm.status import RUNNING, STATUSES, Status


@dataclass(frozen=True)
class Toy:
    """x <- x * factor until |x| < 1e-3."""

    x: torch.Tensor
    factor: torch.Tensor
    code: torch.Tensor

    @property
    def value(self) -> torch.Tensor:
        return self.x[:, 0]

    @property
    def grad_norm(self) -> torch.Tensor:
        return self.x.abs().amax(-1)

    def select(self, index: torch.Tensor) -> Toy:
        return Toy(self.x[index], self.factor[index], self.code[index])


def toy(factors: list[float]) -> Toy:
    factor = torch.tensor(factors, dtype=torch.float64)
    return Toy(torch.ones(len(factor), 2).double(), factor, torch.full((len(factor),), RUNNING))


def shrink(state: Toy) -> Toy:
    running = state.code == RUNNING
    x = torch.where(running.unsqueeze(-1), state.x * state.factor.unsqueeze(-1), state.x)
    done = running & (x.abs().amax(-1) < 1e-3)
    return replace(state, x=x, code=state.code.masked_fill(done, Status.CONVERGED.code))


def statuses(final) -> list[str]:
    return [STATUSES[code].name for code in final.code.tolist()]


def test_every_instance_gets_its_own_status_steps_and_place():
    factors = [0.5, 1e4, 0.1, float("nan"), 0.999, 0.01, -1e200]
    final = iterate(toy(factors), shrink, max_steps=40)
    assert statuses(final) == [
        "CONVERGED", "DIVERGED", "CONVERGED", "NONFINITE", "MAX_STEPS", "CONVERGED", "DIVERGED",
    ]  # fmt: skip
    assert final.steps.tolist() == [10, 4, 4, 1, 40, 2, 1]
    assert final.x[1, 0] == 1e4**4 > FAR
    assert final.x[0, 0] == 0.5**10
    assert final.x[4, 0] == pytest.approx(0.999**40)


@pytest.mark.parametrize("others", [[], [0.1] * 20, [0.9999] * 20, [float("nan")] * 3])
def test_company_changes_no_bit(others: list[float]):
    alone = iterate(toy([0.87]), shrink, max_steps=200)
    together = iterate(toy([*others, 0.87, *others]), shrink, max_steps=200)
    for one, many in zip(alone, together, strict=True):
        assert torch.equal(one[0], many[len(others)])


def test_finished_instances_are_removed_not_only_frozen():
    sizes = []

    def counting(state: Toy) -> Toy:
        sizes.append(len(state.code))
        return shrink(state)

    iterate(toy([0.01] * 30 + [0.9]), counting, max_steps=100)
    assert sizes[:2] == [31, 31]
    assert set(sizes[2:]) == {1}


def test_nothing_runs_where_everything_has_a_status():
    state = toy([0.5, 0.5])
    state = replace(state, code=torch.full((2,), Status.CONVERGED.code))
    final = iterate(state, pytest.fail, max_steps=3)
    assert final.steps.tolist() == [0, 0]
    assert statuses(final) == ["CONVERGED"] * 2


def test_a_start_that_is_not_finite_is_not_stepped():
    state = replace(toy([0.5]), x=torch.full((1, 2), float("inf")).double())
    assert statuses(iterate(state, pytest.fail, max_steps=3)) == ["NONFINITE"]


def test_the_callback_gets_batch_positions():
    seen: dict[int, list[int]] = {}

    def watch(count: int, slots: torch.Tensor, state: Toy) -> None:
        for slot, code in zip(slots.tolist(), state.code.tolist(), strict=True):
            if code == RUNNING:
                seen.setdefault(slot, []).append(count)

    iterate(toy([0.01, 0.5, 0.1]), shrink, max_steps=20, callback=watch)
    assert seen == {0: [1], 1: list(range(1, 10)), 2: [1, 2, 3]}
