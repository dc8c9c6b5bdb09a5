"""Tables of the report: benchmarks against peers, and networks beside published numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deep import results
from deep.published import TABLES
from deep.published import Table as Published
from deep.results import DamagedResult
from deep.table import Line, cells, header, lines, notes
from figures.report import origins


BENCHMARKS = origins.ROOT / "benchmarks" / "results"
PAGE = origins.ROOT / "docs" / "networks.md"
HASH = 7
NONE = "—"
_GEOMETRY = re.compile(r"<!-- geometry (\S+) -->\n(.*?)<!-- end -->", re.DOTALL)


@dataclass(frozen=True)
class Benchmark:
    """A comparison that `python -m benchmarks` recorded.

    Attributes:
        name: Its name on the command line.
        about: Paragraphs.
        machine: What it ran on.
        columns: Names of the columns.
        rows: Values, one a column; None where a row has none.
        commit: Commit that recorded it; empty if unknown.
    """

    name: str
    about: tuple[str, ...]
    machine: Mapping[str, Any]
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    commit: str


@dataclass(frozen=True)
class Run:
    """A training run behind a number.

    Attributes:
        recipe: Name of its recipe.
        seed: Its seed.
        commit: Commit that it ran at; empty if unknown.
        device: Where.
        seconds: Wall time.
    """

    recipe: str
    seed: int
    commit: str
    device: str
    seconds: float


@dataclass(frozen=True)
class Networks:
    """A table of published against measured numbers.

    Attributes:
        name: Its name on the command line.
        title: What it shows.
        header: Names of the columns.
        rows: Cells, the first being the method; empty if the results cannot be read.
        ran: Whether each row was run.
        notes: What holds for the published numbers.
        runs: The runs behind the numbers.
        problem: Why the results cannot be read; empty if they can.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    ran: tuple[bool, ...]
    notes: tuple[str, ...]
    runs: tuple[Run, ...]
    problem: str = ""


def benchmarks(folder: Path = BENCHMARKS) -> list[Benchmark]:
    """The recorded comparisons.

    Args:
        folder: Where they are.

    Returns:
        In alphabetical order.
    """
    return [_benchmark(path) for path in sorted(folder.glob("*.json"))]


def networks(root: Path = results.ROOT) -> list[Networks]:
    """Every table of published numbers, with what was measured.

    Args:
        root: Folder of results.

    Returns:
        One table each.
    """
    return [_networks(table, root) for table in TABLES.values()]


@dataclass(frozen=True)
class Geometry:
    """Where class means went, beside the optimum of each method's model.

    Attributes:
        name: Name of the table of networks.
        title: What it shows.
        header: Names of the columns.
        rows: Cells, the first being the method.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def geometries(page: Path = PAGE) -> list[Geometry]:
    """The tables of geometry, as the documentation's page has them.

    They take certified solutions, so they are read and not made; a test holds that page against the
    result files.

    Args:
        page: The page.

    Returns:
        One table each; none where the page is not there.
    """
    text = page.read_text("utf-8") if page.exists() else ""
    return [_geometry(name, body) for name, body in _GEOMETRY.findall(text)]


def _geometry(name: str, body: str) -> Geometry:
    cells = [
        tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
        for line in body.splitlines()
        if line.startswith("|")
    ]
    return Geometry(name, TABLES[name].title, cells[0], tuple(cells[2:]))


def _benchmark(path: Path) -> Benchmark:
    data = json.loads(path.read_bytes())
    columns = tuple(dict.fromkeys(name for row in data["rows"] for name in row))
    return Benchmark(
        name=data["benchmark"],
        about=tuple(" ".join(part.split()) for part in data["about"].strip().split("\n\n")),
        machine=data["machine"],
        columns=columns,
        rows=tuple(tuple(row.get(name) for name in columns) for row in data["rows"]),
        commit=origins.commits().get(f"benchmarks/results/{path.name}", ""),
    )


def _networks(table: Published, root: Path) -> Networks:
    try:
        made = lines(table, root)
        runs = _runs(made, root)
    except DamagedResult as error:
        return Networks(
            table.name,
            table.title,
            tuple(header(table)),
            (),
            (),
            tuple(notes(table)),
            (),
            str(error),
        )
    rows = [tuple(_shown(cell) for cell in cells(line, table)) for line in made]
    # No column for what nobody published; a table that waits for its runs keeps all of them.
    waits = not any(line.seeds for line in made)
    kept = [j for j, column in enumerate(zip(*rows, strict=True)) if waits or {*column} != {NONE}]
    return Networks(
        name=table.name,
        title=table.title,
        header=tuple(header(table)[j] for j in kept),
        rows=tuple(tuple(row[j] for j in kept) for row in rows),
        ran=tuple(bool(line.seeds) for line in made),
        notes=tuple(notes(table)),
        runs=runs,
    )


def _shown(cell: str) -> str:
    return NONE if cell in ("", "-") else cell


def _runs(made: Sequence[Line], root: Path) -> tuple[Run, ...]:
    recipes = {line.recipe.name: line.recipe for line in made}
    return tuple(
        Run(
            recipe=stored.recipe,
            seed=stored.seed,
            commit=(stored.content["provenance"]["commit"] or "")[:HASH],
            device=stored.content["provenance"]["device"],
            seconds=stored.content["seconds"],
        )
        for recipe in recipes.values()
        for stored in results.read_all(recipe, root)
    )
