"""The exact algebras against dense matrices of small sizes."""

from __future__ import annotations

import pytest
import sympy as sp

from proofs_check._blocks import IJ, Block


A, B = 2, 3


def dense_ij(m: IJ) -> sp.Matrix:
    return m.a * sp.eye(m.K) + m.b * sp.ones(m.K, m.K)


def dense(m: Block) -> sp.Matrix:
    top = sp.Matrix.hstack(m.a * sp.eye(A) + m.b * sp.ones(A, A), m.c * sp.ones(A, B))
    low = sp.Matrix.hstack(m.d * sp.ones(B, A), m.e * sp.eye(B) + m.f * sp.ones(B, B))
    return sp.Matrix.vstack(top, low)


BLOCKS = [Block(*entries, A, B) for entries in ((1, -2, 3, 5, 7, -4), (2, 3, -1, 4, -3, 6))]


@pytest.mark.parametrize(
    "operation", [lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x @ y, lambda x, y: x * 3]
)
def test_operations_match_dense_ones(operation):
    x, y = BLOCKS
    assert dense(operation(x, y)) == operation(dense(x), dense(y))
    p, q = IJ(2, -1, 4), IJ(-3, 5, 4)
    assert dense_ij(operation(p, q)) == operation(dense_ij(p), dense_ij(q))


def test_transpose_sums_and_spectrum():
    m = BLOCKS[0]
    assert dense(m.T) == dense(m).T
    sums = sp.ones(1, A + B) * dense(m)
    assert list(sums) == [m.column_sums[0]] * A + [m.column_sums[1]] * B
    symmetric = m @ m.T
    expected = {symmetric.a: A - 1, symmetric.e: B - 1}
    for value, count in symmetric.quotient.eigenvals().items():
        expected[value] = expected.get(value, 0) + count
    assert dense(symmetric).eigenvals() == expected


def test_trace_and_row_sum_of_ij():
    m = IJ(2, -1, 4)
    assert m.trace == dense_ij(m).trace()
    assert list(dense_ij(m) * sp.ones(4, 1)) == [m.row_sum] * 4
