"""Problem P and the cosine loss of the multi-center frame against their closed optima."""

from __future__ import annotations

import math

import pytest
import torch
from descent import degrees, minimise
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CERTIFIED, EXACT, SOLVED
from torch.testing import assert_close

import ufm
from ufm.geometry import (
    Centers,
    OrthogonalFrame,
    center_mean_cos,
    cosine_residual,
    fixed_frame_optimum,
    learnable_frame_optimum,
    multicenter_frame,
)
from ufm.losses import CenterRegression, CenterSquaredError, CosineRegression


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


F, N = (1, 2, 3, 5), (40, 20, 8, 3)
Y = torch.arange(4)
counts = st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple)
angles = st.floats(0.0, math.pi / 2)


def problem_P(f, n, theta, *, lam_H: float, lam_W: float | None = None, d: int | None = None):
    """P as an ordinary model: fixed orthonormal directions, or a free classifier."""
    return ufm.Problem(
        K=len(f), d=d or len(f), n=n, loss=CenterSquaredError.of(f, n=n, theta=theta),
        reg=ufm.WeightDecay(lam_W or 0.0, lam_H),
        classifier=ufm.Fixed(OrthogonalFrame()) if lam_W is None else ufm.Learnable(),
    )  # fmt: skip


@given(counts, angles, st.integers(0, 999))
def test_the_reduction_to_class_logits_is_exact(f, theta, seed):
    """All F centers at any feature: K logits of the mean directions and a penalty outside them."""
    spec = ufm.MultiCenter(f, theta)
    parts, loss = multicenter_frame(spec), CenterSquaredError(f, theta, mean_centers=1.7)
    K = len(f)
    H, y = random(6, spec.d_min, seed=seed), torch.arange(6) % K
    E = parts.direction
    V = torch.zeros(sum(f), spec.d_min).double()
    V[:, K:].fill_diagonal_(1.0)
    # The part in the span of each class's centers and outside its mean direction.
    perp = torch.zeros(6).double()
    if theta < math.pi / 2 - 1e-9:
        for k in range(K):
            own = V[parts.owner == k]
            perp = perp + ((own - own.mean(0)) @ H.mT).square().sum(0)
    outside = math.cos(theta) ** 2 * perp / (2 * 1.7)
    whole = CenterRegression(mean_centers=1.7).value(H, parts, y)
    assert_close(whole, loss.value(E @ H.mT, y) + outside, rtol=1e-11, atol=1e-11)


def test_fixed_frame_goldens_as_a_certified_model():
    for lam_H, norms, value in [
        (1e-3, (0.89365505, 1.24461855, 1.50184242, 1.88437354), 0.0510281643),
        (1e-2, (0.45662100, 0.64672454, 0.79293256, 1.02480415), 0.2658635341),
    ]:
        sol = ufm.polish(ufm.solve(problem_P(F, N, 0.2, lam_H=lam_H)))
        assert ufm.certify(sol).passed.all()
        assert_close(sol.H[0].norm(dim=0), vector(*norms), rtol=0, atol=6e-9)
        assert abs(float(sol.value[0]) - value) < 6e-11
    for lam_H, value in [(1e-3, 0.0397664195), (1e-2, 0.2273140026)]:
        sol = ufm.polish(ufm.solve(problem_P(F, N, 0.7, lam_H=lam_H)))
        assert abs(float(sol.value[0]) - value) < 6e-11


@pytest.mark.parametrize("theta", [0.2, 0.7])
def test_free_features_against_all_centers(theta):
    """Against all F centers features end along their class's mean, at the same lengths."""
    parts, lam_H = multicenter_frame(ufm.MultiCenter(F, theta)), 1e-3
    n, total = vector(*N), sum(N)
    S = float((vector(*F) * n).sum())
    loss = CenterRegression(mean_centers=S / total, lam=total * lam_H)

    def objective(H):
        return (n / total * loss.value(H, parts, Y)).sum()

    H = minimise(objective, random(4, parts.W.shape[1]))
    optimum = fixed_frame_optimum(vector(*F), n, theta=theta, lam_H=lam_H)
    assert degrees(H, parts.direction) < 1e-4
    assert_close(H.norm(dim=-1), optimum.h_norm, rtol=1e-7, atol=0)
    assert_close(objective(H), optimum.value, rtol=CERTIFIED, atol=0)


def test_learnable_frame_goldens_as_a_certified_model():
    sol = ufm.polish(ufm.solve(problem_P(F, N, 0.2, lam_W=2e-3, lam_H=2e-3, d=6)))
    assert ufm.certify(sol).passed.all()
    W, H = sol.W[0], sol.H[0]
    w2, h2 = W.square().sum(-1), H.square().sum(0)
    assert_close(w2, vector(6.08655532, 5.97435612, 4.49577538, 3.39371992), rtol=0, atol=6e-9)
    assert_close(h2, vector(0.15216388, 0.29871781, 0.56197192, 1.13123997), rtol=0, atol=6e-9)
    assert abs(float(sol.value[0]) - 0.0407939119) < 6e-11
    # Orthogonality of the class vectors is an outcome, not a constraint.
    assert_close(W @ W.mT, w2.diag(), rtol=0, atol=1e-7)
    balanced = ufm.polish(ufm.solve(problem_P((3,) * 4, (10,) * 4, 0.2, lam_W=5e-3, lam_H=5e-3)))
    assert abs(float(balanced.value[0]) - 0.0999000519) < 6e-11
    assert_close(balanced.W[0].square().sum(-1), vector(*[4.71695166] * 4), rtol=0, atol=6e-9)


@pytest.mark.parametrize(
    ("f", "lam_W", "w2", "value"),
    [
        ((3, 3, 3, 3), 3e-2, (4.1146361, 2.3312685, 0.7488315, 0.0), 0.32581),
        ((3, 3, 3, 3), 1e-1, (1.3608102, 0.3840196, 0.0, 0.0), 0.44936),
        ((1, 2, 3, 6), 1e-1, (0.78, 0.7879861, 0.3607043, 0.2071818), 0.44075),
    ],
)
def test_classes_vanish_one_by_one(f, lam_W, w2, value):
    """Not all at once, as the published theorem has it; the zero solution has value 1/2."""
    sol = ufm.polish(ufm.solve(problem_P(f, N, 0.2, lam_W=lam_W, lam_H=1e-2)))
    assert ufm.certify(sol).passed.all()
    assert_close(sol.W[0].square().sum(-1), vector(*w2), rtol=0, atol=2e-7)
    assert abs(float(sol.value[0]) - value) < 6e-6
    assert float(sol.value[0]) < 0.5 - 1e-3


@given(counts, st.floats(0.05, 1.5), st.floats(1e-5, 1e-1), st.integers(0, 99))
def test_learnable_value_is_the_closed_one(f, theta, lam, seed):
    n = tuple(torch.randint(1, 50, (len(f),), generator=torch.Generator().manual_seed(seed)))
    n = tuple(int(x) for x in n)
    problem = problem_P(f, n, theta, lam_W=lam, lam_H=lam)
    sol = ufm.solve(problem, throw=False)
    optimum = learnable_frame_optimum(vector(*f), vector(*n), theta=theta, lam_W=lam, lam_H=lam)
    assert_close(sol.value[0], optimum.value, rtol=SOLVED, atol=1e-9)


def test_checks_its_numbers():
    with pytest.raises(ValueError, match=r"theta must be in \[0, pi/2\], got 2"):
        CenterSquaredError((1, 1), 2.0)
    with pytest.raises(ValueError, match="f must have K=3 entries, got 2"):
        ufm.Problem(K=3, d=3, n=(1, 1, 1), loss=CenterSquaredError((1, 1), 0.2))
    with pytest.raises(ValueError, match="weighting must be 'cos_alpha' or 'one', got 'two'"):
        CosineRegression("two")  # pyright: ignore[reportArgumentType]


def naive_cosine(H, parts: Centers, y, loss: CosineRegression):
    """Sample by sample, center by center."""
    f = torch.bincount(parts.owner)
    theta = float(torch.asin((parts.centers[0] @ parts.W[0]).clamp(-1, 1)))
    values = []
    for h, k in zip(H, y.tolist(), strict=True):
        own = parts.centers[parts.owner == k]
        terms = [(1 - w @ h / (w.norm() * h.norm())) ** 2 for w in own]
        beta = 1.0
        if loss.weighting == "cos_alpha":
            beta = float(center_mean_cos(f[k].double(), theta))
        values.append(beta * sum(terms) + loss.lam * (h.norm() - 1) ** 2)
    return torch.stack(values)


@given(counts, st.floats(0.01, 1.5), st.sampled_from(["one", "cos_alpha"]), st.integers(0, 99))
def test_cosine_loss_equals_the_double_loop(f, theta, weighting, seed):
    parts = multicenter_frame(ufm.MultiCenter(f, theta))
    loss, y = CosineRegression(weighting, lam=0.3), torch.arange(5) % len(f)
    H = random(5, parts.W.shape[1], seed=seed)
    assert_close(loss.value(H, parts, y), naive_cosine(H, parts, y, loss), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    ("theta", "f", "least"),
    [(0.2, (1, 5), 1.3456477349), (0.2, (1, 20), 9.9180295603), (0.9, (2, 3), None)],
)
def test_cosine_loss_has_one_minimiser_the_mean_direction(theta, f, least):
    parts = multicenter_frame(ufm.MultiCenter(f, theta))
    loss, y = CosineRegression("one", lam=0.1), torch.full((12,), 1)
    H = minimise(lambda H: loss.value(H, parts, y).sum(), random(12, parts.W.shape[1], seed=4))
    assert degrees(H, parts.direction[y]) < 1e-4
    assert_close(H.norm(dim=-1), torch.ones(12).double(), rtol=1e-6, atol=0)
    residual = float(cosine_residual(vector(*f), theta)[1])
    assert least is None or abs(residual - least) < 6e-11
    assert ((loss.value(H, parts, y) / residual - 1).abs() < CERTIFIED).all()


def test_minus_the_mean_is_the_only_other_critical_direction():
    parts = multicenter_frame(ufm.MultiCenter((1, 4), 0.3))
    H = -parts.direction[1:].clone().requires_grad_()
    value = CosineRegression("one", lam=0.0).value(H, parts, torch.tensor([1]))
    (grad,) = torch.autograd.grad(value.sum(), H)
    assert grad.norm() < EXACT
    nearby = torch.nn.functional.normalize(H.detach() + 1e-3 * random(1, H.shape[1]), dim=-1)
    assert CosineRegression("one", lam=0.0).value(nearby, parts, torch.tensor([1])) < value


@pytest.mark.parametrize("size", [0.1, 1.0, 7.0])
def test_gradient_of_one_cosine_scales_with_one_over_the_length(size):
    """-(2(1-a)/|h|)(w - a u), tangential; the printed form has |h|^-2 and w - a h."""
    w, h = vector(1, 0, 0, 0), size * vector(0.6, 0.8, 0, 0)
    u, a = h / size, 0.6
    x = h.unsqueeze(0).clone().requires_grad_()
    value = CosineRegression("one", lam=0.0).value(x, torch.eye(4).double(), torch.tensor([0]))
    (grad,) = torch.autograd.grad(value.sum(), x)
    assert_close(grad[0], -2 * (1 - a) / size * (w - a * u), rtol=0, atol=EXACT / size)
    assert abs(float(grad[0] @ u)) < EXACT / size
    printed = -2 * (1 - a) / size**2 * (w - a * h)
    assert (size == 1.0) == bool((grad[0] - printed).norm() < 1e-10)


def test_weighting_makes_the_pull_linear_in_g():
    # At a generic (orthogonal) feature: 2 sqrt(f g) unweighted, 2 g weighted.
    f, theta = (1, 77), 0.2
    parts = multicenter_frame(ufm.MultiCenter(f, theta), sum(f) + 3)
    h = torch.eye(sum(f) + 3)[-1:].double()  # on no center
    pull = {}
    for weighting in ("one", "cos_alpha"):
        pulls = []
        for k in (0, 1):
            x = h.clone().requires_grad_()
            value = CosineRegression(weighting, lam=0.0).value(x, parts, torch.tensor([k]))
            pulls.append(float(torch.autograd.grad(value.sum(), x)[0].norm()))
        pull[weighting] = pulls[1] / pulls[0]
    assert abs(pull["one"] - 17.5) < 0.05
    assert abs(pull["cos_alpha"] - 4.0) < 0.02


def test_average_and_class_aware_losses_agree_on_balanced_data():
    f = ufm.class_aware_centers((30, 30, 30), 4)
    assert f == (4, 4, 4)


def test_rows_without_centers_are_one_center_a_class():
    W, H, y = ufm.etf(4, 5), random(6, 5), torch.arange(6) % 4
    plain = CosineRegression().value(H, W, y)
    parts = Centers(W, W, torch.arange(4))
    assert_close(plain, CosineRegression().value(H, parts, y), rtol=EXACT, atol=0)
    whole = CenterRegression().value(H, W, y)
    target = torch.nn.functional.one_hot(y, 4).double()
    assert_close(whole, (H @ W.mT - target).square().sum(-1) / 2, rtol=EXACT, atol=0)


@pytest.mark.parametrize("weighting", ["one", "cos_alpha"])
def test_reading_own_centers_alone_changes_nothing(weighting):
    """Of many classes only a sample's own centers are read; without their places, all are."""
    f = (1, 2, 3) * 20
    spec, y, loss = ufm.MultiCenter(f, 0.4), torch.arange(7) * 8, CosineRegression(weighting)
    parts, H = multicenter_frame(spec), random(7, spec.d_min)
    everything = loss.value(H, Centers(parts.W, parts.centers, parts.owner), y)
    assert_close(loss.value(H, parts, y), everything, rtol=EXACT, atol=EXACT)
    assert_close(loss.value(H, parts.W, y), (1 - H.mT[y].diagonal() / H.norm(dim=-1)).square()
                 + 6e-4 * (H.norm(dim=-1) - 1).square(), rtol=EXACT, atol=EXACT)  # fmt: skip
