r"""The hierarchy-aware frame in closed form: no eigendecomposition, no factorisation, no matrix.

Target cosines :math:`S = (1-s)F + s\,\mathbf 1\mathbf 1^\top`, :math:`F_{ij} = f(d_{ij})`, of a
hierarchy; rows W with :math:`W W^\top = S`. `gram_frames` has the routes that need S instead.
"""

from __future__ import annotations

import numpy as np
import torch

from ufm._typing import Float, Tensor
from ufm.counts import check_count, check_number
from ufm.geometry.psd import check_psd
from ufm.geometry.similarity import Similarity
from ufm.geometry.tree_network import Network, check_s
from ufm.hierarchy.distances import distance_matrix
from ufm.hierarchy.tree import Convention, Tree


def similarity_matrix(
    tree: Tree,
    similarity: Similarity,
    *,
    s: float | None = None,
    convention: Convention = "height",
) -> Float[Tensor, "K K"]:
    r"""Target cosines of the classes, :math:`S_{ij} = 1 - (1-s)\,(1 - f(d_{ij}))`.

    Args:
        tree: The hierarchy.
        similarity: Similarity map f; for a given ``s`` it may rise.
        s: Asymptote, below 1; the most negative feasible s* by default.
        convention: Which distance.

    Returns:
        S, symmetric with unit diagonal; nothing is said about its eigenvalues if f rises or s < s*.

    Raises:
        ValueError: If ``s`` is not below 1, or is left out and the map rises.

    References:
        Liang and Davis (2023) [liang2023]_.
    """
    if s is None:
        s = Network.of(tree, similarity, convention).s_min
    elif check_number("s", s, -np.inf) >= 1:
        raise ValueError(f"s must be below 1, got {s!r}")
    D = tree.d_max(convention)
    entry = np.array([1 - (1 - s) * similarity.drop(0, d, D) for d in range(D + 1)])
    return torch.from_numpy(entry[distance_matrix(tree, convention)])


def hierarchy_frame(
    tree: Tree,
    similarity: Similarity,
    *,
    s: float | None = None,
    d: int | None = None,
    convention: Convention = "height",
) -> Float[Tensor, "K d"]:
    r"""Rows of the hierarchy-aware frame in the fewest dimensions.

    :math:`W = \bigl[\sqrt{(T-R)(s-s^*)}\,\mathbf 1,\ \sqrt{1-s}\,A\bigr]` with the columns of A the
    weighted Helmert contrasts of the tree (`Network.merges`): K columns, K - 1 at s* (fewer where
    classes coincide). O(K^2) writes. On a flat tree at s* these are the rows of `etf`.

    Args:
        tree: The hierarchy.
        similarity: Non-increasing similarity map.
        s: Asymptote in [s*, 1); s* by default, where the classes are farthest apart.
        d: Ambient dimension, at least the rank; columns beyond it are zero. The rank by default.
        convention: Which distance.

    Returns:
        Rows of unit norm with Gram matrix `similarity_matrix`.

    Raises:
        ValueError: If S is not positive semidefinite (the message shows the eigenvalue), the map
            rises, ``s`` is below s* or ``d`` below the rank.

    References:
        Liang and Davis (2023) [liang2023]_ state S; this factor of it is ours.

    >>> from ufm.geometry.similarity import Exponential
    >>> W = hierarchy_frame(Tree.from_nested([[0, 1], 2]), Exponential(1.0)); W @ W.mT
    tensor([[ 1.0000, -0.0512, -0.6888],
            [-0.0512,  1.0000, -0.6888],
            [-0.6888, -0.6888,  1.0000]], dtype=torch.float64)
    """
    _refuse_rising(tree, similarity, s, convention)
    network = Network.of(tree, similarity, convention)
    s = check_s(s, network)
    rank = network.rank(s)
    return contrast_rows(network, s, rank if d is None else _check_d(d, rank))


def contrast_rows(network: Network, s: float, d: int) -> Float[Tensor, "K d"]:
    """Rows of `hierarchy_frame` from a solved network.

    Args:
        network: The tree's network.
        s: Asymptote in [s*, 1), exactly s* to leave out the common direction.
        d: Number of columns, at least the rank.

    Returns:
        The rows.
    """
    merges, K = network.merges(), network.tree.K
    scale = (1 - s) ** 0.5
    W = np.zeros((K, d))
    common = int(s > network.s_min)
    if common:
        W[:, 0] = ((network.fall - network.resistance) * (s - network.s_min)) ** 0.5
    for j, (lo, mid, hi, first, second) in enumerate(merges, start=common):
        W[lo:mid, j] = scale * first
        W[mid:hi, j] = -scale * second
    return torch.from_numpy(_in_class_order(W, network.tree))


def node_frame(
    tree: Tree,
    similarity: Similarity,
    *,
    s: float | None = None,
    convention: Convention = "height",
) -> Float[Tensor, "K V"]:
    r"""Rows of the hierarchy-aware frame in its natural dimension, one column a node.

    With :math:`B_{kv} = \sqrt{(1-s)c_v}` for k below v, :math:`\mu = \mathbf 1^\top(BB^\top)^{-1}
    \mathbf 1` and :math:`p = B^\top(BB^\top)^{-1}\mathbf 1/\sqrt\mu`, S has the factor

    .. math:: W = B\,\bigl(I - (1-\sigma)\,p p^\top\bigr), \qquad
        \sigma^2 = 1 + ((1-s) f(D) + s)\,\mu.

    p comes from the tree recursion (`Network.shares`) and :math:`B p = \mu^{-1/2}\mathbf 1`, so
    that W is B less one row vector. :math:`\sigma = 0` at s*.

    Args:
        tree: The hierarchy.
        similarity: Non-increasing similarity map.
        s: Asymptote in [s*, 1); s* by default.
        convention: Which distance.

    Returns:
        Rows of unit norm; column j belongs to the j-th node below the apex in `Tree.preorder`.

    Raises:
        ValueError: If S is not positive semidefinite, the map rises or ``s`` is below s*.
    """
    _refuse_rising(tree, similarity, s, convention)
    network = Network.of(tree, similarity, convention)
    s = check_s(s, network)
    R, T = network.resistance, network.fall
    sigma = ((T - R) / R * (s - network.s_min) / (1 - s)) ** 0.5
    nodes = tree.preorder[tree.preorder.index(tree.apex) + 1 :]
    shares = network.shares()
    row = np.array([-(1 - sigma) * (R * (1 - s)) ** 0.5 * shares[node] for node in nodes])
    W = np.tile(row, (tree.K, 1))
    for j, node in enumerate(nodes):
        lo, hi = tree.spans[node]
        W[lo:hi, j] += ((1 - s) * network.edge[node]) ** 0.5
    return torch.from_numpy(_in_class_order(W, tree))


def embed(W: Float[Tensor, "K r"], d: int, *, generator: torch.Generator) -> Float[Tensor, "K d"]:
    """A random isometric copy of a frame in d dimensions.

    Zero-padded columns would leave channels of a network unused; this uses them all.

    Args:
        W: Rows.
        d: Ambient dimension, at least r.
        generator: Source of the rotation (uniform on the Stiefel manifold).

    Returns:
        Rows with the same Gram matrix.

    Raises:
        ValueError: If ``d`` is below the number of columns.
    """
    d = _check_d(d, W.shape[-1])
    shape, device = (d, W.shape[-1]), generator.device
    gaussian = torch.randn(shape, generator=generator, dtype=torch.float64, device=device)
    Q, R = torch.linalg.qr(gaussian)
    return W @ (Q * R.diagonal().sign()).mT.to(W)


def _in_class_order(rows: np.ndarray, tree: Tree) -> np.ndarray:
    order = np.asarray(tree.leaf_order)
    return rows if (order[1:] > order[:-1]).all() else rows[np.argsort(order)]


def _refuse_rising(
    tree: Tree, similarity: Similarity, s: float | None, convention: Convention
) -> None:
    D = tree.d_max(convention)
    similarity.check_domain(D)
    if any(similarity.drop(d, d + 1, D) < 0 for d in range(D)):
        S = similarity_matrix(tree, similarity, s=0.0 if s is None else s, convention=convention)
        check_psd(S)


def _check_d(d: int, rank: int) -> int:
    if check_count("d", d) < rank:
        raise ValueError(f"d must be at least the frame's rank {rank}, got {d}")
    return d
