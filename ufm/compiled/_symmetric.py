"""Eigenvalues and eigenvectors of small symmetric matrices in compiled code.

Householder reduction to a tridiagonal matrix, then the implicit QL iteration of Dubrulle, Martin
and Wilkinson (EISPACK imtql2). LAPACK does the same, at ten times the cost for K = 10.
"""

from __future__ import annotations

import math

from numba import njit

from ufm.compiled._product import INNER


EPS = 2.0**-52
MAX_ITERATIONS = 60


@njit(**INNER)
def reduce_to_tridiagonal(A, n, diagonal, off, scale, w):
    """Orthogonal similarity to a tridiagonal matrix; A is overwritten.

    Args:
        A: Symmetric ``(n, n)``. On return row k holds the reflector's vector right of the diagonal.
        n: Size.
        diagonal: Out ``(n,)``.
        off: Out ``(n,)``; the last one is 0.
        scale: Out ``(n,)``: the reflectors are ``I - scale_k v_k v_k'``.
        w: Scratch ``(n,)``.
    """
    for k in range(n - 1):
        diagonal[k] = A[k, k]
        first, rest = A[k, k + 1], 0.0
        for i in range(k + 2, n):
            rest += A[k, i] * A[k, i]
        scale[k], off[k] = 0.0, first
        if rest == 0.0:
            continue
        norm = math.sqrt(first * first + rest)
        off[k] = -norm if first > 0.0 else norm
        A[k, k + 1] = first - off[k]
        scale[k] = 1.0 / (norm * norm - off[k] * first)
        inner = 0.0
        for i in range(k + 1, n):
            total = 0.0
            for j in range(k + 1, n):
                total += A[i, j] * A[k, j]
            w[i] = scale[k] * total
            inner += w[i] * A[k, i]
        inner *= scale[k] / 2
        for i in range(k + 1, n):
            w[i] -= inner * A[k, i]
        for i in range(k + 1, n):
            v_i, w_i = A[k, i], w[i]
            for j in range(k + 1, n):
                A[i, j] -= v_i * w[j] + w_i * A[k, j]
    diagonal[n - 1], off[n - 1], scale[n - 1] = A[n - 1, n - 1], 0.0, 0.0


@njit(**INNER)
def accumulate(A, n, scale, vectors):
    """The orthogonal matrix of `reduce_to_tridiagonal`, transposed.

    Args:
        A: Its reflectors.
        n: Size.
        scale: Its scales.
        vectors: Out ``(n, n)``.
    """
    for i in range(n):
        for j in range(n):
            vectors[i, j] = 1.0 if i == j else 0.0
    for k in range(n - 2, -1, -1):
        if scale[k] == 0.0:
            continue
        for i in range(k + 1, n):
            total = 0.0
            for j in range(k + 1, n):
                total += vectors[i, j] * A[k, j]
            total *= scale[k]
            for j in range(k + 1, n):
                vectors[i, j] -= total * A[k, j]


@njit(**INNER)
def diagonalise(diagonal, off, n, vectors, rows):
    """QL iteration: eigenvalues into ``diagonal``, in no order.

    Args:
        diagonal: Diagonal, overwritten.
        off: Off-diagonal, destroyed.
        n: Size.
        vectors: ``(n, rows)``; its rows are rotated along and end as eigenvectors.
        rows: Length of the vectors; 0 for the eigenvalues alone.

    Returns:
        Whether it converged; NaN does not.
    """
    for start in range(n):
        for iteration in range(MAX_ITERATIONS + 1):
            end = start
            while end < n - 1 and not (
                abs(off[end]) <= EPS * (abs(diagonal[end]) + abs(diagonal[end + 1]))
            ):
                end += 1
            if end == start:
                break
            if iteration == MAX_ITERATIONS:
                return False
            g = (diagonal[start + 1] - diagonal[start]) / (2.0 * off[start])
            r = math.sqrt(g * g + 1.0)
            g = diagonal[end] - diagonal[start] + off[start] / (g + (r if g >= 0.0 else -r))
            s, c, p, broken = 1.0, 1.0, 0.0, False
            for i in range(end - 1, start - 1, -1):
                f, b = s * off[i], c * off[i]
                r = math.sqrt(f * f + g * g)
                off[i + 1] = r
                if r == 0.0:
                    diagonal[i + 1] -= p
                    off[end] = 0.0
                    broken = True
                    break
                s, c = f / r, g / r
                g = diagonal[i + 1] - p
                r = (diagonal[i] - g) * s + 2.0 * c * b
                p = s * r
                diagonal[i + 1] = g + p
                g = c * r - b
                for j in range(rows):
                    upper, lower = vectors[i, j], vectors[i + 1, j]
                    vectors[i, j] = c * upper - s * lower
                    vectors[i + 1, j] = s * upper + c * lower
            if not broken:
                diagonal[start] -= p
                off[start], off[end] = g, 0.0
    return True
