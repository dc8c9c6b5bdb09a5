r"""The bounds of average budgets, one program an instance (`ufm.certificates.average`).

The same dual matrix as the tensor path's *clip*: singular values of ``rho Z - G`` capped at mu,
columns centred, moved into the domain. Norms are bounded, not computed: with V the eigenvectors,
:math:`\|Y\|^2 \le \max_i \sum_j |V'Y'YV|_{ij} / (1 - \|V'V - I\|_\infty)`, which holds for any Y
and V and is tight to rounding, since V diagonalises Y'Y as well unless columns left the domain.

With evidence, the rest of a `ufm.certificates.Certificate` as the compiled code of the CPU has it:
raw bound and infimum compete with the clip, and dual value, stationarity and rank are computed.
"""

from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

from ufm._triton._eigen import eigenvectors
from ufm._triton._factors import exp_below, log1p, matrix, product


@triton.jit
def _total(A):
    return tl.sum(tl.sum(A, 1), 0)


@triton.jit
def _largest(A):
    return tl.maximum(tl.max(tl.max(tl.abs(A), 1), 0), 1e-300)


@triton.jit
def _centred(A, K: tl.constexpr, inside):
    return tl.where(inside, A - (tl.sum(A, 0) / K)[None, :], 0.0)


@triton.jit
def _into_domain(U, pi_row, own, inside):
    """Blend each column with ``pi - e_k`` until ``e_k + u >= 0``; also the largest share."""
    slack = tl.where(inside, U + own, 0.0)
    lack = tl.maximum(-slack, 0.0)
    share = tl.max(lack / (lack + tl.where(inside, pi_row, 1.0)), 0)
    blended = U + share[None, :] * (pi_row - own - U)
    blended += tl.maximum(-(blended + own), 0.0)
    return tl.where(inside & (share[None, :] > 0.0), blended, U), tl.max(share, 0)


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
def _norm_above(M, E, identity):
    """Upper bound of the operator norm of M, tight if the columns of E diagonalise M'M."""
    size = _largest(M)
    image = product(M / size, E)
    form = tl.sum(tl.abs(product(tl.trans(image), image)), 1)
    skew = tl.max(tl.sum(tl.abs(product(tl.trans(E), E) - identity), 1), 0)
    return size * tl.sqrt(tl.max(form, 0) / (1.0 - skew))


@triton.jit
def _spectrum(M, K: tl.constexpr, KP: tl.constexpr, MAX_SWEEPS: tl.constexpr):
    """Nearly diagonal ``E'M'ME`` of a matrix scaled to a largest entry of 1, and E."""
    unit = M / _largest(M)
    return eigenvectors(product(tl.trans(unit), unit), K, KP, MAX_SWEEPS)


@triton.jit
def _loss(Z, own, inside, row, K: tl.constexpr):
    """Losses, probabilities, their logarithms, and ``Q - I``, relative to the label's logit."""
    relative = tl.where(row < K, Z - tl.sum(Z * own, 0)[None, :], -float("inf"))
    top = tl.max(relative.to(tl.float32), 0).to(tl.float64)
    shares = tl.where(row < K, exp_below(relative - top[None, :]), 0.0)
    others = shares * (1.0 - own)
    miss, own_share = tl.sum(others, 0), tl.sum(shares * own, 0)
    total = miss + own_share
    value = top + log1p(tl.where(top > 0.0, (miss - 1.0) + own_share, miss))
    log_Q = tl.where(inside, relative - (top + tl.log(total))[None, :], 0.0)
    excess = others / total[None, :] - own * (miss / total)[None, :]
    return value, shares / total[None, :], log_Q, excess


@triton.jit
def _entropy(Y, c, own, K: tl.constexpr, KP: tl.constexpr):
    """``sum_k c_k sum_j q log q`` with ``q = e_k + y_k/c_k``: the conjugate of the risk."""
    Q = own + Y / tl.where(tl.arange(0, KP) < K, c, 1.0)[None, :]
    none = Q <= 0.0  # false for NaN
    return tl.sum(c * tl.sum(tl.where(none, 0.0, Q * tl.log(tl.where(none, 1.0, Q))), 0), 0)


@triton.jit
def _residual2(gradient, X, energy):
    """Squared KKT residual of a factor with the budget ``|X|^2 <= energy``."""
    nu = tl.maximum(-_total(gradient * X) / energy, 0.0)
    left = gradient + nu * X
    return _total(left * left)


@triton.jit
def _rank(
    Z, least, own, RANK_TOLERANCE: tl.constexpr, K: tl.constexpr, KP: tl.constexpr,
    MAX_SWEEPS: tl.constexpr,
):  # fmt: skip
    """Singular values of Z above the tolerance's share of the largest of them and ``least``."""
    spectrum, _ = _spectrum(Z, K, KP, MAX_SWEEPS)
    values = _largest(Z) * tl.sqrt(tl.maximum(tl.sum(spectrum * own, 0), 0.0))
    floor = RANK_TOLERANCE * tl.maximum(tl.max(values, 0), least)
    return tl.sum((values > floor).to(tl.int32), 0)


@triton.jit
def bound(
    x_pointer, c_pointer, radius2_pointer, primal_pointer, gap_pointer, margin_pointer, Y_pointer,
    real_pointer, whole_pointer,
    K: tl.constexpr, d: tl.constexpr, KP: tl.constexpr, DP: tl.constexpr,
    MAX_SWEEPS: tl.constexpr, KEEP_Y: tl.constexpr, EVIDENCE: tl.constexpr,
    TRIAL_ABOVE: tl.constexpr, RANK_TOLERANCE: tl.constexpr,
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
        real_pointer: Takes dual value, raw gap, stationarity and norm of Y (B, 4) as evidence.
        whole_pointer: Takes rank, number of the bound and whether the gap is loose (B, 3), int32.
    """
    b = tl.program_id(0).to(tl.int64)
    row, column = tl.arange(0, KP)[:, None], tl.arange(0, KP)[None, :]
    classes = tl.arange(0, KP)
    inside = (row < K) & (column < K)
    own = tl.where(inside & (row == column), 1.0, 0.0)
    identity = tl.where(row == column, 1.0, 0.0)
    c = tl.load(c_pointer + b * K + classes, mask=classes < K, other=0.0)
    c_row = tl.sum(tl.where(row == column, c[None, :], 0.0), 1)[:, None]
    tau = tl.load(radius2_pointer + b) / 2.0
    x_pointer += b * (2 * K * d)
    W = matrix(x_pointer, K, d, KP, DP)
    V = matrix(x_pointer + K * d, K, d, KP, DP)
    Z = product(W, tl.trans(V))
    value, Q, log_Q, excess = _loss(Z, own, inside, row, K)
    primal = tl.sum(c * value, 0)

    G = _centred(excess * c[None, :], K, inside)
    slope = -_total(G * Z) / tau
    mu = tl.where(slope > 0.0, slope, tl.sqrt(_total(G * G)))
    N = (K * mu / tau) * _centred(Z, K, inside) - G
    spectrum, E = eigenvectors(product(tl.trans(N), N), K, KP, MAX_SWEEPS)
    values = tl.sum(tl.where(row == column, spectrum, 0.0), 0)
    cut = 1.0 - tl.minimum(mu / tl.sqrt(tl.maximum(values, 1e-300)), 1.0)
    clipped = N - product(product(N, E) * cut[None, :], tl.trans(E))
    U = _centred(-clipped, K, inside) / tl.where(classes < K, c, 1.0)[None, :]
    U, moved = _into_domain(tl.where(inside, U, 0.0), c_row, own, inside)
    Y = U * c[None, :]
    if EVIDENCE:  # noqa: SIM102 - known when compiled, the other one not
        if moved > 0.0:  # E diagonalises Y'Y no more
            _, E = _spectrum(Y, K, KP, MAX_SWEEPS)
    norm = _norm_above(Y, E, identity)
    change = tl.where(inside, U - excess, 0.0)
    defect = tl.sum(c * tl.sum(_divergence(Q, log_Q, change), 0), 0)
    gap = defect + (_total(Y * Z) + tau * norm)

    if EVIDENCE:
        _, E = _spectrum(G, K, KP, MAX_SWEEPS)
        raw_norm = _norm_above(G, E, identity)
        raw = tau * (raw_norm - slope)
        is_clip = gap < raw
        gap, norm = tl.where(is_clip, gap, raw), tl.where(is_clip, norm, raw_norm)
        Y = tl.where(is_clip, Y, G)
        is_tight = gap <= TRIAL_ABOVE * tl.maximum(primal, 1.0)
        is_zero = primal < gap
        gap, norm = tl.where(is_zero, primal, gap), tl.where(is_zero, 0.0, norm)
        Y = tl.where(is_zero, 0.0, Y)
        square = _residual2(product(G, V), W, tau) + _residual2(product(tl.trans(G), W), V, tau)
        curvature = tl.sqrt(_total(G * G) / K)
        stationarity = tl.sqrt(square / tl.where(square == 0.0, 1.0, curvature))
        rank = _rank(_centred(Z, K, inside), tau / K, own, RANK_TOLERANCE, K, KP, MAX_SWEEPS)
        real_pointer += b * 4
        tl.store(real_pointer, -_entropy(Y, c, own, K, KP) - tau * norm)
        tl.store(real_pointer + 1, raw)
        tl.store(real_pointer + 2, stationarity)
        tl.store(real_pointer + 3, norm)
        whole_pointer += b * 3
        tl.store(whole_pointer, rank)
        tl.store(whole_pointer + 1, tl.where(is_zero, 2, tl.where(is_clip, 1, 0)))
        tl.store(whole_pointer + 2, tl.where(is_tight, 0, 1))
    reach = tl.sqrt(_total(W * W) * _total(V * V))
    tl.store(primal_pointer + b, primal)
    tl.store(gap_pointer + b, gap)
    rounding = (4 * K + d) * 2.220446049250313e-16
    tl.store(margin_pointer + b, rounding * tl.sqrt(_total(Y * Y)) * reach)
    if KEEP_Y:
        tl.store(Y_pointer + b * (K * K) + row * K + column, Y, mask=inside)
