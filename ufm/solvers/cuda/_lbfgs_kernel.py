r"""L-BFGS on one sphere of balanced factors, one program an instance, all of it on chip.

The algorithm is that of `ufm.solvers.lbfgs`, with one evaluation a turn: a turn either accepts its
trial step, stores a pair and chooses the next direction, or shrinks the step. An instance ends when
it ends, and its program takes the next one of the batch: nothing is shared, nothing compacted.

Vectors of a turn are in registers. The M pairs are in a scratch array of one row a program, written
once and read twice a turn, which its multiprocessor's first-level cache holds; the direction comes
from inner products alone (`ufm.solvers._memory`), all those with one vector in one reduction.
"""

from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

from ufm._triton._factors import matrix, product, softmax_parts, store_matrix


@triton.jit
def _evaluate(
    x, c, per_radius2, place_pointer, K: tl.constexpr, d: tl.constexpr, KP: tl.constexpr,
    DP: tl.constexpr, NP: tl.constexpr,
):  # fmt: skip
    """Objective, Riemannian gradient, its squared norm, and the multiplier, clamped at 0."""
    place = tl.arange(0, NP)
    inside = place < 2 * K * d
    grad_pointer = place_pointer + 2 * K * d
    # Each barrier also keeps what is stored after it from the loads of the turn before.
    tl.store(place_pointer + place, x, mask=inside)
    tl.debug_barrier()
    W = matrix(place_pointer, K, d, KP, DP)
    V = matrix(place_pointer + K * d, K, d, KP, DP)
    value, excess = softmax_parts(product(W, tl.trans(V)), K, KP)
    G = excess * c[None, :]
    store_matrix(grad_pointer, product(G, V), K, d, KP, DP)
    store_matrix(grad_pointer + K * d, product(tl.trans(G), W), K, d, KP, DP)
    tl.debug_barrier()
    grad = tl.load(grad_pointer + place, mask=inside, other=0.0)
    multiplier = -tl.sum(x * grad, 0) * per_radius2
    grad += multiplier * x
    return tl.sum(value * c, 0), grad, tl.sum(grad * grad, 0), tl.maximum(multiplier, 0.0)


@triton.jit
def _matvec(A, v):
    return tl.sum(A * v[None, :], 1)


@triton.jit
def _append(
    R_inverse, YY, D, with_s, with_y, slot, M: tl.constexpr, sy, yy, CURVATURE: tl.constexpr
):
    """Inverse triangle, Gram matrix and diagonal after slot's pair is replaced; gamma, or 0."""
    index = tl.arange(0, M)
    row, column = index[:, None] == slot, index[None, :] == slot
    good = sy > CURVATURE * yy
    rho = tl.where(good, 1.0 / sy, 0.0)
    R_inverse = tl.where(row | column, 0.0, R_inverse)
    entry = tl.where(index == slot, rho, -rho * _matvec(R_inverse, with_s))
    R_inverse = tl.where(column, entry[:, None], R_inverse)
    YY = tl.where(row, with_y[None, :], tl.where(column, with_y[:, None], YY))
    return R_inverse, YY, tl.where(index == slot, sy, D), tl.where(good, sy / yy, 0.0)


@triton.jit
def _mix(R_inverse, YY, D, gamma, with_s, with_y):
    """Weights of s and y in minus the inverse Hessian times the gradient."""
    alpha = _matvec(R_inverse, with_s)
    weight = D * alpha + gamma * (_matvec(YY, alpha) - with_y)
    return -tl.sum(R_inverse * weight[:, None], 0), gamma * alpha


@triton.jit(do_not_specialize=["B", "max_steps"])
def minimise(
    x_pointer, c_pointer, radius2_pointer, value_pointer, norm_pointer, code_pointer,
    steps_pointer, evaluations_pointer, scratch_pointer, counter_pointer, gtol_pointer,
    B, max_steps,
    K: tl.constexpr, d: tl.constexpr, KP: tl.constexpr, DP: tl.constexpr, NP: tl.constexpr,
    M: tl.constexpr, ARMIJO: tl.constexpr, SHRINK: tl.constexpr, MAX_SHRINKS: tl.constexpr,
    MAX_IDLE: tl.constexpr, CURVATURE: tl.constexpr, RUNNING: tl.constexpr,
    CONVERGED: tl.constexpr, OUT_OF_STEPS: tl.constexpr, STALLED: tl.constexpr,
    NONFINITE: tl.constexpr,
):  # fmt: skip
    """Minimise the instances of a batch; x is read as the start and overwritten by the end.

    Args:
        x_pointer: Coordinates (B, 2 K d), on the sphere.
        c_pointer: Class weights (B, K).
        radius2_pointer: Squared radii (B,).
        value_pointer: Takes the objectives (B,).
        norm_pointer: Takes the gradient norms (B,).
        code_pointer: Takes the statuses (B,), int32.
        steps_pointer: Takes the steps taken (B,), int32.
        evaluations_pointer: Takes the number of evaluations (B,), int32.
        scratch_pointer: Room for 2 + 2 M vectors a program (programs, (2 + 2 M) 2 K d).
        counter_pointer: Next instance of the batch, int32, 0 at the start.
        gtol_pointer: Tolerance on the scaled gradient norm, one number: an argument would be
            single precision.
        B: Number of instances.
        max_steps: Limit on the steps.
    """
    N: tl.constexpr = 2 * K * d
    place = tl.arange(0, NP)
    inside = place < N
    classes = tl.arange(0, KP)
    index = tl.arange(0, M)
    place_pointer = scratch_pointer + tl.program_id(0).to(tl.int64) * (2 + 2 * M) * N
    s_pointer = place_pointer + 2 * N
    y_pointer = s_pointer + M * N
    rows = index[:, None] * N + place[None, :]
    within = (index[:, None] < M) & inside[None, :]
    gtol = tl.load(gtol_pointer)
    b = tl.atomic_add(counter_pointer, 1)
    while b < B:
        row = b.to(tl.int64)
        x = tl.load(x_pointer + row * N + place, mask=inside, other=0.0)
        c = tl.load(c_pointer + row * K + classes, mask=classes < K, other=0.0)
        radius2 = tl.load(radius2_pointer + row)
        radius = tl.sqrt(radius2)
        per_radius2 = 1.0 / radius2

        # The first turn evaluates the start: it beats any value and leaves a pair of no use.
        value = tl.full((), float("inf"), tl.float64)
        norm2 = tl.full((), float("inf"), tl.float64)
        least = tl.full((), float("inf"), tl.float64)
        grad = tl.zeros((NP,), tl.float64)
        direction = tl.zeros((NP,), tl.float64)
        slope = tl.full((), 0.0, tl.float64)
        t = tl.full((), 0.0, tl.float64)
        tl.store(s_pointer + rows, tl.zeros((M, NP), tl.float64), mask=within)
        tl.store(y_pointer + rows, tl.zeros((M, NP), tl.float64), mask=within)
        with_s = tl.zeros((M,), tl.float64)
        with_y = tl.zeros((M,), tl.float64)
        R_inverse = tl.zeros((M, M), tl.float64)
        YY = tl.zeros((M, M), tl.float64)
        D = tl.zeros((M,), tl.float64)
        gamma = tl.full((), 1.0, tl.float64)
        steepest = tl.full((), 1, tl.int32)
        idle = tl.full((), 0, tl.int32)
        shrinks = tl.full((), 0, tl.int32)
        steps = tl.full((), -1, tl.int32)
        evaluations = tl.full((), 0, tl.int32)
        slot = tl.full((), 0, tl.int32)
        code = tl.full((), RUNNING, tl.int32)

        while code == RUNNING:
            trial = x + t * direction
            trial *= radius * tl.rsqrt(tl.sum(trial * trial, 0))
            new_value, new_grad, new_norm2, mu = _evaluate(
                trial, c, per_radius2, place_pointer, K, d, KP, DP, NP
            )
            evaluations += 1
            noise = 1e-15 * (1.0 + tl.abs(value))
            accepted = new_value <= value + noise + t * (ARMIJO * slope)
            lost = (~accepted) & ((shrinks == MAX_SHRINKS) | (steps < 0))
            if accepted:
                # Replace the oldest pair; one that is not usable leaves a zero column.
                step, change = trial - x, new_grad - grad
                tl.store(s_pointer + slot * N + place, step, mask=inside)
                tl.store(y_pointer + slot * N + place, change, mask=inside)
                x, grad = trial, new_grad
                sy, yy = tl.sum(step * change, 0), tl.sum(change * change, 0)
                tl.debug_barrier()
                S = tl.load(s_pointer + rows, mask=within, other=0.0)
                Y = tl.load(y_pointer + rows, mask=within, other=0.0)
                before_s, before_y = with_s, with_y
                with_s, with_y = tl.sum(S * grad[None, :], 1), tl.sum(Y * grad[None, :], 1)
                R_inverse, YY, D, scale = _append(
                    R_inverse, YY, D, tl.where(index == slot, sy, with_s - before_s),
                    tl.where(index == slot, yy, with_y - before_y), slot, M, sy, yy, CURVATURE,
                )  # fmt: skip
                gamma = tl.where(scale > 0.0, scale, gamma)
                slot = tl.where(slot + 1 == M, 0, slot + 1)
                useful = (new_norm2 < least) | (new_value < value - noise)
                idle = tl.where(useful, 0, idle + 1)
                value, norm2 = new_value, new_norm2
                least = tl.minimum(least, norm2)
                mix_s, mix_y = _mix(R_inverse, YY, D, gamma, with_s, with_y)
                direction = tl.sum(S * mix_s[:, None] + Y * mix_y[:, None], 0) - gamma * grad
                slope = tl.sum(direction * grad, 0)
                steepest = tl.where((slope < 0.0) & (steps >= 0), 0, 1)
                code = tl.where(norm2 <= gtol * gtol * mu, CONVERGED, code)
                code = tl.where((code == RUNNING) & (idle >= MAX_IDLE), STALLED, code)
                finite = (norm2 < float("inf")) & (tl.abs(value) < float("inf"))
                code = tl.where(finite, code, NONFINITE)
            else:
                t *= SHRINK
                shrinks += 1
            if lost:
                # No step along this direction: forget the pairs, or give up after the gradient.
                R_inverse = tl.zeros((M, M), tl.float64)
                code = tl.where(steepest == 1, STALLED, code)
                code = tl.where(steps < 0, NONFINITE, code)
                steepest = tl.full((), 1, tl.int32)
                idle += 1
            if lost | accepted:
                if steepest == 1:
                    direction = -grad
                    slope = -norm2
                # On a sphere a longer step than twice the radius only turns back.
                reach = radius * tl.rsqrt(tl.sum(direction * direction, 0))
                t = tl.where(steepest == 1, 0.35 * reach, tl.minimum(2.0 * reach, 1.0))
                shrinks = tl.full((), 0, tl.int32)
                steps += 1
                code = tl.where((code == RUNNING) & (steps >= max_steps), OUT_OF_STEPS, code)

        tl.store(x_pointer + row * N + place, x, mask=inside)
        tl.store(value_pointer + row, value)
        tl.store(norm_pointer + row, tl.sqrt(norm2))
        tl.store(code_pointer + row, code)
        tl.store(steps_pointer + row, steps)
        tl.store(evaluations_pointer + row, evaluations)
        b = tl.atomic_add(counter_pointer, 1)
