"""``python -m deep.geometry_table``: what the digits networks reached, as a table in Markdown.

The table of the documentation; a test holds the page against the result files.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from deep import results
from deep.published import find
from deep.recipes import find as recipe_of
from deep.results import Stored
from deep.table import NOT_RUN, Measured


DATA = ("digits", "digits-lt")
NUMBERS = ("test accuracy %", "NC1", "ETF distance", "angle °")
HEADER = ("method", "seeds", *(f"{x}, {data}" for x in NUMBERS for data in ("balanced", "ρ = 10")))
COLUMNS = (("nc1_quot", 3), ("nc2_etf_err", 2), ("angle_mean", 1))


def markdown(root: Path = results.ROOT) -> str:
    """The table, from result files alone.

    Args:
        root: Folder of results.

    Returns:
        Markdown; mean over seeds, and half width of the 95 % t-interval.
    """
    rows = [HEADER, ("---",) * len(HEADER)]
    for row in find("digits").rows:
        pair = [results.read_all(recipe_of(f"{data}-{row.label}"), root) for data in DATA]
        counts = dict.fromkeys(str(len(stored)) for stored in pair)
        rows.append((row.label, ", ".join(counts), *_numbers(pair)))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _numbers(pair: Sequence[Sequence[Stored]]) -> list[str]:
    accuracy = [[100 * s.accuracy["test"]["last"] for s in stored] for stored in pair]
    texts = [_text(values, 1) for values in accuracy]
    for name, digits in COLUMNS:
        texts += [_text([s.final["train"][name] for s in stored], digits) for stored in pair]
    return texts


def _text(values: Sequence[float], digits: int) -> str:
    if not values:
        return NOT_RUN
    mean, half = Measured(tuple(values)).interval
    return f"{mean:.{digits}f}" + ("" if len(values) == 1 else f" ± {half:.{digits}f}")


if __name__ == "__main__":
    sys.stdout.write(markdown())
