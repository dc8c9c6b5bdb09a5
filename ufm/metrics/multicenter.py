r"""Collapse to the means of several centers a class: NC_ave, NC_std and the variability sigma."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ufm._typing import Float, Int, Tensor
from ufm.geometry.multicenter import Centers, class_mean_cos
from ufm.geometry.specs import MultiCenter


@dataclass(frozen=True, eq=False)
class MultiCenterCollapse:
    r"""Collapse of features to a multi-center frame.

    Attributes:
        nc_ave: Mean over samples of the squared distance between the feature's direction and its
            class's mean center direction; 0 at collapse.
        nc_std: Its standard deviation over samples (divisor: number of samples).
        sigma: Mean over samples of one minus the cosine to the class vector w_k; at collapse
            `collapsed_sigma`, not 0.
    """

    nc_ave: Float[Tensor, "*b"]
    nc_std: Float[Tensor, "*b"]
    sigma: Float[Tensor, "*b"]


def multicenter_collapse(
    H: Float[Tensor, "*b d M"], y: Int[Tensor, "M"], parts: Centers
) -> MultiCenterCollapse:
    r"""Collapse metrics of features.

    With :math:`u = h/\|h\|` and :math:`e_k = \bar w_k/\|\bar w_k\|`, NC of a sample of class k is
    :math:`\|u - e_k\|^2`. Features that went to their nearest center instead would stay at
    :math:`2 - 2\cos\alpha_k`. Mean and standard deviation are over samples, the reading of the
    paper's text under which its curves (falling mean, first rising deviation) are possible.

    Args:
        H: Features as columns.
        y: Class of each column.
        parts: The frame.

    Returns:
        The metrics; NaN if a feature is zero, whose direction is 0/0.

    Raises:
        ValueError: If there is no label a column, or a label is no class of the frame.

    References:
        Yan et al. (2024) [yan2024]_, Section 4.
    """
    K = len(parts.W)
    if y.shape != H.shape[-1:] or not len(y):
        raise ValueError(f"y must label the M={H.shape[-1]} >= 1 columns, got {tuple(y.shape)}")
    if int(y.min()) < 0 or int(y.max()) >= K:
        raise ValueError(f"y must be classes 0..{K - 1}, got {int(y.min())}..{int(y.max())}")
    U = H / torch.linalg.vector_norm(H, dim=-2, keepdim=True)
    nc = (U - parts.direction[y].mT).square().sum(-2)
    W = torch.nn.functional.normalize(parts.W, dim=-1)
    cos = (U * W[y].mT).sum(-2)
    return MultiCenterCollapse(nc.mean(-1), nc.std(-1, correction=0), 1 - cos.mean(-1))


def collapsed_sigma(spec: MultiCenter, n: Float[Tensor, "K"]) -> Float[Tensor, ""]:
    r"""Variability at exact collapse, :math:`\sum_k \frac{n_k}{N}(1 - \cos\rho_k)`.

    Args:
        spec: The frame.
        n: Class sizes.

    Returns:
        The value sigma ends at.
    """
    f = torch.tensor(spec.f).to(n)
    return (n / n.sum() * (1 - class_mean_cos(f, spec.theta))).sum()
