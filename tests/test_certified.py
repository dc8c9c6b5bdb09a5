"""Solving until certified: hard instances are retried, hopeless ones keep their gap."""

import torch
from tolerances import CERTIFIED, EXACT

import ufm


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
