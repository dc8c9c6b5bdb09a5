"""Counter-examples to the l_q statement of Fang et al. (2021) in the form often quoted.

The best member of the family is known exactly: with ``H = (a+b) I - b J`` the best classifier is
symmetric and centred, so the loss is that of the logits ``c (a+b) (I - J/K)`` with
``c = sqrt(K E_W/(K-1))``, and ``a + b`` is largest at ``b = a (K-1)^{-1/(q-1)}``. An explicit point
within both budgets with a smaller loss shows that no member is a minimiser.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
from mpmath import mpf

from proofs_check._harness import Measurement, evidence
from ufm.claims import EvidenceKind
from ufm.theory.fang2021 import LQ


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
    for row in range(K):
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
