r"""The simplex ETF nearest to given features, in closed form and differentiable.

Over rotations of an ETF the squared norms are constant, so the nearest one is a Procrustes problem:
a polar factor, no Riemannian solver.
"""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

from ufm._typing import Float, Tensor
from ufm.counts import check_number
from ufm.geometry.frames import helmert


def nearest_etf(
    Hbar: Float[Tensor, "*b d K"], *, E_W: float = 1.0, rtol: float = 1e-12
) -> Float[Tensor, "*b K d"]:
    r"""Rows of the simplex ETF nearest to the class means.

    :math:`W = \sqrt{E_W K/(K-1)}\;B\,Q^\top` with B the Helmert basis and
    :math:`Q = \operatorname{polar}(\bar H B)`, the maximiser of :math:`\langle W, \bar H^\top
    \rangle` over all rotations of an ETF, hence the minimiser of the distance at any scale.

    Args:
        Hbar: Class means as columns, d >= K - 1; centring changes nothing.
        E_W: Squared norm of the rows.
        rtol: Relative size below which a singular value counts as zero; never less than the
            rounding of K singular values.

    Returns:
        The rows; differentiable in ``Hbar``.

    Raises:
        ValueError: If d < K - 1, or the centred means do not span K - 1 dimensions: then many ETFs
            are nearest (`nearest_etf_from` picks one).

    References:
        Markou, Ajanthan and Gould (2024) [markou2024]_ solve this by a trust region.
    """
    d, K = Hbar.shape[-2:]
    if d < K - 1:
        raise ValueError(f"d must be at least K-1={K - 1} for a simplex ETF, got {d}")
    with torch.device("cpu"):  # not every device has the float64 it is made in
        B = helmert(K).to(Hbar)
    return _scaled(E_W, K) * B @ polar(Hbar @ B, rtol=rtol).mT


def nearest_etf_from(
    Hbar: Float[Tensor, "*b d K"], U0: Float[Tensor, "d K"], *, delta: float, E_W: float = 1.0
) -> Float[Tensor, "*b K d"]:
    r"""Nearest ETF, held near a previous rotation: unique whatever the rank of the means.

    Args:
        Hbar: Class means as columns, d >= K, centred or not.
        U0: Previous rotation, orthonormal columns.
        delta: Weight of staying near it, > 0.
        E_W: Squared norm of the rows.

    Returns:
        Rows :math:`\sqrt{E_W K/(K-1)}\,P U^\top` of `nearest_rotation` U, P = I - 11'/K;
        differentiable in ``Hbar``.

    Raises:
        ValueError: If d < K or ``delta`` is not positive.

    References:
        Markou, Ajanthan and Gould (2024) [markou2024]_, proximal term.
    """
    U = nearest_rotation(Hbar, U0, delta=delta)
    return _scaled(E_W, U.shape[-1]) * (U - U.mean(-1, keepdim=True)).mT


def nearest_rotation(
    Hbar: Float[Tensor, "*b d K"], U0: Float[Tensor, "d K"], *, delta: float
) -> Float[Tensor, "*b d K"]:
    r"""Rotation of the ETF nearest to the class means, held near a previous one.

    With :math:`\hat H = \bar H/\|\bar H\|_F` and P = I - 11'/K, minimises over orthonormal U

    .. math:: \|\hat H - U P/\sqrt{K-1}\|_F^2 + \tfrac\delta2\|U - U_0\|_F^2,
        \qquad U = \operatorname{polar}\bigl(2\hat H P/\sqrt{K-1} + \delta U_0\bigr).

    Args:
        Hbar: Class means as columns, d >= K, centred or not.
        U0: Previous rotation, orthonormal columns.
        delta: Weight of staying near it, > 0.

    Returns:
        U, orthonormal columns; differentiable in ``Hbar``.

    Raises:
        ValueError: If d < K or ``delta`` is not positive.

    References:
        Markou, Ajanthan and Gould (2024) [markou2024]_, proximal term.
    """
    d, K = Hbar.shape[-2:]
    if d < K:
        raise ValueError(f"d must be at least K={K} for a proximal rotation, got {d}")
    delta = check_number("delta", delta, strict=True)
    tiny = torch.finfo(Hbar.dtype).tiny
    unit = Hbar / torch.linalg.matrix_norm(Hbar).clamp(min=tiny)[..., None, None]
    centred = unit - unit.mean(-1, keepdim=True)
    return polar(2 / (K - 1) ** 0.5 * centred + delta * U0)


def polar(A: Float[Tensor, "*b d r"], *, rtol: float = 1e-12) -> Float[Tensor, "*b d r"]:
    r"""Orthonormal polar factor :math:`A (A^\top A)^{-1/2}`, the nearest orthonormal columns.

    Its derivative divides by sums of singular values, never by their differences, so it is
    finite where the features are already an ETF and all of them are equal.

    Args:
        A: Matrix of full column rank.
        rtol: Relative size below which a singular value counts as zero; never less than the
            rounding of r singular values.

    Returns:
        The factor.

    Raises:
        ValueError: If A does not have full column rank; the factor is not unique then. Or if A
            holds NaN or infinity.

    References:
        Higham (2008), Functions of Matrices, chapter 8 [higham2008]_.
    """
    return _Polar.apply(A, rtol)  # pyright: ignore[reportReturnType]


class _Polar(torch.autograd.Function):
    @staticmethod
    def forward(ctx, A: Tensor, rtol: float) -> Tensor:
        if not torch.isfinite(A).all():
            raise ValueError("A must hold finite numbers, got NaN or infinity")
        U, sigma, Vh = torch.linalg.svd(A, full_matrices=False)
        least = max(rtol, A.shape[-1] * torch.finfo(A.dtype).eps)
        if A.shape[-2] < A.shape[-1] or bool((sigma[..., -1] <= least * sigma[..., 0]).any()):
            raise ValueError(
                "A must have full column rank, smallest and largest singular values are "
                f"{float(sigma[..., -1].min()):g} and {float(sigma[..., 0].max()):g}"
            )
        Q = U @ Vh
        ctx.save_for_backward(Q, sigma, Vh)
        return Q

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (G,) = grads
        # A = Q S, S = V diag(sigma) V'. dQ = Q Omega + (I - QQ') dA S^-1 with
        # S Omega + Omega S = Q'dA - dA'Q; this is the adjoint of that map.
        Q, sigma, Vh = ctx.saved_tensors
        inside = Vh @ (Q.mT @ G - G.mT @ Q) @ Vh.mT / (sigma.unsqueeze(-1) + sigma.unsqueeze(-2))
        outside = (G - Q @ (Q.mT @ G)) @ (Vh.mT / sigma.unsqueeze(-2)) @ Vh
        return Q @ Vh.mT @ inside @ Vh + outside, None


def _scaled(E_W: float, K: int) -> float:
    return (check_number("E_W", E_W, strict=True) * K / (K - 1)) ** 0.5
