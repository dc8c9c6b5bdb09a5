"""Frozen recipes, one module a paper; `recipes` has them all by name. Torch-free."""

from __future__ import annotations

import difflib
from functools import cache

from deep.recipe import Recipe
from deep.recipes import digits, fashion, liang2023, yan2024, yang2022


MODULES = (digits, fashion, yang2022, liang2023, yan2024)


@cache
def recipes() -> dict[str, Recipe]:
    """All recipes.

    Returns:
        Name to recipe, in the order of the modules.

    Raises:
        ValueError: If two have the same name.
    """
    found: dict[str, Recipe] = {}
    for recipe in (recipe for module in MODULES for recipe in module.RECIPES):
        if recipe.name in found:
            raise ValueError(f"recipe names must be unique, got {recipe.name!r} twice")
        found[recipe.name] = recipe
    return found


def find(name: str) -> Recipe:
    """The recipe of a name.

    Args:
        name: The name.

    Returns:
        The recipe.

    Raises:
        ValueError: If there is none; near names are given.
    """
    known = recipes()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"near: {', '.join(near)}" if near else "see `python -m deep list`"
        raise ValueError(f"recipe must be one of {len(known)} ({hint}), got {name!r}")
    return known[name]
