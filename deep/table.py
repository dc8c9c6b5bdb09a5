"""``python -m deep table NAME``: ours beside what was published, and what was not run yet."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from deep import results
from deep.progress import watching
from deep.published import TABLES, Figure, Row, Table, find
from deep.recipe import Recipe
from deep.recipes import find as recipe_of
from deep.results import Stored, interval
from deep.run import Outcome, Result
from deep.train import train_many
from ufm.counts import check_count


OUT = Path("runs/deep")
PROTOCOLS = ("last", "best", "chosen")
NOT_RUN = "not yet run"
ACCURACY = "accuracy"


@dataclass(frozen=True)
class Measured:
    """One number over seeds.

    Attributes:
        values: One a seed.
    """

    values: tuple[float, ...]

    @property
    def interval(self) -> tuple[float, float]:
        """Mean and half width of the 95 % interval."""
        return interval(self.values)

    def __str__(self) -> str:
        mean, half = self.interval
        if not self.values:
            return ""
        return f"{mean:.2f}" if math.isnan(half) else f"{mean:.2f} ± {half:.2f}"

    def as_row(self) -> dict[str, Any]:
        """JSON-able numbers.

        Returns:
            ``mean``, ``half`` (None for one seed) and ``values``.
        """
        mean, half = self.interval
        return {
            "mean": mean, "half": None if math.isnan(half) else half, "values": list(self.values),
        }  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A row of a table with its numbers.

    Attributes:
        row: What it is.
        recipe: Its recipe.
        seeds: Seeds that were run.
        measured: By metric and protocol (``last``, ``best``, ``chosen``); empty if not run.
    """

    row: Row
    recipe: Recipe
    seeds: tuple[int, ...]
    measured: dict[str, dict[str, Measured]]


def lines(table: Table, root: Path = results.ROOT) -> list[Line]:
    """Numbers of a table, from result files alone.

    Args:
        table: The table.
        root: Folder of results.

    Returns:
        One line a row; accuracies in percent.
    """
    made = []
    for row in table.rows:
        recipe = recipe_of(row.recipe)
        stored = results.read_all(recipe, root)
        found = {metric: _measured(metric, row.rule, stored) for metric in table.metrics}
        made.append(Line(row, recipe, tuple(s.seed for s in stored), found))
    return made


def _measured(metric: str, rule: str, stored: Sequence[Stored]) -> dict[str, Measured]:
    if metric != ACCURACY:
        name = f"{metric}_{rule}" if rule else metric
        values = [s.final["test"].get(name) for s in stored]
        numbers = tuple(v for v in values if v is not None)
        return {"last": Measured(numbers)} if numbers else {}
    column = f"test_{rule}" if rule else "test"
    shares = [s.accuracy[column] for s in stored if column in s.accuracy]
    return {
        protocol: Measured(tuple(100 * share[protocol] for share in shares))
        for protocol in PROTOCOLS
        if shares and all(protocol in share for share in shares)
    }


def missing(table: Table, seeds: int, root: Path = results.ROOT) -> list[tuple[Recipe, list[int]]]:
    """What has no result yet.

    Args:
        table: The table.
        seeds: Seeds wanted of each row: 0, ..., seeds - 1.
        root: Folder of results.

    Returns:
        Recipes, each once, with the seeds that are missing.
    """
    names = dict.fromkeys(row.recipe for row in table.rows)
    wanted = [
        (recipe, [k for k in range(seeds) if results.read(recipe, k, root) is None])
        for recipe in map(recipe_of, names)
    ]
    return [(recipe, ks) for recipe, ks in wanted if ks]


def cells(line: Line, table: Table) -> list[str]:
    """A line as text: label, then for each metric each protocol's number and the published one.

    Args:
        line: The line.
        table: Its table.

    Returns:
        The cells.
    """
    texts = [line.row.label, str(len(line.seeds)) if line.seeds else NOT_RUN]
    for metric in table.metrics:
        found = line.measured[metric]
        texts += [str(found[p]) if p in found else "" for p in shown(metric, table)]
        texts.append(_figure(line.row.published.get(metric)))
    return texts


def shown(metric: str, table: Table) -> tuple[str, ...]:
    """Protocols that a metric has columns for.

    Args:
        metric: The metric.
        table: The table.

    Returns:
        The protocols; ``chosen`` only where recipes hold images out.
    """
    if metric != ACCURACY:
        return ("last",)
    held = any(recipe_of(row.recipe).data.holdout for row in table.rows)
    return PROTOCOLS if held else PROTOCOLS[:2]


def header(table: Table) -> list[str]:
    """Names of the columns.

    Args:
        table: The table.

    Returns:
        The names.
    """
    names = ["method", "seeds"]
    for metric in table.metrics:
        title = "accuracy %" if metric == ACCURACY else metric.replace("_", " ")
        names += [f"{title}, {p}" for p in shown(metric, table)] + [f"{title}, published"]
    return names


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    half = "" if figure.half is None else f" ± {figure.half:g}"
    return f"{figure.value:g}{half}" + (" (recalled)" if figure.origin == "recalled" else "")


def notes(table: Table) -> list[str]:
    """What to know when comparing.

    Args:
        table: The table.

    Returns:
        Notes of the table, sources of its published figures, and what differs from the papers'
        protocols.
    """
    figures = [f for row in table.rows for f in row.published.values()]
    sources = dict.fromkeys(f"{f.source} ({f.origin})" for f in figures)
    differs = dict.fromkeys(d for row in table.rows for d in recipe_of(row.recipe).differs)
    return [
        "ours: mean ± 95 % t-interval over seeds; last: last epoch, best: best test epoch",
        *table.notes,
        *(f"published: {source}" for source in sources),
        *(f"differs: {text}" for text in differs),
    ]


def markdown(table: Table, made: Sequence[Line]) -> str:
    """The table as Markdown.

    Args:
        table: The table.
        made: Its lines.

    Returns:
        The text.
    """
    names = header(table)
    rows = [names, ["---"] * len(names), *(cells(line, table) for line in made)]
    body = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"**{table.title}**\n\n{body}\n\n" + "\n".join(f"- {n}" for n in notes(table)) + "\n"


def as_json(table: Table, made: Sequence[Line]) -> str:
    """The table as JSON.

    Args:
        table: The table.
        made: Its lines.

    Returns:
        The text.
    """
    rows = [
        {
            "label": line.row.label,
            "recipe": line.recipe.name,
            "rule": line.row.rule or None,
            "seeds": list(line.seeds),
            "measured": {
                metric: {p: number.as_row() for p, number in found.items()} or NOT_RUN
                for metric, found in line.measured.items()
            },
            "published": {name: vars(figure) for name, figure in line.row.published.items()},
            "differs": list(line.recipe.differs),
        }
        for line in made
    ]
    whole = {"table": table.name, "title": table.title, "rows": rows, "notes": notes(table)}
    return json.dumps(whole, indent=1) + "\n"


def show(table: Table, made: Sequence[Line]) -> None:
    """Write the table to a terminal.

    Args:
        table: The table.
        made: Its lines.

    Raises:
        ModuleNotFoundError: If rich is not installed.
    """
    try:
        from rich.console import Console
        from rich.table import Table as Grid
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "table needs the package rich (pip install rich), or --markdown or --json"
        ) from error
    grid = Grid(*header(table), title=table.title)
    for line in made:
        grid.add_row(*cells(line, table))
    console = Console()
    console.print(grid)
    for note in notes(table):
        console.print(f"- {note}", style="dim", highlight=False)


def train_missing(
    recipe: Recipe, seeds: Sequence[int], *, device: str, folder: Path | None, out: Path
) -> list[Result]:
    """Train seeds together and keep what finished.

    Args:
        recipe: What to train.
        seeds: Which seeds.
        device: Where.
        folder: Where the data is.
        out: Folder of runs.

    Returns:
        One result a seed.
    """
    with watching() as callback:
        found = train_many(recipe, seeds, device=device, folder=folder, out=out, callback=callback)
    for result in found:
        if result.outcome is Outcome.FINISHED:
            results.write(result, device=device)
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command.

    Args:
        parser: Its parser.
    """
    parser.add_argument("name", help=f"one of {', '.join(TABLES)}")
    parser.add_argument("--no-train", action="store_true", help="only what is in deep/results")
    parser.add_argument("--seeds", type=int, help="seeds a row (default: the table's)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--folder", type=Path, help="where the data is (default $UFM_DATA or data)")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of runs (default runs/deep)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--markdown", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    """Train what is missing, then write the table.

    Args:
        arguments: Parsed arguments.

    Returns:
        0; 1 if a run failed, 3 if one was stopped.

    Raises:
        ValueError: If there is no such table, or no seed is asked for.
    """
    table = find(arguments.name)
    wanted = table.seeds if arguments.seeds is None else check_count("seeds", arguments.seeds)
    status = 0
    for recipe, seeds in missing(table, wanted):
        if arguments.no_train or status == 3:
            break
        found = train_missing(recipe, seeds, device=arguments.device, folder=arguments.folder,
                              out=arguments.out)  # fmt: skip
        for result in found:
            if result.outcome is not Outcome.FINISHED:
                status = 3 if result.outcome is Outcome.INTERRUPTED else max(status, 1)
                sys.stderr.write(f"{recipe.name} seed {result.seed}: {result.message}\n")
    made = lines(table)
    if arguments.json:
        sys.stdout.write(as_json(table, made))
    elif arguments.markdown:
        sys.stdout.write(markdown(table, made))
    else:
        show(table, made)
    return status
