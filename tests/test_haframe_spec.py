"""The frame as a spec: keys, ranks, and the line each bad input gets."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from grams import gram_error
from tolerances import EXACT
from torch.testing import assert_close
from trees import MIXED, balanced, flat

from ufm._spec import canonical, decode, encode
from ufm.geometry import SimplexETF, frame
from ufm.geometry.gram_frames import (
    smallest_s_of_matrix,
)
from ufm.geometry.haframe import hierarchy_frame, node_frame, similarity_matrix
from ufm.geometry.similarity import Exponential, Linear, Table
from ufm.geometry.specs import HAFrame
from ufm.geometry.tree_network import smallest_s
from ufm.hierarchy import Tree
from ufm.problem import Fixed, Problem


RISING = Table((1.0, 0.1, 0.9, 0.0))


def test_spec_is_a_frame():
    tree = Tree.from_nested(MIXED)
    spec = HAFrame(tree, Exponential(2.0), E_W=2.0)
    assert decode(json.loads(json.dumps(encode(spec)))) == spec
    assert hash(spec) == hash(HAFrame(tree, Exponential(2.0), E_W=2.0))
    assert spec.rank == 7
    W = frame(spec, 8, 11)
    assert gram_error(W, 2 * similarity_matrix(tree, Exponential(2.0))) <= EXACT
    problem = Problem(K=8, d=7, n=(2,) * 8, classifier=Fixed(spec))
    assert decode(encode(problem)) == problem
    with pytest.raises(ValueError, match="d must be at least 7"):
        Problem(K=8, d=6, n=(2,) * 8, classifier=Fixed(spec))
    with pytest.raises(ValueError, match="d must be at least 8"):
        Problem(K=8, d=7, n=(2,) * 8, classifier=Fixed(HAFrame(tree, Exponential(2.0), s=0.0)))
    with pytest.raises(ValueError, match="K=7 leaves, got 8"):
        Problem(K=7, d=7, n=(2,) * 7, classifier=Fixed(spec))


def test_equal_hierarchies_give_equal_keys():
    a = HAFrame(Tree.from_nested([["a", "b"], ["c", "d"]]), Linear())
    b = HAFrame(Tree.from_nested([[3, 2], [1, 0]]), Linear())
    assert canonical(a) == canonical(b)
    assert canonical(a) != canonical(HAFrame(Tree.from_nested([[0, 2], [1, 3]]), Linear()))
    assert canonical(a) != canonical(HAFrame(Tree.from_nested([[0, 1], [2, 3]]), Exponential(1.0)))


def test_flat_spec_is_the_etf():
    spec = HAFrame(flat(5), Linear())
    assert_close(frame(spec, 5, 6), frame(SimplexETF(), 5, 6), rtol=0, atol=EXACT)


def test_s_next_to_s_min_is_s_min():
    tree, f = Tree.from_nested(MIXED), Exponential(2.0)
    s_min = smallest_s(tree, f)
    for s in (np.nextafter(s_min, -1), np.nextafter(s_min, 1), smallest_s_of_matrix(
            similarity_matrix(tree, f, s=0.0))):  # fmt: skip
        assert hierarchy_frame(tree, f, s=float(s)).shape[1] == 7  # no column of rounding noise
    assert hierarchy_frame(tree, f, s=s_min + 1e-9).shape[1] == 8


TREE = Tree.from_nested(MIXED)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Exponential(0.0), "gamma must be a finite number > 0, got 0.0"),
        (lambda: Exponential(-1.0), "gamma must be"),
        (lambda: Exponential(math.nan), "gamma must be"),
        (lambda: Table((0.9, 0.5)), "start with 1"),
        (lambda: Table((1.0,)), "at least two"),
        (lambda: Table((1.0, math.nan)), r"values\[1\]"),
        (lambda: HAFrame(TREE, Table((1.0, 0.5))), "each distance 0..3, got 2"),
        (lambda: HAFrame(TREE, Table((1.0, 1.0, 1.0, 1.0))), "fall below 1"),
        (
            lambda: HAFrame(balanced(2, 3), RISING),
            r"got 0.9 at distance 2 after 0.1; smallest eigenvalue of f\(d_ij\): -0.7$",
        ),
        (lambda: smallest_s(balanced(2, 3), RISING), "smallest eigenvalue of .*: -0.7$"),
        (lambda: HAFrame(TREE, Exponential(2.0), s=-0.9), r"s\* = -0.4631"),
        (lambda: HAFrame(TREE, Exponential(2.0), s=1.0), r"in \[s\*, 1\)"),
        (lambda: HAFrame(TREE, Exponential(2.0), s=math.inf), "finite"),
        (lambda: HAFrame(TREE, Exponential(2.0), E_W=0.0), "E_W"),
        (lambda: HAFrame(TREE, Exponential(2.0), convention="path"), "'path'"),
        (lambda: HAFrame([[0, 1], 2], Exponential(2.0)), "tree must be a Tree"),
        (lambda: HAFrame(TREE, 2.0), "similarity must be a Similarity"),
        (lambda: hierarchy_frame(TREE, Exponential(2.0), s=-0.9), r"s\* = -0.4631"),
        (lambda: node_frame(TREE, Exponential(2.0), s=-0.9), r"s\* = -0.4631"),
        (lambda: hierarchy_frame(TREE, Exponential(2.0), d=6), "rank 7, got 6"),
        (lambda: similarity_matrix(TREE, Exponential(2.0), s=1.5), "below 1, got 1.5"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
