"""An embedded Runge-Kutta pair on batches: one step, its error, its dense output, the next step.

Knows no problem: the vector field is a function of flat states ``(B, P)``. Instances never mix, so
each has its own step size.

References:
    Dormand and Prince (1980) [dormand1980]_; continuous extension and step control in the form of
    Hairer, Norsett and Wanner (1993) [hairer1993]_, sections II.6 and II.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import torch

from ufm._typing import Bool, Float, Tensor


Field = Callable[[Tensor], Tensor]


def _fractions(*rows: str) -> tuple[tuple[Fraction, ...], ...]:
    return tuple(tuple(Fraction(entry) for entry in row.split()) for row in rows)


@dataclass(frozen=True)
class Tableau:
    """Butcher tableau of an explicit pair whose last stage is the new point (FSAL), exact.

    Attributes:
        A: Row i holds the i coefficients of stage i; the last row holds the weights ``b``.
        error: Weights of the error, ``b - b_hat``, one a stage.
        dense: Weights of the quartic term of the continuous extension, one a stage.
    """

    A: tuple[tuple[Fraction, ...], ...]
    error: tuple[Fraction, ...]
    dense: tuple[Fraction, ...]

    def weights(self, like: Tensor) -> Weights:
        """The coefficients as tensors, to be made once a run.

        Args:
            like: Tensor of the type and device to use.

        Returns:
            Rows of ``A`` from the second on, and the error and dense rows stacked.
        """
        rows = [like.new_tensor([[float(a) for a in row]]) for row in self.A[1:]]
        last = [[float(a) for a in row] for row in (self.error, self.dense)]
        return Weights(tuple(rows), like.new_tensor(last))


class Weights(NamedTuple):
    """A tableau as tensors.

    Attributes:
        stages: One row ``(1, i)`` for each stage after the first.
        last: Weights of the error and of the quartic term ``(2, s)``.
    """

    stages: tuple[Float[Tensor, "1 _"], ...]
    last: Float[Tensor, "2 s"]


# Order 5 with an embedded order 4; the continuous extension has order 4.
DORMAND_PRINCE = Tableau(
    A=_fractions(
        "",
        "1/5",
        "3/40 9/40",
        "44/45 -56/15 32/9",
        "19372/6561 -25360/2187 64448/6561 -212/729",
        "9017/3168 -355/33 46732/5247 49/176 -5103/18656",
        "35/384 0 500/1113 125/192 -2187/6784 11/84",
    ),
    error=_fractions("71/57600 0 -71/16695 71/1920 -17253/339200 22/525 -1/40")[0],
    dense=_fractions(
        "-12715105075/11282082432 0 87487479700/32700410799 -10690763975/1880347072 "
        "701980252875/199316789632 -1453857185/822651844 69997945/29380423"
    )[0],
)
ORDER = 5


@dataclass(frozen=True, eq=False)
class Step:
    """One trial step of each instance.

    Attributes:
        x0: Where it starts ``(B, P)``.
        x1: Where it ends, already retracted ``(B, P)``.
        h: Step sizes ``(B,)``.
        k: Stages ``(B, s, P)``; the last is the field at ``x1``.
        error: Difference to the embedded solution of lower order ``(B, P)``.
        quartic: Quartic term of the continuous extension ``(B, P)``.
    """

    x0: Float[Tensor, "B P"]
    x1: Float[Tensor, "B P"]
    h: Float[Tensor, "B"]
    k: Float[Tensor, "B s P"]
    error: Float[Tensor, "B P"]
    quartic: Float[Tensor, "B P"]

    def at(self, index: Tensor, theta: Float[Tensor, "S"]) -> Float[Tensor, "S P"]:
        r"""Continuous extension of order 4 inside the step.

        It takes the values of both ends and the field's there; not retracted.

        Args:
            index: Instances, possibly repeated ``(S,)``.
            theta: Where in the step of each, 0 at its start and 1 at its end.

        Returns:
            States.
        """
        theta, h = theta.unsqueeze(-1), self.h[index].unsqueeze(-1)
        x0, k0, k1 = self.x0[index], h * self.k[index, 0], h * self.k[index, -1]
        change, rest = self.x1[index] - x0, 1 - theta
        cubic = 2 * change - k0 - k1 + rest * self.quartic[index]
        return x0 + theta * (change + rest * (k0 - change + theta * cubic))


def step(
    field: Field,
    x: Float[Tensor, "B P"],
    h: Float[Tensor, "B"],
    *,
    k0: Float[Tensor, "B P"],
    retract: Field | None = None,
    weights: Weights | None = None,
) -> Step:
    """Take one trial step.

    The end is retracted *before* the last stage, so that this stage is exactly the field at the
    new point and serves as the next step's first; what the retraction moves is of the order of
    the local error.

    Args:
        field: Right-hand side, batched.
        x: States.
        h: Step sizes.
        k0: ``field(x)``, known from the step before.
        retract: Puts a state back where the flow lives; None for flat space.
        weights: The pair; Dormand and Prince's if None.

    Returns:
        The step.
    """
    weights = weights or DORMAND_PRINCE.weights(x)
    stages = weights.last.shape[-1]
    k = x.new_empty(x.shape[0], stages, x.shape[1])
    k[:, 0] = k0
    size = h.reshape(-1, 1, 1)
    x1 = x
    for i, row in enumerate(weights.stages, 1):
        x1 = x + ((size * row) @ k[:, :i]).squeeze(1)
        if i == stages - 1 and retract is not None:
            x1 = retract(x1)
        k[:, i] = field(x1)
    error, quartic = ((size * weights.last) @ k).unbind(1)
    return Step(x, x1, h, k, error, quartic)


# Proportional-integral control with the values of the DOPRI5 code.
SAFETY, INTEGRAL, SHRINK, GROW = 0.9, 0.04, 0.2, 10.0
PROPORTIONAL = 1 / ORDER - 0.75 * INTEGRAL


def resize(
    error: Float[Tensor, "B"], previous: Float[Tensor, "B"], *, retry: Bool[Tensor, "B"]
) -> Float[Tensor, "B"]:
    """Factor for the next step size.

    Args:
        error: Error of this step in units of the tolerance; accepted if <= 1; may be NaN.
        previous: Error of the last accepted step, in the same units.
        retry: Whether the step before this one was rejected; then the size may not grow.

    Returns:
        Factors between `SHRINK` and `GROW`; at most 1 after a rejection.
    """
    # exp(log) and not pow, whose vectorised and scalar paths round differently.
    failed = ~(error <= 1)
    gain = (-PROPORTIONAL * error.clamp(min=1e-10).log()).exp()
    memory = (INTEGRAL * previous.clamp(min=1e-4).log()).exp()
    factor = SAFETY * torch.where(failed, gain, gain * memory)
    limit = torch.where(failed | retry, 1.0, GROW)
    return torch.where(error.isfinite(), factor, SHRINK).clamp(min=SHRINK).minimum(limit)
