"""The rectangle of a map, its bands of lines, and the loop that computes what is not recorded."""

from __future__ import annotations

import abc
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch

from ufm._spec import spec
from ufm.counts import check_count, check_number
from ufm.methods import Method
from ufm.runs import Chunk, Run, RunSpec, Store, get_or_run


# Large enough to keep a batched solver busy, small enough to lose little to an interrupt.
PIXELS = 4096


@spec
class Axis:
    """Equal pixels of an interval, each stated by its middle.

    Attributes:
        low: Lower end of the interval.
        high: Upper end.
        size: Number of pixels.
        spacing: Whether pixels are equal in the number or in its logarithm.

    Raises:
        ValueError: If the interval is empty, or not positive with logarithmic spacing.

    >>> Axis(1, 100, 2, "log").values()
    (3.16227766017, 31.6227766017)
    """

    low: float
    high: float
    size: int
    spacing: Literal["linear", "log"] = "linear"

    def __post_init__(self):
        for name in ("low", "high"):
            object.__setattr__(self, name, check_number(name, getattr(self, name)))
        object.__setattr__(self, "size", check_count("size", self.size))
        if self.spacing not in ("linear", "log"):
            raise ValueError(f"spacing must be 'linear' or 'log', got {self.spacing!r}")
        if not self.low < self.high or (self.spacing == "log" and self.low == 0):
            positive = "0 < " if self.spacing == "log" else ""
            raise ValueError(f"low and high must be {positive}low < high, got {self!r}")

    def values(self) -> tuple[float, ...]:
        """Middles of the pixels.

        Returns:
            Increasing values of 12 digits, so that keys do not depend on the machine's last bit.
        """
        share = (np.arange(self.size) + 0.5) / self.size
        if self.spacing == "log":
            low, high = np.log(self.low), np.log(self.high)
            values = np.exp(low + share * (high - low))
        else:
            values = self.low + share * (self.high - self.low)
        return tuple(float(f"{value:.12g}") for value in values)


class Map(abc.ABC):
    """What is mapped: a spec with two axes that knows how to solve some of its lines.

    Attributes:
        x: Axis along a line.
        y: Axis across the lines.
        kind: Name of the runs.
        version: Raised by hand when the rows change.
        names: What the axes are.
    """

    x: Axis
    y: Axis
    kind: ClassVar[str]
    version: ClassVar[int] = 1
    names: ClassVar[tuple[str, str]]

    @property
    @abc.abstractmethod
    def method(self) -> Method:
        """How a pixel is solved; part of the key."""

    @abc.abstractmethod
    def solve(
        self, lines: tuple[float, ...], method: Method, *, device: str = "cpu"
    ) -> pl.DataFrame:
        """Solve and certify the pixels of some lines.

        Args:
            lines: Values of the y axis.
            method: `method`, as read from the run.
            device: Where to solve.

        Returns:
            One row a pixel, line by line: the two axes by `names`, ``gap``, ``certified``,
            ``decided`` (whether what is mapped is proved), ``agrees`` (whether what is proved is
            what the closed form says; true where there is nothing to compare), and the map's own.
        """

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.x.size * self.y.size


@spec
class Band:
    """Some consecutive lines of a map.

    Attributes:
        map: The map.
        first: Number of the first line.
        count: How many lines.
    """

    map: Any
    first: int
    count: int


def bands(map: Map, pixels: int = PIXELS) -> tuple[RunSpec, ...]:
    """The runs that make up a map.

    Args:
        map: The map.
        pixels: About how many pixels a run holds, at least one line.

    Returns:
        One run a band, from the first line on.
    """
    lines = max(1, check_count("pixels", pixels) // map.x.size)
    return tuple(
        RunSpec(
            map.kind, Band(map, first, min(lines, map.y.size - first)), map.method,
            version=map.version,
        )
        for first in range(0, map.y.size, lines)
    )  # fmt: skip


def produce(run: RunSpec, device: str = "cpu") -> Chunk:
    """Producer of a band.

    Args:
        run: Its subject is a `Band`.
        device: Where to solve.

    Returns:
        The rows of `Map.solve`. Off the processor also its gaps as a tensor, by which the record
        knows the device.
    """
    band: Band = run.subject
    lines = band.map.y.values()[band.first : band.first + band.count]
    rows = band.map.solve(lines, run.method, device=device)
    if torch.device(device).type == "cpu":
        return Chunk(rows)
    return Chunk(rows, {"gap": torch.tensor(rows["gap"].to_list(), device=device)})


def compute(
    map: Map,
    store: Store | None = None,
    *,
    pixels: int = PIXELS,
    device: str = "cpu",
    progress: Callable[[Run], None] = lambda run: None,
) -> pl.DataFrame:
    """All rows of a map; what the store has is read, the rest computed and recorded.

    Args:
        map: The map.
        store: Where bands are kept; the default store if None.
        pixels: About how many pixels a band holds.
        device: Where to solve; no part of the key.
        progress: Called after each band with its run.

    Returns:
        Rows line by line.

    Raises:
        OSError: If the store cannot be written.
    """
    parts = []
    for run in bands(map, pixels):
        found = get_or_run(run, partial(produce, device=device), store)
        parts.append(found.rows)
        progress(found)
    return pl.concat(parts)
