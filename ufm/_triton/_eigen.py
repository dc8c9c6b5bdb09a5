r"""Eigenvectors of a small symmetric matrix held by one program: cyclic Jacobi, in parallel order.

A round of a tournament rotates K/2 disjoint pairs at once, so it is one orthogonal matrix J and two
products, ``J' A J`` and ``V J``; K - 1 rounds meet every pair.
"""

from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

from ufm._triton._factors import product


@triton.jit
def rotations(A, turn, PLAYERS: tl.constexpr, KP: tl.constexpr):
    """The rotations of one round.

    Args:
        A: Symmetric matrix (KP, KP).
        turn: Number of the round, 0 to PLAYERS - 2.

    Returns:
        Orthogonal matrix (KP, KP) that makes the entries of the round's pairs zero.
    """
    row, column = tl.arange(0, KP)[:, None], tl.arange(0, KP)[None, :]
    # Circle method: the last player stays; what is beyond the players meets itself.
    other = (2 * turn - column + 2 * (PLAYERS - 1)) % (PLAYERS - 1)
    other = tl.where(column == turn, PLAYERS - 1, other)
    other = tl.where(column == PLAYERS - 1, turn, other)
    other = tl.where(column < PLAYERS, other, column)
    own_row = tl.sum(tl.where(row == column, A, 0.0), 1)
    own = tl.sum(tl.where(row == column, A, 0.0), 0)
    facing = tl.sum(tl.where(row == other, own_row[:, None], 0.0), 0)
    coupling = tl.sum(tl.where(row == other, A, 0.0), 0)
    # Gathers that change nothing but the layout: one rotation a thread instead of four.
    index = tl.arange(0, KP)
    own, facing = tl.gather(own, index, 0), tl.gather(facing, index, 0)
    coupling = tl.gather(coupling, index, 0)
    rotates = (coupling != 0.0) & (index < PLAYERS)
    theta = (facing - own) / tl.where(rotates, 2.0 * coupling, 1.0)
    tangent = 1.0 / (tl.abs(theta) + tl.sqrt(theta * theta + 1.0))
    tangent = tl.where(rotates, tl.where(theta >= 0.0, tangent, -tangent), 0.0)
    # Both of a pair take the angle of its first: their entries of A differ by rounding, which for
    # equal eigenvalues could turn them the same way.
    partner = (2 * turn - index + 2 * (PLAYERS - 1)) % (PLAYERS - 1)
    partner = tl.where(index == turn, PLAYERS - 1, partner)
    partner = tl.where(index == PLAYERS - 1, turn, partner)
    partner = tl.where(index < PLAYERS, partner, index)
    tangent = tl.where(index <= partner, tangent, -tl.gather(tangent, partner, 0))
    cosine = 1.0 / tl.sqrt(tangent * tangent + 1.0)
    sine = -tangent * cosine
    J = tl.where(row == column, cosine[None, :], 0.0)
    return tl.where((row == other) & (row != column), sine[None, :], J)


@triton.jit
def eigenvectors(A, K: tl.constexpr, KP: tl.constexpr, MAX_SWEEPS: tl.constexpr):
    """Diagonalise a symmetric matrix.

    Args:
        A: Matrix (KP, KP), zero outside its first K rows and columns.

    Returns:
        The nearly diagonal ``V' A V`` and V (KP, KP).
    """
    PLAYERS: tl.constexpr = K + K % 2
    row, column = tl.arange(0, KP)[:, None], tl.arange(0, KP)[None, :]
    V = tl.where(row == column, 1.0, tl.zeros((KP, KP), tl.float64))
    size = tl.sum(tl.sum(A * A, 1), 0)
    off = size
    sweep = 0
    # Rounding leaves about (1e-16 size)^2; a NaN ends the loop.
    while (off > 1e-31 * size) & (sweep < MAX_SWEEPS):
        for turn in range(PLAYERS - 1):
            J = rotations(A, turn, PLAYERS, KP)
            A = product(tl.trans(J), product(A, J))
            V = product(V, J)
        off = tl.sum(tl.sum(tl.where(row == column, 0.0, A * A), 1), 0)
        sweep += 1
    return A, V
