"""Stored results of networks as runs of figures: a chunk a recipe, keyed by what its files hold."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch

from deep import results
from deep.methods import Centers
from deep.predicted import cosines_of, sigma_of, sizes
from deep.published import command_for
from deep.recipes import find
from deep.results import DamagedResult, Stored, interval
from figures._registry import Job
from ufm._spec import spec
from ufm.geometry import cosines
from ufm.runs import Chunk, RunSpec


VERSION = 1
METRICS = ("nc1_quot", "nc2_etf_err", "nc3_self_dual", "angle_mean", "nc_ave", "nc_std", "sigma")


@spec
class TrainedNetwork:
    """Result files of a recipe.

    Attributes:
        recipe: Name.
        digest: Digest of the recipe as it is now.
        files: Digest of each seed's file, empty where there is none.
    """

    recipe: str
    digest: str
    files: tuple[str, ...]


def job(name: str) -> Job:
    """The results of a recipe as a run.

    Args:
        name: The recipe.

    Returns:
        A run read from the tracked files; where there are none, or one is damaged, a run that
        cannot be made here, with the command that makes it.
    """
    recipe = find(name)
    try:
        stored = results.read_all(recipe, results.ROOT)
    except DamagedResult:
        stored = []
    files = tuple(_file_digest(name, s.seed) for s in stored)
    produce = functools.partial(read, stored=tuple(stored)) if stored else None
    return Job(
        RunSpec("network-result", TrainedNetwork(name, recipe.digest, files), version=VERSION),
        produce,
        command_for(name),
    )


def there(names: Sequence[str]) -> list[str]:
    """Those of some recipes that have results.

    Args:
        names: Recipes.

    Returns:
        Names, in order.
    """
    return [name for name in names if job(name).produce is not None]


def read(run: RunSpec, *, stored: Sequence[Stored]) -> Chunk:
    """Producer: what the files of a recipe say.

    Args:
        run: Subject a `TrainedNetwork`.
        stored: Its results.

    Returns:
        Rows by ``part``: ``"epoch"`` (training images: epoch, name, value), ``"cosine"`` of two
        class means (i, j, value, predicted) where K is small, ``"class"`` (k, n, value: test
        accuracy in percent by the first rule) and ``"limit"`` (predicted sigma); all with recipe,
        seed and epochs.
    """
    recipe = find(run.subject.recipe)
    rows = [
        {"recipe": recipe.name, "seed": s.seed, "epochs": recipe.epochs, **row}
        for s in stored
        for row in [*_epochs(s), *_cosines(s), *_classes(s), *_limit(s)]
    ]
    return Chunk(pl.DataFrame(rows, infer_schema_length=None))


def _epochs(stored: Stored) -> list[dict[str, Any]]:
    return [
        {"part": "epoch", "epoch": probe["epoch"], "name": name, "value": float(value)}
        for probe in stored.probes
        for name in METRICS
        if (value := probe["train"].get(name)) is not None
    ]


def _cosines(stored: Stored) -> list[dict[str, Any]]:
    gram = stored.final["train"].get("gram_H")
    if gram is None:
        return []
    measured = cosines(torch.tensor(gram, dtype=torch.float64))
    expected = cosines_of(find(stored.recipe).method, stored)
    K = len(measured)
    return [
        {"part": "cosine", "i": i, "j": j, "value": float(measured[i, j]),
         "predicted": math.nan if expected is None else float(expected[i, j])}
        for i in range(K)
        for j in range(K)
    ]  # fmt: skip


def _classes(stored: Stored) -> list[dict[str, Any]]:
    if "confusion" not in stored.final["train"]:
        return []
    shares = stored.final["test"]["per_class"]
    return [
        {"part": "class", "k": k, "n": n, "value": 100 * share}
        for k, (n, share) in enumerate(zip(sizes(stored), shares, strict=True))
    ]


def _limit(stored: Stored) -> list[dict[str, Any]]:
    method = find(stored.recipe).method
    if not isinstance(method, Centers) or "confusion" not in stored.final["train"]:
        return []
    return [{"part": "limit", "value": sigma_of(method, sizes(stored))}]


def curve(rows: pl.DataFrame, recipe: str, name: str) -> tuple[np.ndarray, ...]:
    """A metric along training: over seeds, of its logarithm.

    Args:
        rows: The table.
        recipe: Which network.
        name: Which metric.

    Returns:
        Epochs, geometric mean, and lower and upper end of the 95 % t-interval (the mean itself for
        one seed).
    """
    own = rows.filter(part="epoch", recipe=recipe, name=name).filter(pl.col("value") > 0)
    found = []
    for (epoch,), part in own.sort("epoch").group_by("epoch", maintain_order=True):
        mean, half = interval(np.log(part["value"].to_numpy()).tolist())
        half = 0.0 if math.isnan(half) else half
        found.append((epoch, math.exp(mean), math.exp(mean - half), math.exp(mean + half)))
    return tuple(np.array(found).reshape(-1, 4).T)


def last(rows: pl.DataFrame, recipe: str, name: str) -> float:
    """Geometric mean over seeds of a metric at the last epoch.

    Args:
        rows: The table.
        recipe: Which network.
        name: Which metric.

    Returns:
        The mean.
    """
    return float(curve(rows, recipe, name)[1][-1])


def seeds(rows: pl.DataFrame) -> str:
    """How many seeds there are, in words.

    Args:
        rows: The table.

    Returns:
        Such as ``3`` or ``2 to 3``.
    """
    counts = rows.group_by("recipe").agg(pl.col("seed").n_unique())["seed"].to_list()
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def _file_digest(name: str, seed: int) -> str:
    data = results.path_of(name, seed, results.ROOT).read_bytes()
    return hashlib.sha256(data).hexdigest()[:16]
