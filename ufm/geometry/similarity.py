r"""Similarity maps: how the target cosine of two classes falls with their distance. Torch-free.

A map gives f(d) for d = 0..D, D the largest distance in the hierarchy, with f(0) = 1. Differences
are methods of their own: formulas on trees only need :math:`f(a) - f(b)`, and subtracting two
values would lose them where f is flat.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable

from ufm._spec import spec
from ufm.counts import check_count, check_number


# Products of two differences must not underflow.
LEAST_FALL = 1e-100


class Similarity(abc.ABC):
    """A map from distance to similarity, stated as numbers."""

    @abc.abstractmethod
    def at(self, d: int, D: int) -> float:
        """Similarity ``f(d)``.

        Args:
            d: Distance, ``0 <= d <= D``.
            D: Largest distance, >= 1.

        Returns:
            The similarity, 1 at d = 0.
        """

    @abc.abstractmethod
    def drop(self, near: int, far: int, D: int) -> float:
        """``f(near) - f(far)`` without cancellation.

        Args:
            near: Distance.
            far: Distance, at least ``near``.
            D: Largest distance.

        Returns:
            The difference; >= 0 if the map is non-increasing there.
        """

    def check_domain(self, D: int) -> None:
        """Raise ``ValueError`` unless the map is defined on 0..D.

        Args:
            D: Largest distance of the hierarchy.
        """
        check_count("D", D)

    def check(self, D: int) -> None:
        """Raise ``ValueError`` unless the map is defined, non-increasing and not constant on 0..D.

        Args:
            D: Largest distance of the hierarchy.

        Raises:
            ValueError: If it is not.
        """
        self.check_domain(D)
        for d in range(D):
            if self.drop(d, d + 1, D) < 0:
                raise ValueError(f"similarity must be non-increasing, got {self.at(d + 1, D):g} at "
                                 f"distance {d + 1} after {self.at(d, D):g}")  # fmt: skip
        if self.drop(0, D, D) < LEAST_FALL:
            raise ValueError(
                f"similarity must fall below 1 at the largest distance {D}, by {LEAST_FALL:g} or "
                f"more, got {self.drop(0, D, D):g}"
            )


@spec
class Exponential(Similarity):
    r""":math:`f(d) = e^{-\gamma d/D}`, the published choice; :math:`\gamma > 0`.

    References:
        Liang and Davis (2023) [liang2023]_.
    """

    gamma: float

    def __post_init__(self):
        object.__setattr__(self, "gamma", check_number("gamma", self.gamma, strict=True))

    def at(self, d: int, D: int) -> float:
        return math.exp(-self.gamma * d / D)

    def drop(self, near: int, far: int, D: int) -> float:
        return self.at(near, D) * -math.expm1(-self.gamma * (far - near) / D)


@spec
class Linear(Similarity):
    r""":math:`f(d) = 1 - d/D`.

    With asymptote 0 the similarities of Barz and Denzler (2019) [barz2019]_.
    """

    def at(self, d: int, D: int) -> float:
        return (D - d) / D

    def drop(self, near: int, far: int, D: int) -> float:
        return (far - near) / D


@spec
class Table(Similarity):
    """Any map, by its values at the distances 0..D: staircases, measured similarities.

    >>> Table.of(lambda x: 1 / (1 + x), 2).values
    (1.0, 0.666..., 0.5)
    """

    values: tuple[float, ...]

    def __post_init__(self):
        values = tuple(
            check_number(f"values[{d}]", value, -math.inf) for d, value in enumerate(self.values)
        )
        if len(values) < 2 or values[0] != 1.0:
            raise ValueError(f"values must be at least two and start with 1, got {self.values!r}")
        object.__setattr__(self, "values", values)

    @classmethod
    def of(cls, f: Callable[[float], float], D: int) -> Table:
        """Table of a function of the relative distance.

        Args:
            f: Maps ``d / D`` in [0, 1] to a similarity; ``f(0)`` is 1.
            D: Largest distance of the hierarchy, ``tree.d_max(convention)``.

        Returns:
            The table.
        """
        return cls(tuple(float(f(d / D)) for d in range(D + 1)))

    def at(self, d: int, D: int) -> float:
        return self.values[d]

    def drop(self, near: int, far: int, D: int) -> float:
        return self.values[near] - self.values[far]

    def check_domain(self, D: int) -> None:
        if len(self.values) != D + 1:
            raise ValueError(
                f"values must have one entry for each distance 0..{D}, got {len(self.values)}"
            )
