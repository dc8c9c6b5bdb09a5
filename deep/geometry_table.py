"""Tables of the documentation's page of networks: geometry beside the model's optimum, accuracies.

``python -m deep.geometry_table docs/networks.md`` fills the page from the result files: what stands
between ``<!-- geometry NAME -->`` (or ``<!-- accuracy NAME -->``) and ``<!-- end -->`` is replaced
by the table of that name. A test holds the page against the files.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from deep import results
from deep.optimum import optimum_of
from deep.published import Row, find
from deep.recipes import find as recipe_of
from deep.results import Stored
from deep.table import NOT_RUN, Measured, lines
from deep.table import markdown as accuracies
from ufm._typing import Float, Tensor
from ufm.geometry import cosines


# Name in the probe's row, title, digits; NC1 is zero at every optimum.
COMPARED = (("angle_mean", "angle °", 1), ("nc2_etf_err", "NC2", 2), ("nc3_self_dual", "NC3", 2))
SIDES = ("model", "network")
HEADER = (
    "method", "seeds", "train %", "NC1",
    *(f"{title} {side}" for _, title, _ in COMPARED for side in SIDES), "cosines off by",
)  # fmt: skip
_BLOCK = re.compile(r"<!-- (\w+) (\S+) -->\n.*?<!-- end -->", re.DOTALL)


def geometry(name: str, root: Path = results.ROOT) -> str:
    """What the networks of a table reached, beside the optimum of each method's model.

    Args:
        name: Table of few classes.
        root: Folder of results.

    Returns:
        Markdown: mean over seeds, and of the network half width of the 95 % t-interval.
    """
    return _table(HEADER, [geometry_line(row, root) for row in find(name).rows])


def geometry_line(row: Row, root: Path = results.ROOT) -> list[str]:
    """One method of `geometry`.

    Args:
        row: The method.
        root: Folder of results.

    Returns:
        The cells.
    """
    stored = results.read_all(recipe_of(row.recipe), root)
    optima = [optimum_of(s) for s in stored]
    found = [o for o in optima if o is not None]
    there = len(found) == len(stored) > 0
    models = [o.as_row() for o in found] if there else []
    networks = [s.final["train"] for s in stored]
    texts = [row.label, str(len(stored)) if stored else NOT_RUN]
    texts += [_text([100 * x["accuracy"] for x in networks], 1)]
    texts += [_text([x["nc1_quot"] for x in networks], 3)]
    for key, _, digits in COMPARED:
        texts += [_text([x[key] for x in models], digits, half=False)]
        texts += [_text([x[key] for x in networks], digits)]
    pairs = zip(stored, found, strict=True) if there else ()
    return [*texts, _text([_cosines_off(s, o.geometry.gram_H) for s, o in pairs], 3)]


def _cosines_off(stored: Stored, gram: Float[Tensor, "K K"]) -> float:
    # Mean distance of the cosines of two class means from the model's.
    measured = cosines(torch.tensor(stored.final["train"]["gram_H"], dtype=torch.float64))
    i, j = torch.triu_indices(len(gram), len(gram), 1)
    return float((measured - cosines(gram))[i, j].abs().mean())


def _text(values: Sequence[float], digits: int, *, half: bool = True) -> str:
    if not values:
        return "-"
    mean, width = Measured(tuple(values)).interval
    return f"{mean:.{digits}f}" + (f" ± {width:.{digits}f}" if half and len(values) > 1 else "")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    body = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in body)


def accuracy(name: str, root: Path = results.ROOT) -> str:
    """Published accuracies beside ours.

    Args:
        name: The table.
        root: Folder of results.

    Returns:
        Markdown: title, table, what to know.
    """
    table = find(name)
    return accuracies(table, lines(table, root))


KINDS: dict[str, Callable[[str, Path], str]] = {"geometry": geometry, "accuracy": accuracy}


def filled(text: str, root: Path = results.ROOT) -> str:
    """A page with its tables made anew.

    Args:
        text: The page.
        root: Folder of results.

    Returns:
        The page.
    """

    def made(match: re.Match[str]) -> str:
        kind, name = match.groups()
        return f"<!-- {kind} {name} -->\n\n{KINDS[kind](name, root)}\n<!-- end -->"

    return _BLOCK.sub(made, text)


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        page.write_text(filled(page.read_text("utf-8")), "utf-8")
