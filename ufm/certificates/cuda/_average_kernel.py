r"""The clip bound of average budgets, one program an instance (`ufm.certificates.average`).

The same dual matrix as the tensor path's *clip*: singular values of ``rho Z - G`` capped at mu,
columns centred, moved into the domain. Its norm is bounded, not computed: with V the eigenvectors,
:math:`\|Y\|^2 \le \max_i \sum_j |V'Y'YV|_{ij} / (1 - \|V'V - I\|_\infty)`, which holds for any Y
and V and is tight to rounding, since V diagonalises Y'Y as well unless columns left the domain.
"""

from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

from ufm._triton._eigen import eigenvectors
from ufm._triton._factors import exp_below, log1p, matrix, product


@triton.jit
def _centred(A, K: tl.constexpr, inside):
    return tl.where(inside, A - (tl.sum(A, 0) / K)[None, :], 0.0)


@triton.jit
def _into_domain(U, pi_row, own, inside, row, column):
    """Blend each column with ``pi - e_k`` until ``e_k + u >= 0``."""
    slack = tl.where(inside, U + own, 0.0)
    lack = tl.maximum(-slack, 0.0)
    share = tl.max(lack / (lack + tl.where(inside, pi_row, 1.0)), 0)
    blended = U + share[None, :] * (pi_row - own - U)
    blended += tl.maximum(-(blended + own), 0.0)
    return tl.where(inside & (share[None, :] > 0.0), blended, U)


@triton.jit
def _divergence(Q, log_Q, change):
    """Terms of ``KL(q + change | q)``, as `ufm.losses._softmax.divergence_of_change`."""
    t = change / tl.maximum(Q, 1e-300)
    series = 1.0 / 56 - t / 72
    series = 1.0 / 42 - t * series
    series = 1.0 / 30 - t * series
    series = 1.0 / 20 - t * series
    series = 1.0 / 12 - t * series
    series = 1.0 / 6 - t * series
    series = 0.5 - t * series
    moved = tl.maximum(Q + change, 0.0)
    direct = moved * (tl.log(tl.where(moved > 0.0, moved, 1.0)) - log_Q) - change
    return tl.where(tl.abs(t) < 1e-2, Q * t * t * series, direct)


@triton.jit
def bound(
    x_pointer, c_pointer, radius2_pointer, primal_pointer, gap_pointer, margin_pointer, Y_pointer,
    K: tl.constexpr, d: tl.constexpr, KP: tl.constexpr, DP: tl.constexpr,
    MAX_SWEEPS: tl.constexpr, KEEP_Y: tl.constexpr,
):  # fmt: skip
    """Bound the optimum of instance `program_id` from below.

    Args:
        x_pointer: Coordinates (B, 2 K d) with ``|W|^2 + |V|^2 <= 2 tau``.
        c_pointer: Class weights (B, K), summing to one.
        radius2_pointer: ``2 tau`` (B,).
        primal_pointer: Takes the objectives (B,).
        gap_pointer: Takes the gaps (B,).
        margin_pointer: Takes the allowances for rounding (B,).
        Y_pointer: Takes the dual matrices (B, K, K) if they are kept.
    """
    b = tl.program_id(0).to(tl.int64)
    row, column = tl.arange(0, KP)[:, None], tl.arange(0, KP)[None, :]
    classes = tl.arange(0, KP)
    inside = (row < K) & (column < K)
    own = tl.where(inside & (row == column), 1.0, 0.0)
    c = tl.load(c_pointer + b * K + classes, mask=classes < K, other=0.0)
    c_row = tl.sum(tl.where(row == column, c[None, :], 0.0), 1)[:, None]
    tau = tl.load(radius2_pointer + b) / 2.0
    x_pointer += b * (2 * K * d)
    W = matrix(x_pointer, K, d, KP, DP)
    V = matrix(x_pointer + K * d, K, d, KP, DP)
    Z = product(W, tl.trans(V))

    # Loss, probabilities and their logarithms, relative to the label's logit.
    relative = tl.where(row < K, Z - tl.sum(Z * own, 0)[None, :], -float("inf"))
    top = tl.max(relative.to(tl.float32), 0).to(tl.float64)
    shares = tl.where(row < K, exp_below(relative - top[None, :]), 0.0)
    others = shares * (1.0 - own)
    miss, own_share = tl.sum(others, 0), tl.sum(shares * own, 0)
    total = miss + own_share
    value = top + log1p(tl.where(top > 0.0, (miss - 1.0) + own_share, miss))
    Q = shares / total[None, :]
    log_Q = tl.where(inside, relative - (top + tl.log(total))[None, :], 0.0)
    excess = others / total[None, :] - own * (miss / total)[None, :]
    primal = tl.sum(c * value, 0)

    G = _centred(excess * c[None, :], K, inside)
    slope = -tl.sum(tl.sum(G * Z, 1), 0) / tau
    mu = tl.where(slope > 0.0, slope, tl.sqrt(tl.sum(tl.sum(G * G, 1), 0)))
    N = (K * mu / tau) * _centred(Z, K, inside) - G
    spectrum, E = eigenvectors(product(tl.trans(N), N), K, KP, MAX_SWEEPS)
    values = tl.sum(tl.where(row == column, spectrum, 0.0), 0)
    cut = 1.0 - tl.minimum(mu / tl.sqrt(tl.maximum(values, 1e-300)), 1.0)
    clipped = N - product(product(N, E) * cut[None, :], tl.trans(E))
    Y = _centred(-clipped, K, inside)

    U = tl.where(inside, Y / tl.where(classes < K, c, 1.0)[None, :], 0.0)
    U = _into_domain(U, c_row, own, inside, row, column)
    Y = U * c[None, :]
    YE = product(Y, E)
    form = tl.sum(tl.abs(product(tl.trans(YE), YE)), 1)
    identity = tl.where(row == column, 1.0, 0.0)
    skew = tl.max(tl.sum(tl.abs(product(tl.trans(E), E) - identity), 1), 0)
    norm = tl.sqrt(tl.max(form, 0) / (1.0 - skew))

    change = tl.where(inside, U - excess, 0.0)
    defect = tl.sum(c * tl.sum(_divergence(Q, log_Q, change), 0), 0)
    gap = defect + (tl.sum(tl.sum(Y * Z, 1), 0) + tau * norm)
    size = tl.sqrt(tl.sum(tl.sum(Y * Y, 1), 0))
    reach = tl.sqrt(tl.sum(tl.sum(W * W, 1), 0) * tl.sum(tl.sum(V * V, 1), 0))
    tl.store(primal_pointer + b, primal)
    tl.store(gap_pointer + b, gap)
    tl.store(margin_pointer + b, (4 * K + d) * 2.220446049250313e-16 * size * reach)
    if KEEP_Y:
        tl.store(Y_pointer + b * (K * K) + row * K + column, Y, mask=inside)
