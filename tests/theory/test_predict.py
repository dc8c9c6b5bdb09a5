"""Predictions: reference values, agreement between claims, boundaries."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CERTIFIED, EXACT

from proofs_check.catalogue import CASES, ridge_problem, step_problem
from ufm import claims, cosines, distance, norms, predict, solvers
from ufm.geometry import Geometry, etf
from ufm.problem import AverageBudget, Problem, VectorBudget, WeightDecay
from ufm.theory import balanced_factors, etf_pair


def predicted(id: str, problem: Problem):
    return claims.get(id).predict(problem)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_predictions_of_a_case_agree_with_each_other_and_the_reference(case):
    found = predict(case.problem)
    values = [p.value for p in found if p.value is not None]
    geometries = [p.geometry for p in found if p.geometry is not None and p.unique]
    for value in values:
        assert value == pytest.approx(values[0], rel=EXACT, abs=EXACT)
        # Reference values have ten decimals or more.
        assert case.value is None or value == pytest.approx(case.value, abs=1e-10)
    for geometry in geometries:
        assert float(distance(geometry, geometries[0])) < CERTIFIED


def test_statements_that_fail_are_not_predicted():
    for case in CASES:
        assert not any(p.claim.fails for p in predict(case.problem))


def test_nothing_is_known_of_an_unequal_profile_in_closed_form():
    problem = Problem(K=3, d=3, n=(5, 3, 1), reg=AverageBudget())
    assert not [p for p in predict(problem) if p.value is not None]


def test_etf_pair_is_that_of_explicit_frames():
    W, H = 2**0.5 * etf(5, 4), 3**0.5 * etf(5, 4).mT
    expected = Geometry.of(W, H, torch.arange(5))
    assert float(distance(etf_pair(5, norm2_W=2.0, norm2_H=3.0), expected)) < EXACT


def test_balanced_factors_reproduce_given_factors():
    # W = c^(1/2) U S^(1/2), H D^(1/2) = c^(-1/2) S^(1/2) V' for a random Z and D.
    generator = torch.Generator().manual_seed(0)
    Z = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    D, c = (1.0, 2.0, 5.0, 3.0), 1.7
    root = torch.tensor(D, dtype=torch.float64).sqrt()
    U, S, Vh = torch.linalg.svd(Z * root)
    W = c**0.5 * U * S.sqrt()
    H = c**-0.5 * S.sqrt().unsqueeze(-1) * Vh / root
    expected = Geometry.of(W, H, torch.arange(4))
    assert float(distance(balanced_factors(Z, c, column_weights=D), expected)) < EXACT


@pytest.mark.parametrize("K", [2, 3, 7])
def test_both_ridges_agree_when_each_class_has_one_sample(K):
    per_sample = predicted("zhu2021.global-etf", ridge_problem((1,) * K, (0.01, 0.02)))
    per_mean = predicted("zhu2021.global-etf", ridge_problem((1,) * K, (0.01, 0.02), per_mean=True))
    assert per_sample.value == per_mean.value
    assert float(distance(per_sample.geometry, per_mean.geometry)) == 0.0


def test_more_samples_are_a_weaker_ridge():
    # n -> 4 n with lam_H -> lam_H / 4 changes nothing but the norms of W and H.
    few = predicted("zhu2021.global-etf", ridge_problem((2,) * 4, (0.01, 0.02)))
    many = predicted("zhu2021.global-etf", ridge_problem((8,) * 4, (0.01, 0.005)))
    assert few.value == pytest.approx(many.value, rel=EXACT)
    assert few.numbers["a"] == pytest.approx(many.numbers["a"], rel=EXACT)


def test_threshold_and_etf_divide_the_ridge_models():
    K = 4
    for factor, id in ((0.999, "zhu2021.global-etf"), (1.001, "zhu2021.threshold")):
        ids = [p.claim.id for p in predict(ridge_problem((1,) * K, factor / K))]
        assert id in ids
        assert len({"zhu2021.global-etf", "zhu2021.threshold"} & set(ids)) == 1


def test_reference_row_of_the_step_optimum():
    geometry = predicted("fang2021.step", step_problem(5, 5, 10.0, (1.0, 5.0))).geometry
    assert float(cosines(geometry.gram_W)[8, 9]) == pytest.approx(0.51749628, abs=1e-8)
    assert float(norms(geometry.gram_W)[0] ** 2) == pytest.approx(1.805860, abs=1e-6)
    assert float(norms(geometry.gram_H)[9] ** 2 / 5) == pytest.approx(0.152760, abs=1e-6)


def test_vanishing_appears_at_its_threshold():
    R_1 = float(solvers.R1(7, 3, 10 * math.sqrt(5.0)))
    claim = claims.get("fang2021.r1")
    assert not claim.applies(step_problem(7, 3, 0.999 * R_1, (1.0, 5.0)))
    problem = step_problem(7, 3, 1.001 * R_1, (1.0, 5.0))
    step = predicted("fang2021.step", problem)
    vanished = claim.predict(problem)
    assert vanished.value == pytest.approx(step.value, rel=EXACT)
    assert float(distance(vanished.geometry, step.geometry)) < CERTIFIED


@given(
    K_A=st.integers(2, 6), K_B=st.integers(2, 6), R=st.floats(1.01, 50.0), E=st.floats(0.05, 5.0)
)
def test_step_predictions_are_feasible_and_consistent(K_A, K_B, R, E):
    problem = step_problem(K_A, K_B, R, (E, 2 * E))
    step = predicted("fang2021.step", problem)
    traces = [gram.diagonal().sum() for gram in (step.geometry.gram_W, step.geometry.gram_H)]
    assert float(traces[0]) == pytest.approx(problem.K * E, rel=CERTIFIED)
    assert float(traces[1]) == pytest.approx(problem.K * 2 * E, rel=CERTIFIED)
    merged = predicted("fang2021.r0", problem).numbers["merged"]
    rows = step.geometry.gram_W
    gap = float(rows[-1, -1] - rows[-1, -2])
    assert (gap <= 1e-9 * E) == bool(merged) or abs(
        R / predicted("fang2021.r0", problem).numbers["R_0"] - 1
    ) < 1e-6


def test_per_vector_norms_are_kept():
    problem = Problem(
        K=5, d=5, n=(1,) * 5, reg=VectorBudget(2.0, 0.5), weights=(40.0, 40.0, 40.0, 1.0, 1.0)
    )
    prediction = predicted("yang2022.two-angle", problem)
    assert prediction.numbers["merged"] == 1.0
    torch.testing.assert_close(
        norms(prediction.geometry.gram_W) ** 2, torch.full((5,), 2.0).double()
    )
    torch.testing.assert_close(
        norms(prediction.geometry.gram_H) ** 2, torch.full((5,), 0.5).double()
    )


def test_group_by_group_note_names_the_merged_sizes():
    problem = ridge_problem((30, 30, 4, 4, 4), 1.01 * 2 / 72)
    prediction = predicted("hong2024.minority-threshold", problem)
    assert "the classes of size 4" in prediction.note
    assert isinstance(problem.reg, WeightDecay)


@pytest.mark.parametrize(
    ("reg", "weights"),
    [
        (VectorBudget(200.0, 200.0), None),
        (AverageBudget(1e-150, 1e-150), None),
        (AverageBudget(1e150, 1e150), None),
        (AverageBudget(), (1e301, 1e301, 1.0, 1.0)),
        (VectorBudget(), (1e301, 1e301, 1.0, 1.0)),
        (WeightDecay(1e-320, 1e-320), None),
    ],
)
def test_extreme_numbers_are_predicted_or_said_to_be_beyond_range(reg, weights):
    for n in ((5, 5, 1, 1), (1, 1, 1, 1)):
        found = predict(Problem(K=4, d=4, n=n, reg=reg, weights=weights))
        assert all(p.value is None or math.isfinite(p.value) for p in found)
        assert all(p.note for p in found)


def test_thresholds_beyond_the_range_are_their_limits():
    def numbers(id, E):
        return predicted(id, Problem(K=4, d=4, n=(5, 5, 1, 1), reg=AverageBudget(E, E))).numbers

    assert numbers("fang2021.r0", 1e-150)["R_0"] == 1.0
    assert numbers("fang2021.r0", 1e150)["R_0"] == math.inf
    assert numbers("fang2021.r1", 1e-150)["R_1"] == 1.0


def test_a_scale_is_predicted_where_the_product_of_the_ridges_underflows():
    problem = ridge_problem((1,) * 4, (1e-200, 1e-200))
    expected = -math.log(1e-200)
    assert predicted("zhu2021.global-etf", problem).numbers["a"] == pytest.approx(
        expected, rel=EXACT
    )
