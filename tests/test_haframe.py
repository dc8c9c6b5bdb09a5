"""The hierarchy-aware frame: s*, four routes to one Gram matrix, the tables of the theory pages."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from grams import gram_error, spectrum
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT
from torch.testing import assert_close
from trees import MIXED, balanced, caterpillar, flat, random_tree, shared_tree

from ufm.geometry import etf
from ufm.geometry.gram_frames import (
    cholesky_frame,
    eigh_frame,
    grid_search_s,
    smallest_s_of_matrix,
)
from ufm.geometry.haframe import embed, hierarchy_frame, node_frame, similarity_matrix
from ufm.geometry.similarity import Exponential, Linear, Table
from ufm.geometry.tree_network import Network, smallest_s
from ufm.hierarchy import Tree, distance_matrix, load


def random_map(tree: Tree, convention: str, rng: np.random.Generator):
    D = tree.d_max(convention)
    kind = rng.integers(4)
    if kind == 0:
        return Exponential(float(10 ** rng.uniform(-3, 1.5)))
    if kind == 1:
        return Linear()
    falling = np.sort(rng.uniform(0, 1, D))[::-1]
    if kind == 2:  # a staircase, flat at some levels; near classes may even coincide
        falling = np.ceil(falling * 4) / 4
        falling[-1] = min(falling[-1], 0.75)
    return Table((1.0, *falling.tolist()))


def test_every_tree_has_its_frame_by_every_route():
    """600 trees x random maps x both conventions: PSD, s* sharp, exact rank, four equal Grams."""
    rng = np.random.default_rng(0)
    for seed in range(600):
        tree = random_tree(int(rng.integers(2, 26)), seed)
        convention = ("height", "depth")[seed % 2]
        f = random_map(tree, convention, rng)
        F = similarity_matrix(tree, f, s=0.0, convention=convention)
        assert spectrum(F)[0] > -EXACT  # non-increasing and non-negative maps: always PSD
        s_min = smallest_s(tree, f, convention=convention)
        assert s_min <= -1 / (tree.K - 1) * (1 - EXACT)
        s = s_min if seed % 3 else s_min + (1 - s_min) * rng.uniform(0, 0.9)
        S = similarity_matrix(tree, f, s=s, convention=convention)
        # S at s* is PSD and singular, to rounding; just below it is not PSD.
        assert spectrum(S)[0] > -1e-13 * tree.K
        below = similarity_matrix(tree, f, s=s_min - 1e-3 * (1 - s_min), convention=convention)
        assert spectrum(below)[0] < -1e-5 / tree.K
        W = hierarchy_frame(tree, f, s=s, convention=convention)
        routes = [W, node_frame(tree, f, s=s, convention=convention), cholesky_frame(S)]
        for rows in (*routes, eigh_frame(S), hierarchy_frame(
                tree, f, s=s, d=tree.K + 2, convention=convention)):  # fmt: skip
            assert gram_error(rows, S) <= EXACT
        assert W.shape[1] == torch.linalg.matrix_rank(W, rtol=1e-9) <= tree.K


@given(st.integers(3, 20), st.integers(0, 9999), st.floats(1e-9, 30.0))
def test_recursion_equals_the_dense_solve(K, seed, gamma):
    tree = random_tree(K, seed)
    F = similarity_matrix(tree, Exponential(gamma), s=0.0)
    m = Network.of(tree, Exponential(gamma)).magnitude
    if gamma > 1e-3:  # below, the dense solve itself loses digits
        assert_close(m, float(torch.linalg.solve(F, F.new_ones(K)).sum()), rtol=1e-10, atol=0)
        assert_close(smallest_s(tree, Exponential(gamma)), smallest_s_of_matrix(F),
                     rtol=1e-10 / gamma, atol=0)  # fmt: skip
    assert m + EXACT > 1
    assert m <= K * (1 + EXACT)


def test_small_gamma_does_not_cancel():
    # As gamma -> 0 the similarities become 1 - gamma d/D: s* of the linear map, stretched.
    tree = Tree.from_nested(MIXED)
    linear, gamma = smallest_s(tree, Linear()), 1e-12
    stretched = 1 - (1 - linear) / gamma  # 1 - (1-s)(1-f) has to stay the same
    assert_close(smallest_s(tree, Exponential(gamma)), stretched, rtol=1e-11, atol=0)
    W = hierarchy_frame(tree, Exponential(gamma))
    assert gram_error(W, similarity_matrix(tree, Linear())) <= 1e-11  # gamma itself


# haframe.md 1.2 and 1.7: tree, convention, gamma, m, s*, s of the published grid, smallest
# eigenvalue there (1.2) or of F (1.7), second eigenvalue at s*, S(d_max) exact and grid.
TABLE = [
    ("cifar100_level5", "depth", 2, 4.2707615, -0.3057392, -0.3000714, 0.3558, None),
    ("fgvc_aircraft", "depth", 1, 2.6268922, -0.6146689, -0.6100398, 0.2051, None),
    ("inaturalist19", "depth", 5, 32.226941, -0.03202363, -0.03126408, 0.4957, None),
    ("tiered_imagenet_h", "depth", 3, 13.582090, -0.07947805, -0.07223803, 0.2372, None),
    ("tiered_imagenet_h", "height", 3, 9.5836073, -0.11650114, -0.11257551, 0.2461, None),
    ("cifar100_superclasses", "height", 2, 6.52385, -0.181033, -0.180084, None,
     (0.6321, 0.7466, -0.02120, -0.02038)),
    ("cifar100_level5", "height", 1, 2.15343, -0.866979, -0.860014, None,
     (0.1813, 0.3384, -0.18016, -0.17575)),
    ("cifar100_level5", "height", 5, 18.77052, -0.056273, -0.050097, None,
     (0.6321, 0.6677, -0.04916, -0.04302)),
    ("binary 8", "height", 2, 3.09843, -0.476547, -0.471861, None,
     (0.4866, 0.7185, -0.27672, -0.27267)),
    ("binary 64", "height", 2, 4.67959, -0.271769, -0.264390, None,
     (0.2835, 0.3605, -0.09965, -0.09327)),
    ("4-ary 64", "height", 5, 27.60839, -0.037582, -0.035754, None,
     (0.8111, 0.8416, -0.03059, -0.02878)),
    ("caterpillar 16", "height", 2, 3.73491, -0.365643, -0.358923, None,
     (0.1248, 0.1705, -0.18082, -0.17501)),
]  # fmt: skip
MADE = {
    "binary 8": lambda: balanced(2, 3),
    "binary 64": lambda: balanced(2, 6),
    "4-ary 64": lambda: balanced(4, 3),
    "caterpillar 16": lambda: caterpillar(16),
    "cifar100_level5": lambda: load("cifar100_level5"),
    "cifar100_superclasses": lambda: load("cifar100_superclasses"),
}


def named(name: str) -> Tree:
    return MADE[name]() if name in MADE else shared_tree(name)


def printed(measured: float | torch.Tensor, value: float) -> bool:
    """Equal to what a table prints: to half a unit of its last digit."""
    return abs(float(measured) - value) <= 0.5001 * 10.0 ** -len(repr(value).partition(".")[2])


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}-{row[1]}-{row[2]}")
def test_magnitudes_and_s_min_of_the_tables(row):
    name, convention, gamma, m, s_min, _, _, more = row
    tree, f = named(name), Exponential(gamma)
    network = Network.of(tree, f, convention)
    assert printed(network.magnitude, m)
    assert printed(network.s_min, s_min)
    S = similarity_matrix(tree, f, convention=convention)
    for rows in (hierarchy_frame(tree, f, convention=convention),
                 node_frame(tree, f, convention=convention)):  # fmt: skip
        assert gram_error(rows, S) <= EXACT
    if more is not None:
        F = similarity_matrix(tree, f, s=0.0, convention=convention)
        for measured, value in zip((spectrum(F)[0], spectrum(S)[1], S.min()), more, strict=False):
            assert printed(measured, value)


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=pytest.mark.slow if row[0][:4] in ("inat", "tier") else ())
     for row in TABLE],
    ids=lambda row: f"{row[0]}-{row[1]}-{row[2]}",
)  # fmt: skip
def test_published_grid_search(row):
    name, convention, gamma, _, s_min, s_grid, lowest, more = row
    tree, f = named(name), Exponential(gamma)
    F = similarity_matrix(tree, f, s=0.0, convention=convention)
    found = grid_search_s(F)
    assert printed(found, s_grid)
    assert found > s_min
    S = similarity_matrix(tree, f, s=found, convention=convention)
    assert lowest is None or printed(spectrum(S)[0], lowest)
    assert more is None or printed(S.min(), more[3])


@pytest.mark.parametrize(
    ("name", "convention", "gamma", "s", "values"),
    [
        ("cifar100_level5", "depth", 2, -0.3000714,
         (1.0, 0.57139, 0.28409, 0.09150, -0.03759, -0.12413)),
        ("fgvc_aircraft", "depth", 1, -0.6100398, (1.0, 0.54360, 0.21658, -0.01774)),
        ("inaturalist19", "depth", 5, -0.03126408,
         (1.0, 0.47358, 0.21588, 0.08972, 0.02796, -0.00227, -0.01707, -0.02432)),
        ("tiered_imagenet_h", "depth", 3, -0.07223803,
         (1.0, 0.76282, 0.57811, 0.43425, 0.32222, 0.23496, 0.16701, 0.11409, 0.07287, 0.04078,
          0.01578, -0.00369, -0.01885)),
    ],
)  # fmt: skip
def test_similarities_by_distance(name, convention, gamma, s, values):
    tree = named(name)
    S = similarity_matrix(tree, Exponential(gamma), s=s, convention=convention).numpy()
    D = distance_matrix(tree, convention)
    for d, value in enumerate(values):
        entries = S[d == D]
        assert np.ptp(entries) == 0
        assert printed(entries[0], value)


def test_dimensions_of_the_natural_frame():
    for name, V in [("cifar100_level5", 134), ("fgvc_aircraft", 200), ("inaturalist19", 1189),
                    ("tiered_imagenet_h", 842)]:  # fmt: skip
        assert node_frame(named(name), Exponential(2.0)).shape[1] == V


def test_exponential_eigenvalue_floor_is_attained_by_closest_siblings():
    for tree in (load("cifar100_level5"), balanced(2, 4), Tree.from_nested(MIXED)):
        F = similarity_matrix(tree, Exponential(2.0), s=0.0)
        D = distance_matrix(tree)
        nearest = D[D > 0].min()
        floor = -math.expm1(-2.0 * nearest / D.max())
        assert_close(float(spectrum(F)[0]), floor, rtol=EXACT, atol=0)


def test_null_vector_at_s_min_is_not_constant_on_unbalanced_trees():
    tree, f = Tree.from_nested(MIXED), Exponential(2.0)
    W = hierarchy_frame(tree, f)
    z = torch.linalg.solve(similarity_matrix(tree, f, s=0.0), torch.ones(8).double())
    assert float((z @ W).abs().max()) <= EXACT
    assert z.min() >= 0
    assert z.max() <= 1
    assert float(W.mean(0).norm()) > 1e-3  # negative control: the plain mean is not zero
    assert float(hierarchy_frame(balanced(2, 3), f).mean(0).norm()) <= EXACT


@pytest.mark.parametrize("gamma", [1e-3, 0.5, 2.0, 50.0])
@pytest.mark.parametrize("K", [2, 3, 10])
def test_flat_tree_is_the_simplex_etf(K, gamma):
    W = hierarchy_frame(flat(K), Exponential(gamma))
    assert_close(W, etf(K, K - 1), rtol=0, atol=EXACT)  # the very rows, not only the Gram matrix
    V = node_frame(flat(K), Exponential(gamma))
    textbook = (K / (K - 1)) ** 0.5 * (torch.eye(K).double() - 1 / K)
    assert_close(V, textbook, rtol=0, atol=EXACT)
    m = K / (1 + (K - 1) * math.exp(-gamma))
    assert_close(Network.of(flat(K), Exponential(gamma)).magnitude, m, rtol=EXACT, atol=0)


def test_s_of_the_etf_is_no_etf_at_finite_gamma():
    K, gamma = 10, 5.0
    S = similarity_matrix(flat(K), Exponential(gamma), s=-1 / (K - 1))
    off = (1 + 1 / (K - 1)) * math.exp(-gamma) - 1 / (K - 1)
    assert_close(float(S[0, 1]), off, rtol=EXACT, atol=0)
    assert off > -1 / (K - 1)
    F = similarity_matrix(flat(K), Exponential(gamma), s=0.0)
    grid = similarity_matrix(flat(K), Exponential(gamma), s=grid_search_s(F))
    assert printed(grid[0, 1], -0.10362)


def test_s_below_minus_one():
    tree, f = balanced(2, 3), Exponential(1.0)
    assert printed(smallest_s(tree, f), -1.1135)
    S = similarity_matrix(tree, f)
    assert S.min() > -1
    assert abs(float(spectrum(S)[0])) < EXACT
    assert spectrum(similarity_matrix(tree, f, s=-1.0))[0] > 1e-3  # the clip misses it


def test_large_gamma_tends_to_the_etf():
    tree = Tree.from_nested(MIXED)
    assert_close(smallest_s(tree, Exponential(2000.0)), -1 / 7, rtol=EXACT, atol=0)
    G = hierarchy_frame(tree, Exponential(2000.0))
    assert_close(G @ G.mT, etf(8, 7) @ etf(8, 7).mT, rtol=0, atol=EXACT)


def test_maps_with_negative_values():
    # f may fall below 0: the asymptote then has to rise.
    tree = balanced(2, 2)
    f = Table((1.0, -0.2, -0.9))
    s_min = smallest_s(tree, f)
    assert 0 < s_min < 1
    assert gram_error(hierarchy_frame(tree, f), similarity_matrix(tree, f)) <= EXACT
    with pytest.raises(ValueError, match="smallest eigenvalue is -1"):
        cholesky_frame(similarity_matrix(tree, f, s=0.0))


def test_coinciding_classes_lower_the_rank():
    tree = Tree.from_nested([[0, 1, 2], [3, 4]])
    same = Table((1.0, 1.0, 0.5))
    W = hierarchy_frame(tree, same)
    assert W.shape == (5, 1)
    assert_close(W[:, 0].abs(), torch.ones(5).double(), rtol=EXACT, atol=0)
    assert hierarchy_frame(tree, same, s=0.0).shape == (5, 2)


def test_embedding_is_isometric_and_seeded():
    W = hierarchy_frame(Tree.from_nested(MIXED), Exponential(2.0))
    make = lambda seed: embed(W, 20, generator=torch.Generator().manual_seed(seed))  # noqa: E731
    assert gram_error(make(0), W @ W.mT) <= EXACT
    assert torch.equal(make(0), make(0))
    assert not torch.equal(make(0), make(1))
    assert make(0).abs().amin(0).min() > 0  # every channel is used
    with pytest.raises(ValueError, match="rank 7, got 6"):
        embed(W, 6, generator=torch.Generator())


def test_embedding_is_uniform():
    """LAPACK's QR fixes signs; those of R put back, a line is turned round as often as not."""
    line = torch.ones(1, 1).double()
    turned = [embed(line, 1, generator=torch.Generator().manual_seed(seed)) for seed in range(40)]
    assert 10 <= sum(float(w) < 0 for w in turned) <= 30


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: random_tree(5000, 3), lambda: caterpillar(5000)])
def test_five_thousand_classes(make):
    tree, f = make(), Exponential(2.0)
    some = torch.arange(0, 5000, 97)
    S = similarity_matrix(tree, f)[some]
    for W in (hierarchy_frame(tree, f, d=5000), node_frame(tree, f)):
        assert float((W[some] @ W.mT - S).abs().max()) <= EXACT


def test_magnitude_of_a_singular_similarity_is_infinite():
    """Two classes with f = (1, -1): F is singular, feasible down to s = 0 exactly."""
    network = Network.of(Tree.from_nested([0, 1]), Table((1.0, -1.0)))
    assert (network.magnitude, network.s_min) == (math.inf, 0.0)


def test_maps_too_flat_for_their_differences_are_refused():
    tree = balanced(2, 3)
    S = similarity_matrix(tree, Exponential(1e-99))
    assert gram_error(hierarchy_frame(tree, Exponential(1e-99)), S) <= EXACT
    for gamma in (1e-101, 1e-300, 5e-324):
        with pytest.raises(ValueError, match="fall below 1 at the largest distance 3, by 1e-100"):
            hierarchy_frame(tree, Exponential(gamma))
