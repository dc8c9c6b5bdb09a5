"""The dual matrix in a certificate, checked from outside: feasible, and worth what it claims.

Everything is recomputed here with plain formulas and dense decompositions, from ``cert.Y`` alone.
"""

import hypothesis.strategies as st
import pytest
import torch
from certificates.models import MODELS, moved, name, optimum, random_point
from certificates.strategies import any_problem, powers
from hypothesis import example, given, settings
from tolerances import EXACT

import ufm
from ufm.certificates import Certificate, certify
from ufm.geometry.frames import frame


def conjugate(problem: ufm.Problem, U: torch.Tensor) -> torch.Tensor:
    """Conjugate of every column, infinite outside the domain beyond rounding."""
    label = U.diagonal()
    # Y = U diag(pi) mixes its columns when it is projected, so a column of U carries the rounding
    # of the largest entry of Y over its own share of the risk.
    pi = torch.tensor(problem.pi, dtype=torch.float64)
    size = 1e-14 * (1 + (U * pi).abs().max() / pi)
    match problem.loss:
        case ufm.CrossEntropy():
            Q = U + torch.eye(problem.K, dtype=torch.float64)
            assert (Q + size >= 0).all()
            assert (U.sum(0).abs() <= problem.K * size).all()
            Q = Q.clamp(min=0)
            return Q.xlogy(Q).sum(0)
        case ufm.SquaredError():
            return U.square().sum(0) / 2 + label
        case ufm.DotRegression(s=s):
            assert (U - torch.diag(label)).abs().max() == 0
            return s * (label.square() / 2 + label)


def support(problem: ufm.Problem, cert: Certificate) -> float:
    """Cost of the constraints on (W, H) at Y; asserts that Y is feasible."""
    Y, reg = cert.Y, problem.reg
    n = torch.tensor(problem.n, dtype=torch.float64)
    if not problem.is_learnable:
        a = (frame(problem.classifier.frame, problem.K, problem.d).mT @ Y).square().sum(0)
        match reg:
            case ufm.AverageBudget(E_H=E_H):
                return (problem.K * E_H * a.sum()).sqrt()
            case ufm.VectorBudget(E_H=E_H) | ufm.Sphere(E_H=E_H):
                return E_H**0.5 * a.sqrt().sum()
            case ufm.WeightDecay(lam_H=lam_H):
                return (a / n).sum() / (2 * lam_H)
            case ufm.ClassMeanDecay(lam_H=lam_H):
                return a.sum() / (2 * lam_H)
        # Y is a difference of probabilities: its own rounding is eps even where it is all rounding.
        assert a.sqrt().max() <= 1e-13 * Y.norm() + 1e-14
        return 0.0
    match reg:
        case ufm.NoReg():
            assert Y.abs().max() == 0
            return 0.0
        case ufm.WeightDecay() | ufm.ClassMeanDecay():
            D = n if isinstance(reg, ufm.WeightDecay) else torch.ones_like(n)
            norm = torch.linalg.matrix_norm(Y / D.sqrt(), 2)
            assert norm <= (reg.lam_W * reg.lam_H) ** 0.5 * (1 + EXACT)
            return 0.0
    alpha, beta = cert.multipliers
    # The semidefinite form: diag(beta), diag(alpha) and Y/2 make a positive semidefinite block.
    unit = Y / 2 / beta.clamp(min=1e-300).sqrt().unsqueeze(-1) / alpha.clamp(min=1e-300).sqrt()
    assert torch.linalg.matrix_norm(unit, 2) <= 1 + EXACT
    return reg.E_W * beta.sum() + reg.E_H * alpha.sum()


def assert_dual_value(problem: ufm.Problem, cert: Certificate):
    pi = torch.tensor(problem.pi, dtype=torch.float64)
    dual = -(pi * conjugate(problem, cert.Y / pi)).sum() - support(problem, cert)
    rows = cert.Y.sum(-1)
    if isinstance(problem.bias, ufm.FreeBias):
        assert rows.abs().max() <= 1e-14 * problem.K * (1e-2 + cert.Y.abs().max())
    if isinstance(problem.bias, ufm.PenalisedBias):
        dual = dual - rows.square().sum() / (2 * problem.bias.lam_b)
    # Rounding of a ridge's reciprocal strength enters relatively.
    assert abs(float(dual - cert.dual)) <= EXACT * (1 + float(cert.primal)) + float(cert.margin)


# One row of W for every class on the same side: its null space is not orthogonal to 1.
UNCENTRED = ufm.Problem(
    K=3, d=1, n=(5, 3, 2), reg=ufm.NoReg(),
    classifier=ufm.Fixed(ufm.ExplicitFrame(((-0.5,), (-0.8,), (-0.1,)))),
)  # fmt: skip


@settings(max_examples=150)
@given(problem=any_problem(), samples=st.booleans(), seed=st.integers(0, 99), scale=powers(-6, 3))
@example(problem=UNCENTRED, samples=False, seed=0, scale=1e-3)
def test_at_random_points(problem, samples, seed, scale):
    M = problem.N if samples else problem.K
    assert_dual_value(problem, certify(random_point(problem, M=M, seed=seed, scale=scale)))


@pytest.mark.parametrize("problem", MODELS, ids=name)
def test_near_the_optimum(problem):
    for noise in (0.0, 1e-4):
        assert_dual_value(problem, certify(moved(optimum(problem), noise)))
