"""Predictions for hierarchy-aware frames: levels, margins, emergence; where they do not hold."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from descent import degrees, minimise, near, on_sphere
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CERTIFIED, EXACT
from torch.testing import assert_close
from trees import MIXED, balanced, caterpillar, flat, random_tree

import ufm
from ufm import claims, theory
from ufm.geometry import Exponential, HAFrame, Linear, Table, frame
from ufm.hierarchy import Tree, load
from ufm.losses import CrossEntropy, SoftTargets
from ufm.theory.liang2023 import all_distinct, is_simplex
from ufm.theory.liang2023_shrunk import falling_root
from ufm.theory.tree_levels import Levels


TREES = {
    "flat": flat(8),
    "balanced": balanced(2, 3),
    "caterpillar": caterpillar(8),
    "mixed": Tree.from_nested(MIXED),
}
RIDGE, BUDGET = "liang2023.calibrated-ridge", "liang2023.calibrated-budget"
FIXED, EMERGES = "liang2023.calibrated-fixed", "liang2023.calibrated-emerges"


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def spec(name: str, **kwargs) -> HAFrame:
    return HAFrame(TREES[name], Exponential(2.0), **kwargs)


def model(tree: Tree, beta: float, reg: ufm.WeightDecay | ufm.ClassMeanDecay | ufm.AverageBudget,
          **kwargs) -> ufm.Problem:  # fmt: skip
    loss = SoftTargets(HAFrame(tree, Exponential(2.0)), beta)
    K = tree.K
    return ufm.Problem(**{"K": K, "d": K, "n": (1,) * K, "loss": loss, "reg": reg} | kwargs)


def applying(problem: ufm.Problem) -> set[str]:
    return {p.claim.id for p in ufm.predict(problem) if p.claim.id.startswith("liang2023")}


def test_levels_of_symmetric_trees_only():
    levels = Levels.of(spec("balanced"))
    assert levels is not None
    assert (levels.sizes, levels.labels) == ((1, 2, 4, 8), (0, 1, 2, 3))
    assert (levels.shares, levels.dimensions) == ((1, 1, 2, 4), (4, 2, 1))
    assert Levels.of(spec("mixed")) is None
    assert Levels.of(spec("caterpillar")) is None
    assert Levels.of(HAFrame(Tree.from_nested([[0, 1], [2, 3, 4]]), Linear())) is None
    # Single children make no level, but count in the distance.
    chained = HAFrame(Tree.from_nested([[[0, 1]], [[2, 3]]]), Linear())
    found = Levels.of(chained)
    assert found is not None
    assert (found.sizes, found.labels) == ((1, 2, 4), (0, 1, 3))


@pytest.mark.parametrize("arities", [(4,), (2, 3), (3, 2), (2, 3, 2), (3, 3, 2)])
def test_spectrum_is_that_of_the_matrix(arities):
    nested: list = list(range(math.prod(arities)))
    for arity in arities:
        nested = [nested[i : i + arity] for i in range(0, len(nested), arity)]
    tree = HAFrame(Tree.from_nested(nested[0]), Exponential(1.0))
    levels = Levels.of(tree)
    assert levels is not None
    entries = torch.rand(len(arities) + 1, generator=torch.Generator().manual_seed(0)).double()
    M = theory.level_matrix(tree, levels, entries.tolist())
    P = theory.centring(tree.tree.K)
    expected = [0.0]
    for theta, dimension in zip(levels.spectrum(entries.tolist()), levels.dimensions, strict=True):
        expected += [theta] * dimension
    found = torch.linalg.eigvalsh(P @ M @ P)
    assert_close(found, double(expected).sort().values, rtol=0, atol=EXACT)
    # Column sums scaled to one, the entries come back from the spectrum.
    entries = entries / sum(m * x for m, x in zip(levels.shares, entries, strict=True))
    again = levels.probabilities(levels.spectrum(entries.tolist()))
    assert_close(double(again), entries, rtol=0, atol=EXACT)


def test_numbers_on_the_page_of_heads():
    levels = Levels.of(HAFrame(load("cifar100_superclasses"), Exponential(2.0)))
    assert levels is not None
    page = (Path(__file__).parents[2] / "docs" / "heads.md").read_text("utf-8")
    for beta in (2, 5, 8):
        targets = levels.targets(beta)
        cells = [f"{targets[0]:.3f}", *(f"{t:.4f}" for t in targets[1:])]
        cells += [f"{theta:.3f}" for theta in levels.spectrum(targets)]
        assert f"| {beta} | {' | '.join(cells)} |" in page


def test_hard_targets_give_the_scale_of_the_ridge_etf():
    problem = model(flat(5), 500.0, ufm.ClassMeanDecay(0.01, 0.02))
    hard = ufm.Problem(K=5, d=5, n=(1,) * 5, reg=ufm.ClassMeanDecay(0.01, 0.02))
    soft = claims.get(RIDGE).predict(problem)
    etf = claims.get("zhu2021.global-etf").predict(hard)
    assert float(ufm.distance(soft.geometry, etf.geometry)) < CERTIFIED
    assert soft.value == pytest.approx(etf.value, rel=CERTIFIED)


@given(st.floats(0.3, 8.0), st.floats(1e-4, 0.3))
def test_predicted_optimum_passes_the_certificate(beta, lam):
    """The rows rebuilt from the predicted geometry have no gap: no solver is involved."""
    problem = model(balanced(2, 2), beta, ufm.ClassMeanDecay(lam, 2 * lam))
    prediction = claims.get(RIDGE).predict(problem)
    U, S, Vh = torch.linalg.svd(prediction.geometry.Z)
    W, H = 2**0.25 * U * S.sqrt(), 2**-0.25 * S.sqrt().unsqueeze(-1) * Vh
    cert = ufm.certify(ufm.Solution.from_arrays(problem, W.numpy(), H.numpy()))
    assert float(cert.gap) < CERTIFIED
    assert float(cert.primal) == pytest.approx(prediction.value, abs=EXACT)


def test_levels_vanish_at_their_thresholds_from_fine_to_coarse():
    numbers = claims.get(RIDGE).predict(model(balanced(2, 3), 1.0, ufm.ClassMeanDecay())).numbers
    thresholds = [numbers[f"threshold_{level}"] for level in (1, 2, 3)]
    assert thresholds == sorted(thresholds)
    expected = double([0.019545888, 0.031016929, 0.039889899])
    assert_close(double(thresholds), expected, rtol=0, atol=1e-9)  # digits given
    for surviving, lam in zip((3, 2, 1, 0), (0.01, *(1.01 * x for x in thresholds)), strict=True):
        problem = model(balanced(2, 3), 1.0, ufm.ClassMeanDecay(lam, lam))
        Z = claims.get(RIDGE).predict(problem).geometry.Z
        assert int(torch.linalg.matrix_rank(Z, atol=1e-9)) == (0, 1, 3, 7)[surviving]


def test_budgets_meet_ridges_and_the_exact_fit():
    tree, beta = balanced(2, 3), 2.0
    ridge = claims.get(RIDGE).predict(model(tree, beta, ufm.ClassMeanDecay(0.01, 0.01)))
    radius = float(ridge.geometry.Z.trace())
    problem = model(tree, beta, ufm.AverageBudget(radius / 8, radius / 8))
    budget = claims.get(BUDGET).predict(problem)
    assert budget.numbers["kappa"] == pytest.approx(0.01, rel=CERTIFIED)
    assert float(ufm.distance(budget.geometry, ridge.geometry)) < CERTIFIED
    for E, expected in ((1.99, BUDGET), (2.0, EMERGES), (2.01, EMERGES)):
        found = applying(model(tree, beta, ufm.AverageBudget(E, E)))
        assert found & {BUDGET, EMERGES} == {expected}
    # Unequal shares of the risk leave the symmetric form, but not the exact fit.
    weights = (2.0, *(1.0,) * 7)
    assert applying(model(tree, beta, ufm.AverageBudget(1, 1), weights=weights)) == set()


def test_which_claims_apply_to_which_model():
    ball = ufm.VectorBudget(1.0, 16.0)
    mixed = spec("mixed")
    shared = {"K": 8, "d": 8, "n": (3,) * 8, "reg": ball, "classifier": ufm.Fixed(mixed)}
    assert applying(ufm.Problem(**shared)) == {"liang2023.ce-frame", "liang2023.max-margin"}
    for beta, expected in ((4.0, {FIXED}), (4.1, set())):
        assert applying(ufm.Problem(loss=SoftTargets(mixed, beta), **shared)) == expected
    other = SoftTargets(HAFrame(TREES["mixed"], Exponential(2.1)), 4.0)
    assert applying(ufm.Problem(loss=other, **shared)) == set()


@pytest.mark.parametrize(
    ("s", "d", "E_H", "unique"),
    [(None, 7, 25.0, True), (None, 8, 25.0, False), (None, 8, 16.0, True), (0.1, 8, 16.0, False)],
)
def test_fixed_targets_say_when_the_minimiser_is_unique(s, d, E_H, unique):
    frame = spec("mixed", s=s)
    problem = ufm.Problem(K=8, d=d, n=(1,) * 8, loss=SoftTargets(frame, 4.0),
                          reg=ufm.VectorBudget(1.0, E_H), classifier=ufm.Fixed(frame))  # fmt: skip
    assert claims.get(FIXED).predict(problem).unique == unique


def test_above_s_min_shorter_features_fit_too():
    """The negative control of uniqueness: with 1 in the range of W all logits can be shifted."""
    above = spec("mixed", s=0.1)
    W, loss = frame(above, 8, 8), SoftTargets(above, 4.0)
    shift = torch.linalg.solve(W, torch.ones(8).double())
    H = 4 * W.mT - 0.5 * shift.unsqueeze(-1)
    assert float(loss.value(W @ H, torch.arange(8)).max()) < 1e-20
    assert float(H.norm(dim=0).max()) < 4.0


def test_which_frames_are_the_simplex():
    assert is_simplex(spec("flat"))
    assert not is_simplex(spec("flat", s=0.0))
    assert not is_simplex(spec("balanced"))
    assert is_simplex(HAFrame(Tree.from_nested([[[0]], 1, [2]]), Linear(), convention="depth"))
    # Equal similarities at both levels make a flat frame of a tree; classes may coincide.
    assert is_simplex(HAFrame(balanced(2, 2), Table((1.0, 0.3, 0.3))))
    merged = HAFrame(balanced(2, 2), Table((1.0, 1.0, 0.3)))
    assert not all_distinct(merged)
    reg = ufm.VectorBudget()
    assert not applying(ufm.Problem(K=4, d=4, n=(1,) * 4, reg=reg, classifier=ufm.Fixed(merged)))


@pytest.mark.parametrize("name", list(TREES))
def test_cross_entropy_turns_to_the_largest_margin(name):
    """L-BFGS on the direction against the quadratic programme, and cvxpy where installed."""
    W = frame(spec(name), 8, 7)
    best, margin = theory.max_margin(W)
    for radius, limit in ((100.0, 2.0), (1000.0, 0.2)):

        def objective(H, radius=radius):
            Z = radius * W @ on_sphere(H, 1.0).mT
            others = (Z - Z.diagonal()).masked_fill(torch.eye(8).bool(), -torch.inf)
            return others.logsumexp(0).sum() / radius

        H = minimise(objective, near(W), steps=3000)
        assert degrees(H, best) < limit
        chord2 = (on_sphere(H, 1.0) - best).square().sum(-1)
        assert (chord2 <= 4 * math.log(7) / (radius * margin)).all()
    Z = W @ best.mT
    worst = (Z.diagonal() - Z.masked_fill(torch.eye(8).bool(), -torch.inf)).amin(0)
    assert_close(worst, margin, rtol=EXACT, atol=EXACT)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        u = on_sphere(best + 0.1 * torch.randn(8, 7, generator=generator).double(), 1.0)
        Z = W @ u.mT
        assert ((Z.diagonal() - Z.masked_fill(torch.eye(8).bool(), -torch.inf)).amin(0)
                < margin).all()  # fmt: skip


def test_margins_against_a_convex_solver():
    cvxpy = pytest.importorskip("cvxpy")
    W = frame(HAFrame(random_tree(7, 3), Exponential(1.5)), 7, 6)
    directions, margins = theory.max_margin(W)
    for y in range(7):
        u = cvxpy.Variable(6)
        rows = (W[y] - torch.cat([W[:y], W[y + 1 :]])).numpy()
        problem = cvxpy.Problem(cvxpy.Maximize(cvxpy.min(rows @ u)), [cvxpy.norm(u) <= 1])
        problem.solve(solver="CLARABEL")
        assert problem.value == pytest.approx(float(margins[y]), rel=1e-7)  # Clarabel's accuracy
        assert float((torch.from_numpy(u.value) - directions[y]).norm()) < 1e-4


@pytest.mark.parametrize("name", list(TREES))
def test_predicted_chord_holds_and_rows_have_no_larger_margin(name):
    radius = 30.0
    problem = ufm.Problem(K=8, d=7, n=(1,) * 8, reg=ufm.VectorBudget(1.0, radius**2),
                          classifier=ufm.Fixed(spec(name)))  # fmt: skip
    numbers = claims.get("liang2023.max-margin").predict(problem).numbers
    best, margin = theory.max_margin(frame(spec(name), 8, 7))
    assert numbers["margin_of_the_rows"] <= float(margin.min()) * (1 + EXACT)
    found = ufm.solve(problem, throw=False).H[0].mT
    assert float((on_sphere(found, 1.0) - best).norm(dim=-1).max()) < numbers["chord"]


def test_a_row_inside_the_others_has_no_margin():
    W = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.1, 0.0]], dtype=torch.float64)
    directions, margins = theory.max_margin(W)
    assert_close(margins, double([0.9, 1.1, 0.0]))
    assert float(directions[2].norm()) == 0.0


def test_value_of_the_frame_is_the_loss_there():
    problem = ufm.Problem(K=8, d=7, n=(3, 1, 1, 1, 1, 1, 1, 5), reg=ufm.Sphere(2.0, 9.0),
                          classifier=ufm.Fixed(spec("mixed", E_W=2.0)))  # fmt: skip
    W = frame(spec("mixed", E_W=2.0), 8, 7)
    H = 3.0 * (W / W.norm(dim=-1, keepdim=True)).mT
    losses = CrossEntropy().value(W @ H, torch.arange(8))
    expected = float(losses @ double(problem.pi))
    found = claims.get("liang2023.ce-frame").predict(problem).numbers["value_of_the_frame"]
    assert found == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("beta", [1e-6, 30.0, 900.0])
@pytest.mark.parametrize("lam", [1e-12, 1e-3, 10.0])
def test_extreme_strengths_are_predicted(beta, lam):
    for tree in (flat(4), balanced(2, 2)):
        learnt = claims.get(RIDGE).predict(model(tree, beta, ufm.ClassMeanDecay(lam, lam)))
        assert math.isfinite(learnt.value)
        assert bool(learnt.geometry.joint.isfinite().all())
        E = min(beta / 2, lam)
        short = claims.get(BUDGET).predict(model(tree, beta, ufm.AverageBudget(E, E)))
        assert math.isfinite(short.value)
        target = HAFrame(tree, Exponential(2.0))
        fixed = model(tree, beta, ufm.WeightDecay(0, lam), classifier=ufm.Fixed(target))
        if tree.height == 1:
            value = claims.get("liang2023.calibrated-fixed-ridge").predict(fixed).value
            assert math.isfinite(value)


def test_root_is_found_to_the_last_digit():
    assert falling_root(lambda x: 2 - x * x, 0.0, 2.0) == pytest.approx(2**0.5, rel=4e-16)
    assert falling_root(lambda x: -1.0, 0.0, 2.0) == 0.0
