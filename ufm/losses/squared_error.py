"""Squared error against one-hot targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ufm._spec import spec
from ufm.losses._base import Loss, add_at_label, pick


if TYPE_CHECKING:
    from torch import Tensor


@spec
class SquaredError(Loss):
    r"""Squared error against one-hot targets.

    :math:`\ell(z, y) = \tfrac12 \lVert z - e_y \rVert^2`, so the risk of equal weights is
    :math:`\frac{1}{2N}\|WH - Y\|_F^2`. Gradient :math:`z - e_y`; conjugate :math:`\tfrac12 |u|^2
    + u_y`; Fenchel defect :math:`\tfrac12 |u - (z - e_y)|^2`. Every ``u`` is in the domain.
    """

    attains_minimum: ClassVar[bool] = True
    shift_invariant: ClassVar[bool] = False

    def value_and_grad(self, Z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        grad = add_at_label(Z, y, -1.0)
        return grad.square().sum(-2) / 2, grad

    def hvp(self, Z: Tensor, y: Tensor, V: Tensor) -> Tensor:
        return V

    def conjugate(self, U: Tensor, y: Tensor) -> Tensor:
        return U.square().sum(-2) / 2 + pick(U, y)

    def slack(self, U: Tensor, y: Tensor) -> Tensor:
        return U.new_full(U.shape, float("inf"))

    def fenchel_defect(self, U: Tensor, Z: Tensor, y: Tensor) -> Tensor:
        return (U - self.grad(Z, y)).square().sum(-2) / 2
