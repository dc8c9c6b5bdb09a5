"""What the figures of maps share: their size, their runs, their pixels as an image."""

from __future__ import annotations

import os

import numpy as np
import polars as pl

from figures._registry import Job
from ufm.maps import Axis, Map, bands, produce


def size() -> int:
    """Pixels along each side: ``$UFM_MAP_SIZE``, or few enough to be computed with the figures.

    Returns:
        The number.

    Raises:
        ValueError: If the variable is no positive integer.
    """
    value = os.environ.get("UFM_MAP_SIZE", "96")
    if not value.isdecimal() or int(value) < 2:
        raise ValueError(f"UFM_MAP_SIZE must be an integer of at least 2, got {value!r}")
    return int(value)


def jobs(map: Map) -> list[Job]:
    """The bands of a map, as ``ufm map`` computes them.

    Args:
        map: The map.

    Returns:
        Its runs.
    """
    return [Job(run, produce) for run in bands(map)]


def image(rows: pl.DataFrame, names: tuple[str, str], column: str) -> np.ndarray:
    """One column as an image.

    Args:
        rows: Pixels of one map.
        names: Its axes, x and y.
        column: What is drawn.

    Returns:
        Values, a line a row, y increasing.
    """
    x, y = names
    return rows.sort(y, x)[column].to_numpy().reshape(rows[y].n_unique(), -1)


def show(axes, map: Map, values: np.ndarray, **options) -> object:
    """Draw an image over the axes of a map, pixel by pixel.

    Args:
        axes: One panel.
        map: The map, for its axes; its size may be another one.
        values: A line a row.
        **options: Colours, as for ``pcolormesh``.

    Returns:
        What a colour bar needs.
    """
    x, y = (edges(axis, n) for axis, n in zip((map.x, map.y), values.shape[::-1], strict=True))
    for axis, name in ((map.x, "x"), (map.y, "y")):
        getattr(axes, f"set_{name}scale")(axis.spacing)
        getattr(axes, f"set_{name}lim")(axis.low, axis.high)
    return axes.pcolormesh(x, y, values, rasterized=True, **options)


def edges(axis: Axis, count: int) -> np.ndarray:
    """Edges of equal pixels.

    Args:
        axis: The interval.
        count: Number of pixels.

    Returns:
        ``count + 1`` numbers.
    """
    if axis.spacing == "log":
        return np.geomspace(axis.low, axis.high, count + 1)
    return np.linspace(axis.low, axis.high, count + 1)


def proved(rows: pl.DataFrame, command: str) -> str:
    """What is proved about the pixels, for a caption.

    Args:
        rows: Pixels of one map or several.
        command: ``ufm map`` command that computes a large one.

    Returns:
        Two sentences.
    """
    gap = rows["gap"].to_numpy().max()
    return (
        f"{rows['certified'].sum()} of {rows.height} pixels are certified (largest gap {gap:.0e}) "
        f"and {rows['decided'].sum()} decided. 512 pixels a side: `{command} --size 512`, then "
        "UFM_MAP_SIZE=512."
    )
