"""Calibrated soft targets: values against exact arithmetic, optima fixed and learnable."""

from __future__ import annotations

import json

import mpmath
import pytest
import torch
from descent import degrees
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CERTIFIED, EXACT
from torch.testing import assert_close
from trees import MIXED, balanced, caterpillar, flat, random_tree

import ufm
from ufm._linalg import psd_sqrt
from ufm._spec import canonical, decode
from ufm.geometry import Exponential, HAFrame, Linear, Table, frame, similarity_matrix
from ufm.hierarchy import Tree
from ufm.losses import CrossEntropy, FrameTargets, LogitAdjusted, SoftTargets
from ufm.reduce import BlockSymmetry


Y = torch.arange(8)
TREES = {
    "flat": flat(8),
    "balanced": balanced(2, 3),
    "caterpillar": caterpillar(8),
    "mixed": Tree.from_nested(MIXED),
}


def targets(name: str, beta: float) -> SoftTargets:
    return SoftTargets(HAFrame(TREES[name], Exponential(2.0)), beta)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(st.integers(2, 12), st.integers(0, 999), st.sampled_from(["height", "depth"]))
def test_cosines_are_those_of_the_frame(K, seed, convention):
    tree = random_tree(K, seed)
    for similarity, s in ((Exponential(1.3), None), (Linear(), 0.2)):
        spec = HAFrame(tree, similarity, s=s, convention=convention, E_W=3.0)
        S = SoftTargets(spec, beta=1.0).cosines(torch.zeros(1, dtype=torch.float64))
        expected = similarity_matrix(tree, similarity, s=s, convention=convention)
        assert_close(S, expected, rtol=0, atol=EXACT)


@given(st.integers(0, 999), st.sampled_from([1e-9, 1e-4, 1.0, 30.0]))
def test_value_against_exact_arithmetic(seed, distance):
    loss, y = targets("mixed", 3.0), torch.tensor([seed % 8])
    Z = loss.log_targets(torch.zeros(1).double())[:, y] + distance * random(8, 1, seed=seed) + 5.0
    with mpmath.workdps(60):
        S = loss.cosines(Z)[:, y].flatten().tolist()
        t = [mpmath.exp(3 * mpmath.mpf(x)) for x in S]
        q = [mpmath.exp(mpmath.mpf(x)) for x in Z.flatten().tolist()]
        total_t, total_q = sum(t), sum(q)
        exact = sum(a / total_t * mpmath.log(a / total_t * total_q / b)
                    for a, b in zip(t, q, strict=True))  # fmt: skip
    # Logits of size 5 are known to 1e-15: a distance of 1e-9 keeps six of its digits.
    assert float(loss.value(Z, y)[0]) == pytest.approx(float(exact), rel=1e-14 / distance + EXACT)


def test_is_cross_entropy_less_the_entropy_of_the_targets():
    loss, Z = targets("caterpillar", 4.0), 3 * random(5, 8, 8)
    T = loss.log_targets(Z).exp()
    cross = Z.logsumexp(-2) - (T * Z).sum(-2)
    entropy = -(T * T.log()).sum(-2)
    assert_close(loss.value(Z, Y), cross - entropy, rtol=EXACT, atol=EXACT)
    assert_close(loss.grad(Z, Y), Z.softmax(-2) - T, rtol=0, atol=EXACT)


def test_a_flat_tree_gives_label_smoothing():
    T = targets("flat", 4.0).log_targets(torch.zeros(1).double()).exp()
    epsilon = 8 * float(T[0, 1])
    smoothed = (1 - epsilon) * torch.eye(8).double() + epsilon / 8
    assert_close(T, smoothed, rtol=0, atol=EXACT)


def test_saturated_logits_stay_finite_in_float32():
    for beta in (5.0, 200.0):
        loss = targets("mixed", beta)
        for size in (0.0, 100.0, 1e4):
            Z = (size * random(8, 8)).float().requires_grad_()
            value = loss.value(Z, Y)
            (grad,) = torch.autograd.grad(value.sum(), Z)
            exact = loss.value(Z.detach().double(), Y)
            # float32: an ulp of target logits of 200 is 2e-5, and so is the targets' error.
            assert_close(value.double(), exact, rtol=1e-5, atol=6e-5)
            assert_close(grad, loss.grad(Z.detach(), Y), rtol=0, atol=6e-5)
            assert grad.isfinite().all()


@pytest.mark.parametrize("name", list(TREES))
@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_fixed_frame_is_the_only_optimum_for_any_class_sizes(name, beta):
    loss = targets(name, beta)
    problem = ufm.Problem(
        K=8, d=7, n=(40, 1, 7, 2, 2, 30, 5, 11), loss=loss, reg=ufm.NoReg(),
        classifier=ufm.Fixed(loss.frame),
    )  # fmt: skip
    sol = ufm.polish(ufm.solve(problem, seeds=3))
    assert (sol.value < 1e-20).all()
    for H in sol.H:
        assert degrees(H.mT, frame(loss.frame, 8, 7)) < 1e-5
        assert_close(H.norm(dim=0), torch.full((8,), beta).double(), rtol=1e-8, atol=0)


def test_a_ridge_keeps_the_direction_only_on_a_symmetric_tree():
    angle = {}
    for name in ("flat", "balanced", "mixed"):
        loss = targets(name, 4.0)
        problem = ufm.Problem(K=8, d=7, n=(1,) * 8, loss=loss, reg=ufm.WeightDecay(0, 1e-3),
                              classifier=ufm.Fixed(loss.frame))  # fmt: skip
        sol = ufm.polish(ufm.solve(problem))
        assert ufm.certify(sol).passed.all()
        angle[name] = degrees(sol.H[0].mT, frame(loss.frame, 8, 7))
    assert angle["flat"] < 1e-5
    assert angle["balanced"] > 0.1
    assert angle["mixed"] > 0.1


def minimal_gram(loss: SoftTargets, weight: torch.Tensor) -> torch.Tensor:
    """(Z D Z')^(1/2) of the centred exact fit Z = beta P S."""
    P = torch.eye(8).double() - 1 / 8
    S = loss.cosines(P)
    return loss.beta * psd_sqrt(P @ S @ weight.diag() @ S @ P)


@pytest.mark.parametrize("name", ["balanced", "mixed"])
@pytest.mark.parametrize("sizes", [(1,) * 8, (1, 2, 3, 4, 5, 6, 7, 8)])
@pytest.mark.parametrize("reg", [ufm.ClassMeanDecay, ufm.WeightDecay])
def test_learnable_classifier_tends_to_the_minimal_exact_fit(name, sizes, reg):
    """Class sizes matter only through a ridge per sample."""
    loss = targets(name, 4.0)
    n = torch.tensor(sizes).double()
    expected = minimal_gram(loss, n if reg is ufm.WeightDecay else torch.ones(8).double())
    miss = []
    for lam in (1e-5, 1e-6):
        problem = ufm.Problem(K=8, d=8, n=sizes, loss=loss, reg=reg(lam, lam))
        sol = ufm.polish(ufm.solve(problem))
        assert ufm.certify(sol).passed.all()
        gram = (sol.W @ sol.W.mT)[0]
        miss.append(float((gram - expected).abs().max()))
    assert miss[0] < 2e-2
    assert miss[0] / miss[1] == pytest.approx(10, rel=0.05)  # first order in the ridge


def test_the_frame_emerges_on_balanced_trees_only():
    one = torch.ones(8).double()
    P = torch.eye(8).double() - 1 / 8
    even, mixed = targets("balanced", 4.0), targets("mixed", 4.0)
    S = even.cosines(one)
    assert_close(minimal_gram(even, one), 4 * S, rtol=0, atol=1e-7)  # root of a singular matrix
    S = mixed.cosines(one)
    assert abs(float((minimal_gram(mixed, one) - 4 * S).abs().max()) - 1.13) < 5e-3
    assert abs(float((minimal_gram(mixed, one) - 4 * P @ S @ P).abs().max()) - 0.17) < 5e-3


@given(st.integers(0, 99), st.sampled_from(["soft", "adjusted"]), st.booleans(), st.booleans())
def test_weak_duality_everywhere(seed, kind, free, fixed):
    """Any point bounds the optimum, also where its gradient must be blended into the domain."""
    loss = targets("mixed", 3.0) if kind == "soft" else LogitAdjusted((9, 1, 1, 4, 5, 2, 2, 3))
    bias = ufm.FreeBias() if free else ufm.NoBias()
    classifier = ufm.Fixed(targets("mixed", 1.0).frame) if fixed else ufm.Learnable()
    problem = ufm.Problem(K=8, d=8, n=(9, 1, 1, 4, 5, 2, 2, 3), loss=loss, bias=bias,
                          reg=ufm.ClassMeanDecay(1e-2, 1e-2), classifier=classifier)  # fmt: skip
    best = ufm.polish(ufm.solve(problem, throw=False))
    W = frame(classifier.frame, 8, 8) if fixed else random(8, 8, seed=seed)
    b = random(8, seed=seed + 2) if free else None
    point = ufm.Solution.from_arrays(problem, W, random(8, 8, seed=seed + 1), b)
    bound = ufm.certify(point)
    assert bool(ufm.certify(best).passed)
    assert float(bound.dual) <= float(best.value) + CERTIFIED
    assert float(bound.gap) >= 0


def test_equals_the_targets_of_the_frame_itself():
    loss, W = targets("mixed", 3.0), frame(targets("mixed", 1.0).frame, 8, 7)
    H = 2 * random(8, 7)
    expected = loss.value(W @ H.mT, Y)
    assert_close(FrameTargets(3.0).value(H, W, Y), expected, rtol=EXACT, atol=EXACT)


def test_targets_are_safe_to_reuse_after_inference_and_transforms():
    loss, Z = targets("mixed", 3.0), random(8, 8)
    with torch.inference_mode():
        loss.value(Z, Y)
    torch.vmap(lambda Z: targets("mixed", 3.0).value(Z, Y))(torch.stack([Z, Z]))
    batched = torch.vmap(lambda Z: loss.value(Z, Y))(torch.stack([Z, 2 * Z]))
    x = Z.clone().requires_grad_()
    loss.value(x, Y).sum().backward()
    assert_close(x.grad, loss.grad(Z, Y), rtol=0, atol=EXACT)
    assert_close(batched[1], loss.value(2 * Z, Y), rtol=EXACT, atol=0)


def test_is_a_spec_and_checks_its_numbers():
    loss = targets("mixed", 3.0)
    assert decode(json.loads(canonical(loss))) == loss
    assert hash(loss) == hash(targets("mixed", 3.0))
    with pytest.raises(ValueError, match="frame must have K=4 leaves, got 8"):
        ufm.Problem(K=4, d=4, n=(1,) * 4, loss=loss)
    with pytest.raises(ValueError, match="beta must be a finite number > 0, got 0"):
        targets("mixed", 0)
    with pytest.raises(ValueError, match="frame must be a HAFrame, got SimplexETF"):
        SoftTargets(ufm.SimplexETF(), 1.0)


def test_no_symmetry_of_classes_is_assumed():
    problem = ufm.Problem(K=8, d=8, n=(1,) * 8, loss=targets("mixed", 3.0))
    assert not BlockSymmetry().exact_for(problem)
    assert BlockSymmetry().exact_for(ufm.Problem(K=8, d=8, n=(1,) * 8, loss=CrossEntropy()))


def test_single_children_above_the_classes_change_nothing():
    """Nodes above the apex are farther than any two classes: a table of similarities ends there."""
    chained, plain = Tree.from_nested([[[0, 1], 2]]), Tree.from_nested([[0, 1], 2])
    table = Table((1.0, 0.5, 0.2))
    like = torch.zeros(1, dtype=torch.float64)
    S, expected = (SoftTargets(HAFrame(t, table), 2.0).cosines(like) for t in (chained, plain))
    assert_close(S, expected, rtol=0, atol=EXACT)
    assert_close(S, similarity_matrix(chained, table), rtol=0, atol=EXACT)
