r"""The exact global minimiser under step imbalance, for every ratio and radius. NumPy only.

Cross-entropy, average budgets, no bias, two groups of equal classes. The optimum of the
equivalent programme :math:`\min F(Z)` subject to :math:`\|Z\|_* \le \tau` is one scalar root away
from explicit (`_step_curves`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ufm.solvers._roots import Numbers, bracketed_roots, elementwise
from ufm.solvers._step_curves import (
    Blocks,
    boundary,
    boundary_gap,
    boundary_log_ratio,
    full_curve,
    merged_curve,
    vanishing_log_ratio,
    vanishing_v,
)
from ufm.solvers.thresholds import R_RANGE, TAU_RANGE, check_counts, check_range


PHASES = ("balanced", "full", "collapsed", "vanished")


@dataclass(frozen=True, eq=False)
class StepOptimum:
    r"""Exact optima; every field has the broadcast shape of the arguments.

    The first ``K_A`` classes have the share ``pi_A = R pi_B`` of the risk each. In blocks of
    all-one matrices ``J`` the optimal logits are
    ``Z = [[a I + b J, c J], [d J, e I + f J]]``; its columns sum to zero.

    Attributes:
        K_A: Classes in the first group.
        K_B: Classes in the second group.
        R: Ratio ``pi_A / pi_B``; below 1 the first group is the minority.
        tau: Radius ``K sqrt(E_W E_H)``.
        phase: One of `PHASES`: ``R = 1``; minority classes told apart; one direction for all
            minority classes; minority vectors zero.
        a: Gap between own and other logit within group A; 0 for ``K_A = 1``.
        b: Common logit within group A.
        c: Group A's logits of a group-B feature.
        d: Group B's logits of a group-A feature.
        e: Gap within group B; 0 for ``K_B = 1``.
        f: Common logit within group B.
        mu: Multiplier of the constraint, ``|G|_op`` for a risk with ``sum pi = 1``.
        value: Risk at the optimum.
        gap: Duality gap of (a, ..., f), from the softmax of these logits alone: a proof, and the
            residual of the optimality conditions.
        w_A: ``|w_k|^2 / E_W`` in group A.
        w_B: ``|w_k|^2 / E_W`` in group B.
        h_A: ``|h_k|^2 / E_H`` in group A.
        h_B: ``|h_k|^2 / E_H`` in group B.
        cos_W_A: Cosine of two classifier rows of group A; NaN if they are zero or there is one.
        cos_W_B: The same for group B.
        cos_H_A: Cosine of two features of group A.
        cos_H_B: The same for group B.
    """

    K_A: np.ndarray
    K_B: np.ndarray
    R: np.ndarray
    tau: np.ndarray
    phase: np.ndarray
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    d: np.ndarray
    e: np.ndarray
    f: np.ndarray
    mu: np.ndarray
    value: np.ndarray
    gap: np.ndarray
    w_A: np.ndarray
    w_B: np.ndarray
    h_A: np.ndarray
    h_B: np.ndarray
    cos_W_A: np.ndarray
    cos_W_B: np.ndarray
    cos_H_A: np.ndarray
    cos_H_B: np.ndarray

    @property
    def pi_A(self) -> np.ndarray:
        """Share of the risk of a class of group A."""
        return np.asarray(self.R * self.pi_B)

    @property
    def pi_B(self) -> np.ndarray:
        """Share of the risk of a class of group B."""
        return np.asarray(1 / (self.R * self.K_A + self.K_B))

    @property
    def rank(self) -> np.ndarray:
        """Rank of ``Z``; the optimum needs ``d >= rank``."""
        mixed = (self.c != 0) | (self.d != 0)
        rank = (self.K_A - 1) * (self.a > 0) + (self.K_B - 1) * (self.e > 0) + mixed
        return np.asarray(rank).astype(np.int64)

    def Z(self, index: tuple[int, ...] | int = ()) -> np.ndarray:
        """The ``K x K`` matrix of optimal logits of one instance.

        Args:
            index: Which instance; ``()`` if the arguments were numbers.

        Returns:
            ``Z``, column k for a feature of class k.
        """
        K_A, K_B = int(self.K_A[index]), int(self.K_B[index])
        a, b, c, d, e, f = (
            float(v[index]) for v in (self.a, self.b, self.c, self.d, self.e, self.f)
        )
        Z = np.empty((K_A + K_B, K_A + K_B))
        Z[:K_A, :K_A] = b + a * np.eye(K_A)
        Z[:K_A, K_A:], Z[K_A:, :K_A] = c, d
        Z[K_A:, K_A:] = f + e * np.eye(K_B)
        return Z


def step_optimum(K_A: Numbers, K_B: Numbers, *, R: Numbers, tau: Numbers) -> StepOptimum:
    r"""Solve cross-entropy with average budgets for two groups of equal classes, exactly.

    Unique global minimiser of :math:`\sum_k \pi_k\,\mathrm{CE}(z_k, k)` subject to
    :math:`\|Z\|_* \le \tau`, which is that of the layer-peeled model for ``d >= rank``.

    Args:
        K_A: Classes of the first group, >= 1.
        K_B: Classes of the second group, >= 1.
        R: Ratio ``pi_A / pi_B``, in [1e-300, 1e300]; below 1 the groups change roles.
        tau: Radius ``K sqrt(E_W E_H)``, in [1e-100, 1e100].

    Returns:
        The optima in the broadcast shape.

    Raises:
        ValueError: If an argument is out of its range.

    References:
        Ours; the model is that of Fang et al. (2021) [fang2021]_.

    >>> optimum = step_optimum(5, 5, R=10, tau=10 * 5**0.5)
    >>> str(optimum.phase), round(float(optimum.value), 12), round(float(optimum.cos_W_B), 8)
    ('full', 0.261677038637, 0.51749628)
    """
    check_counts(K_A, K_B, least_B=1)
    check_range("R", R, R_RANGE)
    check_range("tau", tau, TAU_RANGE)
    arrays = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (K_A, K_B, R, tau)))
    fields = _fields(*(array.reshape(-1) for array in arrays))
    shape = arrays[0].shape
    return StepOptimum(**{name: value.reshape(shape) for name, value in fields.items()})


def _fields(
    K_A: np.ndarray, K_B: np.ndarray, R: np.ndarray, tau: np.ndarray
) -> dict[str, np.ndarray]:
    swapped = R < 1
    major, minor = np.where(swapped, K_B, K_A), np.where(swapped, K_A, K_B)
    phase, a, c, d, e, mu = elementwise(_solve, major, minor, np.abs(np.log(R)), tau)
    # A group of one class has no gap; its logit is b or f alone.
    a = np.where(major == 1, 0.0, a)
    a, e = np.where(swapped, e, a), np.where(swapped, a, e)
    c, d = np.where(swapped, d, c), np.where(swapped, c, d)
    mu = mu / (np.where(swapped, 1 / R, R) * major + minor)
    names = np.array(PHASES)[phase.astype(np.int64)]
    return _described(K_A, K_B, R, tau, names, Blocks(np.log(R), a, c, d, e, mu))


def _solve(
    K_A: np.ndarray, K_B: np.ndarray, log_R: np.ndarray, tau: np.ndarray
) -> tuple[np.ndarray, ...]:
    # Phase and blocks (a, c, d, e, mu / pi_B) for R >= 1.
    paired = K_B > 1
    s0 = boundary_gap(tau, K_A, K_B)
    with np.errstate(divide="ignore"):
        scaled = tau / (K_A * (K_A - 1))
    full = paired & (log_R < boundary_log_ratio(s0, K_A, K_B))
    vanished = ~full & (log_R >= vanishing_log_ratio(scaled, K_A, K_B))
    merged = ~full & ~vanished
    phase = np.select([log_R == 0, vanished, full | ~paired], [0.0, 3.0, 1.0], 2.0)
    out = np.empty((5, K_A.size))
    out[:, full] = _on_curve(full_curve, 0 * s0, s0, K_A, K_B, log_R, tau, where=full)
    out[:, vanished] = _vanished(*(v[vanished] for v in (K_A, K_B, log_R, tau)))
    # A lone minority class has the whole curve to itself, from the balanced solution on.
    y0 = np.where(paired, s0, tau / K_A)
    low = np.where(paired, np.log(boundary(s0, K_B / (K_A + K_B)).r), 0.0)
    bound = log_R + y0 + np.log(K_B + K_A * np.exp(-y0)) - np.log((K_A + K_B) * K_B) / 2
    high = np.maximum(np.minimum(vanishing_v(scaled, K_A, K_B), bound), low)
    out[:, merged] = _on_curve(merged_curve, low, high, K_A, K_B, log_R, tau, where=merged)
    return (phase, *out)


def _on_curve(
    curve: Callable[..., Blocks],
    low: np.ndarray,
    high: np.ndarray,
    *args: np.ndarray,
    where: np.ndarray,
) -> tuple[np.ndarray, ...]:
    low, high = low[where], high[where]
    K_A, K_B, log_R, tau = (arg[where] for arg in args)

    def excess(
        t: np.ndarray, K_A: np.ndarray, K_B: np.ndarray, log_R: np.ndarray, tau: np.ndarray
    ) -> np.ndarray:
        return curve(t, tau, K_A, K_B).log_R - log_R

    # log_R = 0 is the curve's start.
    high = np.where(log_R == 0, low, high)
    t = bracketed_roots(excess, low, high, K_A, K_B, log_R, tau)
    return curve(t, tau, K_A, K_B)[1:]


def _vanished(
    K_A: np.ndarray, K_B: np.ndarray, log_R: np.ndarray, tau: np.ndarray
) -> tuple[np.ndarray, ...]:
    a = tau / (K_A - 1)
    own, zero = (K_A - 1) / K_A * a, np.zeros_like(a)
    # p_o K_A + p_m K_B over p_t, with the factor R kept in the exponent.
    others = K_A * np.exp(-a) + K_B * np.exp(-own)
    mu = np.exp(log_R) * others / (1 + (K_A - 1) * np.exp(-a) + K_B * np.exp(-own))
    return a, zero, zero, zero, mu


def _described(
    K_A: np.ndarray, K_B: np.ndarray, R: np.ndarray, tau: np.ndarray, phase: np.ndarray, z: Blocks
) -> dict[str, np.ndarray]:
    # Everything that follows from the blocks; knows neither curve nor phase.
    K = K_A + K_B
    # The singular direction that tells the groups apart, (K_B 1, -K_A 1), and its value.
    square_A, square_B = K_B * z.d * z.d, K_A * z.c * z.c
    mixed = np.sqrt(K * (square_A + square_B))
    share = square_A / np.where(mixed > 0, square_A + square_B, 1.0)
    value, gap = _value_and_gap(K_A, K_B, R, tau, z)
    fields = {
        "K_A": K_A, "K_B": K_B, "R": R, "tau": tau, "phase": phase,
        "a": z.a, "b": -(z.a + K_B * z.d) / K_A, "c": z.c, "d": z.d,
        "e": z.e, "f": -(z.e + K_A * z.c) / K_B, "mu": z.mu, "value": value, "gap": gap,
    }  # fmt: skip
    for name, gap_of, size, part in (
        ("w_A", z.a, K_A, mixed * K_B / K), ("w_B", z.e, K_B, mixed * K_A / K),
        ("h_A", z.a, K_A, mixed * share), ("h_B", z.e, K_B, mixed * (1 - share)),
    ):  # fmt: skip
        square, product = (gap_of * (size - 1) + part) / size, (part - gap_of) / size
        fields[name] = K / tau * square
        shown = (square > 0) & (size > 1)
        cosine = np.where(shown, product / np.where(shown, square, 1.0), np.nan)
        fields[f"cos_{name[0].upper()}_{name[2]}"] = cosine
    return fields


def _value_and_gap(
    K_A: np.ndarray, K_B: np.ndarray, R: np.ndarray, tau: np.ndarray, z: Blocks
) -> tuple[np.ndarray, np.ndarray]:
    # Risk and <G, Z> + tau |G|_op, with the softmax evaluated anew from the blocks.
    K, pi_B = K_A + K_B, 1 / (R * K_A + K_B)
    pi_A = R * pi_B
    A_other, A_minor = np.exp(-z.a), np.exp(-((K_A - 1) * z.a - K * z.d) / K_A)
    B_other, B_major = np.exp(-z.e), np.exp(-((K_B - 1) * z.e - K * z.c) / K_B)
    odds_A = (K_A - 1) * A_other + K_B * A_minor
    odds_B = (K_B - 1) * B_other + K_A * B_major
    # -G has the blocks of Z, with these gaps and these (negated) off-diagonal entries.
    gap_A = pi_A * (K_A * A_other + K_B * A_minor) / (1 + odds_A)
    gap_B = pi_B * (K_B * B_other + K_A * B_major) / (1 + odds_B)
    d, c = pi_A * A_minor / (1 + odds_A), pi_B * B_major / (1 + odds_B)
    mixed = np.sqrt(K * (K_B * d * d + K_A * c * c))
    norm = np.maximum(mixed, np.maximum(gap_A * (K_A > 1), gap_B * (K_B > 1)))
    inner = (K_A - 1) * gap_A * z.a + (K_B - 1) * gap_B * z.e
    inner = inner - K * (K_B * d * z.d + K_A * c * z.c)
    value = pi_A * K_A * np.log1p(odds_A) + pi_B * K_B * np.log1p(odds_B)
    return value, tau * norm - inner
