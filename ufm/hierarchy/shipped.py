"""The hierarchies that come with the package."""

from __future__ import annotations

import json
from importlib import resources

from ufm.hierarchy.tree import Tree


def load(name: str) -> Tree:
    """A shipped hierarchy; its classes are in the order of the data set's labels.

    ``cifar100_superclasses`` has 20 superclasses of 5, ``cifar100_level5`` five levels of 2, 4, 8,
    20 and 100 nodes.

    Args:
        name: Which one.

    Returns:
        The tree.

    Raises:
        ValueError: If there is none of that name.

    References:
        Liang and Davis (2023) [liang2023]_ use the five-level tree.

    >>> tree = load("cifar100_superclasses")
    >>> tree.K, tree.height, tree.classes[:3]
    (100, 2, ('apple', 'aquarium_fish', 'baby'))
    """
    files = {
        file.name: file for file in resources.files("ufm.hierarchy").joinpath("data").iterdir()
    }
    file = files.get(f"{name}.json")
    if file is None:
        known = ", ".join(sorted(key.removesuffix(".json") for key in files))
        raise ValueError(f"name must be one of {known}, got {name!r}")
    return Tree.from_json(json.loads(file.read_text("utf-8")))
