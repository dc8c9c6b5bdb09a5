"""The losses of the hierarchy-aware frame: cosine auxiliary, its mix with cross-entropy.

Both are one or two matrix products of the batch with the frame, whatever the number of classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._spec import spec
from ufm.counts import check_number
from ufm.losses._features import (
    FeatureLoss,
    class_rows,
    inner_products,
    lengths_or_inf,
    unit_rows,
)
from ufm.losses._softmax import divergence_from_targets
from ufm.losses.cross_entropy import CrossEntropy


if TYPE_CHECKING:
    from torch import Tensor

    from ufm.losses._features import Rows


@spec
class CosineAlignment(FeatureLoss):
    r"""Regression of all cosines on the target cosines, the auxiliary loss of the frame.

    :math:`\sum_c (\cos(w_c, h) - S_{yc})^2 = \|W(u - w_y)\|^2` for unit rows W and
    :math:`u = h/\|h\|`; zero iff :math:`u = w_y`. Where the frame has fewer dimensions than the
    features the minimum is quartic in the remaining ones. Rows of any length are normalised first.

    References:
        Liang and Davis (2023) [liang2023]_.
    """

    def value(self, features: Tensor, frame: Rows, y: Tensor) -> Tensor:
        W = class_rows(frame)
        apart = (unit_rows(features) - unit_rows(W.index_select(0, y))) @ W.mT
        return (apart / lengths_or_inf(W)).square().sum(-1)


@spec
class HAFrameMix(FeatureLoss):
    r"""Cross-entropy mixed with `CosineAlignment`.

    :math:`\beta\,\mathrm{CE}(W h, y) + \alpha \sum_c (\cos(w_c, h) - S_{yc})^2` with
    :math:`\beta = 1 - \alpha` for :math:`\alpha \le 1` and 1 above. Its optimum is the frame only
    in the limit of long features.

    Attributes:
        alpha: Weight of the alignment, >= 0. For a schedule make one loss an epoch:
            ``HAFrameMix(alpha=0.4 * linear_rise(epoch / epochs))``.

    References:
        Liang and Davis (2023) [liang2023]_.
    """

    alpha: float = 0.5

    def __post_init__(self):
        object.__setattr__(self, "alpha", check_number("alpha", self.alpha))

    @property
    def beta(self) -> float:
        """Weight of the cross-entropy."""
        return 1 - self.alpha if self.alpha <= 1 else 1.0

    def value(self, features: Tensor, frame: Rows, y: Tensor) -> Tensor:
        # One product with the features serves both terms: cosines are logits over two lengths.
        W = class_rows(frame)
        Z, row = W @ features.mT, lengths_or_inf(W)
        apart = Z * lengths_or_inf(features).reciprocal() - inner_products(frame, y) / row[y]
        aligned = row.pow(-2) @ apart.square()
        return self.beta * CrossEntropy().value(Z, y) + self.alpha * aligned


@spec
class FrameTargets(FeatureLoss):
    r"""Cross-entropy against soft targets calibrated to the frame itself, less their entropy.

    :math:`\mathrm{KL}\bigl(\mathrm{softmax}(\beta W w_y)\,\|\,\mathrm{softmax}(W h)\bigr)`, zero
    at :math:`h = \beta w_y`: for unit rows the loss of `SoftTargets`, for any frame, without the
    tree. The frame must be fixed; a learnable one would move its own targets.

    Attributes:
        beta: Feature norm aimed at for unit rows, > 0.

    References:
        Ours; see `SoftTargets`.
    """

    beta: float

    def __post_init__(self):
        object.__setattr__(self, "beta", check_number("beta", self.beta, strict=True))

    def value(self, features: Tensor, frame: Rows, y: Tensor) -> Tensor:
        log_T = (self.beta * inner_products(frame, y)).log_softmax(-2)
        return divergence_from_targets(class_rows(frame) @ features.mT, log_T)
