"""Softmax cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ufm._spec import spec
from ufm.losses._base import Loss, add_at_label
from ufm.losses._softmax import covariance_product, divergence_of_change


if TYPE_CHECKING:
    from torch import Tensor


@spec
class CrossEntropy(Loss):
    r"""Softmax cross-entropy, in nats.

    :math:`\ell(z, y) = \log\sum_j e^{z_j} - z_y`. Gradient :math:`q - e_y` with :math:`q =
    \mathrm{softmax}(z)`. Conjugate: for :math:`u = q' - e_y` with ``q'`` in the simplex,
    :math:`\ell^*(u) = \sum_j q'_j \log q'_j`, and the Fenchel defect is the Kullback-Leibler
    divergence :math:`\mathrm{KL}(q' \| q)`.

    >>> import math, torch
    >>> loss = CrossEntropy().value(torch.zeros(4, 1, dtype=torch.float64), torch.tensor([2]))
    >>> abs(loss.item() - math.log(4)) < 1e-15
    True
    """

    attains_minimum: ClassVar[bool] = False
    shift_invariant: ClassVar[bool] = True

    def value_and_grad(self, Z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        value, others, miss, top = _parts(Z, y)
        total = miss + (-top).exp()
        index = y.expand(*Z.shape[:-2], 1, Z.shape[-1])
        return value, (others / total).scatter(-2, index, -miss / total)

    def value(self, Z: Tensor, y: Tensor) -> Tensor:
        return _parts(Z, y)[0]

    def hvp(self, Z: Tensor, y: Tensor, V: Tensor) -> Tensor:
        return covariance_product(Z, V)

    def conjugate(self, U: Tensor, y: Tensor) -> Tensor:
        # Probabilities may be zero up to rounding, whose logarithm would be NaN.
        Q = add_at_label(U, y, 1.0).clamp(min=0)
        return Q.xlogy(Q).sum(-2)

    def slack(self, U: Tensor, y: Tensor) -> Tensor:
        return add_at_label(U, y, 1.0)

    def fenchel_defect(self, U: Tensor, Z: Tensor, y: Tensor) -> Tensor:
        return divergence_of_change(Z, U - self.grad(Z, y))


def _parts(Z: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    # Relative to the label's logit: log(1 + sum_{j != y} e^{z_j - z_y}) keeps the digits of
    # losses far below one, which logsumexp(z) - z_y rounds away; likewise 1 - q_y by `miss`.
    index = y.expand(*Z.shape[:-2], 1, Z.shape[-1])
    relative = Z - Z.gather(-2, index)
    top = relative.amax(-2, keepdim=True)
    others = (relative - top).exp().scatter(-2, index, 0.0)
    miss = others.sum(-2, keepdim=True)
    value = top + (miss + (-top).expm1()).log1p()
    return value.squeeze(-2), others, miss, top
