"""Class hierarchies by name, and the one that each data set is judged by. Torch-free."""

from __future__ import annotations

from pathlib import Path

from ufm.hierarchy import Tree, load


# Nested lists of class indices, in the order of the data sets' labels. Those of the small data sets
# are ours: they are for tests of the machinery, no published number uses them.
NESTED = {
    # Round digits; straight ones, of which 1 and 7 are alike; open curves.
    "digits": [[[0, 6], [8, 9]], [[1, 7], 4], [[3, 5], 2]],
    # Tops (T-shirt, shirt; pullover, coat), dress, trousers; shoes; bag.
    "fashion": [[[[0, 6], [2, 4]], 3, 1], [[5, 7], 9], 8],
    # Vehicles of air and water and of the road; animals: hoofed, pets, others.
    "cifar10": [[[0, 8], [1, 9]], [[[3, 5], [4, 7]], [2, 6]]],
}
SHIPPED = ("cifar100_level5", "cifar100_superclasses")
OF_SOURCE = {
    "digits": "digits",
    "mnist": "digits",
    "fashion-mnist": "fashion",
    "cifar10": "cifar10",
    "cifar100": "cifar100_level5",
}


def tree(name: str) -> Tree:
    """A hierarchy.

    Args:
        name: One of ``NESTED`` or ``SHIPPED``, or the path of a JSON file.

    Returns:
        The tree, its leaves in label order.

    Raises:
        ValueError: If there is none of that name.

    >>> tree("cifar10").K, tree("cifar100_level5").height
    (10, 5)
    """
    if name in NESTED:
        return Tree.from_nested(NESTED[name])
    if name in SHIPPED:
        return load(name)
    if name.endswith(".json") and Path(name).exists():
        return Tree.from_json(name)
    known = ", ".join((*NESTED, *SHIPPED))
    raise ValueError(f"tree must be one of {known}, or a .json file that exists, got {name!r}")


def tree_of(source: str) -> Tree | None:
    """The hierarchy by which mistakes on a data set are judged.

    Args:
        source: Name of the data set.

    Returns:
        The tree, or None where there is none.
    """
    return tree(OF_SOURCE[source]) if source in OF_SOURCE else None
