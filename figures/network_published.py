"""Published accuracies beside ours; what was not trained says so."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from deep import results
from deep.published import TABLES, Row, command_for, find
from deep.recipes import find as recipe_of
from deep.results import DamagedResult
from deep.table import NOT_RUN, lines
from figures._registry import Axes, Job, figure
from figures._style import GREY, NAVY, VERMILION
from ufm._spec import spec
from ufm.runs import Chunk, RunSpec


VERSION = 1
SHOWN = {
    "cifar10-lt": r"CIFAR-10-LT, $\rho=100$, ResNet-32",
    "cifar100-lt": r"CIFAR-100-LT, $\rho=100$, wide ResNet-32",
    "centers10": r"CIFAR-10-LT, $\rho=200$, ResNet-50",
    "centers100": r"CIFAR-100-LT, $\rho=200$, ResNet-50",
    "haframe": "CIFAR-100, WideResNet-28-8",
}


@spec
class PublishedRows:
    """Rows with published accuracies, and which results stand beside them.

    Attributes:
        rows: ``table: label: recipe: rule: value: half: origin`` of each.
        files: Names and contents of the result files, by digest.
    """

    rows: tuple[str, ...]
    files: tuple[str, ...]


def runs() -> list[Job]:
    """The published rows with what was measured; never missing, as rows may say "not yet run".

    Returns:
        One run.
    """
    shown = [(name, row) for name in SHOWN for row in published(name)]
    texts = tuple(f"{name}: {row}" for name, row in shown)
    files = tuple(
        f"{stored.recipe} {stored.seed} {stored.content['digest']} {stored.content['accuracy']}"
        for _, row in shown
        for stored in _results(row)
    )
    run = RunSpec("published-accuracy", PublishedRows(texts, files), version=VERSION)
    return [Job(run, read)]


def published(name: str) -> list[Row]:
    """Rows of a table with a published accuracy.

    Args:
        name: The table.

    Returns:
        The rows.
    """
    return [row for row in find(name).rows if "accuracy" in row.published]


def _results(row: Row) -> list[results.Stored]:
    try:
        return results.read_all(recipe_of(row.recipe), results.ROOT)
    except DamagedResult:
        return []


def read(run: RunSpec) -> Chunk:
    """Producer: published and measured accuracies in percent.

    Args:
        run: Subject `PublishedRows`.

    Returns:
        Rows: table, label, published, published_half, origin, command; and of ours seeds, last,
        last_half, best, best_half (null where not run, halves null for one seed).
    """
    rows = []
    for name in SHOWN:
        wanted = published(name)
        made = {line.row.label: line for line in _lines(name)}
        for row in wanted:
            number, line = row.published["accuracy"], made.get(row.label)
            measured = line.measured["accuracy"] if line else {}
            entry = {"table": name, "label": row.label, "published": number.value,
                     "published_half": number.half, "origin": number.origin,
                     "command": command_for(row.recipe),
                     "seeds": len(line.seeds) if line else 0}  # fmt: skip
            for protocol in ("last", "best"):
                found = measured[protocol].as_row() if protocol in measured else {}
                entry |= {protocol: found.get("mean"), f"{protocol}_half": found.get("half")}
            rows.append(entry)
    floats: dict[str, Any] = dict.fromkeys(
        ("published", "published_half", "last", "last_half", "best", "best_half"), pl.Float64
    )
    return Chunk(pl.DataFrame(rows, schema_overrides=floats, infer_schema_length=None))


def _lines(name: str):
    try:
        return lines(TABLES[name], results.ROOT)
    except DamagedResult:
        return []


def caption(rows: pl.DataFrame) -> str:
    """Caption with how many rows were run, and the commands of the others.

    Args:
        rows: The table.

    Returns:
        One paragraph.
    """
    waiting = rows.filter(pl.col("last").is_null())
    commands = ", ".join(f"`{c}`" for c in waiting["command"].unique(maintain_order=True))
    note = f" Not yet run: {len(waiting)}; {commands} on a GPU." if len(waiting) else ""
    return (
        f"Published accuracies (circles; hollow: quoted from memory and not checked, squares: from "
        "a later paper's table) beside ours (bars: 95 % t-interval over seeds) of "
        f"{len(rows) - len(waiting)} of {len(rows)} rows, at the last epoch and, as most papers "
        f"report, at the best test epoch.{note} Protocols differ: see the tables of networks."
    )


def draw_table(rows: pl.DataFrame, axes, *, name: str) -> None:
    """One table: a line a row.

    Args:
        rows: The table.
        axes: One panel.
        name: Which table.
    """
    own = rows.filter(table=name)
    low, high = _range(own)
    for y, row in enumerate(own.iter_rows(named=True)):
        fill = "none" if row["origin"] == "recalled" else NAVY
        axes.errorbar(
            row["published"], y - 0.18, xerr=row["published_half"], color=NAVY,
            fmt="s" if row["origin"] == "later" else "o", markerfacecolor=fill,
        )  # fmt: skip
        if row["last"] is None:
            axes.text(high, y + 0.24, NOT_RUN, color=GREY, fontsize=7, ha="right", va="center")
            continue
        axes.errorbar(row["last"], y + 0.1, xerr=row["last_half"], fmt="^", color=VERMILION)
        axes.errorbar(row["best"], y + 0.34, xerr=row["best_half"], fmt="v", color=VERMILION,
                      markerfacecolor="none")  # fmt: skip
    axes.set_xlim(low, high)
    axes.set_ylim(len(own) - 0.4, -0.6)
    axes.set_yticks(range(len(own)), own["label"].to_list())
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("accuracy (%)")
    axes.set_title(SHOWN[name], fontsize="medium")


def _range(rows: pl.DataFrame) -> tuple[float, float]:
    values = [
        center + sign * (half or 0)
        for name in ("published", "last", "best")
        for center, half in rows.select(name, f"{name}_half").iter_rows()
        if center is not None
        for sign in (-1, 1)
    ]
    return math.floor(min(values) - 1), math.ceil(max(values) + 1)


@figure(
    "network-published",
    title="Published accuracies beside ours",
    claims=("yang2022.dr-minimiser", "yan2024.cosine-minimiser", "liang2023.mix-limit"),
    panels=(("cifar10-lt", "cifar100-lt"), ("centers10", "centers100"), ("haframe", "haframe")),
    runs=runs,
    caption=caption,
    aspect=0.62,
    options={"height_ratios": (2, 1, 3)},
)
def draw(rows: pl.DataFrame, axes: Axes) -> None:
    """One panel a table.

    Args:
        rows: The table.
        axes: Panels by name.
    """
    for name in SHOWN:
        draw_table(rows, axes[name], name=name)
    axes["cifar10-lt"].set_ylabel("method")
    panel = axes["haframe"]
    for marker, fill, color, label in (
        ("o", NAVY, NAVY, "published"), ("s", NAVY, NAVY, "in a later table"),
        ("o", "none", NAVY, "recalled, unchecked"), ("^", VERMILION, VERMILION, "ours, last epoch"),
        ("v", "none", VERMILION, "ours, best epoch"),
    ):  # fmt: skip
        panel.plot([], [], marker, color=color, markerfacecolor=fill, label=label)
    panel.figure.legend(*panel.get_legend_handles_labels(), loc="outside upper center", ncols=5)
