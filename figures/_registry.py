"""The registry of figures: an id, what it shows, which runs it needs, how it is drawn."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl

from ufm.runs import Chunk, RunSpec


Axes = Mapping[str, Any]
PRIVATE = re.compile(rb"^from figures\.(_\w+) import", re.MULTILINE)
ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Job(NamedTuple):
    """A run that a figure needs.

    Attributes:
        spec: What is asked for.
        produce: Computes it here, or None if it cannot be computed on any machine.
        command: The command that makes it, where ``produce`` is None.
    """

    spec: RunSpec
    produce: Callable[[RunSpec], Chunk] | None
    command: str = ""


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure as a target.

    Attributes:
        id: Its name, and that of its files.
        title: A few words.
        claims: Ids of the claims it illustrates.
        panels: Mosaic of axes names, row by row.
        runs: What it needs.
        caption: From the drawn table to the caption, so that its numbers come from the runs.
        draw: Draws the table into the axes; pure.
        width: ``"half"`` a column, ``"full"`` the text width.
        aspect: Height over width.
        options: Keyword arguments of ``subplot_mosaic`` (ratios, projections).
        source: File of its module.
        code: Text of that module and of those of this package that it draws with, as they were
            imported: an edit during a build does not pass for what was drawn. Part of the stamp.
    """

    id: str
    title: str
    claims: tuple[str, ...]
    panels: tuple[tuple[str, ...], ...]
    runs: Callable[[], Sequence[Job]]
    caption: Callable[[pl.DataFrame], str]
    draw: Callable[[pl.DataFrame, Axes], None]
    width: Literal["half", "full"] = "full"
    aspect: float = 0.4
    options: Mapping[str, Any] = field(default_factory=dict)
    source: Path = Path()
    code: bytes = b""


_figures: dict[str, Figure] = {}


def figure(id: str, **fields: Any) -> Callable[[Callable], Callable]:
    """Register the decorated ``draw(rows, axes)`` as a figure.

    Args:
        id: Lower-case words joined by hyphens.
        **fields: The other fields of `Figure`.

    Returns:
        The decorator; it returns the function unchanged.

    Raises:
        ValueError: If the id is malformed or taken.
    """
    if not ID.fullmatch(id):
        raise ValueError(f"id must be lower-case words joined by hyphens, got {id!r}")
    if id in _figures:
        raise ValueError(f"id must be unique, got {id!r} twice")

    def register(draw: Callable) -> Callable:
        source = Path(str(sys.modules[draw.__module__].__file__))
        code = b"\0".join(code_of(draw.__module__).values())
        _figures[id] = Figure(id=id, draw=draw, source=source, code=code, **fields)
        return draw

    return register


def code_of(module: str) -> dict[str, bytes]:
    """Text of a module, of the style, and of the private modules of this package it imports from.

    Args:
        module: Full name of an imported module.

    Returns:
        Texts by name, the module's own first.
    """
    texts: dict[str, bytes] = {}
    waiting = ["figures._style", module]
    while waiting:
        name = waiting.pop()
        if name not in texts and name != __name__:
            texts[name] = Path(str(importlib.import_module(name).__file__)).read_bytes()
            waiting += [f"figures.{part.decode()}" for part in PRIVATE.findall(texts[name])]
    return texts


def registry() -> Mapping[str, Figure]:
    """All figures by id: every public module of this package is imported.

    Returns:
        The figures, in alphabetical order of their modules.
    """
    package = importlib.import_module("figures")
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        if not module.name.startswith("_"):
            importlib.import_module(f"figures.{module.name}")
    return dict(_figures)


def chosen(ids: Sequence[str]) -> tuple[Figure, ...]:
    """The figures with these ids, or all.

    Args:
        ids: Ids; none means all.

    Returns:
        The figures.

    Raises:
        ValueError: If an id is unknown; the message names those that exist.
    """
    figures = registry()
    for id in ids:
        if id not in figures:
            close = difflib.get_close_matches(id, figures, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(figures)}"
            raise ValueError(f"figure must be a registered id, got {id!r}; {hint}")
    return tuple(figures[id] for id in dict.fromkeys(ids)) or tuple(figures.values())
