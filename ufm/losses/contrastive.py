"""Supervised contrast with the same number of positives for every anchor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._spec import spec
from ufm.counts import check_count, check_number
from ufm.losses._features import FeatureLoss, unit_rows


if TYPE_CHECKING:
    from torch import Tensor

    from ufm.losses._features import Rows


@spec
class KPositives(FeatureLoss):
    r"""Contrastive loss with k positives an anchor (KCL), over the pairs of the batch.

    .. math:: \ell_i = -\frac1{|P_i|}\sum_{j\in P_i}
        \log\frac{e^{\langle v_i, v_j\rangle/\tau}}{\sum_{m\ne i} e^{\langle v_i, v_m\rangle/\tau}}

    with :math:`v = h/\|h\|` and :math:`P_i` at most k other samples of the anchor's class: the next
    k in the order of the batch, cyclically, so each sample is also a positive equally often and
    nothing is drawn; in a shuffled batch they are a random choice. ``views=2`` is for two
    augmentations stacked, rows i and i + B/2 of one image: the other view is a positive too, the k
    are of other images.

    Only the batch is seen. The published first stage has a momentum encoder with a queue of 65,536
    keys, so that rare classes have k positives too; here an anchor has what the batch holds, and
    loss 0 without any. The second stage is a linear classifier on frozen features with
    class-balanced sampling. The frame is not used.

    Attributes:
        k: Positives an anchor, at least 1.
        temperature: :math:`\tau > 0`.
        views: 1 or 2.

    References:
        Kang et al. (2021) [kang2021]_; Khosla et al. (2020) [khosla2020]_ for the loss with all
        positives, which k at least the class's samples gives.
    """

    k: int = 6
    temperature: float = 0.07
    views: int = 1

    def __post_init__(self):
        check_count("k", self.k)
        value = check_number("temperature", self.temperature, strict=True)
        object.__setattr__(self, "temperature", value)
        if self.views not in (1, 2):
            raise ValueError(f"views must be 1 or 2, got {self.views!r}")

    def value(self, features: Tensor, frame: Rows, y: Tensor) -> Tensor:
        if len(y) % self.views:
            raise ValueError(f"batch must hold pairs of views, got {len(y)} rows")
        V = unit_rows(features)
        positive = self.positives(y).to(V)
        itself = y.new_ones(len(y)).diag().bool()
        S = (V @ V.mT / self.temperature).masked_fill(itself, float("-inf"))
        log_share = (S - S.logsumexp(-1, keepdim=True)).masked_fill(itself, 0.0)
        return -(positive * log_share).sum(-1) / positive.sum(-1).clamp(min=1)

    def positives(self, y: Tensor) -> Tensor:
        """Which samples are positives of which anchors.

        Args:
            y: Labels ``(B,)``.

        Returns:
            ``(B, B)``, true where column j is a positive of row i.
        """
        images = y[: len(y) // self.views]
        same = images.unsqueeze(-1) == images
        count = same.sum(-1, keepdim=True)
        # Place of each image among those of its class, in the order of the batch.
        place = same.tril(-1).sum(-1)
        behind = (place - place.unsqueeze(-1)) % count
        chosen = same & (behind >= 1) & (behind <= self.k)
        if self.views == 1:
            return chosen
        half = (y.new_ones(len(y)).cumsum(0) - 1) // len(images)
        near = half.unsqueeze(-1) == half
        itself = images.new_ones(len(images)).diag().bool()
        return (chosen.repeat(2, 2) & near) | (itself.repeat(2, 2) & ~near)
