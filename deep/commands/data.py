"""``python -m deep data``: what a recipe's data is, and whether it is here."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deep.data import load
from deep.recipes import find


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command.

    Args:
        parser: Its parser.
    """
    parser.add_argument("recipe", help="name, see `python -m deep list`")
    parser.add_argument("--folder", type=Path, help="where the data is (default $UFM_DATA or data)")
    parser.add_argument("--seed", type=int, default=0)


def run(arguments: argparse.Namespace) -> int:
    """Load the data and describe it.

    Args:
        arguments: Parsed arguments.

    Returns:
        Exit status.
    """
    recipe = find(arguments.recipe)
    data = load(recipe.data, folder=arguments.folder, seed=arguments.seed)
    held = "" if data.validation is None else f", {len(data.validation)} held out"
    sys.stdout.write(
        f"{recipe.name}: {data.name}, {data.train.K} classes, {len(data.train)} images to train "
        f"on{held}, {len(data.test)} to test\nshape {tuple(data.train.pixels.shape[1:])}, "
        f"n = {data.train.n}\n"
    )
    return 0
