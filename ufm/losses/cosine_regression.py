"""Cosine regression on the centers of a multi-center frame: AL and CAL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ufm._spec import spec
from ufm.counts import check_number
from ufm.losses._features import (
    FeatureLoss,
    centers_and_owners,
    class_rows,
    known,
    lengths_or_inf,
    slots_of,
    unit_rows,
)


if TYPE_CHECKING:
    from torch import Tensor

    from ufm.losses._features import Rows

# Reading a row for one sample costs as much as this many products of a matrix product.
DENSE = 32


@spec
class CosineRegression(FeatureLoss):
    r"""Regression of the cosines to the own class's centers on one.

    :math:`\beta_k \sum_{j \le f_k} (1 - \cos(w_j^{(k)}, h))^2 + \lambda(\|h\| - 1)^2` for a sample
    of class k. With f equal for all classes this is the average loss (AL), with class-aware f the
    class-aware loss (CAL). For :math:`\theta < \pi/2` the mean direction of the centers is the only
    minimiser and -mean the only other critical direction; the minimum is
    :math:`\beta_k f_k (1 - \cos\alpha_k)^2` (`ufm.geometry.cosine_residual`), so values do not
    compare across f. The gradient of one term is
    :math:`-\frac{2(1-a)}{\|h\|}(w - a\,h/\|h\|)`, a the cosine: tangential, of scale 1/|h|.

    Attributes:
        weighting: ``cos_alpha``: :math:`\beta_k = \cos\alpha_k = \sqrt{g_k/f_k}`, the published
            choice up to the batch average. ``one``: :math:`\beta_k = 1`.
        lam: Weight of the norm term a sample, >= 0; the published 6e-4 is small beside the
            curvature, norms are slow. Whether it stands beside a mean or a sum over the batch is
            not said there; for the second reading multiply it by the batch size.

    References:
        Yan et al. (2024) [yan2024]_, Section 3.4 and appendix F.1; the minimiser is ours.
    """

    weighting: Literal["cos_alpha", "one"] = "cos_alpha"
    lam: float = 6e-4

    def __post_init__(self):
        if self.weighting not in ("cos_alpha", "one"):
            raise ValueError(f"weighting must be 'cos_alpha' or 'one', got {self.weighting!r}")
        object.__setattr__(self, "lam", check_number("lam", self.lam))

    def value(self, features: Tensor, frame: Rows, y: Tensor) -> Tensor:
        cosines, own = own_cosines(features, frame, y)
        regression = ((1 - cosines).square() * own).sum(-1)
        if self.weighting == "cos_alpha":
            regression = regression * mean_cosine(frame, own)
        return regression + self.lam * (features.norm(dim=-1) - 1).square()


def own_cosines(features: Tensor, frame: Rows, y: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of features to centers, those of their own class among them.

    Samples meet the centers of their own class only, where that is less work than one product
    with all of them.

    Args:
        features: Features ``(B, d)``.
        frame: The frame.
        y: Labels ``(B,)``.

    Returns:
        Cosines ``(B, m)`` and which of them are to own centers ``(B, m)``.
    """
    centers, owner = centers_and_owners(frame)
    slots = slots_of(frame)
    if slots is None or len(owner) <= DENSE * slots.shape[-1]:
        cosines = unit_rows(features) @ centers.mT / lengths_or_inf(centers)
        return cosines, owner == known(y, frame).unsqueeze(-1)
    places = slots.index_select(0, y)
    rows = centers[places.clamp(max=len(owner) - 1)]
    cosines = (rows * unit_rows(features).unsqueeze(-2)).sum(-1) / lengths_or_inf(rows)
    return cosines, places < len(owner)


def mean_cosine(frame: Rows, own: Tensor) -> Tensor:
    r"""Cosine of a sample's own centers to their mean, a square root.

    :math:`\cos^2\alpha = \cos^2\theta/f + \sin^2\theta`, with the angle read off the frame: a
    center has the cosine :math:`\sin\theta` to its class vector.

    Args:
        frame: The frame.
        own: Which centers are those of each sample's class ``(B, m)``.

    Returns:
        Cosines ``(B,)``.
    """
    centers, owner = centers_and_owners(frame)
    sine = (unit_rows(centers[:1]) * unit_rows(class_rows(frame)[owner[:1]])).sum()
    square = sine * sine
    return ((1 - square) / own.sum(-1) + square).sqrt()
