"""The record of what is proved about a batch of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ufm._typing import Bool, Float, Int, Tensor


# Gate of the refined gap, relative to max(1, |primal|), and of the infeasibility.
GATE = 1e-10
# Singular values of the logits below this share of their scale do not count towards the rank.
RANK_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Certificate:
    """Rigorous bounds on the optimum, recomputed in float64 from (W, H, b) alone.

    ``cert[i]`` is one instance. Every number is absolute, for risks whose weights sum to one.

    Attributes:
        primal: Objective at the point scaled into its constraints ``(*b)``.
        dual: Lower bound on the optimum that ``Y`` proves, up to ``margin`` ``(*b)``.
        raw_gap: Gap with the gradient itself as dual matrix, first order ``(*b)``.
        gap: Smallest proved gap, evaluated without the cancellation of ``primal - dual`` ``(*b)``.
        margin: Allowance for rounding in ``gap`` ``(*b)``, about ``4 K eps |Y|_F`` times the
            radius.
        infeasibility: Relative violation of a constraint by the point as given ``(*b)``.
        stationarity: Norm of the KKT residual in balanced coordinates over the square root of the
            ridge or multiplier ``(*b)``; its square has the unit of the objective.
        rank: Numerical rank of the centred class-mean logits ``(*b)``.
        bound: Relaxation and how the best dual matrix was made, one string an instance: ``raw`` or
            ``gradient`` (as it is), ``clip`` and ``snap r`` (refined, without and with a trial
            rank), ``null space of W'``, ``dot`` (closed form), ``infimum`` (zero).
        Y: Dual matrix on the class means ``(*b, K, K)``; column k belongs to all samples of class
            k together.
        multipliers: Budgets only: rows alpha (features) and beta (classifier) ``(*b, 2, K)`` with
            ``[[diag(beta), Y/2], [Y'/2, diag(alpha)]]`` positive semidefinite, or None.
        residual: Fixed classifier only: KKT residual of each feature column ``(*b, M)`` per unit
            of its loss weight, or None.
        bracket: ``(lower, upper)`` proved in ball arithmetic, one an instance, or None.
    """

    primal: Float[Tensor, "*b"]
    dual: Float[Tensor, "*b"]
    raw_gap: Float[Tensor, "*b"]
    gap: Float[Tensor, "*b"]
    margin: Float[Tensor, "*b"]
    infeasibility: Float[Tensor, "*b"]
    stationarity: Float[Tensor, "*b"]
    rank: Int[Tensor, "*b"]
    bound: tuple[str, ...]
    Y: Float[Tensor, "*b K K"]
    multipliers: Float[Tensor, "*b 2 K"] | None = None
    residual: Float[Tensor, "*b M"] | None = None
    bracket: tuple[tuple[float, float], ...] | None = None

    @property
    def passed(self) -> Bool[Tensor, "*b"]:
        """Whether the point is proved optimal to 1e-10 max(1, F) and feasible; false for NaN.

        A margin above the gate proves nothing: rounding alone could hide the gap.
        """
        allowed = GATE * self.primal.abs().clamp(min=1)
        tight = (self.gap <= allowed + self.margin) & (self.margin <= allowed)
        return tight & (self.infeasibility <= GATE)

    def __len__(self) -> int:
        return len(self.bound)

    def __getitem__(self, index: int) -> Certificate:
        """One instance of a batch, without the batch axis.

        Args:
            index: Position; negative counts from the end.

        Returns:
            Its certificate.

        Raises:
            IndexError: If there is no batch axis or no such instance.
        """
        if self.primal.ndim != 1 or not -len(self) <= index < len(self):
            raise IndexError(f"index must be within a batch of {len(self)}, got {index}")
        tensors = {
            name: value[index]
            for name, value in self.__dict__.items()
            if isinstance(value, torch.Tensor)
        }
        one = slice(index, index + 1 or None)
        bracket = None if self.bracket is None else self.bracket[one]
        return replace(self, bound=self.bound[one], bracket=bracket, **tensors)

    def overwritten(self, index: Int[Tensor, "S"], part: Certificate) -> Certificate:
        """This batch with some instances replaced, written into its own tensors.

        A copy of a large batch would wake torch's threads, which then spin for milliseconds beside
        those of the compiled kernels. For certificates that nobody else holds.

        Args:
            index: Positions to replace.
            part: Certificates of as many instances.

        Returns:
            The new batch, without brackets.
        """
        tensors = {
            name: (value.clone() if 0 in value.stride() else value).index_copy_(
                0, index, getattr(part, name)
            )
            for name, value in self.__dict__.items()
            if isinstance(value, torch.Tensor)
        }
        bound = list(self.bound)
        for i, name in zip(index.tolist(), part.bound, strict=True):
            bound[i] = name
        return replace(self, bound=tuple(bound), bracket=None, **tensors)

    def select(self, index: Int[Tensor, "S"]) -> Certificate:
        """Some instances of a batch, as a batch.

        Args:
            index: Positions.

        Returns:
            Their certificates, without brackets.
        """
        tensors = {
            name: value[index]
            for name, value in self.__dict__.items()
            if isinstance(value, torch.Tensor)
        }
        bound = tuple(self.bound[i] for i in index.tolist())
        return replace(self, bound=bound, bracket=None, **tensors)

    def __str__(self) -> str:
        columns = (self.primal, self.gap, self.raw_gap, self.margin, self.infeasibility, self.rank)
        rows = zip(
            *(column.flatten().tolist() for column in (*columns, self.passed)),
            self.bound,
            strict=True,
        )
        lines = [
            f"{'passed' if ok else 'FAILED'}: value {primal:.12g}, gap {gap:.1e} +- {margin:.0e} "
            f"({bound}; raw {raw:.1e}), infeasibility {off:.0e}, rank {rank}"
            for primal, gap, raw, margin, off, rank, ok, bound in rows
        ]
        for k, (lower, upper) in enumerate(self.bracket or ()):
            lines[k] += f", proved {lower!r} <= optimum <= {upper!r}"
        return "\n".join(lines)


def joined(parts: Sequence[Certificate]) -> Certificate:
    """One certificate of several batches.

    Args:
        parts: In order.

    Returns:
        The certificate of the whole batch.
    """
    first = parts[0]
    tensors = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name, value in first.__dict__.items()
        if isinstance(value, torch.Tensor)
    }
    bracket = None
    if first.bracket is not None:
        bracket = tuple(pair for part in parts for pair in part.bracket or ())
    bound = tuple(name for part in parts for name in part.bound)
    return replace(first, bound=bound, bracket=bracket, **tensors)
