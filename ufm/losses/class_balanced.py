"""Class weights by the effective number of samples, on any loss of logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from ufm._spec import spec
from ufm.counts import check_number, check_sizes
from ufm.losses._base import Loss, check_entries
from ufm.losses._constants import constant


if TYPE_CHECKING:
    from torch import Tensor

Over = Literal["classes", "samples"]


def effective_weights(
    n: Sequence[int], beta: float = 0.9999, *, over: Over = "classes"
) -> tuple[float, ...]:
    r"""Class weights :math:`w_k \propto (1-\beta)/(1-\beta^{n_k})`.

    The inverse of the effective number :math:`(1-\beta^n)/(1-\beta) = 1 + \beta + \dots +
    \beta^{n-1}`: equal at :math:`\beta = 0`, inverse to the class sizes as :math:`\beta \to 1`.

    Args:
        n: Class sizes.
        beta: In [0, 1).
        over: What the mean weight 1 is over. ``classes`` as published, :math:`\sum_k w_k = K`;
            ``samples`` :math:`\sum_k n_k w_k = \sum_k n_k`, which keeps the size of the loss.

    Returns:
        The K weights.

    Raises:
        ValueError: If a size is not positive, ``beta`` is not in [0, 1), or ``over`` is unknown.

    References:
        Cui et al. (2019) [cui2019]_.

    >>> [round(w, 4) for w in effective_weights((3, 1), beta=0.5)]
    [0.7273, 1.2727]
    """
    n = check_sizes(n, len(n))
    if check_number("beta", beta) >= 1:
        raise ValueError(f"beta must be below 1, got {beta:g}")
    if over not in ("classes", "samples"):
        raise ValueError(f"over must be 'classes' or 'samples', got {over!r}")
    inverse = [(1 - beta) / (1 - beta**size) for size in n]
    shares = [1] * len(n) if over == "classes" else n
    mean = sum(s * w for s, w in zip(shares, inverse, strict=True)) / sum(shares)
    return tuple(w / mean for w in inverse)


@spec
class ClassBalanced(Loss):
    r"""A loss times the weight of the label's class, :math:`w_y\,\ell(z, y)`.

    Weights are `effective_weights`. Deferred re-weighting (DRW) is this loss with
    ``beta=0.9999 * schedules.deferred(epoch / epochs, start=0.8)``: at beta = 0 all weights are 1.
    Conjugate :math:`w_y\,\ell^*(u/w_y, y)`.

    Released codes of LDAM-DRW take PyTorch's weighted mean, divided by the sum of the batch's
    weights. On long-tailed batches that is larger than the mean of this loss with
    ``over="classes"``, by :math:`N/\sum_k n_k w_k` on average; ``over="samples"`` has the factor.

    Attributes:
        loss: The loss of a sample.
        n: Class sizes.
        beta: In [0, 1).
        over: What the mean weight 1 is over, see `effective_weights`.

    References:
        Cui et al. (2019) [cui2019]_; Cao et al. (2019) [cao2019]_ for the deferred schedule.
    """

    loss: Loss
    n: tuple[int, ...]
    beta: float = 0.9999
    over: Over = "classes"
    class_symmetric: ClassVar[bool] = False

    def __post_init__(self):
        if not isinstance(self.loss, Loss):
            raise ValueError(f"loss must be a loss of logits, got {self.loss!r}")
        effective_weights(self.n, self.beta, over=self.over)
        object.__setattr__(self, "n", tuple(int(size) for size in self.n))
        object.__setattr__(self, "beta", float(self.beta))

    @property
    def attains_minimum(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.loss.attains_minimum

    @property
    def shift_invariant(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.loss.shift_invariant

    def check(self, K: int) -> None:
        check_entries(self.n, K)
        self.loss.check(K)

    def _weight(self, like: Tensor, y: Tensor) -> Tensor:
        return constant(effective_weights(self.n, self.beta, over=self.over), like)[y]

    def value_and_grad(self, Z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        value, grad = self.loss.value_and_grad(Z, y)
        w = self._weight(Z, y)
        return w * value, w * grad

    def value(self, Z: Tensor, y: Tensor) -> Tensor:
        return self._weight(Z, y) * self.loss.value(Z, y)

    def hvp(self, Z: Tensor, y: Tensor, V: Tensor) -> Tensor:
        return self._weight(Z, y) * self.loss.hvp(Z, y, V)

    def conjugate(self, U: Tensor, y: Tensor) -> Tensor:
        w = self._weight(U, y)
        return w * self.loss.conjugate(U / w, y)

    def slack(self, U: Tensor, y: Tensor) -> Tensor:
        w = self._weight(U, y)
        return w * self.loss.slack(U / w, y)

    def fenchel_defect(self, U: Tensor, Z: Tensor, y: Tensor) -> Tensor:
        w = self._weight(U, y)
        return w * self.loss.fenchel_defect(U / w, Z, y)
