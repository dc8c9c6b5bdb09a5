"""From nested lists, pairs, paths and JSON to a parent array. Stdlib only; nothing recurses.

Each reader lists the nodes as ``key -> (parent key, name)``; `assemble` checks and numbers them.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A node as a reader found it.

    Attributes:
        parent: Key of the parent; None for a root.
        name: What the user called it; None if nothing.
    """

    parent: Hashable | None
    name: str | None


Arrays = tuple[tuple[int, ...], tuple[str, ...]]
# What stands behind the children of a list on the stack of `parse_nested`.
CLOSE = object()


def parse_nested(nested: Any, classes: Sequence[str] | None) -> Arrays:
    """Read nested lists.

    Args:
        nested: Inner nodes are sequences or ``{"name", "children"}``; leaves class indices (all of
            0..K-1) or names.
        classes: Class order; by default that of the indices or of appearance.

    Returns:
        Parents and names of the nodes, leaves first.

    Raises:
        ValueError: If it is not a tree of at least two distinct leaves.
    """
    entries: dict[Hashable, Entry] = {}
    leaves: list[int | str] = []
    stack: list[tuple[Any, int | None]] = [(nested, None)]
    around: set[int | None] = set()  # the lists around a node, by identity
    while stack:
        node, parent = stack.pop()
        if node is CLOSE:
            around.remove(parent)
            continue
        key = len(entries)
        name, children = _inner_or_leaf(node)
        if children is None:
            leaves.append(name)
            name = str(name)
        elif id(children) in around:
            raise ValueError("nested must have no cycle, got a list that contains itself")
        else:
            around.add(id(children))
            stack.append((CLOSE, id(children)))
        entries[key] = Entry(parent, name)
        stack.extend((child, key) for child in reversed(children or ()))
    if classes is None and any(isinstance(leaf, Integral) for leaf in leaves):
        classes = _index_classes(leaves)
    return assemble(entries, classes)


def _inner_or_leaf(node: Any) -> tuple[Any, Sequence | None]:
    name = None
    if isinstance(node, Mapping):
        if "name" not in node:
            raise ValueError(f"nested must give each dict node a name, got keys {sorted(node)}")
        name, node = node["name"], node.get("children", node["name"])
    if _is_label(node):
        return node, None
    if name is not None and not _is_label(name):
        raise ValueError(f"nested must name nodes by strings, got {name!r}")
    if not isinstance(node, list | tuple):
        raise ValueError(f"nested must hold lists and leaves, got {node!r}")
    if not node:
        which = "an empty list" if name is None else f"none for {name!r}"
        raise ValueError(f"nested must give each inner node a child, got {which}")
    return None if name is None else str(name), node


def _is_label(value: Any) -> bool:
    return isinstance(value, str | Integral) and not isinstance(value, bool)


def _index_classes(leaves: Sequence[int | str]) -> list[str]:
    K = len(leaves)
    for leaf in leaves:
        if isinstance(leaf, str) or not 0 <= leaf < K:
            raise ValueError(f"leaf indices must be 0..K-1={K - 1}, got {leaf!r}")
    return [str(k) for k in range(K)]


def parse_pairs(pairs: Iterable[tuple[str, str | None]], classes: Sequence[str] | None) -> Arrays:
    """Read ``(child, parent)`` pairs.

    Args:
        pairs: One a node; the root has parent None or no pair at all.
        classes: Class order; by default that of appearance.

    Returns:
        Parents and names of the nodes, leaves first.

    Raises:
        ValueError: If they are not a tree of at least two leaves.
    """
    entries: dict[Hashable, Entry] = {}
    for pair in pairs:
        child, parent = _pair(pair)
        if child in entries:
            first = entries[child].parent
            raise ValueError(f"pairs must name each child once, got {child!r} under {first!r} "
                             f"and {parent!r}")  # fmt: skip
        entries[child] = Entry(parent, str(child))
    declared = [child for child, entry in entries.items() if entry.parent is None]
    for child, entry in tuple(entries.items()):
        if entry.parent is not None and entry.parent not in entries:
            if declared:
                raise ValueError(
                    f"pairs must hold each parent as a child too (the root is {declared[0]!r}), "
                    f"missing {entry.parent!r} of {child!r}"
                )
            entries[entry.parent] = Entry(None, str(entry.parent))
    return assemble(entries, classes)


def _pair(pair: Any) -> tuple[Hashable, Hashable | None]:
    if isinstance(pair, str) or not hasattr(pair, "__len__") or len(pair) != 2:
        raise ValueError(f"pairs must hold (child, parent) pairs, got {pair!r}")
    child, parent = pair
    for label in (child,) if parent is None else (child, parent):
        if not _is_label(label):
            raise ValueError(f"pairs must name nodes by strings, got {label!r}")
    return child, parent


def parse_paths(paths: Iterable[str], separator: str, classes: Sequence[str] | None) -> Arrays:
    """Read label paths from the top down to the class.

    Args:
        paths: One a class, ``animal/mammal/cat``.
        separator: What separates the labels.
        classes: Class order; by default that of the paths.

    Returns:
        Parents and names of the nodes, leaves first.

    Raises:
        ValueError: If they are not a tree of at least two distinct leaves.
    """
    if isinstance(paths, str) or not separator:
        what = "one string" if separator else "an empty separator"
        raise ValueError(f"paths must be a sequence of strings with a separator, got {what}")
    top = ("",)
    entries: dict[tuple[str, ...], Entry] = {top: Entry(None, "root")}
    ends: dict[tuple[str, ...], str] = {}
    for path in paths:
        labels = path.split(separator) if isinstance(path, str) else ("",)
        if not all(labels):
            raise ValueError(f"paths must be strings with no empty label, got {path!r}")
        key = top
        for label in labels:
            parent, key = key, (*key, label)
            entries.setdefault(key, Entry(parent, label))
        if key in ends:
            raise ValueError(f"paths must name each leaf once, got {path!r} twice")
        ends[key] = path
    if not ends:
        raise ValueError("paths must name at least 2 leaves, got none")
    below = {key[:-1]: key[-1] for key in entries}
    for end, path in ends.items():
        if end in below:
            raise ValueError(f"paths must end at leaves, {path!r} has the child {below[end]!r}")
    firsts = [key for key in entries if key[:-1] == top]
    if len(firsts) == 1 and firsts[0] not in ends:
        del entries[top]
        entries[firsts[0]] = Entry(None, firsts[0][-1])
    return assemble(entries, [key[-1] for key in ends] if classes is None else classes)


def parse_json(source: str | Path | Mapping[str, Any], classes: Sequence[str] | None) -> Arrays:
    """Read ``{"tree": {"name", "children"}, "class_order": [...]}`` or a file that holds it.

    Args:
        source: Path, or the data.
        classes: Class order; by default ``class_order``, else that of appearance.

    Returns:
        Parents and names of the nodes, leaves first.

    Raises:
        ValueError: If the data are not of that form.
    """
    if isinstance(source, str | Path):
        try:
            source = json.loads(Path(source).read_text("utf-8-sig"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"source must be JSON, got {error}") from error
        except RecursionError as error:
            raise ValueError("source must not nest deeper than JSON can, use pairs") from error
    if not isinstance(source, Mapping) or "tree" not in source:
        raise ValueError("source must be a mapping with the key 'tree'")
    order = source.get("class_order") if classes is None else classes
    parent, names = parse_nested(source["tree"], order)
    K, stated = len(parent) - len({p for p in parent if p >= 0}), source.get("num_classes")
    if stated is not None and stated != K:
        raise ValueError(f"num_classes must be the number of leaves {K}, got {stated!r}")
    return parent, names


def assemble(entries: Mapping[Any, Entry], classes: Sequence[str] | None) -> Arrays:
    """Number the nodes: leaves in class order, then inner nodes in preorder (the root first).

    Args:
        entries: The nodes; every parent is one of them.
        classes: Class order; by default that of the preorder.

    Returns:
        Parents and names.

    Raises:
        ValueError: If there is not exactly one root, a cycle, a repeated leaf name, or ``classes``
            are not exactly the leaves.
    """
    children: dict[Hashable, list[Hashable]] = {key: [] for key in entries}
    roots = []
    for key, entry in entries.items():
        (roots if entry.parent is None else children[entry.parent]).append(key)
    if len(roots) > 1:
        shown = " and ".join(repr(entries[key].name) for key in roots[:2])
        raise ValueError(f"tree must have one root, got {len(roots)}: {shown}")
    preorder, stack = [], list(roots)
    while stack:
        key = stack.pop()
        preorder.append(key)
        stack.extend(reversed(children[key]))
    if len(preorder) < len(entries):
        raise ValueError(f"tree must have no cycle, got {_cycle(entries, set(preorder))}")
    leaf = {}
    for key in preorder:
        if not children[key]:
            name = str(entries[key].name)
            if name in leaf:
                raise ValueError(f"tree must name each leaf once, got {name!r} twice")
            leaf[name] = key
    if classes is not None:
        if isinstance(classes, str) or not isinstance(classes, Iterable):
            raise ValueError(f"classes must be a sequence of names, got {classes!r}")
        classes = [str(name) for name in classes]
        _check_classes(classes, leaf, {entry.name for entry in entries.values()})
    order = [leaf[name] for name in (leaf if classes is None else classes)]
    order += [key for key in preorder if children[key]]
    index = {key: i for i, key in enumerate(order)}
    parents = (entries[key].parent for key in order)
    return (
        tuple(-1 if parent is None else index[parent] for parent in parents),
        tuple(entries[key].name or f"node{i}" for i, key in enumerate(order)),
    )


def _check_classes(classes: Sequence[str], leaf: Mapping[str, Any], names: set) -> None:
    seen = set()
    for name in classes:
        if name in seen:
            raise ValueError(f"classes must be distinct, got {name!r} twice")
        if name not in leaf:
            kind = "an inner node" if name in names else "not in the tree"
            raise ValueError(f"classes must be leaves of the tree, {name!r} is {kind}")
        seen.add(name)
    for name in leaf:
        if name not in seen:
            raise ValueError(f"classes must hold every leaf of the tree, missing {name!r}")


def _cycle(entries: Mapping[Any, Entry], reached: set) -> str:
    key: Any = next(key for key in entries if key not in reached)
    walked = []
    while key not in walked:
        walked.append(key)
        key = entries[key].parent
    loop = [*walked[walked.index(key) :], key]
    return " -> ".join(str(entries[k].name) for k in loop)
