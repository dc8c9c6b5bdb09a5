"""Small models of every kind, random points for them, and reference optima from SciPy.

The reference shares only `Objective.value` with the package: its gradients come from autograd, its
constraints from a parametrisation of its own.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import scipy.optimize
import torch

import ufm
from ufm.objective import Objective, Point
from ufm.solution import Solution


LOSSES = (ufm.CrossEntropy(), ufm.SquaredError(), ufm.DotRegression(s=1.3))
REGS = (
    ufm.WeightDecay(3e-2, 1e-2),
    ufm.ClassMeanDecay(2e-2, 4e-2),
    ufm.AverageBudget(0.6, 0.9),
    ufm.VectorBudget(0.6, 0.9),
    ufm.Sphere(0.6, 0.9),
)
BIASES = (ufm.NoBias(), ufm.FreeBias(), ufm.PenalisedBias(0.05))
# Of rank 2 and not centred: neither its null space nor its column sums are trivial.
ROWS = ((1.0, 0.2, 0.0), (-0.3, 0.9, 0.0), (0.4, -0.5, 0.0))
CLASSIFIERS = (ufm.Learnable(), ufm.Fixed(ufm.ExplicitFrame(ROWS)))


def small(loss, reg, bias, classifier, n=(4, 2, 1)) -> ufm.Problem:
    K = len(n)
    return ufm.Problem(K=K, d=K, n=n, loss=loss, reg=reg, bias=bias, classifier=classifier)


MODELS = tuple(small(*parts) for parts in itertools.product(LOSSES, REGS, BIASES, CLASSIFIERS))


def name(problem: ufm.Problem) -> str:
    parts = (problem.loss, problem.reg, problem.bias, problem.classifier)
    return "-".join(type(part).__name__ for part in parts)


def random_point(problem: ufm.Problem, *, M: int, seed: int, scale: float = 1.0) -> Solution:
    """A Gaussian point of any size, feasible or not."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return scale * torch.randn(*shape, dtype=torch.float64, generator=generator)

    W, H, b = draw(problem.K, problem.d), draw(problem.d, M), draw(problem.K)
    return Solution.from_arrays(problem, W, H, b if problem.has_bias else None)


def moved(sol: Solution, noise: float, *, seed: int = 0) -> Solution:
    """The point with Gaussian noise on every variable."""
    generator = torch.Generator().manual_seed(seed)
    W, H, b = (
        t + noise * torch.randn(t.shape, dtype=t.dtype, generator=generator) for t in sol.point
    )
    W = W if sol.problem.is_learnable else sol.W
    return Solution.from_arrays(sol.problem, W, H, b if sol.problem.has_bias else None)


@functools.cache
def optimum(problem: ufm.Problem) -> Solution:
    """Where L-BFGS ends from a random start, on class means."""
    K, d = problem.K, problem.d
    objective = Objective.stack([problem], K)
    start = np.random.default_rng(1).normal(size=2 * K * d + K)

    def value_and_grad(flat):
        t = torch.tensor(flat, requires_grad=True)
        value = objective.value(_point(objective, t)).sum()
        value.backward()
        return value.item(), t.grad.numpy()

    options = {"maxiter": 3000, "maxcor": 30, "ftol": 0, "gtol": 1e-12, "maxls": 40}
    flat = scipy.optimize.minimize(
        value_and_grad, start, jac=True, method="L-BFGS-B", options=options
    ).x
    x = Point(*(t.detach()[0] for t in _point(objective, torch.tensor(flat))))
    return Solution.from_arrays(problem, x.W, x.H, x.b if problem.has_bias else None)


def _point(objective: Objective, flat: torch.Tensor) -> Point:
    problem, K, d = objective.template, objective.K, objective.d
    W, H, b = flat[: K * d].reshape(1, K, d), flat[K * d : -K].reshape(1, d, K), flat[-K:]
    fixed, reg = objective.fixed_W(), problem.reg
    if isinstance(reg, ufm.AverageBudget):
        W = W * _ball(W.square().sum(), K * reg.E_W)
        H = H * _ball(H.square().sum(), K * reg.E_H)
    elif isinstance(reg, ufm.VectorBudget):
        W = W * _ball(W.square().sum(-1, keepdim=True), reg.E_W)
        H = H * _ball(H.square().sum(-2, keepdim=True), reg.E_H)
    elif isinstance(reg, ufm.Sphere):
        W = W * (reg.E_W / W.square().sum(-1, keepdim=True)).sqrt()
        H = H * (reg.E_H / H.square().sum(-2, keepdim=True)).sqrt()
    W = W if fixed is None else fixed.unsqueeze(0)
    return Point(W, H, (b if problem.has_bias else 0 * b).unsqueeze(0))


def _ball(square: torch.Tensor, limit: float) -> torch.Tensor:
    # Smooth map of the whole space onto the ball that reaches its boundary: v -> v g(|v|).
    size = square.sqrt()
    return limit**0.5 * torch.where(size < 1, 1.5 - square / 2, 1 / size)
