"""Trees with symbolic similarities, written out: for what is checked shape by shape."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import sympy as sp
from sympy.polys.matrices import DomainMatrix


# Shapes for what is checked on trees written out; classes are numbered from left to right.
SHAPES: tuple[Any, ...] = (
    [0, 1, 2],
    [[0, 1], 2],
    [[0, 1], [2, 3]],
    [0, [1, [2, 3]]],
    [[0, 1, 2], [3, [4]]],
)


@final
@dataclass(frozen=True)
class Node:
    """A node of a tree with symbolic drops of the similarity.

    Attributes:
        leaves: Classes below.
        drop: ``f(h_v) - f(h_parent)``, or ``f(h_root)``; a symbol >= 0 except at leaves.
        value: ``f(h_v)``, the sum of the drops down to here; 1 at leaves.
        children: Nodes below.
    """

    leaves: tuple[int, ...]
    drop: Any
    value: Any
    children: tuple[Node, ...]


def symbolic_tree(nested: Any, above: Any = 0, name: str = "c") -> Node:
    """Tree whose values fall from one at the leaves by symbolic drops.

    Args:
        nested: Nested lists of class indices.
        above: Value of the parent.
        name: Name of the node's drop.

    Returns:
        The root.
    """
    if isinstance(nested, int):
        return Node((nested,), 1 - above, sp.Integer(1), ())
    drop = sp.Symbol(name, positive=True)
    children = tuple(symbolic_tree(x, above + drop, f"{name}{i}") for i, x in enumerate(nested))
    leaves = tuple(leaf for child in children for leaf in child.leaves)
    return Node(leaves, drop, above + drop, children)


def nodes(root: Node) -> Iterator[Node]:
    """All nodes, each before its descendants.

    Args:
        root: The root.

    Yields:
        Nodes.
    """
    yield root
    for child in root.children:
        yield from nodes(child)


def indicator(node: Node, size: int) -> sp.Matrix:
    """Column of ones at the classes below a node.

    Args:
        node: The node.
        size: Number of classes.

    Returns:
        The column.
    """
    return sp.Matrix([int(i in node.leaves) for i in range(size)])


def similarities(root: Node) -> sp.Matrix:
    """Matrix of the values at the lowest common ancestors.

    Args:
        root: The root.

    Returns:
        F.
    """
    size = len(root.leaves)

    def entry(i: int, j: int) -> Any:
        return [v.value for v in nodes(root) if {i, j} <= set(v.leaves)][-1]

    return sp.Matrix(size, size, entry)


def solved(A: sp.Matrix, b: sp.Matrix) -> sp.Matrix:
    """``A^-1 b`` in the field of rational functions.

    Args:
        A: Square matrix.
        b: Column.

    Returns:
        The solution, in lowest terms; which of two signs a factor bears follows sympy's order of
        symbols, so that texts made of it are compared under one hash seed.
    """
    both = DomainMatrix.from_Matrix(sp.Matrix.hstack(A, b)).to_field()
    size = A.shape[0]
    left, right = both[:, :size], both[:, size:]
    return left.lu_solve(right).to_Matrix().applyfunc(sp.factor)


def symmetric_nested(arities: Sequence[int]) -> Any:
    """Nested lists of a tree whose nodes of one level have equally many children.

    Args:
        arities: Children of a node, from the lowest level up.

    Returns:
        The lists, classes in order.
    """
    nodes: list[Any] = list(range(math.prod(arities)))
    for arity in arities:
        nodes = [nodes[i : i + arity] for i in range(0, len(nodes), arity)]
    return nodes[0]


def random_nested(K: int, seed: int) -> Any:
    """Nested lists of a random tree, with chains and leaves at different depths.

    Args:
        K: Number of classes.
        seed: Seed.

    Returns:
        The lists.
    """
    rng = random.Random(seed)
    nodes: list[Any] = list(range(K))
    rng.shuffle(nodes)
    while len(nodes) > 1:
        size = min(len(nodes), rng.choice((2, 2, 3, 5)))
        joined = [nodes.pop(rng.randrange(len(nodes))) for _ in range(size)]
        nodes.append([joined] if rng.random() < 0.2 else joined)
    return nodes[0]
