"""A class hierarchy as a parent array, and the structure every formula on it needs.

Stdlib only: model statements contain trees, and the command line reads those without NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ufm._spec import spec
from ufm.hierarchy._parse import parse_json, parse_nested, parse_pairs, parse_paths


Convention = Literal["height", "depth"]


@spec
class Tree:
    """A rooted tree whose leaves 0..K-1 are the classes.

    Attributes:
        parent: Parent of each node, -1 for the root; the leaves come first.
        names: Name of each node, or none at all; leaf names are distinct.

    Raises:
        ValueError: If there is not exactly one root, a parent is missing, there is a cycle, fewer
            than two leaves, or leaves are not the first nodes.

    >>> tree = Tree.from_nested([[0, 1], [2, [3, 4]]])
    >>> tree.K, tree.height, tree.parent
    (5, 3, (6, 6, 7, 8, 8, -1, 5, 5, 7))
    """

    parent: tuple[int, ...]
    names: tuple[str, ...] = ()

    def __post_init__(self):
        for field in ("parent", "names"):
            given = getattr(self, field)
            if isinstance(given, str) or not isinstance(given, Iterable):
                raise ValueError(f"{field} must have one entry a node, got {given!r}")
            object.__setattr__(self, field, tuple(given))
        nodes = len(self.parent)
        for name in self.names:
            if not isinstance(name, str):
                raise ValueError(f"names must be strings, got {name!r}")
        if self.names and len(self.names) != nodes:
            raise ValueError(f"names must have one entry a node ({nodes}), got {len(self.names)}")
        self._check_parents(nodes)
        if len(self.preorder) < nodes:
            lost = min(set(range(nodes)) - set(self.preorder))
            raise ValueError(f"parent must have no cycle, node {lost} does not reach the root")
        if self.K < 2:
            raise ValueError(f"tree must have at least 2 leaves, got {self.K}")
        for leaf in range(self.K):
            if self.children[leaf]:
                raise ValueError(f"parent must number the K={self.K} leaves first, "
                                 f"node {leaf} has a child")  # fmt: skip
        if len(set(self.classes)) < self.K:
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise ValueError(f"names must name each leaf once, got {twice!r} twice")

    def _check_parents(self, nodes: int) -> None:
        for node, parent in enumerate(self.parent):
            if isinstance(parent, bool) or not isinstance(parent, int):
                raise ValueError(f"parent must hold integers, got {parent!r} for node {node}")
            if not -1 <= parent < nodes:
                raise ValueError(f"parent must hold nodes 0..{nodes - 1} or -1, missing {parent} "
                                 f"of node {node}")  # fmt: skip
        roots = [node for node, parent in enumerate(self.parent) if parent == -1]
        if len(roots) != 1:
            raise ValueError(f"parent must have one root (-1), got {len(roots)}: {roots[:2]}")

    @classmethod
    def from_nested(cls, nested: Any, *, classes: Sequence[str] | None = None) -> Tree:
        """Tree from nested lists.

        Args:
            nested: An inner node is a list of its children (or ``{"name", "children"}``), a leaf
                the class's index (all of 0..K-1) or its name.
            classes: Class order of named leaves; by default that of appearance.

        Returns:
            The tree.
        """
        return cls(*parse_nested(nested, classes))

    @classmethod
    def from_pairs(
        cls, pairs: Iterable[tuple[str, str | None]], *, classes: Sequence[str] | None = None
    ) -> Tree:
        """Tree from ``(child, parent)`` pairs.

        Args:
            pairs: One for each node; the root's parent is None, or the root has no pair.
            classes: Class order; by default that of a walk through the tree.

        Returns:
            The tree.

        >>> Tree.from_pairs([("cat", "animal"), ("dog", "animal"), ("animal", "thing"),
        ...                  ("car", "thing")]).classes
        ('cat', 'dog', 'car')
        """
        return cls(*parse_pairs(pairs, classes))

    @classmethod
    def from_paths(
        cls, paths: Iterable[str], *, separator: str = "/", classes: Sequence[str] | None = None
    ) -> Tree:
        """Tree from label paths; labels that all paths share at the top become the root.

        Args:
            paths: One for each class, ``animal/mammal/cat``; the last label is the class.
            separator: What separates the labels.
            classes: Class order; by default that of the paths.

        Returns:
            The tree.
        """
        return cls(*parse_paths(paths, separator, classes))

    @classmethod
    def from_json(
        cls, source: str | Path | Mapping[str, Any], *, classes: Sequence[str] | None = None
    ) -> Tree:
        """Tree from what `to_json` returns, or from a file that holds it.

        Args:
            source: Path, or the data: ``"tree"`` is ``{"name", "children": [...]}`` with leaves as
                strings; ``"class_order"`` and ``"num_classes"`` are optional.
            classes: Class order; by default ``class_order``, else that of appearance.

        Returns:
            The tree.
        """
        return cls(*parse_json(source, classes))

    @cached_property
    def K(self) -> int:
        """Number of leaves."""
        return len(self.parent) - len({parent for parent in self.parent if parent >= 0})

    @cached_property
    def root(self) -> int:
        """The root node."""
        return self.parent.index(-1)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Name of each class; its index if the tree has no names."""
        return self.names[: self.K] or tuple(str(k) for k in range(self.K))

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Children of each node, in node order."""
        found: list[list[int]] = [[] for _ in self.parent]
        for node, parent in enumerate(self.parent):
            if parent >= 0:
                found[parent].append(node)
        return tuple(map(tuple, found))

    @cached_property
    def preorder(self) -> tuple[int, ...]:
        """All nodes, each before its descendants."""
        found, stack = [], [self.root]
        while stack:
            node = stack.pop()
            found.append(node)
            stack.extend(reversed(self.children[node]))
        return tuple(found)

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Number of edges from the root to each node."""
        found = [0] * len(self.parent)
        for node in self.preorder[1:]:
            found[node] = found[self.parent[node]] + 1
        return tuple(found)

    @cached_property
    def heights(self) -> tuple[int, ...]:
        """Length of the longest way down from each node to a leaf; 0 for leaves."""
        found = [0] * len(self.parent)
        for node in reversed(self.preorder[1:]):
            parent = self.parent[node]
            found[parent] = max(found[parent], found[node] + 1)
        return tuple(found)

    @property
    def height(self) -> int:
        """Height H of the tree, the largest depth."""
        return self.heights[self.root]

    @cached_property
    def apex(self) -> int:
        """Lowest common ancestor of all leaves: the root, below the single children it may have."""
        node = self.root
        while len(self.children[node]) == 1:
            node = self.children[node][0]
        return node

    @cached_property
    def leaf_order(self) -> tuple[int, ...]:
        """Classes in the order of `preorder`; the leaves below a node are a slice of it."""
        return tuple(node for node in self.preorder if node < self.K)

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """The slice ``(lo, hi)`` of `leaf_order` below each node."""
        low, size = [0] * len(self.parent), [0] * len(self.parent)
        seen = 0
        for node in self.preorder:
            low[node] = seen
            seen += node < self.K
        for node in reversed(self.preorder):
            size[node] += node < self.K
            if self.parent[node] >= 0:
                size[self.parent[node]] += size[node]
        return tuple((lo, lo + m) for lo, m in zip(low, size, strict=True))

    def labels(self, convention: Convention = "height") -> tuple[int, ...]:
        r"""Label of each node; two leaves are as far apart as their lowest common ancestor's label.

        Labels are 0 at leaves and fall strictly on the way down, so the distance is an ultrametric
        in either convention. They agree when all leaves have the same depth.

        Args:
            convention: ``height``: the node's height. ``depth``: the tree's height less the node's
                depth, which is what the published distance files hold.

        Returns:
            Labels.

        Raises:
            ValueError: If the convention is neither.

        References:
            Bertinetto et al. (2020) [bertinetto2020]_; Liang and Davis (2023) [liang2023]_.
        """
        if convention == "height":
            return self.heights
        if convention != "depth":
            raise ValueError(f"convention must be 'height' or 'depth', got {convention!r}")
        top, K = self.height, self.K
        return tuple(0 if v < K else top - depth for v, depth in enumerate(self.depths))

    def d_max(self, convention: Convention = "height") -> int:
        """Largest distance between two leaves.

        Args:
            convention: Which distance.

        Returns:
            The label of the `apex`; below the tree's height if the root has a single child.
        """
        return self.labels(convention)[self.apex]

    def canonical(self) -> Tree:
        """The same hierarchy without names, its nodes numbered by the classes below them alone.

        Returns:
            The tree; equal hierarchies of the same classes give equal trees.
        """
        first = list(range(len(self.parent)))
        for node in reversed(self.preorder):
            if node >= self.K:
                first[node] = min(first[child] for child in self.children[node])
        order, stack = list(range(self.K)), [self.root]
        while stack:
            node = stack.pop()
            if node >= self.K:
                order.append(node)
            stack.extend(sorted(self.children[node], key=first.__getitem__, reverse=True))
        index = {node: i for i, node in enumerate(order)}
        return Tree(tuple(index.get(self.parent[node], -1) for node in order))

    def to_pairs(self) -> list[tuple[str, str]]:
        """``(child, parent)`` pairs, parents before their children's children.

        ``Tree.from_pairs(tree.to_pairs(), classes=tree.classes)`` gives the tree back.

        Returns:
            One pair for each node but the root.

        Raises:
            ValueError: If two nodes share a name.
        """
        names = self._node_names
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"names must be distinct to be written as pairs, got {twice!r} twice")
        return [(names[node], names[self.parent[node]]) for node in self.preorder[1:]]

    def to_json(self) -> dict[str, Any]:
        """JSON data that `from_json` reads.

        Returns:
            Nested dictionaries.
        """
        names = self._node_names
        written: list[Any] = list(names)
        for node in reversed(self.preorder):
            if node >= self.K:
                below = [written[child] for child in self.children[node]]
                written[node] = {"name": names[node], "children": below}
        return {
            "num_classes": self.K,
            "height": self.height,
            "class_order": list(self.classes),
            "tree": written[self.root],
        }

    @property
    def _node_names(self) -> tuple[str, ...]:
        return self.names or tuple(
            f"{'' if node < self.K else 'node'}{node}" for node in range(len(self.parent))
        )
