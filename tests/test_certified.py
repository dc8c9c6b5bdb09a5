"""Solving until certified: hard instances are retried, hopeless ones keep their gap."""

from dataclasses import replace

import pytest
import torch
from tolerances import CERTIFIED, EXACT

import ufm
from ufm import certified
from ufm.status import Status


def step(R: float, d: int = 9, E_H: float = 5.0) -> ufm.Problem:
    return ufm.Problem(
        K=10, d=d, n=(1,) * 10, weights=ufm.step_weights(K=10, K_A=5, R=R),
        reg=ufm.AverageBudget(E_W=1.0, E_H=E_H),
    )  # fmt: skip


def test_a_loose_first_attempt_is_completed():
    problems = [step(R) for R in (1.5, 5.0, 12.0, 100.0)]
    loose = ufm.LBFGS(gtol=1e-3)
    assert not ufm.certify(ufm.solve(problems, loose)).passed.all()
    sol, cert = ufm.solve_certified(problems, loose)
    assert cert.passed.all()
    again = ufm.certify(sol)
    torch.testing.assert_close(again.gap, cert.gap, rtol=0, atol=CERTIFIED)
    torch.testing.assert_close(again.primal, cert.primal, rtol=EXACT, atol=0)


def test_an_instance_whose_relaxation_is_not_tight_keeps_its_gap():
    # d = K - 4 is below the rank of the optimal logits, so no point closes the gap.
    sol, cert = ufm.solve_certified([step(2.0, d=6)])
    assert not cert.passed.any()
    assert cert.gap[0] > 1e-4
    assert sol.value.isfinite().all()


def test_seeds_are_problem_major():
    sol, cert = ufm.solve_certified([step(2.0), step(3.0)], seeds=2)
    assert sol.seeds == (0, 1, 0, 1)
    assert cert.passed.all()
    assert sol.problems[1] == sol.problems[0] != sol.problems[2]


def test_only_lbfgs_can_go_on():
    for method in (ufm.Newton(), ufm.ClosedForm(), ufm.GradientFlow()):
        with pytest.raises(
            ValueError, match=r"^method must be LBFGS to solve until certified, got"
        ):
            ufm.solve_certified(step(2.0), method)


def test_steps_count_all_that_led_to_the_point(monkeypatch):
    # Two loose steps, then Newton from there: not Newton's steps alone.
    monkeypatch.setattr(certified, "TIGHTER", ())
    method = ufm.LBFGS(gtol=1e-12, max_steps=2)
    first = ufm.solve(step(5.0), method, throw=False)
    polished = ufm.polish(first, ufm.Newton())
    sol, cert = ufm.solve_certified(step(5.0), method)
    assert cert.passed.all()
    assert torch.equal(sol.value, polished.value)
    assert torch.equal(sol.steps, 2 + polished.steps)


def test_going_on_adds_steps_and_moves_only_what_converged():
    loose, tight = ufm.LBFGS(gtol=1e-3), ufm.LBFGS(gtol=1e-5)
    first = ufm.solve([step(5.0), step(12.0)], loose)
    stuck = first.select(torch.arange(2))  # a copy: going on writes into it
    stuck.code.fill_(Status.STALLED.code)
    stuck.code[1] = Status.CONVERGED.code
    more = ufm.solve(first.problems, tight, start=first.point)
    assert (more.steps > 0).all()
    new = certified._continued(stuck, tight)
    assert new.steps.tolist() == [int(first.steps[0]), int(first.steps[1] + more.steps[1])]
    assert torch.equal(new.W, torch.stack([first.W[0], more.W[1]]))


def test_a_bound_replaces_none_and_another_start_is_another_start(monkeypatch):
    starts = []

    def solve(problems, method, **options):
        starts.append((method.start, options.get("seeds", ())))
        return ufm.solve(problems, method, **options)

    def without_bound(sol):
        cert = ufm.certify(sol)
        return replace(cert, gap=torch.full_like(cert.gap, float("nan")))

    monkeypatch.setattr(certified, "solve", solve)
    _, cert = ufm.solve_certified(step(2.0, d=6))
    # Below K - 1 dimensions the first start was the random one of seed 0.
    assert starts[-1][0] == "random"
    assert 0 not in starts[-1][1]
    assert not cert.passed.any()
    monkeypatch.setattr(certified, "first_certificate", without_bound)
    assert ufm.solve_certified(step(2.0))[1].passed.all()


def test_a_worse_attempt_is_dropped(monkeypatch):
    def worse(part):
        return replace(part, point=part.point._replace(W=0 * part.W))

    monkeypatch.setattr(certified, "_attempts", lambda _method: [(worse, ufm.certify)])
    problem = step(2.0, d=6)
    sol, cert = ufm.solve_certified(problem)
    assert torch.equal(sol.W, ufm.solve(problem).W)
    assert cert.gap[0] < 1
