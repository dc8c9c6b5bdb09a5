"""Dot regression as trained: class-vector lengths from counts, two normalisations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ufm._spec import spec
from ufm.counts import check_number, check_sizes
from ufm.losses._constants import constant
from ufm.losses._features import NO_DIRECTION, FeatureLoss, class_counts, class_rows, lengths_or_inf


if TYPE_CHECKING:
    from torch import Tensor

    from ufm.losses._features import Rows


@spec
class BatchDotRegression(FeatureLoss):
    r"""Dot regression on the own class vector, whose squared length falls with the class's count.

    With unit rows m and squared lengths :math:`L_k^2 = \gamma/n_k`, a sample of class k has the
    loss, :math:`|h|` taken as a constant,

    .. math:: \frac{(\langle L_k m_k, h\rangle - L_k\|h\|)^2}{2\|h\|}\ \text{(released)},\qquad
        \frac{(\langle L_k m_k, h\rangle - L_k\|h\|)^2}{2 L_k\|h\|}\ \text{(paper)},

    with gradient :math:`-L_k^2(1-\cos)\,m_k` or :math:`-L_k(1-\cos)\,m_k`. A class's samples weigh
    :math:`n_k L_k^2 = \gamma` together in the released code: exactly class-balanced inside each
    batch. As printed they weigh :math:`n_k L_k = \sqrt{\gamma n_k}`.

    Attributes:
        normalisation: Which of the two.
        n: Class sizes of the data set, for :math:`L_k^2 = (N/K)/n_k`; None for the counts of each
            batch, :math:`\gamma` the batch size over the number of classes present.
        norm_penalty: Weight of :math:`\|h\|`, >= 0; the released code has 0.01 where features are
            not normalised (ImageNet).

    References:
        Yang et al. (2022) [yang2022]_ and its released code.
    """

    normalisation: Literal["released", "paper"] = "released"
    n: tuple[int, ...] | None = None
    norm_penalty: float = 0.0

    def __post_init__(self):
        if self.normalisation not in ("released", "paper"):
            raise ValueError(
                f"normalisation must be 'released' or 'paper', got {self.normalisation!r}"
            )
        if self.n is not None:
            K = len(self.n) if hasattr(self.n, "__len__") else 0
            object.__setattr__(self, "n", check_sizes(self.n, K))
        penalty = check_number("norm_penalty", self.norm_penalty)
        object.__setattr__(self, "norm_penalty", penalty)

    def squared_lengths(self, frame: Tensor, y: Tensor) -> Tensor:
        """Squared length of each class vector ``(K,)``; 1 for classes absent from the batch.

        Args:
            frame: Rows ``(K, d)``.
            y: Labels of the batch ``(B,)``.

        Returns:
            The squared lengths.

        Raises:
            ValueError: If the class sizes do not fit the frame.
        """
        if self.n is None:
            count = class_counts(y, frame)
            present = count > 0
            return (len(y) / (present.sum() * count)).where(present, 1.0)
        if len(self.n) != len(frame):
            raise ValueError(f"n must have K={len(frame)} entries, got {len(self.n)}")
        count = constant(self.n, frame)
        return count.mean() / count

    def value(self, features: Tensor, frame: Rows, y: Tensor) -> Tensor:
        rows = class_rows(frame)
        own = rows.index_select(0, y)
        length = features.norm(dim=-1)
        constant = length.detach()
        directed = constant > NO_DIRECTION
        miss = (features * own).sum(-1) / lengths_or_inf(own) - constant
        loss = (miss.square() / (2 * constant).where(directed, 1.0)).where(directed, 0.0)
        weight = self.squared_lengths(rows, y)[y]
        if self.normalisation == "paper":
            weight = weight.sqrt()
        return weight * loss + self.norm_penalty * length
