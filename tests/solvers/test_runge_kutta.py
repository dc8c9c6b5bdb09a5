"""The Dormand-Prince pair: exact order conditions, measured orders, dense output, step control."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.integrate import RK45
from tolerances import EXACT

from ufm.solvers._runge_kutta import DORMAND_PRINCE, GROW, SHRINK, Tableau, resize, step


Tree = tuple["Tree", ...]
STAGES = len(DORMAND_PRINCE.A)


def trees(order: int) -> list[Tree]:
    """Rooted trees with ``order`` nodes; a tree is the sorted tuple of its root's subtrees."""

    def forests(nodes: int, smallest: int) -> list[Tree]:
        if nodes == 0:
            return [()]
        return [
            (first, *rest)
            for size in range(smallest, nodes + 1)
            for first in trees(size)
            for rest in forests(nodes - size, size)
        ]

    return sorted({tuple(sorted(forest)) for forest in forests(order - 1, 1)})


def size(tree: Tree) -> int:
    return 1 + sum(size(child) for child in tree)


def gamma(tree: Tree) -> int:
    return size(tree) * int(np.prod([gamma(child) for child in tree], dtype=int))


def weights(tree: Tree, A: list[list[Fraction]]) -> list[Fraction]:
    """Elementary weight of the tree at every stage, in exact arithmetic."""
    inner = [weights(child, A) for child in tree]
    result = []
    for row in A:
        product = Fraction(1)
        for child in inner:
            product *= sum((a * c for a, c in zip(row, child, strict=True)), Fraction(0))
        result.append(product)
    return result


def square(tableau: Tableau) -> list[list[Fraction]]:
    return [[*row, *[Fraction(0)] * (STAGES - len(row))] for row in tableau.A]


def holds(b: list[Fraction], tree: Tree, theta: Fraction = Fraction(1)) -> bool:
    phi = weights(tree, square(DORMAND_PRINCE))
    left = sum((x * y for x, y in zip(b, phi, strict=True)), Fraction(0))
    return left == theta ** size(tree) / gamma(tree)


B = square(DORMAND_PRINCE)[-1]
B_HAT = [b - e for b, e in zip(B, DORMAND_PRINCE.error, strict=True)]


def test_there_are_seventeen_trees_up_to_order_five():
    assert [len(trees(order)) for order in range(1, 6)] == [1, 1, 2, 4, 9]


@pytest.mark.parametrize("order", range(1, 7))
def test_order_conditions(order):
    assert all(holds(B, tree) for tree in trees(order)) == (order <= 5)
    assert all(holds(B_HAT, tree) for tree in trees(order)) == (order <= 4)


@pytest.mark.parametrize("theta", [Fraction(1, 3), Fraction(1, 2), Fraction(9, 10)])
def test_order_conditions_of_the_dense_output(theta):
    rest, one = 1 - theta, lambda i, j: Fraction(int(i == j))
    b = [
        theta * (b + rest * (one(i, 0) - b + theta * (
            2 * b - one(i, 0) - one(i, STAGES - 1) + rest * d)))
        for i, (b, d) in enumerate(zip(B, DORMAND_PRINCE.dense, strict=True))
    ]  # fmt: skip
    for order in range(1, 6):
        assert all(holds(b, tree, theta) for tree in trees(order)) == (order <= 4)


def test_coefficients_are_scipys():
    A = np.array([[float(a) for a in row] for row in square(DORMAND_PRINCE)])
    np.testing.assert_allclose(A[:-1, :-2], RK45.A, rtol=EXACT)
    np.testing.assert_allclose(A[-1, :-1], RK45.B, rtol=EXACT)
    # SciPy subtracts the other way round.
    np.testing.assert_allclose([float(e) for e in DORMAND_PRINCE.error], -RK45.E, rtol=EXACT)
    np.testing.assert_allclose([float(d) for d in DORMAND_PRINCE.dense], RK45.P[:, -1], rtol=EXACT)


X0 = torch.tensor([[0.1, 1.3]], dtype=torch.float64)


def logistic(x: torch.Tensor) -> torch.Tensor:
    """``x' = x (1 - x), y' = -x y``; `exact` solves it."""
    u, y = x.unbind(-1)
    return torch.stack([u * (1 - u), -u * y], -1)


def exact(t: float) -> torch.Tensor:
    growth = torch.tensor(t, dtype=torch.float64).exp()
    scale = 1 - X0[:, 0] + X0[:, 0] * growth
    return torch.stack([X0[:, 0] * growth / scale, X0[:, 1] / scale], -1)


def errors(count: int, tableau: Tableau = DORMAND_PRINCE) -> tuple[float, float, float]:
    """Errors at t = 2 of the pair and of its embedded method, and of the dense output before it."""
    h, x, low = torch.full((1,), 2 / count, dtype=torch.float64), X0, X0
    dense = 0.0
    for i in range(count):
        this = step(logistic, x, h, k0=logistic(x), weights=tableau.weights(X0))
        embedded = step(logistic, low, h, k0=logistic(low), weights=tableau.weights(X0))
        middle = this.at(torch.tensor([0]), torch.tensor([0.4], dtype=torch.float64))
        dense = max(dense, float((middle - exact((i + 0.4) * float(h))).abs().max()))
        x, low = this.x1, embedded.x1 - embedded.error
    return float((x - exact(2.0)).abs().max()), float((low - exact(2.0)).abs().max()), dense


def slopes(tableau: Tableau = DORMAND_PRINCE) -> np.ndarray:
    """Orders regressed over halved steps."""
    counts = [6, 12, 24, 48]
    rows = np.log([errors(count, tableau) for count in counts])
    return -np.polyfit(np.log(counts), rows, 1)[0]


def test_measured_orders():
    pair, embedded, dense = slopes()
    assert abs(pair - 5) < 0.3
    assert abs(embedded - 4) < 0.3
    # Local error h^5 of an interpolant of order 4 between values of order 5.
    assert abs(dense - 5) < 0.3


@pytest.mark.parametrize(("row", "entry"), [(6, 3), (3, 1), (5, 4)])
def test_a_wrong_coefficient_loses_the_order(row, entry):
    # Negative control: one digit in one fraction.
    rows = [list(r) for r in DORMAND_PRINCE.A]
    rows[row][entry] += Fraction(1, 1000)
    wrong = replace(DORMAND_PRINCE, A=tuple(tuple(r) for r in rows))
    assert slopes(wrong)[0] < 4.7


def test_dense_output_meets_both_ends_and_their_slopes():
    h = torch.full((1,), 0.5, dtype=torch.float64)
    this = step(logistic, X0, h, k0=logistic(X0))
    zero = torch.tensor([0])
    theta = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    ends = torch.cat([this.at(zero, t.reshape(1)) for t in theta])
    torch.testing.assert_close(ends, torch.cat([this.x0, this.x1]), rtol=EXACT, atol=0)
    for i, x in itertools.product(range(2), range(2)):
        (slope,) = torch.autograd.grad(ends[i, x], theta, retain_graph=True)
        expected = h * logistic(ends[i : i + 1].detach())[:, x]
        torch.testing.assert_close(slope[i : i + 1], expected, rtol=EXACT, atol=EXACT)


def test_the_last_stage_is_the_field_at_the_retracted_end():
    def retract(x: torch.Tensor) -> torch.Tensor:
        return x / x.norm(dim=-1, keepdim=True)

    h = torch.full((1,), 0.5, dtype=torch.float64)
    this = step(logistic, X0, h, k0=logistic(X0), retract=retract)
    torch.testing.assert_close(this.x1.norm(dim=-1), one(1.0), rtol=EXACT, atol=0)
    assert torch.equal(this.k[:, -1], logistic(this.x1))


def test_instances_step_alone_or_together_alike():
    x = torch.rand(5, 2, dtype=torch.float64)
    h = torch.rand(5, dtype=torch.float64)
    together = step(logistic, x, h, k0=logistic(x))
    for i in range(5):
        alone = step(logistic, x[i : i + 1], h[i : i + 1], k0=logistic(x[i : i + 1]))
        assert torch.equal(alone.x1[0], together.x1[i])
        assert torch.equal(alone.error[0], together.error[i])


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


NO, YES = torch.tensor([False]), torch.tensor([True])


def test_step_control():
    assert float(resize(one(0.0), one(1.0), retry=NO)) == GROW
    assert float(resize(one(1e9), one(1.0), retry=NO)) == SHRINK
    assert float(resize(one(float("nan")), one(1.0), retry=NO)) == SHRINK
    assert float(resize(one(float("inf")), one(1.0), retry=NO)) == SHRINK
    # No growth after a rejection, always a smaller step on one.
    assert float(resize(one(1e-3), one(1.0), retry=YES)) == 1
    assert float(resize(one(1.0 + 1e-12), one(1.0), retry=NO)) < 1
    # An error that grew since the last step counts against the next: the integral part.
    assert float(resize(one(0.5), one(0.01), retry=NO)) < float(resize(one(0.5), one(1), retry=NO))
