"""Compiled certificates against the tensor code, and as bounds of their own."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tolerances import EXACT

import ufm
from ufm.certificates import _certify, _fused, _spectral, first_certificate
from ufm.compiled.rows import available


pytestmark = pytest.mark.skipif(not available(), reason="needs numba (extra `fast`)")
NUMBERS = ("primal", "dual", "raw_gap", "gap", "margin", "infeasibility", "stationarity", "Y")


def batch(B: int, K: int, d: int, seed: int = 0) -> ufm.ProblemBatch:
    generator = np.random.default_rng(seed)
    template = ufm.Problem(K=K, d=d, n=(1,) * K, reg=ufm.AverageBudget())
    weights = np.exp(generator.uniform(0, 4, (B, K)))
    E_W, E_H = np.exp(generator.uniform(-1, 1.5, (2, B)))
    return ufm.ProblemBatch(template, weights=weights, E_W=E_W, E_H=E_H)


def points(problems: ufm.ProblemBatch, distance: float, seed: int = 0) -> ufm.Solution:
    # Optima moved by noise: inside, on and outside the budgets.
    sol = ufm.solve(problems, ufm.LBFGS(engine="tensors"), throw=False)
    torch.manual_seed(seed)
    noise = [1 + distance * torch.randn_like(t) for t in sol.point[:2]]
    W, H = (t * n for t, n in zip(sol.point[:2], noise, strict=True))
    return replace(sol, point=sol.point._replace(W=W, H=H))


@pytest.mark.parametrize(("K", "d"), [(2, 1), (3, 5), (4, 2), (10, 9)])
@pytest.mark.parametrize("distance", [0.0, 1e-6, 1e-3, 0.3, 30.0])
def test_agrees_with_the_tensor_code(K, d, distance):
    sol = points(batch(5, K, d), distance)
    compiled, loose = _fused.fused_certificate(sol)
    tensors = ufm.certify(sol, engine="tensors")
    kept = torch.tensor([i for i in range(5) if i not in set(loose.tolist())], dtype=torch.int64)
    assert distance > 1e-4 or d < K - 1 or len(kept)
    size = tensors.Y.flatten(1).norm(dim=-1).clamp(min=1) * (1 + tensors.primal)
    for name in NUMBERS:
        a, b = getattr(compiled, name)[kept], getattr(tensors, name)[kept]
        scale = size[kept].reshape(-1, *(1,) * (a.ndim - 1))
        # Where raw and clip are equally good to rounding, either may be taken.
        agree = torch.tensor([compiled.bound[i] == tensors.bound[i] for i in kept.tolist()]).bool()
        close = ((a - b).abs() <= EXACT * scale).flatten(1 if name == "Y" else 0)
        assert bool((close if name != "Y" else close[agree]).all()), name
    for name in ("primal", "raw_gap", "infeasibility", "stationarity"):
        torch.testing.assert_close(
            getattr(compiled, name), getattr(tensors, name), rtol=EXACT, atol=EXACT
        )
    assert torch.equal(compiled.rank, tensors.rank)
    torch.testing.assert_close(
        compiled.multipliers[kept], tensors.multipliers[kept], rtol=1e-9, atol=EXACT
    )


@pytest.mark.parametrize(("K", "d"), [(2, 1), (3, 5), (10, 9)])
@pytest.mark.parametrize("distance", [0.0, 5e-3, 1.0, 30.0])
def test_without_trial_ranks_the_tensor_code_finds_the_same_everywhere(K, d, distance, monkeypatch):
    # Loose points too, one whose logits point the wrong way, and one with next to no budget,
    # where the raw bound is the best.
    monkeypatch.setattr(_spectral, "TRIAL_ABOVE", math.inf)
    problems = batch(6, K, d, seed=5)
    E_W = problems.E_W.copy()
    E_W[5] = 1e-12
    sol = points(ufm.ProblemBatch(problems.template, weights=problems.weights, E_W=E_W), distance)
    sol.W[4] *= -1
    compiled, loose = _fused.fused_certificate(sol)
    tensors = ufm.certify(sol, engine="tensors")
    scale = tensors.Y.flatten(1).norm(dim=-1).clamp(min=1) * (1 + tensors.primal)
    agree = torch.tensor([a == b for a, b in zip(compiled.bound, tensors.bound, strict=True)])
    # Where raw and clip are equally good to rounding, either may be taken.
    assert (agree | ((compiled.raw_gap - compiled.gap) <= EXACT * scale)).all()
    for name in ("dual", "gap"):
        error = (getattr(compiled, name) - getattr(tensors, name)).abs()
        assert (error <= EXACT * scale).all(), name
    for name in ("Y", "margin", "multipliers"):
        torch.testing.assert_close(
            getattr(compiled, name)[agree], getattr(tensors, name)[agree], rtol=1e-9, atol=EXACT
        )
    # What is loose is what a better bound than zero would help.
    expected = compiled.gap > 1e-10 * compiled.primal.clamp(min=1)
    assert loose.tolist() == expected.nonzero().squeeze(-1).tolist()


@pytest.mark.parametrize(("K", "d"), [(2, 1), (4, 2), (10, 9)])
@pytest.mark.parametrize("distance", [1e-7, 0.3, 30.0])
def test_the_bound_is_that_of_its_dual_matrix(K, d, distance):
    # Fenchel by hand from Y alone, whose norm is not the level at which it was clipped.
    sol = points(batch(6, K, d, seed=3), distance)
    compiled, _ = _fused.fused_certificate(sol)
    assert bool((compiled.gap <= compiled.primal).all())  # no worse than Y = 0
    Y, pi = compiled.Y, torch.tensor(np.array(sol.problems.pi))
    Q = Y / pi.unsqueeze(-2) + torch.eye(K)
    assert bool((Q >= -EXACT).all())
    torch.testing.assert_close(Q.sum(-2), torch.ones_like(pi), rtol=0, atol=EXACT)
    entropy = -(pi * torch.special.entr(Q.clamp(min=0)).sum(-2)).sum(-1)
    E_W, E_H = (torch.tensor(np.array(getattr(sol.problems, name))) for name in ("E_W", "E_H"))
    price = K * (E_W * E_H).sqrt() * torch.linalg.matrix_norm(Y, 2)
    torch.testing.assert_close(compiled.dual, -entropy - price, rtol=EXACT, atol=EXACT)


def test_the_allowance_for_rounding_is_that_of_the_tensor_code():
    sol = points(batch(6, 10, 9), 0.0)
    compiled, tensors = ufm.certify(sol), ufm.certify(sol, engine="tensors")
    assert bool((compiled.margin > 0).all())
    torch.testing.assert_close(compiled.margin, tensors.margin, rtol=1e-3, atol=0)  # of Y's digits


@pytest.mark.parametrize("distance", [1e-4, 0.1, 1.0, 100.0])
def test_weak_duality_holds_at_every_point(distance):
    problems = batch(8, 5, 4, seed=1)
    optimum = ufm.solve_certified(problems)[1].primal
    compiled, _ = _fused.fused_certificate(points(problems, distance, seed=2))
    assert bool((compiled.dual <= optimum + compiled.margin + EXACT).all())
    assert bool((compiled.primal >= optimum - EXACT).all())
    torch.testing.assert_close(
        compiled.primal - compiled.dual, compiled.gap, rtol=0, atol=1e-13 * 100
    )


def test_certify_takes_ranks_where_the_clip_is_loose():
    # Far from an optimum the first certificate is loose; certify is never worse.
    sol = points(batch(6, 6, 5), 1e-3)
    first, full = first_certificate(sol), ufm.certify(sol)
    assert bool((full.gap <= first.gap + EXACT).all())
    reference = ufm.certify(sol, engine="tensors")
    torch.testing.assert_close(full.gap, reference.gap, rtol=0, atol=EXACT)
    assert full.bound == reference.bound


def test_alone_and_in_a_batch_bitwise_the_same():
    sol = points(batch(40, 6, 5), 1e-5)
    whole = ufm.certify(sol)
    for i in (0, 31, 39):
        alone, part = ufm.certify(sol[i]), whole[i]
        for name in (*NUMBERS, "rank", "multipliers"):
            assert torch.equal(getattr(alone, name), getattr(part, name)), name
        assert alone.bound == part.bound


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e200, 0.0])
def test_a_broken_instance_fails_alone(bad):
    sol = points(batch(3, 4, 3), 0.0)
    W = sol.W.clone()
    W[1] = bad
    changed = replace(sol, point=sol.point._replace(W=W))
    broken = ufm.certify(changed)
    assert _fused.fused_certificate(changed)[1].tolist() == [1]  # the tensors shall have their say
    good = ufm.certify(sol)
    assert broken.passed.tolist() == [True, False, True]
    for i in (0, 2):
        assert torch.equal(broken.gap[i], good.gap[i])


@pytest.mark.parametrize("energy", [1e-4, 1.0, 1e4])
def test_logits_that_are_nothing_beside_the_budgets_have_no_rank(energy):
    reg = ufm.AverageBudget(energy, energy)
    problem = ufm.Problem(K=4, d=3, n=(4, 3, 2, 1), reg=reg)
    W, H = torch.randn(4, 3, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    H *= energy**0.5 / H.norm()
    W *= energy / torch.linalg.matrix_norm(W @ H, 2)
    for size, rank in ((1e-8, 0), (1e-2, 3)):
        point = ufm.Solution.from_arrays(problem, size * W, H)
        assert int(_fused.fused_certificate(point)[0].rank) == rank  # tensors take over in certify


def test_the_ends_of_the_range_keep_their_digits():
    K, s = 4, 12.0
    loss = math.log1p((K - 1) * math.exp(-K * s / (K - 1)))
    balanced = ufm.Problem(K=K, d=K - 1, n=(1,) * K, reg=ufm.AverageBudget(s, s))
    cert, _ = _fused.fused_certificate(ufm.solve(balanced))
    assert float(cert.primal) == pytest.approx(loss, rel=EXACT, abs=0)
    # A gap of a thousandth of a loss of 1e-9 is tight: the gate is absolute below one.
    near = ufm.solve(ufm.ProblemBatch(balanced, E_H=[17.0]), throw=False)
    near = replace(near, point=near.point._replace(W=0.9999 * near.W))
    first, loose = _fused.fused_certificate(near)
    assert 1e-10 * float(first.primal) < float(first.gap) < 1e-10
    assert not len(loose)
    huge = ufm.solve(replace(balanced, reg=ufm.AverageBudget(1e6, 1e6)))
    assert float(ufm.certify(huge).stationarity) == 0  # nothing is left of the gradient
    sol = ufm.solve(balanced)
    nothing = replace(sol, point=sol.point._replace(W=2 * sol.W, H=0 * sol.H))
    tensors = ufm.certify(nothing, engine="tensors")
    compiled, _ = _fused.fused_certificate(nothing)
    assert float(compiled.primal) == pytest.approx(math.log(K), rel=EXACT)
    assert float(compiled.stationarity) == pytest.approx(float(tensors.stationarity), rel=EXACT)


def test_wrong_points_are_rejected():
    sol = ufm.solve(batch(3, 5, 4))
    assert ufm.certify(sol).passed.all()
    swapped = sol.W[:, [1, 0, 2, 3, 4]]
    assert not ufm.certify(replace(sol, point=sol.point._replace(W=swapped))).passed.any()
    assert not ufm.certify(replace(sol, point=sol.point._replace(H=1.01 * sol.H))).passed.any()
    assert not ufm.certify(replace(sol, point=sol.point._replace(H=0.99 * sol.H))).passed.any()


def test_only_models_of_the_kernel_are_compiled(monkeypatch):
    sol = ufm.solve(batch(2, 4, 3))
    assert _fused.is_fused(sol)
    assert _fused.is_fused(sol[0])
    other = ufm.solve(ufm.Problem(K=4, d=3, n=(2,) * 4, reg=ufm.WeightDecay(0.01, 0.01)))
    assert not _fused.is_fused(other)
    monkeypatch.setattr(_fused, "available", lambda: False)
    assert not _fused.is_fused(sol)
    assert ufm.certify(sol).passed.all()
    with pytest.raises(ValueError, match="engine must be 'auto' or 'tensors', got 'fused'"):
        ufm.certify(sol, engine="fused")


def test_pieces_change_no_number(monkeypatch):
    sol = points(batch(7, 4, 3), 1e-5)
    whole = ufm.certify(sol, engine="tensors")
    monkeypatch.setattr(
        _certify,
        "pieces",
        lambda count, *_: [slice(k, min(k + 2, count)) for k in range(0, count, 2)],
    )
    for engine in ("tensors", "auto"):
        split = ufm.certify(sol, engine=engine)
        assert len(split) == 7
        torch.testing.assert_close(split.gap, whole.gap, rtol=0, atol=EXACT)
        assert split.Y.shape == whole.Y.shape
