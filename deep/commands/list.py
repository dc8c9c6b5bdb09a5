"""``python -m deep list``: recipes and what they are, at once."""

from __future__ import annotations

import argparse
import sys

from deep.recipe import Recipe
from deep.recipes import recipes
from ufm._spec import canonical


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command.

    Args:
        parser: Its parser.
    """
    parser.add_argument("part", nargs="?", default="", help="only names that contain this")
    parser.add_argument("--json", action="store_true", help="all fields, one recipe a line")


def run(arguments: argparse.Namespace) -> int:
    """Write the list.

    Args:
        arguments: Parsed arguments.

    Returns:
        Exit status: 1 if no name fits.
    """
    chosen = [recipe for name, recipe in recipes().items() if arguments.part in name]
    width = max((len(recipe.name) for recipe in chosen), default=0)
    for recipe in chosen:
        text = canonical(recipe) if arguments.json else f"{recipe.name:{width}}  {words(recipe)}"
        sys.stdout.write(text + "\n")
    if not chosen:
        sys.stderr.write(f"deep list: no recipe has {arguments.part!r} in its name\n")
    return 0 if chosen else 1


def words(recipe: Recipe) -> str:
    """A recipe in a line.

    Args:
        recipe: The recipe.

    Returns:
        Network, method, length and source.
    """
    network, method = type(recipe.network).__name__, type(recipe.method).__name__
    depth = getattr(recipe.network, "depth", "")
    length = f"{recipe.epochs} epochs of batch {recipe.batch}"
    return f"{network}{depth} {method}, {length}; {recipe.source}"
