"""``python -m deep probe``: measure a checkpoint, or anybody's saved features."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deep import saved
from deep.data import load
from deep.model import restore
from deep.probe import probe, probe_saved, save_features
from deep.trees import tree, tree_of
from ufm.hierarchy import distance_matrix


LISTS = ("gram_W", "gram_H", "Z", "confusion", "per_class")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command.

    Args:
        parser: Its parser.
    """
    parser.add_argument("file", type=Path, help="checkpoint, run folder, or .npz of features, "
                        "labels, W, and where there are any bias, normalised")  # fmt: skip
    parser.add_argument("--tree", help="hierarchy of the classes (default: the data set's)")
    parser.add_argument("--folder", type=Path, help="where the data is (default $UFM_DATA or data)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--features", type=Path, metavar="NPZ",
                        help="also save the training features of a checkpoint there")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="all numbers, matrices too")


def run(arguments: argparse.Namespace) -> int:
    """Measure and write.

    Args:
        arguments: Parsed arguments.

    Returns:
        0.

    Raises:
        ValueError: If the file is neither, or damaged.
    """
    rows = measured(arguments)
    if arguments.json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    else:
        sys.stdout.write(columns(rows))
    return 0


def measured(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Rows of the probe by set of samples.

    Args:
        arguments: Parsed arguments.

    Returns:
        ``train`` and ``test`` of a checkpoint, or ``saved``.

    Raises:
        ValueError: If ``--features`` is given for an ``.npz``.
    """
    if saved.expected(arguments.file).suffix == ".npz":
        if arguments.features:
            raise ValueError("features must be left out where they are given, --features is for "
                             f"checkpoints, got {arguments.features}")  # fmt: skip
        features = saved.read(arguments.file)
        return {"saved": probe_saved(features, D=distances(arguments.tree, features.K))}
    found = restore(arguments.file, device=arguments.device)
    data = load(found.recipe.data, folder=arguments.folder, seed=found.seed)
    judged = tree_of(data.name) if arguments.tree is None else None
    D = distance_matrix(judged) if judged else distances(arguments.tree, data.train.K)
    if arguments.features:
        kept = save_features(found.model, data.train, mean=data.mean, std=data.std)
        saved.write(arguments.features, kept)
    rules = found.built.rules
    return {
        name: probe(
            found.model, images, rules=rules, n=data.train.n, D=D, mean=data.mean, std=data.std
        )
        for name, images in (("train", data.train), ("test", data.test))
    }


def distances(name: str | None, K: int) -> np.ndarray | None:
    """Distances of the classes in a hierarchy.

    Args:
        name: Its name or file, or None.
        K: Number of classes.

    Returns:
        Distances ``(K, K)``, or None without a hierarchy.

    Raises:
        ValueError: If it has another number of classes.
    """
    if name is None:
        return None
    judged = tree(name)
    if judged.K != K:
        raise ValueError(f"tree must have a leaf for each of K={K} classes, {name} has {judged.K}")
    return distance_matrix(judged)


def columns(rows: dict[str, dict[str, Any]]) -> str:
    """Numbers of several rows beside each other; matrices are left to JSON.

    Args:
        rows: Rows by name.

    Returns:
        Plain text.
    """
    names = [name for name in next(iter(rows.values())) if name not in LISTS]
    width = max(map(len, names))
    head = f"{'':{width}}  " + "  ".join(f"{title:>12}" for title in rows)
    lines = [
        f"{name:{width}}  " + "  ".join(f"{_text(row.get(name)):>12}" for row in rows.values())
        for name in names
    ]
    return "\n".join([head, *lines]) + "\n"


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else "-"
