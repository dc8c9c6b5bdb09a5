r"""Generalised NC2 (hyperspherical uniformity) and NC5, which need no simplex ETF to exist.

With directions :math:`u_k = v_k/\|v_k\|` and distances :math:`r_{kl} = \|u_k - u_l\|`, the Riesz
kernel is :math:`\operatorname{sign}(s)\, r^{-s}`, at s = 0 its limit :math:`-\log r`; s = -1 is
minus the distance. The exponent is the caller's: tied to d - 2, as published code has it, the
statistic is constant at d = 2 and underflows at d = 512.
"""

from __future__ import annotations

import torch

from ufm._typing import Float, Tensor
from ufm.metrics.moments import pair_distances


def riesz_energy(V: Float[Tensor, "*b K d"], *, s: float) -> Float[Tensor, "*b"]:
    r"""Mean Riesz kernel over the pairs of directions.

    Args:
        V: Vectors as rows (centred class means, as a rule).
        s: Exponent; 0 is the logarithmic kernel.

    Returns:
        The energy. A simplex ETF minimises it for every s > -2 and d >= K - 1. NaN where two
        directions coincide.

    References:
        Liu et al. (2023) [liu2023]_.
    """
    return _kernel(V, s).mean(-1)


def riesz_spread(V: Float[Tensor, "*b K d"], *, s: float) -> Float[Tensor, "*b"]:
    r"""Variance of the Riesz kernel over the pairs of directions (divisor: number of pairs).

    Args:
        V: Vectors as rows (centred class means, as a rule).
        s: Exponent; 0 is the logarithm of distance, -1 the distance itself.

    Returns:
        The variance, >= 0; 0 iff all pairs are at one distance. NaN where two directions coincide.

    References:
        Wu and Papyan (2024) [wu2024]_, GNC2.
    """
    return _kernel(V, s).var(-1, correction=0)


def _kernel(V: Float[Tensor, "*b K d"], s: float) -> Float[Tensor, "*b P"]:
    r = pair_distances(V / torch.linalg.vector_norm(V, dim=-1, keepdim=True))
    if s == 0:
        return -r.log()
    return r**-s if s > 0 else -(r**-s)


def nc5_ood_dev(mean: Float[Tensor, "*b K d"], ood: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    r"""Deviation from orthogonality of the class means to out-of-distribution data.

    :math:`\operatorname{mean}_k |\cos(\mu_k, \mu^{\mathrm{OOD}})|`, nothing centred.

    Args:
        mean: Class means as rows.
        ood: Mean feature of the out-of-distribution data.

    Returns:
        The deviation, in [0, 1]; NaN if a vector is zero.

    References:
        Ammar et al. (2024) [ammar2024]_, NC5.
    """
    size = torch.linalg.vector_norm(mean, dim=-1)
    size = size * torch.linalg.vector_norm(ood, dim=-1, keepdim=True)
    return ((mean @ ood.unsqueeze(-1)).squeeze(-1) / size).abs().mean(-1)
