r"""NC1, collapse of the within-class variability.

:math:`\Sigma_W` is the within-class covariance (divisor n_k), :math:`\Sigma_B` the covariance of
the class means about the global mean. Everything is NaN where all class means coincide: nothing
over nothing is not collapse.
"""

from __future__ import annotations

import torch

from ufm._typing import Float, Tensor
from ufm.metrics.moments import ROUNDING, Moments


EPS = torch.finfo(torch.float64).eps


def nc1_pinv(m: Moments) -> Float[Tensor, "*b"]:
    r"""Within-class covariance in units of the between-class one.

    :math:`\frac1K \operatorname{tr}(\Sigma_W \Sigma_B^{+})`.

    Directions without a difference of class means are outside the range of S_B and do not count:
    a minority that has collapsed onto one mean is not seen. `nc1_svd` sees it. The pseudo-inverse
    cuts eigenvalues below max(K, d) eps of the largest, as ``torch.linalg.pinv`` does.

    Args:
        m: Moments.

    Returns:
        The metric, >= 0; 0 iff nothing is left within classes in the span of the means.

    References:
        Papyan, Han and Donoho (2020) [papyan2020]_.
    """
    eigenvalue, noise = _along_between_directions(m)
    kept = eigenvalue > max(m.mean.shape[-2:]) * EPS * eigenvalue[..., :1]
    ratio = torch.where(kept, noise / eigenvalue, 0.0).sum(-1) / m.mean.shape[-2]
    return ratio.masked_fill(m.coincide, float("nan"))


def nc1_svd(m: Moments) -> Float[Tensor, "*b"]:
    r"""As `nc1_pinv` with all K - 1 leading directions of S_B kept (d if that is fewer).

    Equal to it in general position; far larger once class means span fewer directions, and NaN
    where they do to within rounding.

    Args:
        m: Moments.

    Returns:
        The metric.

    References:
        Han, Papyan and Donoho (2022) [han2022]_.
    """
    K, d = m.mean.shape[-2:]
    rank = min(K - 1, d)
    eigenvalue, noise = _along_between_directions(m)
    ratio = (noise[..., :rank] / eigenvalue[..., :rank]).sum(-1) / K
    resolved = eigenvalue[..., rank - 1] > ROUNDING**2 * eigenvalue[..., 0]
    return ratio.masked_fill(m.coincide | ~resolved, float("nan"))


def _along_between_directions(
    m: Moments,
) -> tuple[Float[Tensor, "*b R"], Float[Tensor, "*b R"]]:
    # From the singular values of the centred means: S_B itself would square their condition number.
    factor = (m.centred * m.share.sqrt().unsqueeze(-1)).nan_to_num()
    _, s, Vh = torch.linalg.svd(factor, full_matrices=False)
    return s.square(), ((Vh @ m.within) * Vh).sum(-1)


def nc1_quot(m: Moments) -> Float[Tensor, "*b"]:
    r"""Quotient of traces, :math:`\operatorname{tr}\Sigma_W / \operatorname{tr}\Sigma_B`.

    Args:
        m: Moments.

    Returns:
        The metric, >= 0; 0 iff every class is collapsed.

    References:
        Tirer, Huang and Niles-Weed (2023) [tirer2023]_.
    """
    return m.trace_within / m.trace_between


def nc1_share(m: Moments) -> Float[Tensor, "*b"]:
    r"""Share of the variance that is within classes.

    :math:`\operatorname{tr}\Sigma_W / (\operatorname{tr}\Sigma_W + \operatorname{tr}\Sigma_B)`,
    which is q/(1+q) of `nc1_quot` and stays bounded along a run.

    Args:
        m: Moments.

    Returns:
        The metric, in [0, 1]: 1 where class means coincide and features do not, NaN where all
        features are equal.
    """
    total = m.trace_within + m.trace_between.nan_to_num(0.0)
    return (m.trace_within / total).masked_fill(total <= m.resolution.square(), float("nan"))


def nc1_cdnv(m: Moments) -> Float[Tensor, "*b"]:
    r"""Class-distance normalised variance, the mean over pairs k < l.

    :math:`\frac{v_k + v_l}{2\,\|\mu_k - \mu_l\|^2}` with :math:`v_k = \operatorname{tr}\Sigma_k`.

    Args:
        m: Moments.

    Returns:
        The metric, >= 0; NaN where two class means coincide.

    References:
        Galanti, Gyorgy and Hutter (2022) [galanti2022]_.
    """
    K = m.mean.shape[-2]
    i, j = torch.triu_indices(K, K, 1, device=m.mean.device)
    variance = (m.spread[..., i] + m.spread[..., j]) / 2
    return (variance / m.distances.square()).mean(-1)
