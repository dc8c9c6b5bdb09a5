"""Build a figure: its runs, its table, its drawing, its files; nothing that is up to date."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import polars as pl
from matplotlib.figure import Figure as Canvas

from figures import _style
from figures._registry import Figure, Job
from figures._style import Bundle
from ufm.runs import Run, Store, get_or_run, write_atomic
from ufm.runs.provenance import commit


SUFFIXES = (".pdf", ".png", ".parquet")
FIELDS = {"id", "title", "caption", "claims", "runs", "commit", "dirty", "stamp", "files"}


class MissingRun(ValueError):
    """A run is not in the store and may not or cannot be computed here."""


@dataclass(frozen=True)
class Target:
    """Where figures are built and how.

    Attributes:
        store: Runs.
        out: Folder of the figures.
        bundle: Venue.
        offline: Whether to refuse to compute anything.
    """

    store: Store
    out: Path
    bundle: Bundle = "icml2024"
    offline: bool = False


def obtain(job: Job, target: Target) -> Run:
    """A run from the store, or computed.

    Args:
        job: The run.
        target: Where it is kept and whether it may be computed.

    Returns:
        The run.

    Raises:
        MissingRun: If it is not there and cannot be computed; names the command that makes it.
    """
    if job.produce is not None and not target.offline:
        return get_or_run(job.spec, job.produce, target.store)
    run = target.store.read(job.spec)
    if run is None:
        name, command = f"{job.spec.kind}/{job.spec.key}", job.command or "python -m figures build"
        raise MissingRun(f"run {name} must be in {target.store.root}; `{command}` makes it")
    return run


def build(figure: Figure, target: Target, done: Callable[[], None] = lambda: None) -> bool:
    """Bring one figure up to date.

    Args:
        figure: The figure.
        target: Where.
        done: Called after each run.

    Returns:
        Whether anything was drawn; False if it was up to date.
    """
    runs = []
    for job in figure.runs():
        runs.append(obtain(job, target))
        done()
    stamp = stamp_of(figure, runs, target.bundle)
    if is_current(figure, target.out, stamp):
        return False
    table = table_of(runs)
    files = {target.out / f"{figure.id}{s}": data for s, data in render(figure, table, target)}
    record = {
        "id": figure.id,
        "title": figure.title,
        "caption": figure.caption(table),
        "claims": list(figure.claims),
        "runs": [f"{run.kind}/{run.key}" for run in runs],
        "commit": commit()[0],
        "dirty": commit()[1],
        "seconds": round(sum(run.record["seconds"] for run in runs), 1),
        "stamp": stamp,
        "files": {path.name: _digest(data) for path, data in files.items()},
    }
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    write_atomic({**files, target.out / f"{figure.id}.json": text.encode()})
    return True


def table_of(runs: list[Run]) -> pl.DataFrame:
    """One table of all rows a figure draws; columns that a run lacks are null.

    Args:
        runs: The runs.

    Returns:
        The table.
    """
    return pl.concat([run.rows for run in runs], how="diagonal_relaxed")


def render(figure: Figure, table: pl.DataFrame, target: Target) -> list[tuple[str, bytes]]:
    """Draw a table.

    Args:
        figure: The figure.
        table: What it draws.
        target: Its bundle is used.

    Returns:
        Suffix and bytes of the PDF, the PNG and the table.
    """
    with _style.context(target.bundle, figure.width, figure.aspect):
        canvas = Canvas(layout="constrained")
        axes = canvas.subplot_mosaic([list(row) for row in figure.panels], **figure.options)
        figure.draw(table, axes)
        images = [(f".{kind}", _style.save(canvas, kind)) for kind in ("pdf", "png")]
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return [*images, (".parquet", buffer.getvalue())]


def stamp_of(figure: Figure, runs: list[Run], bundle: Bundle) -> str:
    """Digest of all that the files depend on.

    Args:
        figure: The figure.
        runs: Its runs.
        bundle: Venue.

    Returns:
        Hex digits; changes iff the figure must be drawn again.
    """
    parts: list[Any] = [(run.key, run.content) for run in runs]
    parts += [bundle, _style.VERSION, mpl.__version__, pl.__version__, figure.claims, figure.title]
    return _digest(json.dumps(parts).encode() + figure.code)[:16]


def is_current(figure: Figure, out: Path, stamp: str) -> bool:
    """Whether the files of a figure are there, whole, and drawn from this stamp.

    Args:
        figure: The figure.
        out: Folder.
        stamp: Expected stamp.

    Returns:
        True or False.
    """
    record = read_record(out / f"{figure.id}.json")
    if record is None or record["stamp"] != stamp:
        return False
    paths = {out / name: digest for name, digest in record["files"].items()}
    return all(
        path.exists() and _digest(path.read_bytes()) == digest for path, digest in paths.items()
    )


def read_record(path: Path) -> dict[str, Any] | None:
    """The record of a built figure.

    Args:
        path: Its JSON file.

    Returns:
        The record, or None if there is none that can be read.
    """
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    whole = isinstance(record, dict) and set(record) >= FIELDS and isinstance(record["files"], dict)
    return record if whole else None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
