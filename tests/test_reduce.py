"""Reductions: projections with an inverse, exact where they say so and not where they do not."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT

import ufm
from ufm._linalg import nuclear_norm
from ufm.objective import Objective, Point
from ufm.reduce import Blocks, BlockSymmetry, ClassMeans, Logits, NuclearForm


LOSSES = [ufm.CrossEntropy(), ufm.SquaredError(), ufm.DotRegression(s=2.0)]
RIDGE = ufm.WeightDecay(3e-3, 7e-3)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def step(K_A: int, K_B: int, R: int, d: int, **fields) -> ufm.Problem:
    return ufm.Problem(K=K_A + K_B, d=d, n=(R,) * K_A + (1,) * K_B, **fields)


def value(problem: ufm.Problem, x: Point) -> float:
    objective = Objective.stack([problem], x.H.shape[-1])
    return float(objective.value(Point(*(t.unsqueeze(0) for t in x)))[0])


class TestClassMeans:
    @given(n=st.lists(st.integers(1, 4), min_size=3, max_size=3), loss=st.sampled_from(LOSSES))
    def test_the_objective_does_not_increase_and_expanding_keeps_it(self, n, loss):
        problem = ufm.Problem(K=3, d=2, n=tuple(n), loss=loss, reg=RIDGE, bias=ufm.FreeBias())
        large = Point(normal(3, 2), normal(2, problem.N, seed=1), normal(3, seed=2))
        small = ClassMeans().apply(problem, large)
        expanded = ClassMeans().invert(problem, small)
        assert value(problem, small) <= value(problem, large) + 1e-14
        assert value(problem, expanded) == pytest.approx(value(problem, small), rel=EXACT)
        again = ClassMeans().apply(problem, expanded)
        torch.testing.assert_close(again.H, small.H, rtol=EXACT, atol=EXACT)

    @pytest.mark.parametrize("loss", LOSSES)
    def test_an_optimum_of_the_class_means_is_stationary_for_the_samples(self, loss):
        problem = ufm.Problem(K=3, d=3, n=(4, 2, 1), reg=RIDGE, loss=loss)
        small = ufm.polish(ufm.solve(problem)).point
        large = ClassMeans().invert(problem, small)
        gradient = Objective.stack([problem], problem.N).grad(large)
        assert max(float(part.abs().max()) for part in gradient) < EXACT

    def test_spheres_are_not_reduced(self):
        problem = ufm.Problem(K=3, d=2, n=(4, 2, 1), reg=ufm.Sphere())
        assert not ClassMeans().exact_for(problem)
        mean = ClassMeans().apply(problem, Point(normal(3, 2), normal(2, 7, seed=1), normal(3)))
        assert float(Objective.stack([problem], 3).infeasibility(
            Point(*(t.unsqueeze(0) for t in mean)))[0]) > 1e-3  # fmt: skip


class TestNuclearForm:
    @pytest.mark.parametrize(
        "reg", [RIDGE, ufm.ClassMeanDecay(3e-3, 7e-3), ufm.AverageBudget(3.0, 0.5)]
    )
    @pytest.mark.parametrize("d", [4, 7])
    def test_there_and_back(self, reg, d):
        problem = ufm.Problem(K=4, d=d, n=(9, 5, 2, 1), reg=reg)
        small = Logits(normal(4, 4), normal(4, seed=1))
        x = NuclearForm().invert(problem, small)
        assert x.W.shape == (4, d)
        torch.testing.assert_close(NuclearForm().apply(problem, x).Z, small.Z)
        torch.testing.assert_close(x.b, small.b)

    def test_the_ridge_becomes_a_nuclear_norm(self):
        problem = ufm.Problem(K=4, d=4, n=(9, 5, 2, 1), reg=RIDGE)
        Z = normal(4, 4)
        x = NuclearForm().invert(problem, Logits(Z, torch.zeros(4).double()))
        objective = Objective.stack([problem], 4)
        penalty = objective.penalty(Point(*(t.unsqueeze(0) for t in x)))[0]
        D = torch.tensor(problem.n, dtype=torch.float64).sqrt()
        expected = math.sqrt(3e-3 * 7e-3) * nuclear_norm(Z * D)
        assert float(penalty) == pytest.approx(float(expected), rel=EXACT)

    def test_budgets_are_used_equally_by_the_nuclear_norm(self):
        problem = ufm.Problem(K=4, d=4, n=(9, 5, 2, 1), reg=ufm.AverageBudget(3.0, 0.5))
        Z = normal(4, 4)
        Z = Z * problem.radius / nuclear_norm(Z)
        x = NuclearForm().invert(problem, Logits(Z, torch.zeros(4).double()))
        used = Objective.stack([problem], 4).used(Point(*(t.unsqueeze(0) for t in x)))
        for share in used:
            assert float(share[0, 0]) == pytest.approx(1, rel=EXACT)

    def test_an_optimum_is_balanced_already(self):
        problem = ufm.Problem(K=4, d=3, n=(9, 5, 2, 1), reg=RIDGE)
        sol = ufm.polish(ufm.solve(problem))[0]
        x = NuclearForm().invert(problem, NuclearForm().apply(problem, sol.point))
        assert value(problem, x) == pytest.approx(float(sol.value), rel=EXACT)
        torch.testing.assert_close(x.W @ x.W.mT, sol.geometry.gram_W, rtol=1e-8, atol=1e-8)

    def test_where_it_is_exact(self):
        exact = NuclearForm().exact_for
        assert exact(step(2, 2, 3, 3))
        assert not exact(step(2, 2, 3, 2))
        assert not exact(step(2, 2, 3, 3, loss=ufm.SquaredError()))
        assert exact(step(2, 2, 3, 4, loss=ufm.SquaredError()))
        assert not exact(step(2, 2, 3, 4, reg=ufm.VectorBudget()))
        assert not exact(step(2, 2, 3, 4, classifier=ufm.Fixed(ufm.SimplexETF())))
        assert not exact(step(2, 2, 3, 4, reg=ufm.WeightDecay(0.0, 0.0), loss=ufm.SquaredError()))

    def test_it_is_not_defined_without_penalty_or_average_budgets(self):
        with pytest.raises(ValueError, match="reg must be average budgets or ridges"):
            NuclearForm().invert(
                step(2, 2, 3, 4, reg=ufm.VectorBudget()), Logits(normal(4, 4), normal(4))
            )


class TestBlockSymmetry:
    PROBLEM = ufm.Problem(K=6, d=6, n=(7, 2, 7, 2, 2, 1), reg=ufm.AverageBudget(1, 4))

    def test_groups_have_equal_size_and_weight(self):
        assert BlockSymmetry.groups(self.PROBLEM) == ((0, 2), (1, 3, 4), (5,))
        weighted = ufm.Problem(K=3, d=3, n=(2, 2, 2), weights=(1.0, 3.0, 1.0))
        assert BlockSymmetry.groups(weighted) == ((0, 2), (1,))

    def test_there_and_back(self):
        small = Blocks(normal(2, 3), normal(2, 3, 3, seed=1), normal(2, 3, seed=2))
        small = small._replace(a=small.a * torch.tensor([1.0, 1.0, 0.0]).double())
        large = BlockSymmetry().invert(self.PROBLEM, small)
        assert large.Z.shape == (2, 6, 6)
        for ours, theirs in zip(BlockSymmetry().apply(self.PROBLEM, large), small, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=EXACT, atol=EXACT)

    def test_the_blocks_are_what_the_docstring_says(self):
        small = Blocks(normal(3), normal(3, 3, seed=1), normal(3, seed=2))
        Z, b = BlockSymmetry().invert(self.PROBLEM, small)
        assert float(Z[0, 0]) == pytest.approx(float(small.a[0] / 2 + small.M[0, 0]))
        assert float(Z[0, 2]) == pytest.approx(float(-small.a[0] / 2 + small.M[0, 0]))
        assert float(Z[0, 3]) == pytest.approx(float(small.M[0, 1]))
        assert float(Z[5, 1]) == pytest.approx(float(small.M[2, 1]))
        assert b[[1, 3, 4]].tolist() == [float(small.b[1])] * 3

    @given(seed=st.integers(0, 999), loss=st.sampled_from(LOSSES))
    def test_the_average_is_no_worse_in_risk_or_nuclear_norm(self, seed, loss):
        problem = ufm.Problem(K=6, d=6, n=self.PROBLEM.n, loss=loss, reg=self.PROBLEM.reg)
        objective = Objective.stack([problem], 6)
        large = Logits(2 * normal(6, 6, seed=seed), torch.zeros(6).double())
        average = BlockSymmetry().invert(problem, BlockSymmetry().apply(problem, large))
        risk = [float(objective.risk(x.Z.unsqueeze(0))[0]) for x in (average, large)]
        norm = [float(nuclear_norm(x.Z)) for x in (average, large)]
        assert risk[0] <= risk[1] + 1e-13
        assert norm[0] <= norm[1] * (1 + EXACT)

    def test_the_average_is_the_mean_over_all_permutations(self):
        problem = ufm.Problem(K=3, d=3, n=(2, 2, 1))
        Z = normal(3, 3)
        swap = torch.tensor([1, 0, 2])
        expected = (Z + Z[swap][:, swap]) / 2
        reduction = BlockSymmetry()
        large = Logits(Z, torch.zeros(3).double())
        got = reduction.invert(problem, reduction.apply(problem, large))
        torch.testing.assert_close(got.Z, expected, rtol=EXACT, atol=EXACT)

    def test_an_optimum_is_symmetric(self):
        sol = ufm.polish(ufm.solve(self.PROBLEM, ufm.LBFGS(start="random")))[0]
        reduction = BlockSymmetry()
        large = Logits(sol.Z, sol.b)
        average = reduction.invert(self.PROBLEM, reduction.apply(self.PROBLEM, large))
        torch.testing.assert_close(average.Z, sol.Z, rtol=1e-9, atol=1e-9)
