"""Predictions for multi-center models: closed optima, thresholds, limits; what is not covered."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CERTIFIED, EXACT
from torch.testing import assert_close

from proofs_check.catalogue import center_problem
from proofs_check.papers import registered
from proofs_check.yan2024_simulations import median_gap
from ufm import certify, claims, cosines, distance, norms, polish, predict, solve
from ufm.claims import ClaimStatus, EvidenceKind, Kind
from ufm.geometry.specs import MultiCenter, OrthogonalFrame
from ufm.losses import CenterSquaredError
from ufm.problem import ClassMeanDecay, Fixed, FreeBias, WeightDecay
from ufm.theory import center_optimum, diagonal_pair
from ufm.theory.yan2024 import survival_numbers


SIZES = (40, 20, 8, 3)
IDS = [id for id in claims.registry() if id.startswith("yan2024.")]


def ids(problem) -> list[str]:
    return [p.claim.id for p in predict(problem) if p.value is not None]


def predicted(problem, id: str):
    return claims.get(id).predict(problem)


@given(
    f=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    theta=st.floats(0.0, math.pi / 2),
    lam=st.tuples(st.floats(1e-3, 0.3), st.floats(1e-3, 0.3)),
    fixed=st.booleans(),
)
def test_prediction_is_stationary_and_has_its_value(f, theta, lam, fixed):
    """Objective and gradient of the package at the predicted point; a gradient by other code."""
    n = tuple(range(2 * len(f), 0, -2))
    problem = center_problem(tuple(f), n, lam, theta=theta, fixed=fixed)
    found = predicted(problem, "yan2024.cor37" if fixed else "yan2024.survival")
    loss = problem.loss
    W = norms(found.geometry.gram_W).diag()
    H = norms(found.geometry.gram_H).diag()
    W.requires_grad_()
    H.requires_grad_()
    labels, pi = torch.arange(len(f)), torch.tensor(problem.pi, dtype=torch.float64)
    value = (pi * loss.value(W @ H, labels)).sum() + lam[1] / 2 * (
        torch.tensor(n) * H.square().sum(0)
    ).sum()
    value = value + (0 if fixed else lam[0] / 2) * W.square().sum()
    assert float(value.detach()) == pytest.approx(found.value, rel=CERTIFIED)
    variables = (H,) if fixed else (W, H)
    for gradient in torch.autograd.grad(value, variables):
        assert float(gradient.abs().max()) < CERTIFIED


@pytest.mark.parametrize("theta", [0.0, 0.4, math.pi / 2])
def test_two_classes_with_one_sample_each_against_the_solver(theta):
    for problem in (
        center_problem((1, 4), (1, 1), (0.05, 0.02), theta=theta),
        center_problem((1, 4), (1, 1), (0.0, 0.3), theta=theta, fixed=True),
    ):
        solution = polish(solve(problem))[0]
        assert bool(certify(solution).passed)
        (found,) = [p for p in predict(problem) if p.value is not None]
        assert float(solution.value) == pytest.approx(found.value, rel=CERTIFIED)
        assert float(distance(solution.geometry, found.geometry)) < CERTIFIED


def test_survival_lists_the_classes_that_vanish():
    problem = center_problem((3,) * 4, SIZES, (0.1, 0.01))
    found = predicted(problem, "yan2024.survival")
    assert "[2, 3]" in found.note
    assert found.numbers["threshold"] == pytest.approx(45.369, abs=1e-3)
    assert found.numbers["index_0"] == pytest.approx(129.47, abs=6e-3)
    rows = norms(found.geometry.gram_W)
    assert rows[2:].tolist() == [0.0, 0.0]
    assert float(rows[:2].min()) > 0
    angles = cosines(found.geometry.gram_W)
    assert float(angles[0, 1]) == 0.0
    assert angles[2].isnan().all()
    assert (
        "none" in predicted(center_problem((1, 2, 3, 6), SIZES, (0.1, 0.01)), found.claim.id).note
    )


@pytest.mark.parametrize("factor", [0.999, 1.0, 1.001])
def test_balanced_threshold(factor):
    """K sqrt(n lam_H lam_W) = cos(alpha), and theorem 3.3 agrees with the class-by-class form."""
    cos_alpha = math.sqrt((math.cos(0.2) ** 2 + 3 * math.sin(0.2) ** 2) / 3)
    lam = factor * cos_alpha / (4 * math.sqrt(10))
    problem = center_problem((3,) * 4, (10,) * 4, (lam, lam))
    assert ids(problem) == ["yan2024.survival", "yan2024.thm33"]
    printed, ours = predicted(problem, "yan2024.thm33"), predicted(problem, "yan2024.survival")
    assert printed.value == ours.value
    assert printed.value == pytest.approx(0.5, abs=1e-6)
    alive = bool(norms(printed.geometry.gram_W).max() > 1e-7)
    assert alive == (factor < 1)
    ratio = survival_numbers(problem)
    assert ratio["index_0"] / ratio["threshold"] == pytest.approx(factor**-2, rel=EXACT)


def test_no_class_size_in_the_length_but_through_the_sum():
    """|h_k| of the fixed frame depends on n_k only through S (Corollary 3.7)."""
    one = predicted(center_problem((2, 3), (6, 2), (0.0, 0.1), fixed=True), "yan2024.cor37")
    other = predicted(center_problem((2, 3), (3, 4), (0.0, 0.1), fixed=True), "yan2024.cor37")
    assert float(distance(one.geometry, other.geometry)) < EXACT
    assert one.value != pytest.approx(other.value, rel=1e-3)


def test_single_centers_are_orthonormal_regression():
    """F = 1 for all classes: the frame's angle drops out."""
    values = [
        predicted(center_problem((1, 1, 1), (5, 3, 2), (2e-3, 1e-2), theta=t), "yan2024.survival")
        for t in (0.0, 0.6, math.pi / 2)
    ]
    assert all(v.value == pytest.approx(values[0].value, rel=EXACT) for v in values)


def test_both_spellings_of_an_orthonormal_classifier():
    plain = center_problem((1, 2), (4, 2), (0.0, 0.1), fixed=True, d=5)
    frame = Fixed(MultiCenter((1, 2), 0.2))
    both = [plain, dataclasses.replace(plain, classifier=frame)]
    assert [ids(p) for p in both] == [["yan2024.cor37"]] * 2
    scaled = dataclasses.replace(plain, classifier=Fixed(OrthogonalFrame(2.0)))
    assert ids(scaled) == []


@pytest.mark.parametrize(
    "change",
    [
        {"weights": (2.0, 1.0)},
        {"loss": CenterSquaredError((1, 2), 0.2)},
        {"bias": FreeBias()},
        {"reg": ClassMeanDecay(0.01, 0.01)},
        {"reg": WeightDecay(0.01, 0.0)},
        {"d": 1},
    ],
    ids=["weights", "mean centers", "bias", "ridge per mean", "no ridge", "d"],
)
def test_what_the_theorems_do_not_cover(change):
    problem = center_problem((1, 2), (4, 2), (0.01, 0.01))
    assert ids(problem) == ["yan2024.survival"]
    assert ids(dataclasses.replace(problem, **change)) == []


def test_diagonal_pair_is_that_of_explicit_vectors():
    pair = diagonal_pair((4.0, 0.0), (9.0, 0.0))
    assert pair.Z.tolist() == [[6.0, 0.0], [0.0, 0.0]]
    assert float(pair.within) == 0.0


def test_fixed_and_learnable_optima_meet_at_unit_norms():
    """Where the learnable rows come out of norm one, the fixed frame has the same features."""
    f, n, lam_H = (2, 2), (5, 5), 0.02

    def excess(lam_W: float) -> float:
        return float(center_optimum(f, n, theta=0.3, lam_H=lam_H, lam_W=lam_W).w_norm[0]) - 1

    low, high = 1e-4, 1.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    free = center_optimum(f, n, theta=0.3, lam_H=lam_H, lam_W=low)
    fixed = center_optimum(f, n, theta=0.3, lam_H=lam_H)
    assert_close(free.h_norm, fixed.h_norm, rtol=CERTIFIED, atol=0)
    # The learnable value has the ridge on two unit rows besides.
    assert float(free.value) == pytest.approx(float(fixed.value) + low, rel=CERTIFIED)


def test_printed_statements_that_fail_are_repaired_by_ours():
    registry = claims.registry()
    failing = [id for id in IDS if registry[id].fails]
    assert failing == [
        "yan2024.thm34",
        "yan2024.cosine-gradient-printed",
        "yan2024.propc1",
        "yan2024.counts-steps",
    ]
    for id in failing:
        repaired = registry[registry[id].repaired_by]
        assert repaired.kind is Kind.OURS
        assert repaired.steps


def test_status_with_all_symbolic_checks_passing_is_symbolic():
    """Every true claim settles all its steps, and rests on claims that do."""
    records = [
        claims.Evidence(c.claim, c.name, c.kind, c.domain, True, c.steps) for c in registered()
    ]
    for id in IDS:
        expected = ClaimStatus.REFUTED if claims.get(id).fails else ClaimStatus.SYMBOLIC
        assert claims.status(claims.get(id), records) is expected, id
        if claims.get(id).fails:
            kinds = {r.kind for r in records if r.claim == id}
            assert kinds == {EvidenceKind.COUNTEREXAMPLE}


@pytest.mark.parametrize(("f", "other"), [(1, 1), (4, 4)])
def test_median_gap_of_equal_groups_is_zero(f, other):
    assert abs(median_gap(f, other)) < EXACT


def test_median_gap_of_one_against_two():
    """X - max(Y, Y'): P(X > max + m) = 1/2 at the median, checked by another quadrature."""
    m = median_gap(2, 1)
    x = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    density = torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    below = float((density * torch.special.ndtr(x + m) ** 2).sum())  # P(max(X, X') < Y + m)
    assert below == pytest.approx(0.5, abs=CERTIFIED)
    assert median_gap(1, 2) == pytest.approx(-m, abs=EXACT)
