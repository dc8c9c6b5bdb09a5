"""``python -m deep data``: what a recipe's data is, and whether it is here; fetches a source."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deep.data import download, load, overview
from deep.data.sources import PUBLISHED
from deep.recipes import find


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command.

    Args:
        parser: Its parser.
    """
    parser.add_argument(
        "name",
        nargs="?",
        default="",
        help="a recipe; or a source to fetch if it is not here: "
        f"{', '.join(PUBLISHED)}; none lists the sources and where their files belong",
    )
    parser.add_argument("--folder", type=Path, help="where the data is (default $UFM_DATA or data)")
    parser.add_argument("--seed", type=int, default=0)


def run(arguments: argparse.Namespace) -> int:
    """Load a recipe's data and describe it, fetch a source, or list all.

    Args:
        arguments: Parsed arguments.

    Returns:
        Exit status.

    Raises:
        ValueError: If the name is neither a source nor a recipe; all sources are named.
    """
    if not arguments.name:
        sys.stdout.write(f"{overview(folder=arguments.folder)}\n")
        return 0
    if arguments.name == "digits":
        sys.stdout.write(f"{overview('digits')}\n")
        return 0
    if arguments.name in PUBLISHED:
        sys.stdout.write(f"{download(arguments.name, folder=arguments.folder)}\n")
        return 0
    try:
        recipe = find(arguments.name)
    except ValueError as error:
        sources = ", ".join(("digits", *PUBLISHED))
        raise ValueError(f"name must be a source ({sources}) or a recipe: {error}") from error
    data = load(recipe.data, folder=arguments.folder, seed=arguments.seed)
    held = "" if data.validation is None else f", {len(data.validation)} held out"
    sys.stdout.write(
        f"{recipe.name}: {data.name}, {data.train.K} classes, {len(data.train)} images to train "
        f"on{held}, {len(data.test)} to test\nshape {tuple(data.train.pixels.shape[1:])}, "
        f"n = {data.train.n}\n"
    )
    return 0
