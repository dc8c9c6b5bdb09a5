"""Tables on stderr and JSON on stdout."""

from __future__ import annotations

import json as json_module
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text


READABLE = 40  # characters that the last column of a table needs


def _console() -> Console:
    return Console(stderr=True)


def text(message: str) -> None:
    """Write plain text to stderr.

    Args:
        message: The text.
    """
    _console().print(message, markup=False, highlight=False)


def json(data: Any) -> None:
    """Write JSON to stdout; numbers that are not finite become null.

    Args:
        data: JSON-able data.
    """
    sys.stdout.write(json_module.dumps(_finite(data), indent=1, allow_nan=False) + "\n")
    sys.stdout.flush()  # so that a full disk or a closed pipe is met here and not at exit


def table(title: str, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Show rows as a table on stderr, a line each, cut at the last column if it is too wide.

    A screen on which the last column would be too narrow to read, or another one would not fit,
    gets a paragraph a row instead.

    Args:
        title: Its title.
        rows: Rows with equal keys.
        names: Keys to show.
    """
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    console = _console()
    # Each column has a rule and two spaces beside it.
    room = console.width - 1 - 3 * len(names) - sum(widths[:-1])
    if room < min(widths[-1], READABLE):
        _paragraphs(console, title, cells)
        return
    out = Table(title=title, title_justify="left", expand=True)
    for name, width in zip(names[:-1], widths[:-1], strict=True):
        out.add_column(name, no_wrap=True, min_width=width)
    out.add_column(names[-1], no_wrap=True, overflow="ellipsis", ratio=1)
    for line in cells:
        out.add_row(*map(Text, line))  # brackets are text, not markup
    console.print(out)


def _paragraphs(console: Console, title: str, cells: Sequence[Sequence[str]]) -> None:
    console.print(title, markup=False, highlight=False)
    for *short, last in cells:
        if len(last) < READABLE:
            short.append(last)
        console.print("  ".join(short), markup=False, highlight=False)
        if len(last) >= READABLE:
            console.print(Padding(Text(last), (0, 0, 0, 4)))


def columns(title: str, records: Sequence[Mapping[str, Any]]) -> None:
    """Show records side by side, one column each, on stderr.

    Args:
        title: Title of the table.
        records: Records with equal keys.
    """
    out = Table(title=title, title_justify="left")
    out.add_column("key")
    for i in range(len(records)):
        out.add_column(str(i))
    for key in records[0] if records else ():
        out.add_row(key, *(Text(_cell(record[key])) for record in records))
    _console().print(out)


def record(title: str, data: Mapping[str, Any]) -> None:
    """Show one record, a line a key, on stderr.

    Args:
        title: Title of the table.
        data: The record.
    """
    out = Table(title=title, title_justify="left", show_header=False)
    out.add_column(no_wrap=True)
    out.add_column(overflow="fold")
    for key, value in data.items():
        lines = value if isinstance(value, list | tuple) else [value]
        out.add_row(key, Text("\n".join(_cell(line) for line in lines)))
    _console().print(out)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.12g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.2e}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_cell(item)}" for key, item in value.items())
    return "-" if value is None else str(value)


def _finite(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data
