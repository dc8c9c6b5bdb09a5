"""Cross-entropy with its logits moved by the class sizes: logit adjustment, LDAM, ARB."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ufm._spec import spec
from ufm.counts import check_number, check_sizes
from ufm.losses._base import Loss, add_at_label, check_entries, pick
from ufm.losses._constants import constant
from ufm.losses._features import FeatureLoss, class_counts, class_rows
from ufm.losses.cross_entropy import CrossEntropy


if TYPE_CHECKING:
    from torch import Tensor

    from ufm.losses._features import Rows

CE = CrossEntropy()


@spec
class LogitAdjusted(Loss):
    r"""Cross-entropy on adjusted logits, :math:`\mathrm{CE}(z + \tau\log\pi, y)`.

    With :math:`\tau = 1` balanced softmax, which is the attraction-repulsion-balanced loss with
    global counts (`AttractionRepulsion`). Conjugate :math:`\mathrm{CE}^*(u) -
    \tau\langle u, \log\pi\rangle` on the domain of cross-entropy.

    Attributes:
        n: Class sizes; :math:`\pi_k = n_k/N`.
        tau: Temperature, >= 0.

    References:
        Menon et al. (2021) [menon2021]_; Ren et al. (2020) [ren2020]_ for balanced softmax.
    """

    n: tuple[int, ...]
    tau: float = 1.0
    attains_minimum: ClassVar[bool] = False
    shift_invariant: ClassVar[bool] = True
    class_symmetric: ClassVar[bool] = False

    def __post_init__(self):
        object.__setattr__(self, "n", _sizes(self.n))
        object.__setattr__(self, "tau", check_number("tau", self.tau))

    def check(self, K: int) -> None:
        check_entries(self.n, K)

    def _shift(self, like: Tensor) -> Tensor:
        n = constant(self.n, like)
        return self.tau * (n / n.sum()).log().unsqueeze(-1)

    def value_and_grad(self, Z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return CE.value_and_grad(Z + self._shift(Z), y)

    def hvp(self, Z: Tensor, y: Tensor, V: Tensor) -> Tensor:
        return CE.hvp(Z + self._shift(Z), y, V)

    def conjugate(self, U: Tensor, y: Tensor) -> Tensor:
        return CE.conjugate(U, y) - (U * self._shift(U)).sum(-2)

    def slack(self, U: Tensor, y: Tensor) -> Tensor:
        return CE.slack(U, y)

    def fenchel_defect(self, U: Tensor, Z: Tensor, y: Tensor) -> Tensor:
        return CE.fenchel_defect(U, Z + self._shift(Z), y)


@spec
class LDAM(Loss):
    r"""Label-distribution-aware margins, :math:`\mathrm{CE}(\sigma(z - \Delta_y e_y), y)`.

    :math:`\Delta_k = \Delta_{\max}(n_{\min}/n_k)^{1/4}` and scale :math:`\sigma`; z are cosines of
    unit features and unit rows. Conjugate :math:`\mathrm{CE}^*(u/\sigma) + \Delta_y u_y`.

    Attributes:
        n: Class sizes.
        max_margin: Margin of the rarest class, >= 0.
        scale: Inverse temperature, > 0.

    References:
        Cao et al. (2019) [cao2019]_ and its released code.
    """

    n: tuple[int, ...]
    max_margin: float = 0.5
    scale: float = 30.0
    attains_minimum: ClassVar[bool] = False
    shift_invariant: ClassVar[bool] = True
    class_symmetric: ClassVar[bool] = False

    def __post_init__(self):
        object.__setattr__(self, "n", _sizes(self.n))
        object.__setattr__(self, "max_margin", check_number("max_margin", self.max_margin))
        object.__setattr__(self, "scale", check_number("scale", self.scale, strict=True))

    def check(self, K: int) -> None:
        check_entries(self.n, K)

    def margins(self, like: Tensor) -> Tensor:
        """Margin of each class ``(K,)``.

        Args:
            like: Any tensor of the wanted type and device.

        Returns:
            The margins.
        """
        n = constant(self.n, like)
        return self.max_margin * (n.min() / n) ** 0.25

    def _moved(self, Z: Tensor, y: Tensor) -> Tensor:
        margin = self.margins(Z)[y].expand(*Z.shape[:-2], -1)
        return self.scale * add_at_label(Z, y, -margin)

    def value_and_grad(self, Z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        value, grad = CE.value_and_grad(self._moved(Z, y), y)
        return value, self.scale * grad

    def hvp(self, Z: Tensor, y: Tensor, V: Tensor) -> Tensor:
        return self.scale**2 * CE.hvp(self._moved(Z, y), y, V)

    def conjugate(self, U: Tensor, y: Tensor) -> Tensor:
        return CE.conjugate(U / self.scale, y) + self.margins(U)[y] * pick(U, y)

    def slack(self, U: Tensor, y: Tensor) -> Tensor:
        return add_at_label(U, y, self.scale)

    def fenchel_defect(self, U: Tensor, Z: Tensor, y: Tensor) -> Tensor:
        return CE.fenchel_defect(U / self.scale, self._moved(Z, y), y)


@spec
class AttractionRepulsion(FeatureLoss):
    r"""Attraction-repulsion-balanced loss, :math:`-\log(e^{z_y}/\sum_j \tfrac{n_j}{n_y} e^{z_j})`.

    With global counts it is balanced softmax, `LogitAdjusted`. With the counts of the batch,
    classes absent from it do not repel.

    Attributes:
        n: Class sizes of the data set, or None for the counts of each batch.
        clamp: Logits are clamped to this absolute value, > 0.

    References:
        Xie et al. (2023) [xie2023]_ and its released code.
    """

    n: tuple[int, ...] | None = None
    clamp: float = 30.0

    def __post_init__(self):
        if self.n is not None:
            object.__setattr__(self, "n", _sizes(self.n))
        object.__setattr__(self, "clamp", check_number("clamp", self.clamp, strict=True))

    def value(self, features: Tensor, frame: Rows, y: Tensor) -> Tensor:
        W = class_rows(frame)
        if self.n is not None:
            check_entries(self.n, len(W))
        n = class_counts(y, W) if self.n is None else constant(self.n, W)
        Z = (W @ features.mT).clamp(-self.clamp, self.clamp)
        return CE.value(Z + n.log().unsqueeze(-1), y)


def _sizes(n: object) -> tuple[int, ...]:
    return check_sizes(n, len(n) if hasattr(n, "__len__") else 0)  # pyright: ignore[reportArgumentType]
