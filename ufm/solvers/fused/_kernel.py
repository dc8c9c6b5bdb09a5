r"""L-BFGS in compiled code, one instance after another: cross-entropy with average budgets.

An instance is solved from start to end on the numbers of its own row, in scratch memory of a few
tens of kilobytes, so nothing is shared, nothing is compacted, and the result is the same alone, in
a batch, and for any split of a batch among threads. It is the algorithm of `ufm.solvers.lbfgs` on
the sphere :math:`|\tilde W|^2 + |\tilde V|^2 = 2\tau`, with two-loop directions.

Layout of the arrays, all float64 and contiguous unless said otherwise; a CUDA kernel can take the
same ones:

============= ============= ========================================================================
``pi``        ``(B, K)``    class shares, rows sum to one
``radius``    ``(B,)``      tau = K sqrt(E_W E_H)
``energy``    ``(B, 2)``    K E_W and K E_H, the budgets of squared Frobenius norms
``frame``     ``(K, d)``    rows of the deterministic start (a Helmert frame)
``start``     ``(S, 2K, d)``  rows of W~ above rows of V~ on the sphere, S = B, or S = 0: the frame
``W``, ``H``  ``(B, K, d)``, ``(B, d, K)``  out: the point, within its budgets
``real``      ``(B, 2)``    out: objective, and Riemannian gradient norm in balanced coordinates
``whole``     ``(B, 2)``    out, int64: steps, and position in `ufm.status.STATUSES`
============= ============= ========================================================================
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ufm.compiled._product import INNER, product
from ufm.status import Status


# Sums may be reordered to fill vectors. NaN and infinity keep their meaning (no nnan, no ninf).
SUMS = {"reassoc", "contract", "nsz"}
CONVERGED, MAX_STEPS, STALLED = (
    status.code for status in (Status.CONVERGED, Status.MAX_STEPS, Status.STALLED)
)
NONFINITE = Status.NONFINITE.code
# As in `ufm.solvers.lbfgs` and `ufm.solvers._memory`.
ARMIJO, SHRINK, MAX_SHRINKS, MAX_IDLE, CURVATURE = 1e-4, 0.35, 30, 50, 1e-12
FIRST = 0.35
NOISE = 1e-15
# A point is put this far inside its budgets where it uses them up: sums of squares round.
INSIDE = 1 - 8 * 2.0**-52
# exp(x) = 2^n exp(r): adding MAGIC leaves round(x / log 2) in the low bits of the mantissa.
MAGIC, LOG2_E = 6755399441055744.0, 1.4426950408889634
LOG2_HIGH, LOG2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
LEAST_EXPONENT = -708.0


@njit(fastmath=SUMS, **INNER)
def _dot(a, b):
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(fastmath={"contract"}, **INNER)
def _add(y, a, x):
    for i in range(y.size):
        y[i] += a * x[i]


@njit(fastmath={"contract"}, **INNER)
def _exp(x, size, work, bits):
    # In place for x <= 0, to an ulp; NaN stays. `bits` is `work` seen as integers.
    for i in range(size):
        v = LEAST_EXPONENT if x[i] < LEAST_EXPONENT else x[i]
        shifted = v * LOG2_E + MAGIC
        work[i] = shifted
        n = shifted - MAGIC
        r = (v - n * LOG2_HIGH) - n * LOG2_LOW
        p = 1.6059043836821613e-10
        p = p * r + 2.08767569878681e-9
        p = p * r + 2.505210838544172e-8
        p = p * r + 2.755731922398589e-7
        p = p * r + 2.7557319223985893e-6
        p = p * r + 2.48015873015873e-5
        p = p * r + 1.984126984126984e-4
        p = p * r + 1.3888888888888889e-3
        p = p * r + 8.333333333333333e-3
        p = p * r + 4.1666666666666664e-2
        p = p * r + 1.6666666666666666e-1
        p = p * r + 0.5
        x[i] = 1.0 + (r + r * r * p)
    for i in range(size):
        bits[i] = (bits[i] + 1023) << 52
    for i in range(size):
        x[i] *= work[i]


@njit(**INNER)
def _gradient(x, g, pi, radius, K, d, Z, work, bits, turned):
    # Value, multiplier mu = -<G, Z>/tau, and into g the Riemannian gradient on the sphere.
    size = K * d
    W, V = x[:size], x[size:]
    for j in range(K):
        for r in range(d):
            turned[r * K + j] = W[j * d + r]
    product(Z, V, turned, K, d, K, d, 1)
    value = _risk_gradient(Z, pi, K, work, bits)
    product(g, Z, V, K, K, d, 1, K)
    product(g[size:], Z, W, K, K, d, K, 1)
    mu = -_dot(g, x) / (2 * radius)
    _add(g, mu, x)
    return value, mu


@njit(**INNER)
def _risk_gradient(Z, pi, K, work, bits):
    # Row k of Z: logits of class k, replaced by its column of G. Relative to the label's logit, as
    # in `ufm.losses.cross_entropy`: keeps the digits of losses far below one.
    tops = work[Z.size :]
    for k in range(K):
        label, top = Z[k * K + k], 0.0
        for j in range(K):
            z = Z[k * K + j] - label
            Z[k * K + j] = z
            if z > top:
                top = z
        for j in range(K):
            Z[k * K + j] -= top
        tops[k] = top
    _exp(Z, Z.size, work[: Z.size], bits)
    value = 0.0
    for k in range(K):
        row, top = Z[k * K : k * K + K], tops[k]
        row[k] = 0.0
        miss = 0.0
        for j in range(K):
            miss += row[j]
        if top == 0.0:
            own, loss = 1.0, math.log1p(miss)
        else:
            own = math.exp(-top)
            loss = top + math.log(miss + own)
        value += pi[k] * loss
        scale = pi[k] / (miss + own)
        for j in range(K):
            row[j] *= scale
        row[k] = -miss * scale
    return value


@njit(**INNER)
def _onto_sphere(x, radius):
    scale = math.sqrt(2 * radius / _dot(x, x))
    for i in range(x.size):
        x[i] *= scale


@njit(**INNER)
def _begin(x, frame, pi, radius, K, d):
    # The frame, row k scaled by (K pi_k)^(1/4), centred; the same for W and V.
    for k in range(K):
        scale = math.sqrt(math.sqrt(K * pi[k]))
        for r in range(d):
            x[k * d + r] = frame[k, r] * scale
    for r in range(d):
        mean = 0.0
        for k in range(K):
            mean += x[k * d + r]
        mean /= K
        for k in range(K):
            x[k * d + r] -= mean
    size = K * d
    for i in range(size):
        x[size + i] = x[i]
    _onto_sphere(x, radius)


@njit(**INNER)
def _direction(p, g, S, Y, rho, alpha, gamma, newest, used):
    # p = -(inverse Hessian) g by the two-loop recursion; pairs in a ring, rho = 0 if of no use.
    m = rho.size
    for i in range(g.size):
        p[i] = -g[i]
    for age in range(used):
        slot = (newest - age + m) % m
        alpha[slot] = rho[slot] * _dot(S[slot], p)
        _add(p, -alpha[slot], Y[slot])
    for i in range(p.size):
        p[i] *= gamma
    for age in range(used - 1, -1, -1):
        slot = (newest - age + m) % m
        _add(p, alpha[slot] - rho[slot] * _dot(Y[slot], p), S[slot])


@njit(**INNER)
def _minimise(x, pi, radius, K, d, gtol, max_steps, vectors, S, Y, small, Z, work, bits):
    # Returns value, gradient norm, steps and status; x is the last accepted point.
    g, p, x_new, g_new = vectors
    turned, rho, alpha = small
    value, mu = _gradient(x, g, pi, radius, K, d, Z, work, bits, turned)
    norm = math.sqrt(_dot(g, g))
    least, idle, used, newest, gamma, steepest = norm, 0, 0, -1, 1.0, True
    for i in range(g.size):
        p[i] = -g[i]
    slope, trial = -norm * norm, FIRST * math.sqrt(2 * radius) / norm
    for step in range(max_steps + 1):
        if not math.isfinite(norm):
            return value, norm, step, NONFINITE
        if norm <= gtol * math.sqrt(max(mu, 0.0)):
            return value, norm, step, CONVERGED
        if idle >= MAX_IDLE:
            return value, norm, step, STALLED
        if step == max_steps:
            break
        accepted, t, noise = False, trial, NOISE * (1 + abs(value))
        v_new, mu_new = value, mu
        for _ in range(MAX_SHRINKS + 1):
            for i in range(x.size):
                x_new[i] = x[i] + t * p[i]
            _onto_sphere(x_new, radius)
            v_new, mu_new = _gradient(x_new, g_new, pi, radius, K, d, Z, work, bits, turned)
            if v_new <= value + noise + ARMIJO * t * slope:
                accepted = True
                break
            t *= SHRINK
        if accepted:
            useful = v_new < value - noise
            newest, used = (newest + 1) % rho.size, min(used + 1, rho.size)
            s, y = S[newest], Y[newest]
            for i in range(x.size):
                s[i] = x_new[i] - x[i]
                y[i] = g_new[i] - g[i]
                x[i] = x_new[i]
                g[i] = g_new[i]
            sy, yy = _dot(s, y), _dot(y, y)
            rho[newest] = 0.0
            if sy > CURVATURE * yy:
                rho[newest] = 1.0 / sy
                gamma = 1.0 / (rho[newest] * yy)
            value, mu, norm = v_new, mu_new, math.sqrt(_dot(g, g))
            useful = useful or norm < least
            idle = 0 if useful else idle + 1
            least = min(least, norm)
            _direction(p, g, S, Y, rho, alpha, gamma, newest, used)
            slope = _dot(p, g)
            steepest = not slope < 0.0
        elif steepest:
            return value, norm, step + 1, STALLED
        else:
            steepest, used = True, 0
            idle += 1
        if steepest:
            for i in range(g.size):
                p[i] = -g[i]
            slope, trial = -norm * norm, FIRST * math.sqrt(2 * radius) / norm
        else:
            # On a sphere a longer step than twice the radius only turns back.
            trial = min(1.0, 2 * math.sqrt(2 * radius / _dot(p, p)))
    return value, norm, max_steps, MAX_STEPS


@njit(**INNER)
def _into_budgets(x, energy_W, energy_H, radius, W, H):
    # Shares norm between W and H as their budgets are: |W|^2/(K E_W) = |H|^2/(K E_H).
    K, d = W.shape
    size = K * d
    norm_W, norm_V = math.sqrt(_dot(x[:size], x[:size])), math.sqrt(_dot(x[size:], x[size:]))
    used = math.sqrt(min(norm_W * norm_V / radius, INSIDE))
    scale_W, scale_H = used * math.sqrt(energy_W) / norm_W, used * math.sqrt(energy_H) / norm_V
    for k in range(K):
        for r in range(d):
            W[k, r] = x[k * d + r] * scale_W
            H[r, k] = x[size + k * d + r] * scale_H


@njit(nogil=True, cache=True, error_model="numpy")
def solve_rows(
    first, last, pi, radius, energy, frame, start, memory, gtol, max_steps, W, H, real, whole
):
    """Solve the instances ``first <= i < last``; see the module for the arrays.

    Args:
        first: First instance.
        last: One past the last.
        pi: Class shares.
        radius: Radii tau.
        energy: Budgets of the squared norms.
        frame: Rows of the start.
        start: Given starts, or none.
        memory: Stored pairs.
        gtol: Stop at this gradient norm over sqrt(mu).
        max_steps: Step limit.
        W: Out.
        H: Out.
        real: Out.
        whole: Out.
    """
    K, d = frame.shape
    size = 2 * K * d
    # Whole vectors for the exponential, entries after K^2 included: nobody reads those.
    padded = (K * K + 15) // 16 * 16
    Z, work, x = np.zeros(padded), np.empty(padded + K), np.empty(size)
    bits = work[:padded].view(np.int64)
    vectors = (np.empty(size), np.empty(size), np.empty(size), np.empty(size))
    S, Y = np.empty((memory, size)), np.empty((memory, size))
    small = (np.empty(K * d), np.empty(memory), np.empty(memory))
    for i in range(first, last):
        if start.shape[0] == 0:
            _begin(x, frame, pi[i], radius[i], K, d)
        else:
            x[:] = start[i].ravel()
        real[i, 0], real[i, 1], whole[i, 0], whole[i, 1] = _minimise(
            x, pi[i], radius[i], K, d, gtol, max_steps, vectors, S, Y, small, Z, work, bits
        )
        _into_budgets(x, energy[i, 0], energy[i, 1], radius[i], W[i], H[i])
