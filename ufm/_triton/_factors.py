r"""One instance of cross-entropy on factors, held by one program.

Coordinates are the rows of W above the rows of V, flat: ``2 K d`` numbers, padded by zeros to NP in
registers. Products need matrices: K and d are padded by zeros to KP and DP, powers of two of at
least 16, the tile of the float64 matrix unit. From one layout to the other numbers go through the
instance's own ``2 K d`` places of an array, which stay in the first-level cache.
"""

from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def matrix(pointer, K: tl.constexpr, d: tl.constexpr, KP: tl.constexpr, DP: tl.constexpr):
    """Load a K x d matrix, padded by zeros.

    Args:
        pointer: Its first number.

    Returns:
        The matrix (KP, DP).
    """
    row, column = tl.arange(0, KP)[:, None], tl.arange(0, DP)[None, :]
    inside = (row < K) & (column < d)
    return tl.load(pointer + row * d + column, mask=inside, other=0.0)


@triton.jit
def store_matrix(pointer, A, K: tl.constexpr, d: tl.constexpr, KP: tl.constexpr, DP: tl.constexpr):
    """Store the K x d numbers of a padded matrix.

    Args:
        pointer: Where the first goes.
        A: Matrix (KP, DP).
    """
    row, column = tl.arange(0, KP)[:, None], tl.arange(0, DP)[None, :]
    tl.store(pointer + row * d + column, A, mask=(row < K) & (column < d))


@triton.jit
def product(A, B):
    """``A B`` in float64.

    Args:
        A: Left factor.
        B: Right factor.

    Returns:
        The product.
    """
    return tl.dot(A, B, input_precision="ieee", out_dtype=tl.float64)


@triton.jit
def log1p(x):
    """``log(1 + x)`` for x >= 0, to full relative precision.

    Args:
        x: Numbers.

    Returns:
        Logarithms.
    """
    w = 1.0 + x
    # What rounding 1 + x lost, to first order; w >= 1.
    return tl.log(w) + (x - (w - 1.0)) / w


@triton.jit
def exp_below(x):
    r"""``e^x`` for x up to about 0 in half the instructions of the library's.

    :math:`x = n \log 2 + r` with :math:`|r| \le \log(2)/2`, the Taylor series of :math:`e^r` to
    degree 13 (remainder 4e-18), and n added to the exponent. Below -708 it stays at 3e-308.

    Args:
        x: Numbers below 700.

    Returns:
        Exponentials, to 1e-16 relative.
    """
    x = tl.maximum(x, -708.0)
    # Rounding to an integer by the last bit of 1.5 * 2^52.
    shifted = x * 1.4426950408889634 + 6755399441055744.0
    n = shifted - 6755399441055744.0
    # log 2 in two parts, the first with zeros at its end, so that n times it is exact.
    r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10
    p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    scale = (n.to(tl.int64) + 1023) << 52
    return p * scale.to(tl.float64, bitcast=True)


@triton.jit
def softmax_parts(Z, K: tl.constexpr, KP: tl.constexpr):
    """Loss and probabilities of each column k of logits, relative to entry k.

    The relative form keeps the digits of losses far below one, as `ufm.losses.CrossEntropy` does.

    Args:
        Z: Logits (KP, KP), zero in the padding.

    Returns:
        Losses (KP,), and probabilities less one on the diagonal ``Q - I`` (KP, KP).
    """
    row = tl.arange(0, KP)[:, None]
    column = tl.arange(0, KP)[None, :]
    own = tl.sum(tl.where(row == column, Z, 0.0), 0)
    relative = tl.where(row < K, Z - own[None, :], -float("inf"))
    # Any shift near the largest will do: single precision halves the reduction.
    top = tl.max(relative.to(tl.float32), 0).to(tl.float64)
    shares = tl.where(row < K, exp_below(relative - top[None, :]), 0.0)
    others = tl.where(row == column, 0.0, shares)
    miss = tl.sum(others, 0)
    own_share = tl.sum(tl.where(row == column, shares, 0.0), 0)
    inverse = 1.0 / (miss + own_share)
    # One matrix from both: the diagonal of `others` is zero.
    excess = tl.where(row == column, -miss[None, :], others) * inverse[None, :]
    # top = 0: the label leads, and only `miss` carries the digits. Else one of the others is 1.
    index = tl.arange(0, KP)
    argument = tl.where(top > 0.0, (miss - 1.0) + own_share, miss)
    # Gathers that change nothing but the layout: one logarithm a thread instead of four.
    value = tl.gather(top, index, 0) + log1p(tl.gather(argument, index, 0))
    return value, excess
