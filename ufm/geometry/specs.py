"""Frames of a fixed classifier as plain numbers; `frames.frame` builds them. Torch-free."""

from __future__ import annotations

import abc

from ufm._spec import spec
from ufm.counts import check_number


class Frame(abc.ABC):
    """The rows of a fixed classifier, stated as numbers."""

    @abc.abstractmethod
    def check(self, K: int, d: int) -> None:
        """Raise ``ValueError`` unless the frame exists with K rows in d dimensions.

        Args:
            K: Number of classes.
            d: Feature dimension.
        """


@spec
class SimplexETF(Frame):
    """Simplex equiangular tight frame with rows of squared norm ``E_W``; needs ``d >= K - 1``."""

    E_W: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "E_W", check_number("E_W", self.E_W, strict=True))

    def check(self, K: int, d: int) -> None:
        if d < K - 1:
            raise ValueError(f"d must be at least K-1={K - 1} for a simplex ETF, got {d}")


@spec
class OrthogonalFrame(Frame):
    """Orthogonal rows of squared norm ``E_W``; needs ``d >= K``."""

    E_W: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "E_W", check_number("E_W", self.E_W, strict=True))

    def check(self, K: int, d: int) -> None:
        if d < K:
            raise ValueError(f"d must be at least K={K} for an orthogonal frame, got {d}")


@spec
class ExplicitFrame(Frame):
    """Rows given one by one, a K x d tuple of tuples."""

    rows: tuple[tuple[float, ...], ...]

    def __post_init__(self):
        rows = tuple(
            tuple(check_number(f"rows[{i}][{j}]", x, -float("inf")) for j, x in enumerate(row))
            for i, row in enumerate(self.rows)
        )
        object.__setattr__(self, "rows", rows)

    def check(self, K: int, d: int) -> None:
        widths = sorted({len(row) for row in self.rows})
        if len(self.rows) != K or widths != [d]:
            raise ValueError(f"rows must be K x d = {K} x {d}, got {len(self.rows)} x {widths}")
