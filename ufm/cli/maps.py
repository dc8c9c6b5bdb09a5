"""`ufm map`: compute what is missing of a map with a progress bar, and sum up what is proved."""

from __future__ import annotations

from typing import Any

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as RemainingColumn

from ufm import maps
from ufm.cli import report
from ufm.cli.arguments import Angles, MapFlags, Phase, Survival
from ufm.cli.model import read_tree
from ufm.geometry import Exponential, HAFrame
from ufm.runs import Run, Store, default_root


def stated(flags: MapFlags) -> maps.Map:
    """The map that flags state.

    Args:
        flags: One of the three.

    Returns:
        The map.

    Raises:
        ValueError: If a flag is out of range.
    """
    size, Axis = flags.size, maps.Axis
    match flags:
        case Phase():
            ratio, energy = Axis(1.0, flags.ratio, size, "log"), Axis(0.0, flags.energy, size)
            return maps.PhaseMap(flags.K_A, flags.K_B, ratio, energy)
        case Survival():
            x, y = Axis(2e-4, 2e-2, size, "log"), Axis(1.0, 1000.0, size, "log")
            return maps.SurvivalMap(
                flags.K, flags.n_max, flags.f, flags.counts, flags.theta, x=x, y=y
            )
        case Angles():
            x, y = Axis(0.5, flags.norm, size, "log"), Axis(0.0, 1.0, size)
            known = maps.TREES.get(flags.tree)
            frame = HAFrame(
                known or read_tree(flags.tree), Exponential(flags.gamma), flags.asymptote
            )
            return maps.AngleMap(frame, x, y, tree=flags.tree)
        case _:
            raise ValueError(f"action must be a known map, got {flags!r}")


def draw_up(flags: MapFlags) -> bool:
    """Compute a map, reading what is recorded, and report it.

    Args:
        flags: Which map, how large, where it is kept.

    Returns:
        Whether every pixel is certified and none contradicts the closed form.
    """
    map, store = stated(flags), Store(flags.store or default_root())
    seen: list[Run] = []
    there = sum(store.has(run) for run in maps.bands(map))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), RemainingColumn())
    with Progress(*columns, *times, console=Console(stderr=True)) as progress:
        task = progress.add_task(map.kind, total=len(maps.bands(map)))

        def done(run: Run) -> None:
            seen.append(run)
            progress.advance(task)

        rows = maps.compute(map, store, device=flags.device, progress=done)
    data = summary(map, rows, seen) | {"bands already there": there, "store": str(store.root)}
    if flags.json:
        report.json(data)
    report.record(map.kind, data)
    return bool(rows["certified"].all() and rows["agrees"].all())


def summary(map: maps.Map, rows: pl.DataFrame, runs: list[Run]) -> dict[str, Any]:
    """What is proved about a map.

    Args:
        map: The map.
        rows: Its rows.
        runs: Its bands.

    Returns:
        Numbers by name.
    """
    return {
        "pixels": rows.height,
        "certified": int(rows["certified"].sum()),
        "decided": int(rows["decided"].sum()),
        "contradict the closed form": int((~rows["agrees"]).sum()),
        "largest gap": float(rows["gap"].to_numpy().max()),
        "bands": len(runs),
        "seconds of computation": round(sum(run.record["seconds"] for run in runs), 3),
    }
