"""Dot regression against a fixed target inner product."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ufm._spec import spec
from ufm.counts import check_number
from ufm.losses._base import Loss, add_at_label, pick


if TYPE_CHECKING:
    from torch import Tensor


@spec
class DotRegression(Loss):
    r"""Dot regression against a fixed target inner product.

    :math:`\ell(z, y) = \frac{(z_y - s)^2}{2 s}` with :math:`s = \sqrt{E_W E_H}`. Only the label's
    logit enters. Gradient :math:`(z_y/s - 1)\,e_y`; on the feature sphere it is a pure pull
    :math:`-(1 - \cos\angle(h, w_y))\,w_y`. Conjugate :math:`s u_y^2/2 + s u_y` on vectors
    supported on the label, Fenchel defect :math:`\tfrac{s}{2}(u_y - z_y/s + 1)^2`.

    Attributes:
        s: Target inner product, > 0.

    References:
        Yang et al. (2022) [yang2022]_, the loss of the paper (not of the released code, which
        divides by sqrt(E_H) alone).
    """

    s: float = 1.0
    attains_minimum: ClassVar[bool] = True
    shift_invariant: ClassVar[bool] = False

    def __post_init__(self):
        object.__setattr__(self, "s", check_number("s", self.s, strict=True))

    def value_and_grad(self, Z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        shortfall = pick(Z, y) / self.s - 1
        return self.s / 2 * shortfall.square(), add_at_label(Z.new_zeros(Z.shape), y, shortfall)

    def value(self, Z: Tensor, y: Tensor) -> Tensor:
        # K times less work than with the gradient, which is zero but for the label.
        return self.s / 2 * (pick(Z, y) / self.s - 1).square()

    def hvp(self, Z: Tensor, y: Tensor, V: Tensor) -> Tensor:
        return add_at_label(Z.new_zeros(V.shape), y, pick(V, y) / self.s)

    def conjugate(self, U: Tensor, y: Tensor) -> Tensor:
        u = pick(U, y)
        return self.s * (u.square() / 2 + u)

    def slack(self, U: Tensor, y: Tensor) -> Tensor:
        # Two inequalities, u_j >= 0 and u_j <= 0, off the label; the label is free.
        return add_at_label(-U.abs(), y, float("inf"))

    def fenchel_defect(self, U: Tensor, Z: Tensor, y: Tensor) -> Tensor:
        return self.s / 2 * (pick(U, y) - pick(Z, y) / self.s + 1).square()
