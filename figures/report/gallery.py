"""Built figures as the report shows them: thumbnails, and the records of their runs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from figures._build import read_record
from figures._registry import registry
from ufm.runs.chunk import DamagedChunk
from ufm.runs.chunk import read_record as read_run


# Twice the width of a card, for dense screens.
WIDTH, QUALITY = 640, 80
HASH = 7


@dataclass(frozen=True)
class Source:
    """A run that a figure is drawn from.

    Attributes:
        name: Kind and key.
        commit: Commit that it was computed at.
        record: Its provenance; empty if it is not in the store.
    """

    name: str
    commit: str
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """A figure as the report shows it.

    Attributes:
        id: Its id.
        title: A few words.
        caption: One paragraph.
        claims: Ids of claims.
        commit: Commit that it was drawn at; empty if unknown.
        dirty: Whether there were changes that were not committed.
        seconds: Time that its runs took.
        runs: Its runs.
        thumbnail: A small picture.
        size: Width and height of the thumbnail in pixels.
    """

    id: str
    title: str
    caption: str
    claims: tuple[str, ...]
    commit: str
    dirty: bool
    seconds: float
    runs: tuple[Source, ...]
    thumbnail: bytes
    size: tuple[int, int]


def gallery(out: Path, store: Path) -> list[Shown]:
    """The figures of a folder, in the order of the registry.

    Args:
        out: Folder of the figures.
        store: Folder of the runs.

    Returns:
        Those that were built.
    """
    shown = []
    for id in registry():
        record = read_record(out / f"{id}.json")
        picture = out / f"{id}.png"
        if record is None or not picture.exists():
            continue
        data, size = thumbnail(picture)
        shown.append(
            Shown(
                id=id,
                title=record["title"],
                caption=record["caption"],
                claims=tuple(record["claims"]),
                commit=(record["commit"] or "")[:HASH],
                dirty=bool(record["dirty"]),
                seconds=record.get("seconds", 0.0),
                runs=tuple(source(store, name) for name in record["runs"]),
                thumbnail=data,
                size=size,
            )
        )
    return shown


def source(store: Path, name: str) -> Source:
    """Where a run came from.

    Args:
        store: Folder of the runs.
        name: Kind and key.

    Returns:
        The run with its record, or without one if it is not in the store.
    """
    try:
        record = read_run(store / name)
    except DamagedChunk:
        return Source(name, "", {})
    changed = "+" if record.get("dirty") else ""
    return Source(name, (record.get("commit") or "")[:HASH] + changed, record)


def thumbnail(picture: Path) -> tuple[bytes, tuple[int, int]]:
    """A small picture on white.

    Args:
        picture: PNG file.

    Returns:
        WebP data, and its width and height.
    """
    with Image.open(picture) as image:
        whole = image.convert("RGBA")
    small = Image.new("RGBA", whole.size, "white")
    small.alpha_composite(whole)
    small.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.convert("RGB").save(buffer, "webp", quality=QUALITY, method=4)
    return buffer.getvalue(), small.size
