"""Losses: gradient and Hessian product against autograd, conjugate and Fenchel defect."""

import math
from fractions import Fraction

import pytest
import torch
from tolerances import EXACT

from ufm.geometry import Exponential, HAFrame
from ufm.hierarchy import Tree
from ufm.losses import (
    LDAM,
    CenterSquaredError,
    ClassBalanced,
    CrossEntropy,
    DotRegression,
    LogitAdjusted,
    Loss,
    SoftTargets,
    SquaredError,
)
from ufm.losses._softmax import divergence_of_change


TREE = HAFrame(Tree.from_nested([[3, 1], [0, [2]]]), Exponential(2.0))
N = (40, 20, 8, 3)
LOSSES = [
    CrossEntropy(),
    SquaredError(),
    DotRegression(s=1.7),
    SoftTargets(TREE, beta=2.0),
    CenterSquaredError.of((1, 2, 3, 5), n=N, theta=0.4),
    LogitAdjusted(N, tau=0.7),
    LDAM(N, scale=1.5),
    ClassBalanced(LDAM(N, scale=1.5), n=N, beta=0.9),
    ClassBalanced(SquaredError(), n=N, over="samples"),
]
Y = torch.tensor([0, 1, 2, 3, 3, 1])


def logits(scale: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return scale * torch.randn(2, 4, 6, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
class TestEveryLoss:
    def test_gradient_and_hessian_match_autograd(self, loss: Loss):
        Z, V = logits().requires_grad_(), logits(0.5).flip(0)
        (G,) = torch.autograd.grad(loss.value(Z, Y).sum(), Z)
        _, HV = torch.autograd.functional.hvp(lambda Z: loss.value(Z, Y).sum(), Z, V)
        torch.testing.assert_close(loss.grad(Z.detach(), Y), G, rtol=EXACT, atol=EXACT)
        torch.testing.assert_close(loss.hvp(Z.detach(), Y, V), HV, rtol=EXACT, atol=EXACT)

    def test_fenchel_defect_is_primal_plus_conjugate_minus_inner(self, loss: Loss):
        Z, U = logits(), loss.grad(logits(1.0).flip(0), Y)
        defect = loss.value(Z, Y) + loss.conjugate(U, Y) - (U * Z).sum(-2)
        torch.testing.assert_close(loss.fenchel_defect(U, Z, Y), defect, rtol=EXACT, atol=EXACT)
        assert (defect > 0).all()

    def test_conjugate_is_continuous_up_to_rounding_at_the_edge_of_its_domain(self, loss: Loss):
        # A dual column that puts nothing on the first class, missed by an ulp either way.
        U = loss.grad(logits(), Y)
        if loss.shift_invariant:
            slack = loss.slack(U, Y)[:, :1]
            U = U - torch.cat([slack, -slack, 0 * slack, 0 * slack], 1)
        inside, outside = U.clone(), U.clone()
        inside[:, 0] += 1e-16
        outside[:, 0] -= 1e-16
        torch.testing.assert_close(
            loss.conjugate(outside, Y), loss.conjugate(inside, Y), rtol=EXACT, atol=EXACT
        )

    def test_fenchel_defect_vanishes_at_the_gradient_only(self, loss: Loss):
        Z = logits()
        assert loss.fenchel_defect(loss.grad(Z, Y), Z, Y).abs().max() < 1e-30
        moved = loss.grad(Z + 0.1 * logits().flip(-1), Y)
        assert (loss.fenchel_defect(moved, Z, Y) > 1e-6).all()

    def test_small_defects_are_second_order(self, loss: Loss):
        # By subtraction of the three terms these would be lost below 1e-16.
        Z, direction = logits(), logits().flip(-1)
        ratio = [
            loss.fenchel_defect(loss.grad(Z + h * direction, Y), Z, Y).sum() / h**2
            for h in (1e-5, 1e-7, 1e-9)
        ]
        assert ratio[2] / ratio[0] == pytest.approx(1, rel=1e-3)
        assert ratio[1] / ratio[0] == pytest.approx(1, rel=1e-3)

    def test_gradients_lie_in_the_conjugate_domain(self, loss: Loss):
        U = loss.grad(logits(), Y)
        assert (loss.slack(U, Y) >= 0).all()
        if loss.shift_invariant:
            assert U.sum(-2).abs().max() < EXACT


def test_cross_entropy_keeps_the_digits_of_tiny_losses():
    Z = torch.zeros(3, 1, dtype=torch.float64)
    Z[0] = 60.0
    y = torch.tensor([0])
    tiny = 2 * torch.tensor(-60.0, dtype=torch.float64).exp()
    torch.testing.assert_close(CrossEntropy().value(Z, y)[0], tiny, rtol=EXACT, atol=0)
    torch.testing.assert_close(CrossEntropy().grad(Z, y)[0, 0], -tiny, rtol=EXACT, atol=0)


def test_cross_entropy_does_not_overflow():
    Z = torch.tensor([[800.0], [-800.0]], dtype=torch.float64)
    assert CrossEntropy().value(Z, torch.tensor([1]))[0] == 1600.0


def test_dot_regression_gradient_on_the_sphere_is_a_pure_pull():
    # Yang et al.: -(1 - cos) w_y when |h|^2 = E_H.
    E_W, E_H, theta = 2.0, 3.0, torch.tensor(0.7, dtype=torch.float64)
    s = (E_W * E_H) ** 0.5
    z = s * theta.cos()
    Z = torch.stack([z, torch.tensor(0.3, dtype=torch.float64)]).unsqueeze(-1)
    G = DotRegression(s=s).grad(Z, torch.tensor([0]))
    torch.testing.assert_close(G[0, 0], -(1 - theta.cos()), rtol=EXACT, atol=0)
    assert G[1, 0] == 0


def test_dot_regression_refuses_a_target_that_is_not_positive():
    with pytest.raises(ValueError, match="s must be a finite number > 0, got -1"):
        DotRegression(s=-1)


@pytest.mark.parametrize("t", [1e-9, -1e-5, 9.9e-3, -9.9e-3, 1.01e-2, -0.5, 2.0])
def test_divergence_of_a_change_keeps_its_digits(t):
    # q = (p, 1 - p) moved by p t: KL = p f(t) + (1 - p) f(-p t / (1 - p)), f = (1+t) log(1+t) - t.
    def f(x):
        x = Fraction(x)
        if abs(x) < Fraction(1, 10):
            return float(sum((-x) ** k / (k * (k - 1)) for k in range(2, 20)))
        return (1 + float(x)) * math.log1p(float(x)) - float(x)

    p = 0.25
    Z = torch.tensor([[1.0], [3.0]], dtype=torch.float64).log()
    change = torch.tensor([[p * t], [-p * t]], dtype=torch.float64)
    exact = p * f(t) + (1 - p) * f(-p * t / (1 - p))
    # Just above the switch to the direct form eps/(t^2/2) is lost, 4e-12.
    rel = 1e-13 if abs(t) < 1e-2 else 1e-11
    assert divergence_of_change(Z, change).item() == pytest.approx(exact, rel=rel, abs=0)
