"""Random and named hierarchies for tests, and where the public class trees are."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from ufm.hierarchy import Tree


MIXED = [[0, 1, 2, 3], [4, [5, 6]], 7]


def balanced(arity: int, levels: int) -> Tree:
    nodes: list = list(range(arity**levels))
    while len(nodes) > 1:
        nodes = [nodes[i : i + arity] for i in range(0, len(nodes), arity)]
    return Tree.from_nested(nodes[0])


def caterpillar(K: int) -> Tree:
    nested: list = [K - 2, K - 1]
    for k in range(K - 3, -1, -1):
        nested = [k, nested]
    return Tree.from_nested(nested)


def flat(K: int) -> Tree:
    return Tree.from_nested(list(range(K)))


def random_tree(K: int, seed: int) -> Tree:
    """Binary, caterpillar-like or mixed arity; some with single-child chains, labels shuffled."""
    rng = random.Random(seed)
    arities = rng.choice([[2], [2, 3, 5], [4], [2, 2, 2, K]])
    chains = rng.random() < 0.4
    comb = rng.random() < 0.25
    nodes: list = list(range(K))
    rng.shuffle(nodes)
    while len(nodes) > 1:
        take = min(len(nodes), rng.choice(arities))
        first = [nodes.pop()] if comb else []
        merged = first + [nodes.pop(rng.randrange(len(nodes))) for _ in range(take - len(first))]
        while chains and rng.random() < 0.3:
            merged = [merged]
        nodes.append(merged)
    return Tree.from_nested(nodes[0])


def shared_tree(name: str) -> Tree:
    """A public class tree, or skip: only the CIFAR-100 trees may be copied into the package."""
    beside = Path(__file__).parents[2] / "shared"
    file = Path(os.environ.get("UFM_SHARED", beside)) / "data" / "hierarchies" / f"{name}.json"
    if not file.exists():
        pytest.skip(f"needs {file.name} (set UFM_SHARED to the folder that holds data/hierarchies)")
    return Tree.from_json(file)
