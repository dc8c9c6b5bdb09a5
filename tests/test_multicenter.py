"""Multi-center frames: their angles, the closed optima against linear solves, decision rules."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CERTIFIED, EXACT, SOLVED
from torch.testing import assert_close

from ufm._spec import decode, encode
from ufm.geometry import frame
from ufm.geometry.multicenter import (
    Centers,
    center_gain,
    center_mean_cos,
    class_mean_cos,
    general_rule,
    mean_rule,
    multicenter_frame,
    regular_rule,
)
from ufm.geometry.multicenter_optimum import (
    cosine_residual,
    fixed_frame_optimum,
    learnable_frame_optimum,
    survival_index,
    survival_threshold,
)
from ufm.geometry.specs import MultiCenter
from ufm.problem import Fixed, Problem


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


F, N = vector(1, 2, 3, 5), vector(40, 20, 8, 3)
counts = st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple)
angles = st.floats(0.0, math.pi / 2)


@given(counts, angles, st.integers(0, 3))
def test_gram_matrix_and_angles(f, theta, extra):
    spec = MultiCenter(f, theta)
    parts = multicenter_frame(spec, spec.d_min + extra)
    counts_ = vector(*f)
    same = parts.owner == parts.owner.unsqueeze(-1)
    own = (math.sin(theta) ** 2 * same.double()).fill_diagonal_(1.0)
    assert_close(parts.centers @ parts.centers.mT, own, rtol=0, atol=EXACT)
    assert_close(parts.W @ parts.W.mT, torch.eye(len(f)).double(), rtol=0, atol=EXACT)
    assert_close(parts.mean.norm(dim=-1), center_mean_cos(counts_, theta), rtol=0, atol=EXACT)
    cos_rho = (parts.direction * parts.W).sum(-1)
    assert_close(cos_rho, class_mean_cos(counts_, theta), rtol=0, atol=EXACT)
    cos_alpha = (parts.centers * parts.direction[parts.owner]).sum(-1)
    assert_close(cos_alpha, center_mean_cos(counts_, theta)[parts.owner], rtol=0, atol=EXACT)
    block = parts.centers[parts.owner == 0]
    top = torch.linalg.eigvalsh(block @ block.mT)
    assert_close(top[-1], center_gain(counts_, theta)[0], rtol=EXACT, atol=0)
    assert ((top[:-1] - math.cos(theta) ** 2).abs() < EXACT).all()


def test_printed_angles():
    assert_close(class_mean_cos(vector(1, 20, 78), 0.2), vector(0.1987, 0.6716, 0.873),
                 rtol=0, atol=5e-4)  # fmt: skip
    assert_close(center_mean_cos(vector(1, 20), 0.2), vector(1.0, 0.2958), rtol=0, atol=5e-5)
    lt = vector(1, 2, 3, 4, 7, 11, 18, 29, 47, 78)  # CIFAR-10-LT at rho = 100
    cos = class_mean_cos(lt, 0.2)
    assert abs(float(cos[-1] / cos[0]) - 4.4) < 0.05


@pytest.mark.parametrize("theta", [0.0, 0.3, 1.2])
def test_no_fewer_dimensions_hold_the_frame(theta):
    """The definition needs sum(f) + K: that is the rank of class vectors and centers together."""
    spec = MultiCenter((1, 2, 4), theta)
    parts = multicenter_frame(spec)
    assert torch.linalg.matrix_rank(torch.cat([parts.W, parts.centers])) == spec.d_min == 10
    with pytest.raises(ValueError, match=r"sum\(f\)\+K=10, got 9"):
        multicenter_frame(spec, 9)


def test_at_the_right_angle_all_centers_are_the_class_vector():
    parts = multicenter_frame(MultiCenter((1, 3), math.pi / 2))
    assert_close(parts.centers, parts.W[parts.owner], rtol=0, atol=EXACT)
    assert_close(class_mean_cos(vector(1, 3), math.pi / 2), vector(1, 1), rtol=EXACT, atol=0)
    assert class_mean_cos(vector(1, 3), 0.0).tolist() == [0, 0]


@given(counts, angles)
def test_single_direction_reduction(f, theta):
    r"""sum_j (<w_j,h> - 1)^2 = f (1 - cos(alpha) <e,h>)^2 + cos^2(theta) |h_perp|^2, any h."""
    parts = multicenter_frame(MultiCenter(f, theta))
    h = torch.randn(parts.W.shape[1], generator=torch.Generator().manual_seed(0)).double()
    for k, count in enumerate(f):
        own, e = parts.centers[parts.owner == k], parts.direction[k]
        # The centers' span, read off the frame's axes: at the right angle it is e alone.
        V = (own - math.sin(theta) * parts.W[k]) / max(math.cos(theta), 1e-30)
        V = V if math.cos(theta) > 1e-9 else torch.zeros_like(V)
        contrast = V - V.mean(0)
        perp = contrast.mT @ (contrast @ h)
        reduced = count * (1 - center_mean_cos(vector(count), theta)[0] * (e @ h)) ** 2
        reduced = reduced + math.cos(theta) ** 2 * perp.square().sum()
        assert_close((own @ h - 1).square().sum(), reduced, rtol=0, atol=1e-11)


def solve_features(W: torch.Tensor, owner: torch.Tensor, n: torch.Tensor, ridge: float):
    """Optimal features for given centers, a dense ridge regression of one column a class."""
    K = len(n)
    Y = torch.nn.functional.one_hot(owner, K).to(W)
    return torch.linalg.solve(W.mT @ W + ridge * torch.eye(W.shape[1]).to(W), W.mT @ Y), Y


@given(counts, angles, st.floats(1e-5, 1.0), st.integers(0, 999))
def test_fixed_frame_optimum_is_the_ridge_regression(f, theta, lam_H, seed):
    n = torch.randint(1, 50, (len(f),), generator=torch.Generator().manual_seed(seed)).double()
    parts, f_ = multicenter_frame(MultiCenter(f, theta)), vector(*f)
    S = (f_ * n).sum()
    H, Y = solve_features(parts.centers, parts.owner, n, float(lam_H * S))
    optimum = fixed_frame_optimum(f_, n, theta=theta, lam_H=lam_H)
    assert_close(H.norm(dim=0), optimum.h_norm, rtol=1e-10, atol=0)
    cos = (H.mT * parts.direction).sum(-1) / H.norm(dim=0)
    assert_close(cos, torch.ones_like(cos), rtol=EXACT, atol=0)
    residual = ((parts.centers @ H - Y).square().sum(0) * n).sum() / (2 * S)
    value = residual + lam_H / 2 * (n * H.square().sum(0)).sum()
    assert_close(value, optimum.value, rtol=1e-10, atol=0)


def test_fixed_frame_goldens():
    for lam_H, norms, value in [
        (1e-3, (0.89365505, 1.24461855, 1.50184242, 1.88437354), 0.0510281643),
        (1e-2, (0.45662100, 0.64672454, 0.79293256, 1.02480415), 0.2658635341),
    ]:
        optimum = fixed_frame_optimum(F, N, theta=0.2, lam_H=lam_H)
        assert_close(optimum.h_norm, vector(*norms), rtol=0, atol=6e-9)
        assert abs(float(optimum.value) - value) < 6e-11
    both = fixed_frame_optimum(F, N, theta=0.7, lam_H=vector(1e-3, 1e-2))
    assert_close(both.value, vector(0.0397664195, 0.2273140026), rtol=0, atol=6e-11)


def test_length_peaks_where_the_corollary_says():
    # As S varies with f_k fixed, |h_k| = f c / (f c^2 + lam S) over c peaks at c = sqrt(lam S/f).
    f, ridge = 5.0, 0.8
    c = torch.linspace(0.05, 1.0, 2001).double()
    length = f * c / (f * c**2 + ridge)
    assert abs(float(c[length.argmax()]) - math.sqrt(ridge / f)) < 1e-3
    g = f * c**2  # the same as sqrt(f g) / (g + lam S)
    assert_close(length, (f * g).sqrt() / (g + ridge), rtol=EXACT, atol=0)


def value_of(w_norm: torch.Tensor, f: tuple, n: torch.Tensor, theta: float, lam_W, lam_H):
    """Objective of problem P with the features eliminated by a linear solve."""
    parts = multicenter_frame(MultiCenter(f, theta))
    W, S = w_norm[parts.owner].unsqueeze(-1) * parts.centers, (vector(*f) * n).sum()
    H, Y = solve_features(W, parts.owner, n, lam_H * S)
    fit = ((W @ H - Y).square().sum(0) * n).sum() / (2 * S)
    return fit + lam_W / 2 * w_norm.square().sum() + lam_H / 2 * (n * H.square().sum(0)).sum()


@pytest.mark.parametrize("theta", [0.05, 0.2, 0.7, math.pi / 2])
@pytest.mark.parametrize("lam", [(2e-3, 2e-3), (3e-2, 1e-2), (0.1, 0.01)])
def test_learnable_optimum_is_stationary_and_least(theta, lam):
    f = (3, 3, 3, 3)
    optimum = learnable_frame_optimum(vector(*f), N, theta=theta, lam_W=lam[0], lam_H=lam[1])
    w = optimum.w_norm.clone().requires_grad_()
    value = value_of(w, f, N, theta, *lam)
    assert_close(value.detach(), optimum.value, rtol=1e-10, atol=0)
    (grad,) = torch.autograd.grad(value, w)
    assert float(grad[optimum.survives].abs().max()) < CERTIFIED
    rng = torch.Generator().manual_seed(0)
    for scale in (1e-3, 0.1, 1.0):
        for _ in range(10):
            other = (optimum.w_norm + scale * torch.randn(4, generator=rng).double()).abs()
            assert value_of(other, f, N, theta, *lam) >= optimum.value - EXACT


def test_learnable_goldens():
    optimum = learnable_frame_optimum(F, N, theta=0.2, lam_W=2e-3, lam_H=2e-3)
    assert_close(optimum.w_norm.square(), vector(6.08655532, 5.97435612, 4.49577538, 3.39371992),
                 rtol=0, atol=6e-9)  # fmt: skip
    assert_close(optimum.h_norm.square(), vector(0.15216388, 0.29871781, 0.56197192, 1.13123997),
                 rtol=0, atol=6e-9)  # fmt: skip
    assert abs(float(optimum.value) - 0.0407939119) < 6e-11
    assert_close(2e-3 * optimum.w_norm**2, N * 2e-3 * optimum.h_norm**2, rtol=EXACT, atol=0)


def test_balanced_goldens():
    three, ten = vector(3, 3, 3, 3), vector(10, 10, 10, 10)
    optimum = learnable_frame_optimum(three, ten, theta=0.2, lam_W=5e-3, lam_H=5e-3)
    assert_close(optimum.w_norm.square(), vector(*4 * [4.71695166]), rtol=0, atol=6e-9)
    assert_close(optimum.h_norm.square(), vector(*4 * [0.47169517]), rtol=0, atol=6e-9)
    assert abs(float(optimum.value) - 0.0999000519) < 6e-11


def test_classes_die_one_by_one():
    """The printed all-or-nothing threshold is refuted: zero everywhere (value 1/2) is beaten."""
    three = vector(3, 3, 3, 3)
    index = survival_index(three, N, 0.2)
    assert_close(index, vector(129.47, 64.74, 25.90, 9.71), rtol=0, atol=6e-3)
    threshold = survival_threshold(three, N, lam_W=0.03, lam_H=0.01)
    assert abs(float(threshold) - 13.61) < 6e-3
    optimum = learnable_frame_optimum(three, N, theta=0.2, lam_W=0.03, lam_H=0.01)
    assert optimum.survives.tolist() == [True, True, True, False]
    assert optimum.survives.tolist() == (index > threshold).tolist()
    assert_close(optimum.w_norm.square(), vector(4.1146361, 2.3312685, 0.7488315, 0),
                 rtol=0, atol=6e-8)  # fmt: skip
    assert abs(float(optimum.value) - 0.32581) < 6e-6
    assert optimum.value < 0.5
    more = learnable_frame_optimum(three, N, theta=0.2, lam_W=0.1, lam_H=0.01)
    assert_close(more.w_norm.square(), vector(1.3608102, 0.3840196, 0, 0), rtol=0, atol=6e-8)
    assert abs(float(more.value) - 0.44936) < 6e-6


def test_more_centers_postpone_the_death_of_rare_classes():
    aware = vector(1, 2, 3, 6)
    optimum = learnable_frame_optimum(aware, N, theta=0.2, lam_W=0.1, lam_H=0.01)
    assert optimum.survives.all()
    assert_close(optimum.w_norm.square(), vector(0.78, 0.7879861, 0.3607043, 0.2071818),
                 rtol=0, atol=6e-8)  # fmt: skip
    assert_close(survival_threshold(aware, N, lam_W=0.1, lam_H=0.01), vector(14.884),
                 rtol=EXACT, atol=0)  # fmt: skip


@given(st.floats(1e-6, 1e-3))
def test_at_the_survival_threshold(step):
    f, n = vector(2, 2), vector(10, 3)
    at = float(survival_index(f, n, 0.3)[1] / (f * n).sum() ** 2)
    lost = learnable_frame_optimum(f, n, theta=0.3, lam_W=1.0, lam_H=at * (1 + step))
    kept = learnable_frame_optimum(f, n, theta=0.3, lam_W=1.0, lam_H=at * (1 - step))
    assert lost.survives.tolist() == [True, False]
    assert kept.survives.tolist() == [True, True]
    assert 0 < float(kept.w_norm[1]) < 30 * step**0.5
    assert abs(float(lost.value - kept.value)) < 3 * step


def test_batches_of_ridges():
    lam = vector(1e-3, 1e-2)
    batch = learnable_frame_optimum(F, N, theta=0.2, lam_W=lam, lam_H=lam)
    for b in range(2):
        one = learnable_frame_optimum(F, N, theta=0.2, lam_W=float(lam[b]), lam_H=float(lam[b]))
        assert torch.equal(batch.w_norm[b], one.w_norm)
        assert torch.equal(batch.value[b], one.value)


def test_cosine_residual():
    assert_close(cosine_residual(vector(1, 5, 20), 0.2), vector(0, 1.3456477349, 9.9180295603),
                 rtol=0, atol=6e-11)  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    for count, theta in [(2, 0.05), (5, 0.2), (5, 1.5), (20, 0.7)]:
        parts = multicenter_frame(MultiCenter((count, 1), theta))
        own = parts.centers[:count]
        least = cosine_residual(vector(count), theta)[0]
        assert_close((own @ parts.direction[0] - 1).square().sum(), least, rtol=0, atol=EXACT)
        for scale in (0.01, 0.3, 3.0):
            u = parts.direction[0] + scale * torch.randn(
                200, parts.W.shape[1], generator=rng).double()  # fmt: skip
            u = torch.nn.functional.normalize(u, dim=-1)
            assert ((u @ own.mT - 1).square().sum(-1) >= least - EXACT).all()


def test_rules_agree_on_collapsed_features_and_differ_off_them():
    parts = multicenter_frame(MultiCenter((1, 4, 2), 0.3))
    H = parts.direction.mT
    for rule in (regular_rule, mean_rule, general_rule):
        assert rule(H, parts).tolist() == [0, 1, 2]
        assert rule(torch.stack([H, H.flip(-1)]), parts).tolist() == [[0, 1, 2], [2, 1, 0]]
    scores = (parts.W @ H).diagonal()  # the regular rule's logit scale
    assert_close(scores, class_mean_cos(vector(1, 4, 2), 0.3), rtol=EXACT, atol=0)
    # Half way between classes 0 and 1 the scale makes the regular rule favour more centers, and
    # the generalised rule favours fewer.
    half = (parts.direction[0] + parts.direction[1]).unsqueeze(-1)
    assert regular_rule(half, parts).tolist() == [1]
    assert general_rule(half, parts).tolist() == [0]
    assert abs(float((parts.direction[:2] @ half).diff(dim=0))) < EXACT


def test_success_on_hard_samples():
    """z = mean of orthonormal classifier vectors + noise: class k wins with f_k / F (GCR)."""
    spec, draws = MultiCenter((1, 2, 3, 5), 0.0), 40_000
    parts = multicenter_frame(spec)
    rng = torch.Generator().manual_seed(0)
    noise = 0.01 * torch.randn(spec.d_min, draws, generator=rng).double()
    chosen = general_rule(parts.centers.mean(0).unsqueeze(-1) + noise, parts)
    share = torch.bincount(chosen, minlength=4) / draws
    for k, count in enumerate(spec.f):
        p = count / 11
        assert abs(float(share[k]) - p) < 5 * math.sqrt(p * (1 - p) / draws)  # 5 sigma
    weighted = float((share * vector(0.1, 0.2, 0.3, 0.4)).sum())
    assert abs(weighted - 17 / 55) < 5 * 0.5 / math.sqrt(draws)
    # The class-averaged success is 1/K whatever f is.
    assert abs(float(share.mean()) - 0.25) < SOLVED
    regular = regular_rule(parts.W.mean(0).unsqueeze(-1) + noise, parts)
    assert float((torch.bincount(regular, minlength=4) / draws - 0.25).abs().max()) < 0.011


def test_spec():
    spec = MultiCenter([1, 2], theta=0.2, E_W=4.0)  # type: ignore[arg-type]
    assert decode(json.loads(json.dumps(encode(spec)))) == spec
    W = frame(spec, 2, 5)
    assert_close(W @ W.mT, 4 * torch.eye(2).double(), rtol=EXACT, atol=0)
    assert_close(multicenter_frame(spec).centers.norm(dim=-1), vector(2, 2, 2), rtol=EXACT, atol=0)
    assert isinstance(multicenter_frame(spec), Centers)
    Problem(K=2, d=5, n=(3, 1), classifier=Fixed(spec))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiCenter((1, 2), -0.1), r"theta must be in \[0, pi/2\], got -0.1"),
        (lambda: MultiCenter((1, 2), 1.6), r"theta must be in \[0, pi/2\], got 1.6"),
        (lambda: MultiCenter((1, 2), math.nan), "theta"),
        (lambda: MultiCenter((1, 0), 0.2), r"f\[1\] must be an integer of at least 1, got 0"),
        (lambda: MultiCenter((1, 1.5), 0.2), r"f\[1\]"),
        (lambda: MultiCenter((1,), 0.2), "at least 2"),
        (lambda: MultiCenter((1, 2), 0.2, E_W=-1.0), "E_W"),
        (lambda: multicenter_frame(MultiCenter((1, 2), 0.2), 4), r"sum\(f\)\+K=5, got 4"),
        (lambda: Problem(K=2, d=4, n=(1, 1), classifier=Fixed(MultiCenter((1, 2), 0.2))),
         r"sum\(f\)\+K=5, got 4"),
        (lambda: Problem(K=3, d=9, n=(1,) * 3, classifier=Fixed(MultiCenter((1, 2), 0.2))),
         "f must have K=3 entries, got 2"),
    ],
)  # fmt: skip
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
