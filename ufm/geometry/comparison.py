"""Distances between geometries; both ignore rotations and the ambient dimension."""

from __future__ import annotations

from typing import Any

from ufm._linalg import nuclear_norm, psd_sqrt
from ufm._typing import Float, Tensor
from ufm.geometry.gram import Geometry


def distance(a: Geometry, b: Geometry) -> Float[Tensor, "*b"]:
    r"""Relative Gram distance, :math:`\|J_a - J_b\|_F / \max(\|J_a\|_F, \|J_b\|_F)` plus scatter.

    ``J`` is the joint Gram matrix of classifier and class means; the difference of the
    within-class shares is added in quadrature. 0 iff equal up to rotation; first order in a
    perturbation of (W, H).

    Args:
        a: A geometry (batch axes broadcast).
        b: Another of the same K.

    Returns:
        Distance, dimensionless.

    Raises:
        ValueError: If these are no geometries, or the numbers of classes differ.
    """
    _check_geometries(a, b)
    A, B = a.joint, b.joint.to(a.joint)
    scale = A.square().sum((-2, -1)).maximum(B.square().sum((-2, -1))).clamp(min=1e-300)
    relative = (A - B).square().sum((-2, -1)) / scale
    return (relative + (a.within - b.within.to(a.within)).square()).sqrt()


def procrustes_distance(a: Geometry, b: Geometry) -> Float[Tensor, "*b"]:
    r"""Procrustes distance, :math:`\min_R \|X_a R - X_b\|_F` over rotations, X = (W; Hbar').

    From Gram matrices alone (Bures form):
    :math:`\operatorname{tr} J_a + \operatorname{tr} J_b - 2\|J_a^{1/2} J_b^{1/2}\|_*`, square root.
    In the units of W and H. Its resolution is about 1e-8 of the norms (a square root of rounding).

    Args:
        a: A geometry (batch axes broadcast).
        b: Another of the same K.

    Returns:
        Distance.

    Raises:
        ValueError: If these are no geometries, or the numbers of classes differ.

    References:
        Bhatia, Jain and Lim (2019), On the Bures-Wasserstein distance [bhatia2019]_.
    """
    _check_geometries(a, b)
    A, B = a.joint, b.joint.to(a.joint)
    trace = A.diagonal(dim1=-2, dim2=-1).sum(-1) + B.diagonal(dim1=-2, dim2=-1).sum(-1)
    overlap = nuclear_norm(psd_sqrt(A) @ psd_sqrt(B))
    return (trace - 2 * overlap).clamp(min=0).sqrt()


def _check_geometries(a: Any, b: Any) -> None:
    for given in (a, b):
        if not isinstance(given, Geometry):
            raise ValueError(
                f"geometries must be compared, such as sol[0].geometry, got a "
                f"{type(given).__name__}: matrices are defined only up to a rotation"
            )
    if a.Z.shape[-1] != b.Z.shape[-1]:
        raise ValueError(
            f"geometries must have the same K, got {a.Z.shape[-1]} and {b.Z.shape[-1]}"
        )
