"""Trees: every way in and out, both distances against brute force, the ultrametric check."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import MIXED, balanced, caterpillar, flat, random_tree, shared_tree

from ufm._spec import canonical, decode, encode
from ufm.hierarchy import Tree, distance_matrix, load, ultrametric_witness


trees = st.builds(random_tree, st.integers(2, 24), st.integers(0, 10_000))


def ancestors(tree: Tree, node: int) -> list[int]:
    found = [node]
    while tree.parent[node] >= 0:
        node = tree.parent[node]
        found.append(node)
    return found


def brute_force(tree: Tree, convention: str) -> np.ndarray:
    depth = [len(ancestors(tree, node)) - 1 for node in range(len(tree.parent))]
    height = [
        max(depth[leaf] - depth[v] for leaf in range(tree.K) if v in ancestors(tree, leaf))
        for v in range(len(tree.parent))
    ]
    D = np.zeros((tree.K, tree.K), dtype=int)
    for i, j in itertools.permutations(range(tree.K), 2):
        lca = next(v for v in ancestors(tree, i) if v in ancestors(tree, j))
        D[i, j] = height[lca] if convention == "height" else max(depth) - depth[lca]
    return D


@given(trees, st.sampled_from(["height", "depth"]))
def test_distances_are_those_of_the_lowest_common_ancestor(tree, convention):
    D = distance_matrix(tree, convention)
    assert np.array_equal(D, brute_force(tree, convention))
    assert tree.d_max(convention) == D.max()
    assert ultrametric_witness(D) is None


def test_conventions_differ_on_unbalanced_trees_only():
    for tree in (balanced(2, 3), flat(4), load("cifar100_level5")):
        assert (distance_matrix(tree, "height") == distance_matrix(tree, "depth")).all()
    # Siblings at depth 2 of a tree of height 3: one apart by height, two by depth.
    tree = Tree.from_nested([[0, 1], [2, [3, 4]]])
    assert distance_matrix(tree, "height")[0, 1] == 1
    assert distance_matrix(tree, "depth")[0, 1] == 2


def test_single_child_chains_add_to_the_height():
    tree = Tree.from_nested([[[[0, 1]]], 2])
    assert tree.height == 4
    assert distance_matrix(tree)[0].tolist() == [0, 1, 4]
    rooted = Tree.from_nested([[[0, 1], 2]])  # a root with one child: d_max is not the height
    assert (rooted.height, rooted.d_max("height"), rooted.d_max("depth")) == (3, 2, 2)


PATHS = ["animal/mammal/cat", "animal/mammal/dog", "animal/owl", "car"]
PAIRS = [
    ("car", "thing"), ("animal", "thing"), ("owl", "animal"), ("mammal", "animal"),
    ("dog", "mammal"), ("cat", "mammal"),
]  # fmt: skip
NESTED = [[["cat", "dog"], "owl"], "car"]
CLASSES = ("cat", "dog", "owl", "car")


def test_every_way_in_gives_the_same_tree():
    named = Tree.from_nested(NESTED, classes=CLASSES)
    for tree in (
        Tree.from_paths(PATHS),
        Tree.from_paths([path.replace("/", " > ") for path in PATHS], separator=" > "),
        Tree.from_pairs(PAIRS, classes=CLASSES),
        Tree.from_pairs([("thing", None), *PAIRS], classes=CLASSES),
        Tree.from_json({"tree": {"name": "x", "children": [
            {"name": "y", "children": [{"name": "z", "children": ["dog", {"name": "cat"}]}, "owl"]},
            "car"]}}, classes=CLASSES),
    ):  # fmt: skip
        assert tree.classes == CLASSES
        assert tree.canonical() == named.canonical()


def test_shared_top_label_is_the_root():
    assert Tree.from_paths(["a/b/x", "a/b/y", "a/z"]).height == 2
    assert Tree.from_paths(["b/x", "b/y", "z"]).height == 2


def test_classes_come_in_any_order():
    orders = itertools.permutations(CLASSES)
    reference = distance_matrix(Tree.from_paths(PATHS))
    for order in orders:
        D = distance_matrix(Tree.from_paths(PATHS, classes=order))
        index = [CLASSES.index(name) for name in order]
        assert np.array_equal(D, reference[np.ix_(index, index)])


@given(trees, st.randoms(use_true_random=False))
def test_round_trips(tree, rng):
    pairs = tree.to_pairs()
    rng.shuffle(pairs)
    assert Tree.from_pairs(pairs, classes=tree.classes).canonical() == tree.canonical()
    assert Tree.from_json(tree.to_json()) == tree
    assert Tree.from_json(json.loads(json.dumps(tree.to_json()))) == tree
    assert decode(json.loads(json.dumps(encode(tree)))) == tree
    assert tree.canonical().canonical() == tree.canonical()
    assert (distance_matrix(tree.canonical()) == distance_matrix(tree)).all()


def test_file(tmp_path):
    file = tmp_path / "tree.json"
    file.write_text(json.dumps(Tree.from_paths(PATHS).to_json()))
    assert Tree.from_json(file) == Tree.from_json(str(file))
    assert Tree.from_json(file).classes == CLASSES


def test_canonical_ignores_names_and_the_order_of_children():
    a = Tree.from_nested([[0, 1], [2, [3, 4]]])
    b = Tree.from_nested([[[4, 3], 2], [1, 0]])
    assert a != b
    assert canonical(a.canonical()) == canonical(b.canonical())
    assert a.canonical() != Tree.from_nested([[0, 2], [1, [3, 4]]]).canonical()


def test_shipped_trees():
    tree, levels = load("cifar100_level5"), [1, 2, 4, 8, 20, 100]
    assert [tree.depths.count(depth) for depth in range(6)] == levels
    assert tree.classes == tuple(sorted(tree.classes))  # the data set's label order
    coarse = load("cifar100_superclasses")
    assert coarse.classes == tree.classes
    assert [len(below) for below in coarse.children if below] == [20] + [5] * 20
    # The five-level tree refines the superclasses.
    assert ((distance_matrix(tree) == 1) == (distance_matrix(coarse) == 1)).all()


@pytest.mark.parametrize("name", ["cifar100_level5", "cifar100_superclasses"])
def test_shipped_trees_state_the_public_facts(name):
    assert load(name) == shared_tree(name)


@pytest.mark.parametrize(
    ("name", "levels", "differing"),
    [
        ("fgvc_aircraft", [1, 30, 70, 100], 0),
        ("inaturalist19", [1, 3, 4, 9, 34, 57, 72, 1010], 0),
        ("tiered_imagenet_h", [1, 2, 5, 21, 24, 65, 108, 146, 213, 127, 93, 36, 2], 100_766),
        ("imagenet1k_wordnet", None, 288_536),
    ],
)
def test_public_trees(name, levels, differing):
    tree = shared_tree(name)
    assert levels is None or [tree.depths.count(d) for d in range(tree.height + 1)] == levels
    assert (distance_matrix(tree, "height") != distance_matrix(tree, "depth")).sum() == differing


def test_deep_and_wide_trees_do_not_recurse():
    deep = caterpillar(3000)
    assert deep.height == 2999
    assert Tree.from_pairs(deep.to_pairs(), classes=deep.classes).canonical() == deep.canonical()
    assert distance_matrix(deep, "depth")[0, 1] == 2999
    assert distance_matrix(flat(3000)).max() == 1


@given(st.integers(3, 6), st.integers(0, 10_000))
def test_witness_is_found_iff_there_is_one(K, seed):
    D = np.random.default_rng(seed).integers(1, 4, (K, K))
    D = np.triu(D, 1) + np.triu(D, 1).T
    violations = {
        (i, j, k)
        for i, j, k in itertools.permutations(range(K), 3)
        if D[i, j] > max(D[i, k], D[k, j])
    }
    witness = ultrametric_witness(D)
    assert witness in violations if violations else witness is None


@given(trees, st.integers(0, 10_000))
def test_one_raised_entry_is_found(tree, seed):
    if tree.K < 3:
        return
    D = distance_matrix(tree).astype(float)
    i, j = np.random.default_rng(seed).choice(tree.K, 2, replace=False)
    D[i, j] = D[j, i] = D.max() + 1
    witness = ultrametric_witness(D)
    assert witness is not None
    a, b, c = witness
    assert {a, b} == {i, j}
    assert D[a, b] > max(D[a, c], D[c, b])


def test_path_length_is_no_ultrametric_on_unbalanced_trees():
    # Path length in [[0, 1], 2]: 2 between siblings, 3 to the shallow leaf 2: an ultrametric;
    # hang leaf 1 one edge deeper and it is not.
    assert ultrametric_witness(np.array([[0, 2, 3], [2, 0, 3], [3, 3, 0.0]])) is None
    assert ultrametric_witness(np.array([[0, 3, 3], [3, 0, 4], [3, 4, 0.0]])) in {
        (1, 2, 0), (2, 1, 0)}  # fmt: skip


@pytest.mark.parametrize(
    ("D", "message"),
    [
        (np.zeros((2, 3)), "square"),
        (np.array([[0, 1.0], [2, 0]]), "symmetric"),
        (np.array([[1, 1.0], [1, 0]]), "zero diagonal"),
        (np.array([[0, -1.0], [-1, 0]]), ">= 0"),
        (np.array([[0, np.nan], [np.nan, 0]]), "finite"),
    ],
)
def test_no_distances(D, message):
    with pytest.raises(ValueError, match=message):
        ultrametric_witness(D)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tree.from_pairs([("a", "b"), ("b", "c"), ("c", "a")]), "cycle, got a -> b -> c"),
        (lambda: Tree.from_pairs([("x", "r"), ("y", "r"), ("a", "a")]), "cycle, got a -> a"),
        (lambda: Tree.from_pairs([("a", "r"), ("b", "q")]), "one root, got 2: 'r' and 'q'"),
        (lambda: Tree.from_pairs([("r", None), ("a", "r"), ("b", "q")]), "missing 'q' of 'b'"),
        (lambda: Tree.from_pairs([("a", "r"), ("b", "r"), ("a", "b")]), "'a' under 'r' and 'b'"),
        (lambda: Tree.from_pairs([("a", "r")]), "at least 2 leaves, got 1"),
        (lambda: Tree.from_pairs([]), "one root"),
        (lambda: Tree.from_paths(["x/a", "y/a"]), "each leaf once, got 'a' twice"),
        (lambda: Tree.from_paths(["x/a", "x/a"]), "'x/a' twice"),
        (lambda: Tree.from_paths(["x/a", "x/a/b"]), "'x/a' has the child 'b'"),
        (lambda: Tree.from_paths(["x//a"]), "empty label, got 'x//a'"),
        (lambda: Tree.from_paths(["x/a"]), "at least 2 leaves"),
        (lambda: Tree.from_paths(PATHS, classes=["cat"]), "missing 'dog'"),
        (lambda: Tree.from_paths(PATHS, classes=["cow", *CLASSES]), "'cow' is not in the tree"),
        (lambda: Tree.from_paths(PATHS, classes=["mammal"]), "'mammal' is an inner node"),
        (lambda: Tree.from_paths(PATHS, classes=["cat", "cat"]), "'cat' twice"),
        (lambda: Tree.from_nested([["a", "b"], "a"]), "'a' twice"),
        (lambda: Tree.from_nested([[0, 1], 3]), "0..K-1=2, got 3"),
        (lambda: Tree.from_nested([[0, 1], 1]), "'1' twice"),
        (lambda: Tree.from_nested([0, "a"]), "0..K-1=1, got 'a'"),
        (lambda: Tree.from_nested([[], 0]), "a child, got an empty list"),
        (lambda: Tree.from_nested([0, 1.5]), "got 1.5"),
        (lambda: Tree.from_nested("a"), "at least 2 leaves"),
        (lambda: Tree.from_nested({"children": [0, 1]}), "a name"),
        (lambda: Tree.from_json({"leaves": []}), "key 'tree'"),
        (lambda: Tree.from_json({"tree": ["a", "b"], "num_classes": 3}), "leaves 2, got 3"),
        (
            lambda: Tree.from_pairs([("a", "r", "q")]),
            r"\(child, parent\) pairs, got \('a', 'r', 'q'\)",
        ),
        (lambda: Tree.from_pairs(["ar", "br"]), r"\(child, parent\) pairs, got 'ar'"),  # pyright: ignore
        (lambda: Tree.from_pairs([(["a"], "r")]), r"by strings, got \['a'\]"),
        (lambda: Tree.from_pairs([("a", 1.5)]), "by strings, got 1.5"),
        (lambda: Tree.from_paths("ab"), "got one string"),
        (lambda: Tree.from_paths(PATHS, separator=""), "got an empty separator"),
        (lambda: Tree.from_paths([]), "at least 2 leaves, got none"),
        (lambda: Tree.from_paths([1, 2]), "must be strings with no empty label, got 1"),
        (lambda: Tree.from_paths(PATHS, classes="ab"), "sequence of names, got 'ab'"),
        (lambda: Tree.from_nested([]), "a child, got an empty list"),
        (lambda: Tree.from_nested([0, [1, True]]), "got True"),
        (lambda: Tree.from_nested({"name": ["r"], "children": ["a", "b"]}), r"got \['r'\]"),
        (lambda: Tree.from_json({"tree": ["a", "b"], "class_order": 3}), "names, got 3"),
        (lambda: Tree.from_json({"tree": ["a", "b"], "class_order": []}), "missing 'a'"),
        (lambda: Tree(3), "one entry a node, got 3"),
        (lambda: Tree((2, 2, -1), "abc"), "one entry a node, got 'abc'"),
        (lambda: Tree((2, 2, -1), (1, 2, 3)), "names must be strings, got 1"),
        (lambda: Tree((-1, -1)), "one root"),
        (lambda: Tree((2, 5, -1)), "missing 5 of node 1"),
        (lambda: Tree((2, 2, -1, 4, 3)), "node 3 does not reach the root"),
        (lambda: Tree((-1, 0, 0)), "node 0 has a child"),
        (lambda: Tree((2, 2, -1), ("a", "a", "r")), "'a' twice"),
        (lambda: Tree((2, 2, -1), ("a",)), "one entry a node"),
        (lambda: Tree((1.0, -1)), "integers"),
        (lambda: flat(3).labels("width"), "'height' or 'depth', got 'width'"),
        (lambda: load("imagenet"), "cifar100_level5, cifar100_superclasses, got 'imagenet'"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_list_that_contains_itself_ends():
    """Only a list around itself is a cycle; the same list at two places is a leaf named twice."""
    loop: list = [0, [1]]
    loop[1].append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        Tree.from_nested(loop)
    pair = ["a", "b"]
    with pytest.raises(ValueError, match="'a' twice"):
        Tree.from_nested([pair, pair])


def test_classes_can_come_from_anything_iterable():
    names = ("cow", "cat", "dog")
    for classes in (list(names), np.array(names), (name for name in names)):
        assert Tree.from_nested([["cat", "dog"], "cow"], classes=classes).classes == names
    assert Tree.from_nested([[np.int64(2), np.int64(0)], 1]) == Tree.from_nested([[2, 0], 1])


def test_broken_files(tmp_path):
    file = tmp_path / "tree.json"
    file.write_text("{")
    with pytest.raises(ValueError, match="must be JSON"):
        Tree.from_json(file)
    file.write_bytes(b"\xff\xfe{")
    with pytest.raises(ValueError, match="must be JSON"):
        Tree.from_json(file)
    file.write_text('{"tree": ["a", "b"]}', encoding="utf-8-sig")  # as some editors save it
    assert Tree.from_json(file).classes == ("a", "b")
    file.write_text('{"tree": ' + "[" * 100_000)
    with pytest.raises(ValueError, match="JSON"):
        Tree.from_json(file)


def test_pairs_need_distinct_names():
    tree = Tree.from_paths(["x/same/a", "y/same/b"])
    with pytest.raises(ValueError, match="'same' twice"):
        tree.to_pairs()


def test_trees_need_neither_numpy_nor_torch():
    code = (
        "import sys; import ufm.hierarchy.tree, ufm.center_counts, ufm.geometry.specs; "
        "sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_mixed_tree_of_the_tables():
    assert distance_matrix(Tree.from_nested(MIXED))[5].tolist() == [3, 3, 3, 3, 2, 0, 1, 3]
