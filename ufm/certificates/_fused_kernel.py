r"""Certificates of cross-entropy with average budgets in compiled code, one instance after another.

The same bounds as the tensor code (raw, clip, infimum), written a second time. It knows no solver
and shares none of its code but products and eigenvalues. A K x K matrix is stored by classes: row k
is the column of class k. Arrays: class shares ``pi (B, K)``, ``budget (B, 2)`` = E_W, E_H, the
point ``W (B, K, d)`` and ``H (B, d, K)``; out ``real (B, 8)``, ``whole (B, 3)`` as in
`certify_rows`, and the dual matrix transposed, ``Y (B, K, K)``.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ufm.compiled._product import INNER, product
from ufm.compiled._symmetric import accumulate, diagonalise, reduce_to_tridiagonal


EPS = 2.0**-52
# As in `ufm.certificates._spectral`, `_certify` and `ufm.losses._softmax`.
TRIAL_ABOVE, RANK_TOLERANCE, SMALL_DEVIATION = 1e-10, 1e-6, 1e-2
RAW, CLIP, INFIMUM = 0, 1, 2
PRIMAL, DUAL, RAW_GAP, GAP, MARGIN, INFEASIBILITY, STATIONARITY, NORM = range(8)


@njit(**INNER)
def _inner(A, B):
    total = 0.0
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            total += A[i, j] * B[i, j]
    return total


@njit(**INNER)
def _feasible(W, H, E_W, E_H, scaled_W, scaled_H):
    # Into the budgets, by trading norm between the factors first; returns the infeasibility.
    K, d = W.shape
    used_W, used_H = _inner(W, W) / (K * E_W), _inner(H, H) / (K * E_H)
    scale_W, scale_H = 1 / math.sqrt(max(used_W, 1.0)), 1 / math.sqrt(max(used_H, 1.0))
    if (used_W > 1 or used_H > 1) and used_W > 0 and used_H > 0:
        trade = (used_H / used_W) ** 0.25
        both = max(used_W * used_H, 1.0) ** -0.25
        scale_W, scale_H = trade * both, both / trade
    for k in range(K):
        for r in range(d):
            scaled_W[k, r] = W[k, r] * scale_W
            scaled_H[r, k] = H[r, k] * scale_H
    return max(used_W - 1, used_H - 1, 0.0)


@njit(**INNER)
def _risk(Z, pi, Q, log_Q, G):
    # Risk, probabilities, their logarithms, and the gradient G, per class share.
    K, risk = Z.shape[0], 0.0
    for k in range(K):
        label, top = Z[k, k], 0.0
        for j in range(K):
            top = max(top, Z[k, j] - label)
        miss, own = 0.0, math.exp(-top)
        for j in range(K):
            log_Q[k, j] = (Z[k, j] - label) - top
            Q[k, j] = own if j == k else math.exp(log_Q[k, j])
            miss += 0.0 if j == k else Q[k, j]
        loss = top + math.log1p(miss + math.expm1(-top))
        risk += pi[k] * loss
        total = miss + own
        log_total = math.log(total)
        for j in range(K):
            Q[k, j] /= total
            log_Q[k, j] -= log_total
            G[k, j] = pi[k] * Q[k, j]
        G[k, k] = -pi[k] * (miss / total)
    return risk


@njit(**INNER)
def _values(A, n, values, off, scale, w):
    # Eigenvalues of A'A for A of unit size, the largest of them, and whether they converged.
    reduce_to_tridiagonal(A, n, values, off, scale, w)
    done = diagonalise(values, off, n, A, 0)
    top = 0.0
    for i in range(n):
        top = max(top, values[i])
    return top if done else math.nan


@njit(**INNER)
def _op_norm(M, unit, gram, values, off, scale, w):
    # Largest singular value from a full decomposition of the Gram matrix.
    K, size = M.shape[0], 1e-300
    for i in range(K):
        for j in range(K):
            size = max(size, abs(M[i, j]))
    for i in range(K):
        for j in range(K):
            unit[i, j] = M[i, j] / size
    product(gram, unit, unit, K, K, K, 1, K)
    return size * math.sqrt(_values(gram, K, values, off, scale, w))


@njit(**INNER)
def _centre(M):
    K = M.shape[0]
    for k in range(K):
        mean = 0.0
        for j in range(K):
            mean += M[k, j]
        mean /= K
        for j in range(K):
            M[k, j] -= mean


@njit(**INNER)
def _clip(N, mu, gram, vectors, values, off, scale, w):
    # Cap the singular values at mu, in place; returns whether the decomposition converged.
    K = N.shape[0]
    product(gram, N, N, K, K, K, 1, K)
    reduce_to_tridiagonal(gram, K, values, off, scale, w)
    accumulate(gram, K, scale, vectors)
    if not diagonalise(values, off, K, vectors, K):
        return False
    for i in range(K):
        if values[i] <= mu * mu:
            continue
        excess = 1 - mu / math.sqrt(values[i])
        for k in range(K):
            share = 0.0
            for j in range(K):
                share += N[k, j] * vectors[i, j]
            share *= excess
            for j in range(K):
                N[k, j] -= share * vectors[i, j]
    return True


@njit(**INNER)
def _into_domain(Y, pi):
    # Blend each class's column with (pi - e_k) until I + Y/pi has no negative entry.
    K = Y.shape[0]
    for k in range(K):
        share = 0.0
        for j in range(K):
            lack = -(Y[k, j] / pi[k] + (1.0 if j == k else 0.0))
            if lack > 0:
                share = max(share, lack / (lack + pi[j]))
        if share == 0.0:
            continue
        for j in range(K):
            target = 1.0 if j == k else 0.0
            u = Y[k, j] / pi[k]
            u += share * (pi[j] - target - u)
            Y[k, j] = pi[k] * max(u, -target)


@njit(**INNER)
def _defect(Y, G, pi, Q, log_Q):
    # sum_k pi_k KL(q_k + c_k || q_k) with c_k = (Y_k - G_k)/pi_k, as in `divergence_of_change`.
    K, total = Y.shape[0], 0.0
    for k in range(K):
        part = 0.0
        for j in range(K):
            change = Y[k, j] / pi[k] - G[k, j] / pi[k]
            t = change / max(Q[k, j], 1e-300)
            if abs(t) < SMALL_DEVIATION:
                series = 1 / 56 - t / 72
                series = 1 / 42 - t * series
                series = 1 / 30 - t * series
                series = 1 / 20 - t * series
                series = 1 / 12 - t * series
                series = 1 / 6 - t * series
                series = 1 / 2 - t * series
                part += Q[k, j] * t * t * series
            else:
                q = max(Q[k, j] + change, 0.0)
                part += (q * math.log(q) if q > 0 else q) - q * log_Q[k, j] - change
        total += pi[k] * part
    return total


@njit(**INNER)
def _entropy(Y, pi):
    # sum_k pi_k sum_j q log q with q = I + Y/pi: the conjugate of the risk.
    K, total = Y.shape[0], 0.0
    for k in range(K):
        part = 0.0
        for j in range(K):
            q = Y[k, j] / pi[k] + (1.0 if j == k else 0.0)
            if not q <= 0:
                part += q * math.log(q)
        total += pi[k] * part
    return total


@njit(**INNER)
def _residual(W, H, G, E_W, E_H, gradient):
    # Balanced norm of the KKT residual over the root of its curvature; see `_stationarity`.
    K, d = W.shape
    square, trade = 0.0, math.sqrt(E_W / E_H)
    for side in range(2):
        if side == 0:
            X, E, weight = W, E_W, trade
            product(gradient, G, H, K, K, d, 1, K)
        else:
            X, E, weight = H, E_H, 1 / trade
            product(gradient, G, W, K, K, d, K, 1)
        nu = max(0.0, -_inner(gradient, X) / (K * E))
        for k in range(K):
            for r in range(d):
                square += weight * (gradient[k, r] + nu * X[k, r]) ** 2
    if square == 0.0:
        return 0.0
    return math.sqrt(square / (math.sqrt(_inner(G, G)) / math.sqrt(K)))


@njit(**INNER)
def _rank(Z, scale_of_model, gram, values, off, scale, w):
    K = Z.shape[0]
    product(gram, Z, Z, K, K, K, 1, K)
    top = _values(gram, K, values, off, scale, w)
    floor, rank = RANK_TOLERANCE * max(math.sqrt(top), scale_of_model), 0
    for i in range(K):
        rank += math.sqrt(max(values[i], 0.0)) > floor
    return rank


@njit(**INNER)
def _bound(pi, E_W, E_H, W, V, squares, vectors, real, Y):
    # Bounds of one feasible point; returns rank, name, and whether the gap is not small.
    Z, Q, log_Q, G, unit, gram, eigen = squares
    values, off, scale, w = vectors
    K = Z.shape[0]
    price = K * math.sqrt(E_W * E_H)
    risk = _risk(Z, pi, Q, log_Q, G)
    size = math.sqrt(_inner(W, W)) * math.sqrt(_inner(V, V))
    slope = _inner(G, Z)
    norm = _op_norm(G, unit, gram, values, off, scale, w)
    raw = slope + price * norm
    mu = -slope / price if slope < 0 else math.sqrt(_inner(G, G))
    for k in range(K):
        for j in range(K):
            unit[k, j] = Z[k, j]
    _centre(unit)
    rank = _rank(unit, math.sqrt(E_W * E_H), gram, values, off, scale, w)
    rho = K * mu / price
    for k in range(K):
        for j in range(K):
            Y[k, j] = G[k, j] - rho * unit[k, j]
    _centre(Y)
    done = _clip(Y, mu, gram, eigen, values, off, scale, w)
    _centre(Y)
    _into_domain(Y, pi)
    clip_norm = _op_norm(Y, unit, gram, values, off, scale, w)
    gap = _defect(Y, G, pi, Q, log_Q) + (_inner(Y, Z) + price * clip_norm)
    name = CLIP
    if not (done and gap < raw):
        name, gap, clip_norm = RAW, raw, norm
        for k in range(K):
            for j in range(K):
                Y[k, j] = G[k, j]
    norm = clip_norm
    unfinished = not gap <= TRIAL_ABOVE * max(risk, 1.0)
    if risk < gap:
        name, gap, norm = INFIMUM, risk, 0.0
        for k in range(K):
            for j in range(K):
                Y[k, j] = 0.0
    real[PRIMAL], real[RAW_GAP], real[GAP], real[NORM] = risk, raw, gap, norm
    real[DUAL] = -_entropy(Y, pi) - price * norm
    real[MARGIN] = (4 * K + V.shape[1]) * EPS * math.sqrt(_inner(Y, Y)) * size
    return rank, name, unfinished


@njit(nogil=True, cache=True, error_model="numpy")
def certify_rows(first, last, pi, budget, W, H, real, whole, Y):
    """Certify the instances ``first <= i < last``; see the module for the arrays.

    Args:
        first: First instance.
        last: One past the last.
        pi: Class shares.
        budget: E_W and E_H.
        W: Classifiers.
        H: Features.
        real: Out.
        whole: Out: rank, RAW, CLIP or INFIMUM, and whether trial ranks may do better.
        Y: Out.
    """
    K, d = W.shape[1:]
    squares = (
        np.empty((K, K)), np.empty((K, K)), np.empty((K, K)), np.empty((K, K)), np.empty((K, K)),
        np.empty((K, K)), np.empty((K, K)),
    )  # fmt: skip
    vectors = (np.empty(K), np.empty(K), np.empty(K), np.empty(K))
    scaled_W, scaled_H, V = np.empty((K, d)), np.empty((d, K)), np.empty((K, d))
    turned, gradient = np.empty((d, K)), np.empty((K, d))
    Z, G = squares[0], squares[3]
    for i in range(first, last):
        E_W, E_H = budget[i, 0], budget[i, 1]
        off = _feasible(W[i], H[i], E_W, E_H, scaled_W, scaled_H)
        for k in range(K):
            for r in range(d):
                turned[r, k], V[k, r] = scaled_W[k, r], scaled_H[r, k]
        product(Z, V, turned, K, d, K, d, 1)
        whole[i, 0], whole[i, 1], whole[i, 2] = _bound(
            pi[i], E_W, E_H, scaled_W, V, squares, vectors, real[i], Y[i]
        )
        real[i, INFEASIBILITY] = off
        real[i, STATIONARITY] = _residual(scaled_W, V, G, E_W, E_H, gradient)
