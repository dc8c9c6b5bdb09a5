"""Leaf distances of a tree as a matrix, and the ultrametric check of any matrix. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from ufm._shapes import Int, Real
from ufm.hierarchy.tree import Convention, Tree


def distance_matrix(tree: Tree, convention: Convention = "height") -> Int[ndarray, "K K"]:
    """Distance of each pair of classes, the label of their lowest common ancestor.

    Every entry is written once, in blocks of leaves below one child against the others.

    Args:
        tree: The hierarchy.
        convention: Which distance, see `Tree.labels`.

    Returns:
        Symmetric matrix with zero diagonal, an ultrametric.

    >>> distance_matrix(Tree.from_nested([[0, 1], 2]))
    array([[0, 1, 2],
           [1, 0, 2],
           [2, 2, 0]], dtype=int32)
    """
    labels, spans = tree.labels(convention), tree.spans
    sorted_D = np.zeros((tree.K, tree.K), dtype=np.int32)
    for node in tree.preorder:
        children = tree.children[node]
        if len(children) < 2:
            continue
        lo, hi = spans[node]
        for child in children:
            a, b = spans[child]
            sorted_D[a:b, lo:a] = labels[node]
            sorted_D[a:b, b:hi] = labels[node]
    position = np.argsort(np.asarray(tree.leaf_order))
    return sorted_D[position].take(position, axis=1)


def ultrametric_witness(D: Real[ndarray, "K K"]) -> tuple[int, int, int] | None:
    r"""Indices at which a matrix of distances fails to be an ultrametric.

    ``D`` is one iff it equals its subdominant ultrametric, the smallest largest edge on a way from
    i to j; that is built along a minimum spanning tree (Prim) in O(K^2).

    Args:
        D: Symmetric distances, zero on the diagonal and nowhere negative.

    Returns:
        ``(i, j, k)`` with ``D[i, j] > max(D[i, k], D[k, j])``, or None if there is none.

    Raises:
        ValueError: If ``D`` is not a matrix of distances at all.
    """
    _check_distances(D)
    order, parent, joined = _prim(D)
    for s in range(len(D) - 1):
        later = order[s + 1 :]
        gap = D[order[s]].take(later)
        largest = np.maximum.accumulate(joined[s + 1 :])
        if (gap > largest).any():
            t = int((gap > largest).argmax())
            i, way = int(order[s]), _way(parent, int(order[s]), int(later[t]))
            # D(i, .) starts below the largest edge of the way and ends above it: it jumps.
            step = next(u for u in range(1, len(way)) if D[i, way[u]] > largest[t])
            return i, way[step], way[step - 1]
    return None


def _prim(D: Real[ndarray, "K K"]) -> tuple[Int[ndarray, "K"], Int[ndarray, "K"], ndarray]:
    """Order in which Prim's algorithm takes the points, their tree parents, their edges' lengths.

    The largest edge between two points of the tree is the largest length joined between their
    turns: whatever is taken in between is no farther from the points taken before.

    Returns:
        ``(order, parent, joined)``; the root is point 0.
    """
    K = len(D)
    order, parent = np.zeros(K, dtype=np.int64), np.zeros(K, dtype=np.int64)
    joined = np.zeros(K)
    best = D[0].astype(np.float64)
    open_ = np.ones(K, dtype=bool)
    open_[0], best[0] = False, np.inf
    for t in range(1, K):
        new = int(best.argmin())
        order[t], joined[t] = new, best[new]
        open_[new], best[new] = False, np.inf
        closer = (open_ & (D[new] < best)).nonzero()[0]
        best[closer], parent[closer] = D[new].take(closer), new
    return order, parent, joined


def _check_distances(D: Real[ndarray, "K K"]) -> None:
    if D.ndim != 2 or D.shape[0] != D.shape[1] or len(D) < 2:
        raise ValueError(f"D must be a square matrix of at least 2 rows, got shape {D.shape}")
    if not np.isfinite(D).all() or D.min() < 0:
        raise ValueError(f"D must hold finite numbers >= 0, got minimum {D.min()}")
    if (D != D.T).any() or D.diagonal().any():
        raise ValueError("D must be symmetric with zero diagonal")


def _way(parent: Int[ndarray, "K"], i: int, j: int) -> list[int]:
    def up(node: int) -> list[int]:
        nodes = [node]
        while node:
            node = int(parent[node])
            nodes.append(node)
        return nodes

    a, b = up(i), up(j)
    while len(a) > 1 and len(b) > 1 and a[-2] == b[-2]:
        a.pop()
        b.pop()
    return [*a, *reversed(b[:-1])]
