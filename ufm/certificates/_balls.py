"""Ball arithmetic (Arb through python-flint): exact conversion, norms, rounding to safe floats.

A ball encloses one real number; every operation encloses its result. The one place that imports
flint, inside functions, since it is an optional extra.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ufm._typing import Tensor
from ufm.geometry.specs import ExplicitFrame, Frame, MultiCenter, OrthogonalFrame, SimplexETF


# Bits of the midpoints: float64 products and sums of K = 1000 terms lose far less than half of it.
PRECISION = 128


def load_flint() -> Any:
    """The flint module.

    Returns:
        The module.

    Raises:
        ImportError: If python-flint is not installed.
    """
    try:
        import flint
    except ImportError as error:
        raise ImportError(
            "rigorous=True needs python-flint, the extra `rigorous`: pip install 'ufm[rigorous]'"
        ) from error
    return flint


def ball(x: float) -> Any:
    """A number as an exact ball.

    Args:
        x: Integer or float, which is a dyadic rational.

    Returns:
        The ball.
    """
    return load_flint().arb(x)


def ball_matrix(rows: Tensor) -> Any:
    """A float matrix as exact balls.

    Args:
        rows: Matrix (R, C).

    Returns:
        The ball matrix.
    """
    return load_flint().arb_mat(*rows.shape, rows.flatten().tolist())


def from_rows(rows: Sequence[Sequence[Any]]) -> Any:
    """Rows of balls as a ball matrix.

    Args:
        rows: Equal-length rows.

    Returns:
        The ball matrix.
    """
    return load_flint().arb_mat([list(row) for row in rows])


def total(terms: Iterable[Any]) -> Any:
    """Sum of balls.

    Args:
        terms: Balls.

    Returns:
        Their sum; an exact zero if there are none.
    """
    return sum(terms, ball(0))


def dot(a: Sequence[Any], b: Sequence[Any]) -> Any:
    """Inner product of two sequences of balls.

    Args:
        a: Balls.
        b: As many balls.

    Returns:
        ``sum a_i b_i``.
    """
    return total(x * y for x, y in zip(a, b, strict=True))


def frobenius(A: Any) -> Any:
    """Frobenius norm.

    Args:
        A: Ball matrix.

    Returns:
        The norm.
    """
    return root(dot(A.entries(), A.entries()))


def root(x: Any) -> Any:
    """Square root of a number known to be non-negative, even where its ball reaches below.

    Args:
        x: Ball.

    Returns:
        The root.
    """
    return x.nonnegative_part().sqrt()


def norm_bound(A: Any) -> Any:
    r"""A proved upper bound on the operator norm.

    :math:`\|A\| \le \sqrt{(1+\|U^\top U-I\|_F)(1+\|V^\top V-I\|_F)}\,s_{\max} + \|A-USV^\top\|_F`
    holds for *any* U, S, V; a float64 singular value decomposition makes it tight.

    Args:
        A: Square ball matrix.

    Returns:
        A ball whose upper end bounds the norm.
    """
    flint = load_flint()
    K = A.nrows()
    middle = np.array([float(x) for x in A.mid().entries()]).reshape(K, K)
    U, S, Vh = (flint.arb_mat(np.atleast_2d(t).tolist()) for t in np.linalg.svd(middle))
    one = flint.arb_mat(K, K, 1)
    largest = max(S.entries(), key=float)
    scaled = flint.arb_mat(
        [[u * s for u, s in zip(r, S.entries(), strict=True)] for r in U.table()]
    )
    stretch = (1 + frobenius(U.transpose() * U - one)) * (1 + frobenius(Vh * Vh.transpose() - one))
    return stretch.sqrt() * largest + frobenius(A - scaled * Vh)


def float_below(x: Any) -> float:
    """The largest float that is easily seen not to exceed a ball.

    Args:
        x: Ball.

    Returns:
        A float at most the ball's lower end; minus infinity if the ball is not finite.
    """
    if not x.is_finite():
        return -math.inf
    lower = x.lower()
    guess = float(lower)
    while not ball(guess) <= lower:
        guess = math.nextafter(guess, -math.inf)
    return guess


def float_above(x: Any) -> float:
    """The mirror image of `float_below`.

    Args:
        x: Ball.

    Returns:
        A float at least the ball's upper end.
    """
    return -float_below(-x)


def ball_frame(spec: Frame, K: int, d: int) -> Any:
    """A fixed classifier with its irrational entries as balls.

    Args:
        spec: The frame.
        K: Number of classes.
        d: Feature dimension.

    Returns:
        Ball matrix (K, d) that encloses the exact rows.

    Raises:
        TypeError: If ``spec`` is no known frame.
    """
    rows = [[ball(0)] * d for _ in range(K)]
    match spec:
        case SimplexETF(E_W=E_W):
            for j in range(1, K):
                unit = (ball(E_W) * K / (K - 1) / (j * (j + 1))).sqrt()
                for k in range(j):
                    rows[k][j - 1] = unit
                rows[j][j - 1] = -j * unit
        case OrthogonalFrame(E_W=E_W) | MultiCenter(E_W=E_W):
            for k in range(K):
                rows[k][k] = ball(E_W).sqrt()
        case ExplicitFrame(rows=given):
            rows = [[ball(x) for x in row] for row in given]
        case _:
            raise TypeError(f"spec must be a known frame, got {type(spec).__name__}")
    return from_rows(rows)
