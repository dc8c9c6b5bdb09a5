"""The l_q statement of Fang et al. (2021) in the form often quoted: counter-examples, and a repair.

The best member of the family is known exactly: with ``H = (a+b) I - b J`` the best classifier is
symmetric and centred, so the loss is that of the logits ``c (a+b) (I - J/K)`` with
``c = sqrt(K E_W/(K-1))``, and ``a + b`` is largest at ``b = a (K-1)^{-1/(q-1)}``. An explicit point
within both budgets with a smaller loss shows that no member is a minimiser.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import sympy as sp
import torch
from mpmath import mpf
from scipy.optimize import minimize

from proofs_check._harness import Measurement, evidence
from proofs_check._proof import Proof, points
from ufm.claims import EvidenceKind
from ufm.theory.fang2021 import LQ
from ufm.theory.fang2021_lq import LQ_BOUND, lq_bound


Rows = tuple[tuple[int, ...], ...]

# Class means as columns, before they are scaled to the budget; W = c (I - J/K) H'.
SPARSE_3: Rows = ((0, 0, 0), (17, -17, 0), (-7, -7, 20))
SQUARE_4: Rows = ((-6, 6, 6, -6), (-6, -6, 6, 6), (-5, 5, -5, 5), (5, -5, 5, -5))
FIVE: Rows = (
    (5, 6, -4, -5, -4),
    (3, -5, 4, -5, 4),
    (-5, 5, 4, -6, 4),
    (-5, 4, 5, 4, -6),
    (5, -4, 6, -4, -5),
)


def family_loss(K: int, q: Fraction) -> Any:
    """Smallest loss of the stated family at E_W = E_H = 1.

    Args:
        K: Number of classes, and dimension.
        q: Exponent, > 1.

    Returns:
        The loss.
    """
    power = mpf(q.numerator) / q.denominator
    ratio = mpf(K - 1) ** (-1 / (power - 1))
    a = (1 + (K - 1) * ratio**power) ** (-1 / power)
    return mpmath.log(1 + (K - 1) * mpmath.exp(-mpmath.sqrt(mpf(K) / (K - 1)) * a * (1 + ratio)))


def loss_at(rows: Rows, q: Fraction) -> Any:
    """Balanced loss of scaled class means with the classifier proportional to their transpose.

    Args:
        rows: Integer means as columns.
        q: Exponent.

    Returns:
        The loss at E_W = E_H = 1, both budgets used exactly.
    """
    K, power = len(rows[0]), mpf(q.numerator) / q.denominator
    means = mpmath.matrix([[mpf(x) for x in row] for row in rows])
    means *= (K / mpmath.fsum(abs(x) ** power for x in means)) ** (1 / power)
    centred = means.copy()
    for row in range(means.rows):
        mean = mpmath.fsum(means[row, k] for k in range(K)) / K
        for k in range(K):
            centred[row, k] -= mean
    W = centred.T
    W *= mpmath.sqrt(K / mpmath.fsum(x**2 for x in W))
    Z = W * means
    losses = (
        mpmath.log(mpmath.fsum(mpmath.exp(Z[j, k] - Z[k, k]) for j in range(K))) for k in range(K)
    )
    return mpmath.fsum(losses) / K


def _refute(measure: Measurement, rows: Rows, q: Fraction) -> None:
    with mpmath.workdps(40):
        K = len(rows[0])
        family, found = family_loss(K, q), loss_at(rows, q)
        measure.record(f"family, K = {K}", family)
        measure.record(f"point, K = {K}", found)
        measure.above(f"margin, K = {K}", family - found, 1e-3)


@evidence(
    LQ,
    EvidenceKind.COUNTEREXAMPLE,
    domain="K = p = 3, q = 1.5 and K = p = 5, q = 3; E_W = E_H = 1, 40 digits",
)
def better_than_the_family(measure: Measurement) -> None:
    """A sparse frame for q < 2, and a less symmetric one for K = 5."""
    _refute(measure, SPARSE_3, Fraction(3, 2))
    _refute(measure, FIVE, Fraction(3))


@evidence(
    LQ,
    EvidenceKind.NUMERIC,
    domain="K = p = 4, q = 3, the size that the statement excludes; E_W = E_H = 1, 40 digits",
)
def two_cosines(measure: Measurement) -> None:
    """Vertices of a box: two different cosines, and a smaller loss."""
    _refute(measure, SQUARE_4, Fraction(3))


K = sp.Symbol("K", integer=True, positive=True)
p, t, E_W, E_H = sp.symbols("p t E_W E_H", positive=True)
above = sp.Symbol("m", positive=True)  # q = 2 (1 + m)
q = 2 * (1 + above)


@evidence(
    LQ_BOUND,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, p, q > 2, E_W, E_H; q = 2 is the balanced theorem itself",
    steps=("power mean", "budget", "equality", "signs", "Hadamard"),
)
def power_mean_and_signs(proof: Proof) -> None:
    """With c^2 the mean of the squared entries, t = x^2/c^2 has mean one over the p K entries.

    The sum of the tangent inequality over all entries says pK c^q <= sum |x|^q <= K E_H, so
    |H|^2 = pK c^2 is within the budget E_H' of the balanced theorem. There the minimisers are the
    aligned simplex ETFs alone; here they also need t = 1 everywhere.
    """
    tangent = t ** (1 + above) - 1 - proof.term("slope", 1 + above) * (t - 1)
    proof.zero(tangent.subs(t, 1), "t^(q/2) touches its tangent at t = 1")
    proof.zero(sp.diff(tangent, t).subs(t, 1), "with its slope")
    proof.positive(sp.diff(tangent, t, 2), "and is strictly convex: above it elsewhere, for q > 2")
    c = (E_H / p) ** (1 / q)
    proof.equal(p * K * c**q, K * E_H, "the largest c uses the budget: p K c^q = K E_H")
    budget = p ** proof.term("exponent", 1 - 2 / q) * E_H ** (2 / q)
    proof.equal(p * c**2, budget, "then |H|^2 = p K c^2 = K E_H'")
    own, other = p * c**2, -p * c**2 / (K - 1)
    proof.zero(own + (K - 1) * other, "columns of an ETF sum to zero, and so does every row")
    n = sp.Symbol("n", positive=True)  # K - 2
    product = (-other / c**2).subs(K, n + 2)
    proof.equal(product.subs(p, n + 2), 1 + 1 / (n + 1), "products of K signs are whole numbers, "
                "but at p = K they would be -(1 + 1/(K-1))")  # fmt: skip
    proof.positive(1 - 1 / (n + 2), "which is none for K > 2: 1/(K-1) lies between 0 and 1")
    without_ones = K * sp.eye(2) - proof.term("row of ones", sp.ones(2))
    etf = p * K / (K - 1) * (sp.eye(2) - sp.ones(2) / K)
    proof.equal(without_ones, etf.subs(p, K - 1), "Hadamard: H'H = K I; without its row of ones "
                "K I - 1 1', the Gram matrix of an ETF at p = K-1")  # fmt: skip
    size, width = sp.symbols("K p", integer=True, positive=True)
    power, energy = sp.symbols("q E_H", positive=True)
    scale = size / (size - 1) * sp.sqrt(width ** (1 - 2 / power) * energy ** (2 / power))
    value = sp.log(1 + (size - 1) * sp.exp(-scale))
    proof.tie(
        value, [size, width, power, energy],
        lambda K, p, q, E_H: lq_bound(K, p, q, E_H=E_H),
        points(0, 8, (2, 9), (2, 9), (2.0, 6.0), (0.5, 4.0)),
        "the bound as the package computes it, E_W = 1",
    )  # fmt: skip


def hadamard(order: int) -> np.ndarray:
    """Sylvester's Hadamard matrix.

    Args:
        order: A power of two.

    Returns:
        The matrix; its first row and column are ones.
    """
    H = np.ones((1, 1), dtype=int)
    while len(H) < order:
        H = np.block([[H, H], [H, -H]])
    return H


@evidence(
    LQ_BOUND,
    EvidenceKind.NUMERIC,
    domain="Hadamard columns of order 4 and 8, p = K-1, q = 3 and 6, E_W = E_H = 1, 40 digits",
)
def hadamard_columns_attain_it(measure: Measurement) -> None:
    """Equality at an explicit point."""
    with mpmath.workdps(40):
        for order in (4, 8):
            rows = tuple(map(tuple, hadamard(order)[1:].tolist()))
            for exponent in (Fraction(3), Fraction(6)):
                bound = lq_bound(order, order - 1, float(exponent))
                measure.below("distance", abs(loss_at(rows, exponent) - bound), 1e-15)


@evidence(
    LQ_BOUND,
    EvidenceKind.NUMERIC,
    domain="descent on W and H from 5 random starts each: (K, p, q) = (4, 3, 3), where the bound "
    "is attained, (4, 4, 3) and (5, 5, 3), where it is not; E_W = E_H = 1, seed 0",
)
def descent_stays_above(measure: Measurement) -> None:
    """No start gets below the bound; one gets to it where signs form an ETF."""
    generator = np.random.default_rng(0)
    for sizes in ((4, 3), (4, 4), (5, 5)):
        found = min(
            _descent(*sizes, generator.normal(size=2 * sizes[0] * sizes[1])) for _ in range(5)
        )
        excess = found - lq_bound(*sizes, 3)
        name = f"K = {sizes[0]}, p = {sizes[1]}"
        measure.record(f"best, {name}", found)
        measure.true(f"above the bound, {name}", excess > -1e-9)
        if sizes == (4, 3):
            measure.below(f"excess, {name}", excess, 1e-6)
        else:
            measure.above(f"excess, {name}", excess, 1e-3)


def _descent(K: int, p: int, start: np.ndarray) -> float:
    # q = 3; both factors are scaled to their budgets.
    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.tensor(x, requires_grad=True)
        W, H = point[: K * p].reshape(K, p), point[K * p :].reshape(p, K)
        Z = W @ H * (K / W.square().sum()).sqrt() * (K / H.abs().pow(3).sum()) ** (1 / 3)
        value = (Z.logsumexp(0) - Z.diagonal()).mean()
        value.backward()
        assert point.grad is not None
        return float(value.detach()), point.grad.numpy()

    return float(
        minimize(
            loss, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "maxiter": 300}
        ).fun
    )
