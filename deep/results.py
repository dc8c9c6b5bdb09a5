"""Small tracked results: one JSON file a recipe and seed, with where it came from.

``deep/results/<recipe>/seed<k>.json`` is written whole or not at all, holds the digest of its
content, and is read only if recipe and content are what they were. Numbers have six digits: enough
for a figure, and files stay small enough to commit.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from deep.recipe import Recipe
from deep.run import Outcome, Result
from ufm._spec import encode
from ufm.metrics import confidence_interval
from ufm.runs.files import write_atomic
from ufm.runs.provenance import environment


ROOT = Path(__file__).parent / "results"
FORMAT = 1
DIGITS = 6
# Kept of the measurements before the last one: no matrices and no lists of classes.
FINAL_ONLY = ("gram_W", "gram_H", "Z", "confusion", "per_class")
# Columns of the epochs; the rest is in the log of the run.
CURVE = ("epoch", "loss", "train", "test", "validation")


@dataclass(frozen=True)
class Stored:
    """A result read back.

    Attributes:
        recipe: Name of the recipe.
        seed: Seed.
        content: The file's data.
    """

    recipe: str
    seed: int
    content: Mapping[str, Any]

    @property
    def accuracy(self) -> dict[str, dict[str, float]]:
        """``last``, ``best`` (and its epoch) of each evaluated column, shares of 1."""
        return self.content["accuracy"]

    @property
    def final(self) -> dict[str, Any]:
        """The last measurement: ``train`` and ``test`` rows of the probe, matrices too."""
        return self.content["final"]

    @property
    def probes(self) -> list[dict[str, Any]]:
        """Measurements by epoch: ``epoch``, and ``train`` and ``test`` rows without matrices."""
        columns = self.content["probes"]
        sides = [side for side in columns if side != "epoch"]
        return [
            {"epoch": epoch, **{s: {k: v[i] for k, v in columns[s].items()} for s in sides}}
            for i, epoch in enumerate(columns["epoch"])
        ]


class DamagedResult(ValueError):
    """A result file that must not be used; the message names it and says why."""


def path_of(recipe: Recipe | str, seed: int, root: Path = ROOT) -> Path:
    """File of a result.

    Args:
        recipe: The recipe or its name.
        seed: The seed.
        root: Folder of results.

    Returns:
        The path.
    """
    name = recipe if isinstance(recipe, str) else recipe.name
    return root / name / f"seed{seed}.json"


def write(result: Result, *, device: torch.device | str | None = None, root: Path = ROOT) -> Path:
    """Keep a finished run.

    Args:
        result: What training returned.
        device: Where it was trained, for the record; by default the GPU if there is one.
        root: Folder of results.

    Returns:
        The file.

    Raises:
        ValueError: If the run did not finish, or measured nothing.
        OSError: If the folder cannot be written; nothing is left behind then.
    """
    if result.outcome is not Outcome.FINISHED:
        raise ValueError(
            f"result must be of a finished run, {result.recipe.name} seed {result.seed} ended "
            f"{result.outcome.name}: {result.message}"
        )
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    content = _content(result, provenance(device))
    content["content"] = _digest(content)
    path = path_of(result.recipe, result.seed, root)
    write_atomic(
        {path: (json.dumps(content, separators=(",", ":")) + "\n").encode()}, role="results"
    )
    return path


def read(recipe: Recipe, seed: int, root: Path = ROOT) -> Stored | None:
    """The result of a recipe and seed.

    Args:
        recipe: The recipe as it is now.
        seed: The seed.
        root: Folder of results.

    Returns:
        The result, or None where there is none, or only one of an earlier form of the recipe.

    Raises:
        DamagedResult: If the file is not whole or was changed.
    """
    path = path_of(recipe, seed, root)
    if not path.exists():
        return None
    content = _checked(path)
    if content["digest"] != recipe.digest:
        return None
    return Stored(recipe.name, seed, content)


def read_all(recipe: Recipe, root: Path = ROOT) -> list[Stored]:
    """Results of all seeds of a recipe, by seed.

    Args:
        recipe: The recipe as it is now.
        root: Folder of results.

    Returns:
        The results.

    Raises:
        DamagedResult: If a file is not whole, was changed, or is not named by a seed.
    """
    seeds = []
    for path in (root / recipe.name).glob("seed*.json"):
        number = path.stem.removeprefix("seed")
        if not number.isdigit():
            raise DamagedResult(f"{path} must be named seed<number>.json")
        seeds.append(int(number))
    found = (read(recipe, seed, root) for seed in sorted(seeds))
    return [stored for stored in found if stored is not None]


def provenance(device: torch.device | str) -> dict[str, Any]:
    """Environment of a run; the commit is ``$UFM_COMMIT`` where there is no git.

    Args:
        device: Where it ran.

    Returns:
        JSON-able data.
    """
    record = environment(device)
    if record["commit"] is None and (given := os.environ.get("UFM_COMMIT")):
        head, _, changed = given.partition("-")
        record |= {"commit": head, "dirty": changed == "dirty"}
    return record


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of the 95 % t-interval over seeds (standard deviation with n - 1).

    Args:
        values: One number a seed.

    Returns:
        Mean and half width; NaN half width for one seed, both NaN for none.
    """
    if not values:
        return math.nan, math.nan
    return confidence_interval(values) if len(values) > 1 else (values[0], math.nan)


def _content(result: Result, environment: dict[str, Any]) -> dict[str, Any]:
    rows = result.rows
    probed = [row for row in rows if "probe" in row]
    if not probed:
        raise ValueError(f"result must hold a measurement, {result.recipe.name} has none")
    final = probed[-1]["probe"]
    content = {
        "format": FORMAT,
        "recipe": encode(result.recipe),
        "digest": result.recipe.digest,
        "seed": result.seed,
        "seconds": result.seconds,
        "accuracy": accuracies(rows),
        "curve": {name: [row.get(name) for row in rows] for name in CURVE},
        "final": final,
        "probes": {
            "epoch": [row["epoch"] for row in probed],
            **{side: _columns([row["probe"][side] for row in probed]) for side in final},
        },
        "provenance": environment,
    }
    content["curve"] = {k: v for k, v in content["curve"].items() if any(x is not None for x in v)}
    return _rounded(content)


def accuracies(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Last and best accuracy of each rule on the test images.

    Args:
        rows: One an epoch; evaluated columns are named ``test`` and ``test_<rule>``.

    Returns:
        ``last``, ``best``, ``best_epoch`` by column; with a validation set also ``chosen``, the
        test accuracy of the epoch that is best on validation.
    """
    names = sorted({name for row in rows for name in row if name.split("_")[0] == "test"})
    found = {}
    for name in names:
        seen = [row for row in rows if name in row]
        best = max(seen, key=lambda row: row[name])  # the first of equals
        found[name] = {
            "last": seen[-1][name], "best": best[name], "best_epoch": best["epoch"],
        }  # fmt: skip
        judged = name.replace("test", "validation", 1)
        validated = [row for row in seen if judged in row]
        if validated:
            found[name]["chosen"] = max(validated, key=lambda row: row[judged])[name]
    return found


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    # A name once instead of once a row: two thirds of the file.
    names = [name for name in rows[-1] if name not in FINAL_ONLY]
    return {name: [row.get(name) for row in rows] for name in names}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _checked(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
        expected = content.pop("content")
        complete = content["format"] == FORMAT and {"digest", "seed", "final", "probes"} <= set(
            content
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedResult(f"{path} is not a whole result; delete it to train again") from error
    if not complete or _digest(content) != expected or path.stem != f"seed{content['seed']}":
        raise DamagedResult(f"{path} was changed since it was written; delete it to train again")
    return content
