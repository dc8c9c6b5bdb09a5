"""Many problems as arrays: what a batch of 10^6 needs instead of 10^6 objects. Torch-free."""

from __future__ import annotations

import dataclasses
import math
import operator
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, final, overload

import numpy as np

from ufm.counts import check_count
from ufm.problem import PenalisedBias, Problem


# Strength of a regulariser, and whether zero is allowed.
STRENGTHS = {"E_W": False, "E_H": False, "lam_W": True, "lam_H": True}


@final
@dataclasses.dataclass(frozen=True, eq=False)
class ProblemBatch(Sequence[Problem]):
    """Problems that share everything but loss weights and strengths; a sequence of `Problem`.

    ``batch[i]`` is the problem that instance i is, and solving it alone gives the same bits.
    Arguments are NumPy arrays, tensors on the CPU or lists; a number counts for all instances.
    After construction they are read-only float64 arrays, or None where the model has no such
    number.

    Attributes:
        template: What all share, and the numbers that are not given.
        weights: Loss weights ``(B, K)``, > 0; those of the template by default.
        E_W: Budgets on W ``(B,)``, > 0.
        E_H: Budgets on H ``(B,)``, > 0.
        lam_W: Ridges on W ``(B,)``, >= 0.
        lam_H: Ridges on H ``(B,)``, >= 0.

    Raises:
        ValueError: If the template is no problem or lacks a number that is given, shapes do not
            fit, or an entry is out of range; the first such entry is named.

    >>> from ufm.problem import AverageBudget
    >>> template = Problem(K=3, d=2, n=(1, 1, 1), reg=AverageBudget())
    >>> batch = ProblemBatch(template, weights=[[1, 1, 1], [4, 4, 2]], E_H=4.0)
    >>> len(batch), batch[1].pi, batch[1].reg
    (2, (0.4, 0.4, 0.2), AverageBudget(E_W=1.0, E_H=4.0))
    """

    template: Problem
    weights: Any = None
    E_W: Any = None
    E_H: Any = None
    lam_W: Any = None
    lam_H: Any = None

    def __post_init__(self):
        if not isinstance(self.template, Problem):
            raise ValueError(f"template must be a Problem, got {type(self.template).__name__}")
        given = {"weights": self._given("weights", 2)} | {
            name: self._given(name, 1) for name in STRENGTHS
        }
        arrays = {name: array for name, array in given.items() if array is not None}
        sizes = [len(a) for name, a in arrays.items() if np.ndim(getattr(self, name)) == a.ndim]
        if not sizes:
            raise ValueError("weights or a strength must be an array, got none")
        size = max(sizes)
        if not size:
            raise ValueError("problems must hold at least one problem, got none")
        for name, array in arrays.items():
            if np.ndim(getattr(self, name)) == array.ndim and len(array) != size:
                raise ValueError(f"{name} must have B={size} rows as the others, got {len(array)}")
            array = np.array(np.broadcast_to(array, (size, *array.shape[1:])))
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.pi.min() < sys.float_info.min:
            row = int(self.pi.min(1).argmin())
            raise ValueError(
                "weights must leave each class a share of the risk within float64, "
                f"got a share of {self.pi[row].min():g} in row {row}"
            )

    def _given(self, name: str, ndim: int) -> np.ndarray | None:
        # The argument as rows, one where it counts for all; checked but for the number of rows.
        value, template = getattr(self, name), self.template
        if name == "weights":
            default, least = template.weights or (1.0,) * template.K, 0.0
            ends = (template.K,)
        else:
            default, least = getattr(template.reg, name, None), 0.0
            ends = ()
        if default is None:
            if value is not None:
                raise ValueError(f"{name} must be absent for reg={template.reg}, got {value!r}")
            return None
        try:
            array = np.asarray(default if value is None else value)
            if np.iscomplexobj(array):
                raise TypeError("it holds complex ones")
            array = np.asarray(array, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{name} must be an array of numbers: {error}") from error
        if array.ndim == ndim - 1:
            array = array[None]
        if array.ndim != ndim or array.shape[1:] != ends:
            shape = "(B, K)" if ends else "(B,)"
            raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
        strict = not STRENGTHS.get(name, False)
        wrong = ~(np.isfinite(array) & ((array > least) if strict else (array >= least)))
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"{name}{list(place)} must be a finite number {'>' if strict else '>='} 0, "
                f"got {array[place]}"
            )
        return array

    @cached_property
    def pi(self) -> np.ndarray:
        """Share of each class in the risk ``(B, K)``, to the last bit as `Problem.pi`."""
        weights = self.weights
        weights = np.where((weights == weights[:, :1]).all(1, keepdims=True), 1.0, weights)
        exponent = np.frexp(weights.max(1, keepdims=True))[1]
        mass = np.ldexp(weights, -exponent)
        mass *= np.asarray(self.template.n, dtype=np.float64)
        pi = mass / _exact_sums(mass)[:, None]
        pi.setflags(write=False)
        return pi

    @property
    def lam_b(self) -> float:
        """Ridge on the bias; 0 without one."""
        bias = self.template.bias
        return bias.lam_b if isinstance(bias, PenalisedBias) else 0.0

    def without_minimiser(self) -> Problem | None:
        """A problem of the batch whose infimum is not attained.

        Returns:
            The first one of its kind, or None.
        """
        if self.lam_W is None:
            return None if self.template.has_minimiser else self.template
        zero = np.zeros(len(self), dtype=int)
        for name in ("lam_W", "lam_H"):
            zero = 2 * zero + (getattr(self, name) == 0)
        kinds = (self[int(i)] for i in np.unique(zero, return_index=True)[1])
        return next((problem for problem in kinds if not problem.has_minimiser), None)

    def select(self, rows: Any) -> ProblemBatch:
        """Some of the problems, as arrays.

        Args:
            rows: Positions, or a slice.

        Returns:
            The smaller batch.

        Raises:
            ValueError: If they are no integers (a mask is not read as positions), none, or beyond
                the end.
        """
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            if rows.size and rows.dtype.kind not in "iu":
                raise ValueError(f"rows must be positions or a slice, got {rows.dtype} numbers")
            rows = rows.astype(np.int64).reshape(-1)
            wrong = rows[(rows < -len(self)) | (rows >= len(self))]
            if wrong.size:
                raise ValueError(f"rows must be within a batch of {len(self)}, got {wrong[0]}")
        elif rows.indices(len(self)) == (0, len(self), 1):
            return self
        names = ("weights", *STRENGTHS)
        arrays = {name: getattr(self, name) for name in names}
        return ProblemBatch(
            self.template, **{key: a[rows] for key, a in arrays.items() if a is not None}
        )

    def repeat(self, count: int) -> ProblemBatch:
        """Each problem ``count`` times in a row.

        Args:
            count: Repetitions, at least 1.

        Returns:
            The larger batch.

        Raises:
            ValueError: If it is no such number.
        """
        count = check_count("count", count)
        return self if count == 1 else self.select(np.repeat(np.arange(len(self)), count))

    def __len__(self) -> int:
        return len(self.weights)

    def __iter__(self) -> Iterator[Problem]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> ProblemBatch: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.select(index)
        try:
            index = operator.index(index)
        except TypeError as error:
            raise TypeError(f"index must be an integer or a slice, got {index!r}") from error
        return self._first if index == 0 else self._at(index)

    def __reduce__(self):
        # Made anew where it arrives: pickled arrays would come out writable.
        return type(self), tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @cached_property
    def _first(self) -> Problem:
        return self._at(0)

    def _at(self, index: int) -> Problem:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must be within a batch of {len(self)}, got {index}")
        reg = {
            name: float(getattr(self, name)[index])
            for name in STRENGTHS
            if getattr(self, name) is not None
        }
        return dataclasses.replace(
            self.template,
            weights=tuple(self.weights[index].tolist()),
            reg=type(self.template.reg)(**reg),
        )


def _exact_sums(x: np.ndarray) -> np.ndarray:
    # Sums of rows of positive numbers, rounded once, as `math.fsum`: a sum and the sum of its
    # rounding errors; where that decides too narrowly which way to round, fsum itself.
    total, error = x[:, 0].copy(), np.zeros(len(x))
    for column in x.T[1:]:
        bigger = total + column
        part = bigger - total
        error += (total - (bigger - part)) + (column - part)
        total = bigger
    high = total + error
    low = error - (high - total)
    narrow = np.abs(low) > 0.4999 * np.spacing(np.nextafter(high, 0))
    for row in np.flatnonzero(narrow):
        high[row] = math.fsum(x[row])
    return high
