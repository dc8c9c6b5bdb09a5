"""Problems of many classes: on small ones the proofs of the dense code, on large closed forms."""

from __future__ import annotations

import functools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CERTIFIED, EXACT

import ufm
from ufm import objective as blocks
from ufm.large import certify_low_rank, group_optimum, proved_norm, solve_large
from ufm.large import norm as norm_module
from ufm.large.groups import Blocks, Groups
from ufm.large.low_rank import check
from ufm.objective import Objective
from ufm.reduce import Blocks as Means
from ufm.reduce import BlockSymmetry, Logits


def step(K: int, K_A: int, R: float, s: float, d: int | None = None) -> ufm.Problem:
    return ufm.Problem(
        K=K, d=d or K - 1, n=(1,) * K, weights=ufm.step_weights(K=K, K_A=K_A, R=R),
        reg=ufm.AverageBudget(1.0, s * s),
    )  # fmt: skip


def long_tail(K: int, s: float = 2.0, d: int | None = None) -> ufm.Problem:
    n = ufm.exponential_sizes(K=K, n_max=1000, rho=50)
    return ufm.Problem(K=K, d=d or K - 1, n=n, reg=ufm.AverageBudget(1.0, s * s))


GROUPED = ufm.Problem(K=7, d=6, n=(9, 9, 5, 5, 5, 2, 1), reg=ufm.AverageBudget(1.0, 2.0))


@functools.cache
def _grouped_optimum() -> float:
    return group_optimum(GROUPED).certificate.primal


class TestNorm:
    @pytest.mark.parametrize("K", [1, 2, 7, 30])
    def test_it_is_the_norm_and_never_below_it(self, K, monkeypatch):
        generator = torch.Generator().manual_seed(K)
        for decay in (0.0, 3.0, 30.0):
            Y = torch.randn(K, K + 3, generator=generator, dtype=torch.float64)
            Y = Y * torch.exp(-decay * torch.arange(K + 3) / K)
            exact = float(torch.linalg.matrix_norm(Y, 2))
            for dense in (2048, 0):
                monkeypatch.setattr(norm_module, "DENSE", dense)
                found = proved_norm(K, lambda Y=Y: Y.split(4, dim=1))
                assert exact * (1 - EXACT) <= found <= exact * (1 + 1e-11)

    def test_equal_singular_values_and_clusters_are_no_trouble(self, monkeypatch):
        monkeypatch.setattr(norm_module, "DENSE", 0)
        Q = torch.linalg.qr(
            torch.randn(60, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        ).Q
        for values in (torch.ones(60), 1 - 1e-9 * torch.arange(60)):
            Y = Q * values.double() @ Q.mT
            assert 1 - EXACT <= proved_norm(60, lambda Y=Y: [Y]) <= 1 + 1e-11

    def test_a_lower_estimate_is_refused_by_the_proof(self):
        A = torch.diag(torch.tensor([1.0, 0.5, 0.2]).double())
        assert norm_module.is_below(A, 1.0 + 1e-12)
        assert not norm_module.is_below(A, 1.0 - 1e-12)
        assert proved_norm(2, lambda: [torch.full((2, 2), float("nan")).double()]) == float("inf")


class TestLowRank:
    @pytest.mark.parametrize(
        ("problem", "start"),
        [(step(10, 5, 10.0, 5**0.5), "frame"), (long_tail(12), "frame"),
         (step(30, 5, 1e3, 0.2, d=9), "random"), (step(3, 1, 5.0, 1.0), "frame"),
         (ufm.Problem(K=2, d=1, n=(3, 1), reg=ufm.AverageBudget(2.0, 1.0)), "frame")],
        ids=lambda v: v if isinstance(v, str) else f"K={v.K},d={v.d}",
    )  # fmt: skip
    def test_it_proves_what_the_dense_certificate_does(self, problem, start, monkeypatch):
        monkeypatch.setattr(blocks, "BLOCK", 4 * problem.K)
        monkeypatch.setattr(norm_module, "DENSE", 0)
        for gtol in (1e-4, 3e-6, 1e-8):
            sol = ufm.solve(problem, ufm.LBFGS(gtol=gtol, start=start), throw=False)
            dense, large = ufm.certify(sol), certify_low_rank(sol)
            assert abs(large.primal - float(dense.primal)) < EXACT
            assert large.gap >= -large.margin
            # The dense one may also try ranks; the cap alone is as good near an optimum.
            assert large.gap <= float(dense.raw_gap) + EXACT
            assert abs(large.primal - large.dual - large.gap) < EXACT
        assert large.passed
        assert bool(dense.passed)

    @given(st.integers(0, 10_000), st.floats(0.1, 4.0))
    def test_weak_duality_at_any_point(self, seed, size):
        """No point has a bound above the optimum, and none above another point's value."""
        problem = long_tail(6, s=1.3, d=3)
        generator = torch.Generator().manual_seed(seed)
        W, H = size * torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
        found = certify_low_rank(ufm.Solution.from_arrays(problem, W, H.mT))
        best = float(ufm.solve(problem, ufm.LBFGS(start="random"), throw=False).value.min())
        assert found.dual <= best + found.margin
        assert found.gap >= 0
        assert abs(found.primal - found.dual - found.gap) < 1e-10

    def test_samples_cost_their_spread(self):
        problem = ufm.Problem(K=3, d=2, n=(5, 4, 2), reg=ufm.AverageBudget(1.0, 2.0))
        sol = ufm.solve(problem, ufm.GradientFlow(t_end=20.0, samples=2), throw=False)
        dense, large = ufm.certify(sol), certify_low_rank(sol)
        assert float(dense.gap) > 1e-6
        np.testing.assert_allclose(large.primal, float(dense.primal), rtol=EXACT)
        assert abs(large.primal - large.dual - large.gap) < EXACT
        assert large.dual <= float(dense.dual) + EXACT

    def test_no_bound_is_below_that_of_no_risk(self):
        # Logits of 20: the risk is 1e-14, and any other dual matrix proves nothing of that size.
        weights = tuple(100.0 ** -(k // 2) for k in range(8))
        problem = ufm.Problem(K=8, d=7, n=(1,) * 8, weights=weights, reg=ufm.AverageBudget(1, 2500))
        cert = certify_low_rank(ufm.solve(problem))
        assert 0 < cert.gap <= cert.primal < 1e-10
        assert cert.passed

    @pytest.mark.parametrize("size", [1e200, 1e-200])
    def test_a_point_out_of_range_is_told(self, size):
        problem = long_tail(5)
        sol = ufm.solve(problem)
        sol = replace(sol, point=sol.point._replace(W=size * sol.W))
        cert = certify_low_rank(sol)
        assert not cert.passed
        assert cert.dual <= float(sol.value[0])

    def test_a_wrong_point_and_other_models_are_refused(self):
        problem = long_tail(6)
        W, H = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0)).double()
        assert not certify_low_rank(ufm.Solution.from_arrays(problem, W, H.mT)).passed
        for other in (
            ufm.Problem(K=3, d=2, n=(1, 1, 1)),
            ufm.Problem(K=3, d=2, n=(1,) * 3, reg=ufm.AverageBudget(), bias=ufm.FreeBias()),
            ufm.Problem(K=3, d=3, n=(1,) * 3, reg=ufm.AverageBudget(), loss=ufm.SquaredError()),
        ):
            with pytest.raises(ValueError, match="problem must be cross-entropy"):
                solve_large(other)

    def test_one_problem_is_asked_for(self):
        unchecked = getattr(check, "__wrapped__", check)  # without the type checker of the tests
        with pytest.raises(ValueError, match=r"^problem must be one Problem, got list$"):
            unchecked([GROUPED])


class TestGroups:
    @pytest.mark.parametrize(
        "n", [(9, 9, 5, 5, 5, 2, 1), (4, 4, 4, 4), (3, 1), (8, 2, 8, 2, 2, 1), (5, 3, 2)]
    )
    def test_gradient_norm_and_proof_are_those_of_the_whole_matrix(self, n):
        problem = ufm.Problem(K=len(n), d=len(n), n=n, reg=ufm.AverageBudget(1.0, 3.0))
        model, K = Groups.of(problem), len(n)
        G = len(model.size)
        generator = torch.Generator().manual_seed(K)
        a = torch.where(model.size > 1, torch.rand(G, generator=generator).double(), 0.0)
        B = torch.randn(G, G, generator=generator, dtype=torch.float64)
        Z = Blocks(a, B)
        whole = _whole(problem, model, Z)
        gradient, _ = model.gradient(Z)
        objective = Objective.stack([problem], K)
        expected = objective.risk_grad(whole[None])[0]
        torch.testing.assert_close(
            _whole(problem, model, gradient), expected, rtol=EXACT, atol=EXACT
        )
        assert abs(float(objective.risk(whole[None])) - model.certify(Z).primal) < EXACT
        assert abs(model.inner(gradient, Z) - float((expected * whole).sum())) < EXACT

    @pytest.mark.parametrize(
        "problem",
        [step(10, 5, 10.0, 5**0.5), step(10, 5, 1e3, 5**0.5), step(8, 3, 50.0, 0.2),
         ufm.Problem(K=7, d=6, n=(9, 9, 5, 5, 5, 2, 1), reg=ufm.AverageBudget(1.0, 2.0)),
         ufm.Problem(K=6, d=5, n=(4,) * 6, reg=ufm.AverageBudget(3.0, 2.0))],
        ids=str,
    )  # fmt: skip
    def test_optimum_and_certificate_are_those_of_the_dense_code(self, problem):
        best = group_optimum(problem)
        sol = ufm.polish(ufm.solve(problem))
        cert = ufm.certify(sol)
        assert best.certificate.passed
        np.testing.assert_allclose(best.certificate.primal, float(cert.primal), rtol=EXACT)
        np.testing.assert_allclose(best.certificate.dual, float(cert.dual), rtol=1e-11)
        given = ufm.certify(ufm.Solution.from_arrays(problem, *best.factors()))
        assert bool(given.passed)
        assert best.rank == int(cert.rank)

    @given(seed=st.integers(0, 10_000), size=st.floats(0.01, 1.0))
    def test_weak_duality_at_any_blocks(self, seed, size):
        problem, optimum = GROUPED, _grouped_optimum()
        model = Groups.of(problem)
        generator = torch.Generator().manual_seed(seed)
        a = torch.randn(4, generator=generator, dtype=torch.float64)
        B = torch.randn(4, 4, generator=generator, dtype=torch.float64)
        a = torch.where(model.size > 1, a, 0.0)
        nuclear = float(((model.size - 1) * a.abs()).sum() + torch.linalg.svdvals(B).sum())
        scale = size * problem.radius / nuclear
        found = model.certify(Blocks(scale * a, scale * B))
        assert found.dual <= optimum + found.margin
        assert found.primal >= optimum - EXACT
        assert abs(found.primal - found.dual - found.gap) < 1e-11

    @pytest.mark.parametrize(
        ("K", "K_A", "R", "s"),
        [(1000, 500, 10.0, 5**0.5), (10_000, 20, 1e4, 0.01), (10_000, 5000, 10.0, 20.0),
         (100_000, 3, 1e5, 0.003)],
    )  # fmt: skip
    def test_any_number_of_classes_against_the_closed_form(self, K, K_A, R, s):
        best = group_optimum(step(K, K_A, R, s))
        exact = ufm.step_optimum(K_A, K - K_A, R=R, tau=K * s)
        assert best.certificate.passed
        np.testing.assert_allclose(best.certificate.primal, exact.value, rtol=1e-11)
        assert best.rank == int(exact.rank)


class TestSolve:
    def test_few_groups_are_used_and_their_point_certified_in_blocks(self, monkeypatch):
        monkeypatch.setattr(norm_module, "DENSE", 0)
        sol, cert = solve_large(step(500, 8, 1e4, 0.01, d=12))
        assert cert.passed
        assert sol.status == (ufm.Status.CONVERGED,)
        independent = certify_low_rank(sol)
        assert independent.passed
        assert abs(independent.primal - cert.primal) < 1e-11

    @pytest.mark.parametrize("dense", [2048, 0])
    def test_many_groups_go_to_the_full_solver(self, dense, monkeypatch):
        monkeypatch.setattr("ufm.large.solve.DENSE", dense)
        sol, cert = solve_large(long_tail(20))
        assert cert.passed
        assert abs(cert.primal - float(ufm.certify(sol).primal)) < EXACT
        assert abs(cert.norm - float(torch.linalg.matrix_norm(ufm.certify(sol).Y[0], 2))) < EXACT

    def test_a_dimension_below_the_rank_is_a_bound_and_no_proof(self):
        sol, cert = solve_large(step(12, 6, 2.0, 2.0, d=3))
        assert not cert.passed
        assert cert.dual < float(sol.value)
        with pytest.raises(ValueError, match="d must be at least the rank 11"):
            group_optimum(step(12, 6, 2.0, 2.0, d=3)).factors()

    def test_blocks_of_the_factors_change_no_number(self, monkeypatch):
        for problem in (
            long_tail(9), ufm.Problem(K=5, d=5, n=(4, 3, 2, 2, 1), bias=ufm.PenalisedBias(0.1)),
            ufm.Problem(K=4, d=4, n=(3, 2, 1, 1), classifier=ufm.Fixed(ufm.SimplexETF(1.0))),
        ):  # fmt: skip
            whole = ufm.solve(problem, ufm.LBFGS(gtol=1e-9, engine="tensors"), throw=False)
            with monkeypatch.context() as patch:
                patch.setattr(blocks, "BLOCK", 2 * problem.K)
                part = ufm.solve(problem, ufm.LBFGS(gtol=1e-9, engine="tensors"), throw=False)
            torch.testing.assert_close(part.value, whole.value, rtol=CERTIFIED, atol=0)
            torch.testing.assert_close(part.H, whole.H, rtol=0, atol=1e-6)

    @pytest.mark.slow
    def test_ten_thousand_classes_are_certified_in_blocks(self):
        """K = 10^4, d = 24: no K x K matrix but two in the proof of the norm."""
        code = (
            "import pathlib, ufm\n"
            "from ufm.large import certify_low_rank, solve_large\n"
            "K = 10_000\n"
            "problem = ufm.Problem(K=K, d=24, n=(1,) * K, reg=ufm.AverageBudget(1.0, 1e-4),\n"
            "                      weights=ufm.step_weights(K=K, K_A=20, R=1e4))\n"
            "cert = certify_low_rank(solve_large(problem)[0])\n"
            "status = pathlib.Path('/proc/self/status').read_text()\n"
            "peak = int(status.split('VmHWM:')[1].split()[0]) / 1024\n"
            "print(cert.primal, cert.dual, cert.gap, cert.passed, peak)\n"
        )
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        primal, dual, gap, passed, peak = out.stdout.split()
        exact = float(ufm.step_optimum(20, 9980, R=1e4, tau=100.0).value)
        assert passed == "True"
        assert float(dual) <= exact + CERTIFIED
        assert abs(float(primal) - exact) <= max(float(gap), 0) + CERTIFIED
        assert float(peak) < 3500

    @pytest.mark.slow
    def test_lbfgs_in_blocks_reaches_a_low_rank_optimum(self):
        problem = step(1500, 20, 1e4, 0.01, d=24)
        sol = ufm.solve(problem, ufm.LBFGS(memory=8, start="random", gtol=1e-8), throw=False)
        cert = certify_low_rank(sol)
        exact = float(ufm.step_optimum(20, 1480, R=1e4, tau=15.0).value)
        assert cert.passed
        assert abs(cert.primal - exact) < CERTIFIED


def _whole(problem: ufm.Problem, model: Groups, X: Blocks) -> torch.Tensor:
    root = (model.size.unsqueeze(-1) * model.size).sqrt()
    blocks = Means(X.a, X.B / root, torch.zeros_like(X.a))
    logits = BlockSymmetry().invert(problem, blocks)
    assert isinstance(logits, Logits)
    return logits.Z
