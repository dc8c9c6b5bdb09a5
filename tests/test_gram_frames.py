"""Frames from matrices: rising maps, no ultrametrics, negative eigenvalues, any rank."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from grams import gram_error, spectrum
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT
from trees import balanced, random_tree

from ufm.geometry.gram_frames import (
    cholesky_frame,
    eigh_frame,
    grid_search_s,
    similarity_of_distances,
    smallest_s_of_matrix,
)
from ufm.geometry.haframe import hierarchy_frame, node_frame, similarity_matrix
from ufm.geometry.psd import check_gram
from ufm.geometry.similarity import Exponential, Table
from ufm.hierarchy import Tree, distance_matrix, ultrametric_witness


# Non-increasing is needed: levels out of order.
RISING = Table((1.0, 0.1, 0.9, 0.0))


@pytest.mark.parametrize("build", [hierarchy_frame, node_frame])
def test_rising_map_shows_the_eigenvalue(build):
    lowest = float(spectrum(similarity_matrix(balanced(2, 3), RISING, s=0.0))[0])
    assert lowest < -0.5
    with pytest.raises(ValueError, match=f"smallest eigenvalue is {lowest:.6g}"):
        build(balanced(2, 3), RISING)


def test_rising_map_that_happens_to_be_feasible():
    mild, tree = Table((1.0, 0.10, 0.11, 0.0)), balanced(2, 3)
    with pytest.raises(ValueError, match=r"non-increasing, got 0\.11 at distance 2 after 0\.1"):
        hierarchy_frame(tree, mild)
    S = similarity_matrix(tree, mild, s=0.0)
    assert gram_error(cholesky_frame(S), S) <= EXACT  # the way that remains


def test_most_shuffled_maps_fail():
    rng, failures = np.random.default_rng(1), 0
    for seed in range(100):
        tree = random_tree(20, seed)
        values = rng.permutation(np.linspace(0.99, 0.0, tree.d_max()))
        S = similarity_matrix(tree, Table((1.0, *values.tolist())), s=0.0)
        failures += bool(spectrum(S)[0] < -1e-9)
    assert failures > 50


def path_lengths(tree: Tree) -> torch.Tensor:
    depth = torch.tensor(tree.depths[: tree.K]).double()
    D = torch.from_numpy(distance_matrix(tree, "depth")).double()
    return (depth + depth.unsqueeze(-1) - 2 * (tree.height - D)).fill_diagonal_(0)


# Twelve leaves at the ends of long chains and one right below the root.
BROOM = Tree.from_nested([*([[[k]]] for k in range(12)), 12])


def test_path_length_is_no_ultrametric_and_the_linear_map_shows_it():
    D = path_lengths(BROOM)
    assert ultrametric_witness(D.numpy()) is not None
    S = similarity_of_distances(D, lambda x: 1 - x)
    for route in (cholesky_frame, eigh_frame, smallest_s_of_matrix):
        with pytest.raises(ValueError, match="smallest eigenvalue is -0"):
            route(S)
    # The exponential of a tree metric is positive definite all the same (Schoenberg).
    F = similarity_of_distances(D, lambda x: torch.exp(-2 * x))
    assert gram_error(eigh_frame(F), F) <= EXACT
    assert smallest_s_of_matrix(F) < 0


def test_grid_search_that_finds_nothing():
    F = similarity_of_distances(path_lengths(BROOM), lambda x: 1 - x)
    assert grid_search_s(F) == math.inf


def test_rounding_of_single_precision_is_no_asymmetry():
    S = similarity_matrix(balanced(2, 3), Exponential(1.0), s=0.0).float()
    S[0, 1] += 1e-7
    for route in (cholesky_frame, eigh_frame):
        assert gram_error(route(S), S) <= 1e-6  # float32


def test_matrix_routes_refuse_what_is_no_gram_matrix():
    skew, nan = torch.tensor([[1.0, 0.5], [0.4, 1.0]]), torch.full((2, 2), torch.nan)
    for route in (cholesky_frame, eigh_frame):
        with pytest.raises(ValueError, match="symmetric"):
            route(skew.double())
        with pytest.raises(ValueError, match="NaN"):
            route(nan.double())
        with pytest.raises(ValueError, match="d must be at least the frame's rank 2, got 1"):
            route(torch.eye(2).double(), d=1)
    for shape in ((2, 3), (1, 1), (2, 2, 2)):
        with pytest.raises(ValueError, match="square matrix of at least 2 rows, got shape"):
            check_gram(torch.ones(shape).double())
    with pytest.raises(ValueError, match="positive definite"):
        smallest_s_of_matrix(torch.ones(2, 2).double())


@given(st.integers(2, 12), st.integers(0, 9999), st.floats(1e-10, 1e-2))
def test_matrix_routes_reject_a_negative_eigenvalue(K, seed, size):
    rng = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(K, K, generator=rng).double())[0]
    values = torch.rand(K, generator=rng).double()
    values[0] = -size
    S = (Q * values) @ Q.mT
    S = (S + S.mT) / 2
    for route in (cholesky_frame, eigh_frame):
        with pytest.raises(ValueError, match="positive semidefinite"):
            route(S)


@given(st.integers(2, 12), st.integers(1, 12), st.integers(0, 9999))
def test_matrix_routes_take_any_rank(K, rank, seed):
    rank = min(rank, K)
    B = torch.randn(K, rank, generator=torch.Generator().manual_seed(seed)).double()
    S = B @ B.mT / B.square().sum(-1).max()
    for route in (cholesky_frame, eigh_frame):
        assert gram_error(route(S), S) <= EXACT
        assert route(S).shape[1] <= rank
        assert route(S, d=K + 3).shape == (K, K + 3)


def test_matrix_routes_find_the_rank_at_the_smallest_asymptote():
    """K - 1 dimensions hold the frame by every route, whatever rounding leaves of the last one."""
    for seed in range(200):
        tree = random_tree(2 + seed % 24, seed)
        S = similarity_matrix(tree, Exponential((0.5, 2.0, 30.0)[seed % 3]))
        assert eigh_frame(S).shape[1] == tree.K - 1
        for route in (cholesky_frame, eigh_frame):
            assert gram_error(route(S, d=tree.K - 1), S) <= EXACT
            if tree.K > 2:
                with pytest.raises(ValueError, match="d must be at least"):
                    route(S, d=tree.K - 2)
