r"""A tree's similarity matrix as an electrical network. Torch-free, O(nodes), nothing cancels.

Below the apex give each node's edge to its parent the resistance
:math:`c_v = f(h_v) - f(h_{\text{parent}}) \ge 0` and ground the leaves. With
:math:`F_{ij} = f(d_{ij})`, all-ones :math:`\mathbf 1` and T = 1 - f(D),

.. math:: F = f(D)\,\mathbf 1\mathbf 1^\top + M, \qquad
    M = \sum_{v\ne\text{apex}} c_v\,\mathbf 1_v\mathbf 1_v^\top, \qquad
    R = 1/(\mathbf 1^\top M^{-1}\mathbf 1)

and R is the effective resistance from the apex to ground: :math:`M y = \mathbf 1` says that the
potential drops along every way down sum to one. So the magnitude of F is
:math:`m = 1/(f(D) + R)` and :math:`S = (1-s)F + s\mathbf 1\mathbf 1^\top` is positive semidefinite
iff :math:`s \ge s^* = -1/(m-1) = -(f(D)+R)/(T-R)`, where :math:`T - R \ge T/2`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ufm.counts import check_number
from ufm.geometry.similarity import Similarity
from ufm.hierarchy.tree import Convention, Tree


class Merge(NamedTuple):
    r"""Two neighbouring groups of leaves joined at one node: a contrast between them.

    Attributes:
        lo: First leaf (in `Tree.leaf_order`) of the first group.
        mid: First leaf of the second group.
        hi: End of the second group.
        first: Entry of the contrast on the first group, >= 0.
        second: Minus its entry on the second group, >= 0.
    """

    lo: int
    mid: int
    hi: int
    first: float
    second: float


@dataclass(frozen=True)
class Network:
    """The network of a tree and a similarity map.

    Attributes:
        tree: The hierarchy.
        edge: Resistance ``c_v`` of each node's edge to its parent; 0 at the apex and above.
        below: Effective resistance of each node to ground; 0 at leaves.
        far: Similarity ``f(D)`` of the most distant leaves.
        fall: ``T = 1 - f(D)``.
    """

    tree: Tree
    edge: tuple[float, ...]
    below: tuple[float, ...]
    far: float
    fall: float

    @classmethod
    def of(cls, tree: Tree, similarity: Similarity, convention: Convention = "height") -> Network:
        """Solve the network from the leaves up.

        Args:
            tree: The hierarchy.
            similarity: Non-increasing map; other maps have no such network.
            convention: Which distance.

        Returns:
            The network.

        Raises:
            ValueError: If the map rises somewhere or is constant.
        """
        labels, D, apex = tree.labels(convention), tree.d_max(convention), tree.apex
        _refuse_rising(tree, similarity, convention)
        similarity.check(D)
        drops: dict[tuple[int, int], float] = {}
        edge, conductance = [0.0] * len(tree.parent), [0.0] * len(tree.parent)
        below = [0.0] * len(tree.parent)
        start = tree.preorder.index(apex)
        for node in reversed(tree.preorder[start + 1 :]):
            parent = tree.parent[node]
            near, far = labels[node], labels[parent]
            if (near, far) not in drops:
                drops[near, far] = similarity.drop(near, far, D)
            edge[node] = drops[near, far]
            if node >= tree.K:
                below[node] = 1 / conductance[node]
            resistance = edge[node] + below[node]
            conductance[parent] += 1 / resistance if resistance > 0 else float("inf")
        below[apex] = 1 / conductance[apex]
        far = similarity.at(D, D)
        return cls(tree, tuple(edge), tuple(below), far, similarity.drop(0, D, D))

    @property
    def resistance(self) -> float:
        """Effective resistance R from the apex to ground."""
        return self.below[self.tree.apex]

    @property
    def magnitude(self) -> float:
        r"""Magnitude :math:`m = \mathbf 1^\top F^{-1}\mathbf 1`, between 1 and K if f >= 0.

        Infinite where F is singular, which takes a negative f(D).
        """
        total = self.far + self.resistance
        return 1 / total if total else math.inf

    @property
    def s_min(self) -> float:
        """The most negative feasible asymptote s*."""
        return -(self.far + self.resistance) / (self.fall - self.resistance)

    def merges(self) -> list[Merge]:
        r"""Contrasts that make up the frame without its common direction.

        Writing a block as :math:`x\,\mathbf 1\mathbf 1^\top + A A^\top`, joining blocks x and y
        into one with :math:`xy/(x+y)` adds the column :math:`(x, -y)/\sqrt{x+y}` to A: weighted
        Helmert contrasts, one column a merge and K - 1 in all. Merges of identical leaves
        (x = y = 0) add nothing and are left out.

        Returns:
            The merges, parents first; as many as the frame at s* has dimensions.
        """
        tree, spans, found = self.tree, self.tree.spans, []
        for node in tree.preorder:
            children = tree.children[node]
            if len(children) < 2:
                continue
            lo = spans[node][0]
            x = self.edge[children[0]] + self.below[children[0]]
            for child in children[1:]:
                y = self.edge[child] + self.below[child]
                if x + y > 0:
                    root = (x + y) ** 0.5
                    found.append(Merge(lo, *spans[child], x / root, y / root))
                    x = x * y / (x + y)
        return found

    def rank(self, s: float) -> int:
        """Rank of S: one for each merge of distinct groups, one more above s*.

        Args:
            s: Asymptote in [s*, 1).

        Returns:
            The rank; K - 1 at s* and K above if no classes coincide.
        """
        return len(self.merges()) + (s > self.s_min)

    def shares(self) -> list[float]:
        r"""Unit vector :math:`p = B^\top M^{-1}\mathbf 1/\sqrt{\mu}`, an entry each node.

        :math:`p_v = \sqrt{c_v}\,I_v\sqrt R`, I_v the current through the node's edge when the
        apex is at potential 1: the squares are the shares of the power and sum to one.

        Returns:
            The entries; 0 at the apex and above.
        """
        tree, found = self.tree, [0.0] * len(self.tree.parent)
        current = [0.0] * len(self.tree.parent)
        current[tree.apex] = 1 / self.resistance
        for node in tree.preorder[tree.preorder.index(tree.apex) + 1 :]:
            if self.edge[node] == 0.0 and self.below[node] == 0.0:
                continue  # a short circuit: whatever flows, no power is lost in it
            parent = tree.parent[node]
            share = self.below[parent] / (self.edge[node] + self.below[node])
            current[node] = current[parent] * share
            found[node] = (self.edge[node] * self.resistance) ** 0.5 * current[node]
        return found


def _refuse_rising(tree: Tree, similarity: Similarity, convention: Convention) -> None:
    D = tree.d_max(convention)
    similarity.check_domain(D)
    if all(similarity.drop(d, d + 1, D) >= 0 for d in range(D)):
        return
    import numpy as np  # here because specs are torch- and NumPy-free, and this is an error

    from ufm.hierarchy.distances import distance_matrix

    F = np.array([similarity.at(d, D) for d in range(D + 1)])[distance_matrix(tree, convention)]
    lowest = float(np.linalg.eigvalsh(F)[0])
    try:
        similarity.check(D)
    except ValueError as error:
        raise ValueError(f"{error}; smallest eigenvalue of f(d_ij): {lowest:.6g}") from None


def smallest_s(tree: Tree, similarity: Similarity, *, convention: Convention = "height") -> float:
    r"""Most negative asymptote s* for which the similarity matrix is positive semidefinite.

    :math:`s^* = -1/(m-1)` with the magnitude :math:`m = \mathbf 1^\top F^{-1}\mathbf 1`, by one
    pass over the nodes; below -1 it is as valid as above (s is not an entry of S).

    Args:
        tree: The hierarchy.
        similarity: Non-increasing similarity map.
        convention: Which distance.

    Returns:
        s*; S has rank one less there.

    Raises:
        ValueError: If the map rises somewhere or is constant.

    >>> from ufm.geometry.similarity import Exponential
    >>> smallest_s(Tree.from_nested([[[0, 1], [2, 3]], [[4, 5], [6, 7]]]), Exponential(2.0))
    -0.47654...
    """
    return Network.of(tree, similarity, convention).s_min


def check_s(s: float | None, network: Network) -> float:
    """The asymptote to use, exactly s* if ``s`` is None or equals it to rounding.

    Args:
        s: Asymptote, or None for s*.
        network: The tree's network.

    Returns:
        The asymptote.

    Raises:
        ValueError: If ``s`` is below s* (the message says s*) or not below 1.
    """
    s_min = network.s_min
    s = None if s is None else check_number("s", s, -math.inf)
    if s is None or abs(s - s_min) <= 1e-12 * (1 - s_min):
        return s_min
    if not s_min < s < 1:
        raise ValueError(f"s must be in [s*, 1) with s* = {s_min!r}, got {s!r}")
    return s
