"""NC4, agreement of the linear rule with the nearest class centre."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ufm._typing import Bool, Float, Int, Tensor
from ufm.metrics.moments import ROUNDING, Weighting, check_counts, class_counts


def decisions_agree(
    W: Float[Tensor, "*b K d"],
    H: Float[Tensor, "*b d M"],
    mean: Float[Tensor, "*b K d"],
    *,
    b: Float[Tensor, "*b K"] | None = None,
) -> Float[Tensor, "*b M"]:
    r"""Agreement of two decision rules on each feature column.

    The rules are :math:`\arg\max_k \langle w_k, h\rangle + b_k` and :math:`\arg\min_k \|h-\mu_k\|`
    on the features as they are: neither is centred, and the bias belongs to the linear rule.
    They are equal when ``W = c (M - mu_G)``, ``c > 0``, with centred means of equal norm and
    ``b = -W mu_G``.

    Each rule has a set of best classes, those within rounding of the best score. A column counts
    1 if the sets are equal, 0 if they are disjoint, in general the share
    :math:`|A\cap B|/|A\cup B|`. So duplicate classes do not make agreement a coin toss, and a
    classifier that ties all K classes scores 1/K, not 1.

    Args:
        W: Classifier rows.
        H: Features as columns.
        mean: Class means as rows.
        b: Bias; zero by default.

    Returns:
        Agreement of each column, in [0, 1].

    References:
        Papyan, Han and Donoho (2020) [papyan2020]_.
    """
    linear = W @ H
    size = torch.linalg.vector_norm(W, dim=-1).amax(-1)[..., None, None]
    size = size * torch.linalg.vector_norm(H, dim=-2).unsqueeze(-2)
    if b is not None:
        linear = linear + b.unsqueeze(-1)
        size = size + b.abs().amax(-1)[..., None, None]
    by_linear = _best(linear, size)
    # About a common origin, where |mu|^2 - 2 <h, mu> cancels least.
    origin = mean.mean(-2, keepdim=True)
    near, H = mean - origin, H - origin.mT
    radius = torch.linalg.vector_norm(near, dim=-1)
    reach = torch.linalg.vector_norm(H, dim=-2).unsqueeze(-2)
    largest = radius.amax(-1)[..., None, None]
    by_centre = _best(near @ H - radius.square().unsqueeze(-1) / 2, largest * (reach + largest))
    both, either = (by_linear & by_centre).sum(-2), (by_linear | by_centre).sum(-2)
    return both / either.to(torch.float64)


def _best(score: Float[Tensor, "*b K M"], size: Float[Tensor, "*b 1 M"]) -> Bool[Tensor, "*b K M"]:
    return score >= score.amax(-2, keepdim=True) - ROUNDING * size


@dataclass(frozen=True, eq=False)
class Agreement:
    """NC4 over batches: the second pass, with the class means of the first.

    `update` changes the tallies in place.

    Attributes:
        W: Classifier rows ``(K, d)``.
        b: Bias ``(K,)``.
        mean: Class means as rows ``(K, d)``.
        total: Sum of agreements of each true class ``(K,)``.
        count: Samples of each true class ``(K,)``.
    """

    W: Float[Tensor, "K d"]
    b: Float[Tensor, "K"]
    mean: Float[Tensor, "K d"]
    total: Float[Tensor, "K"]
    count: Int[Tensor, "K"]

    @classmethod
    def empty(
        cls,
        W: Float[Tensor, "K d"],
        mean: Float[Tensor, "K d"],
        *,
        b: Float[Tensor, "K"] | None = None,
    ) -> Agreement:
        """No samples yet.

        Args:
            W: Classifier rows.
            mean: Class means, of the training set as a rule.
            b: Bias; zero by default.

        Returns:
            Empty tallies, on the device of ``mean``.

        Raises:
            ValueError: If W and the means differ in shape.
        """
        if W.shape != mean.shape:
            raise ValueError(
                f"W must have shape (K, d) = {tuple(mean.shape)}, got {tuple(W.shape)}"
            )
        mean = mean.to(torch.float64)
        zero = mean.new_zeros(len(mean))
        bias = zero if b is None else b.detach().to(zero)
        return cls(W.detach().to(mean), bias, mean, zero.clone(), zero.long())

    def update(self, X: Float[Tensor, "B d"], y: Int[Tensor, "B"]) -> None:
        """Add a batch of samples, in place.

        Args:
            X: Features as rows.
            y: True label of each row.
        """
        X, y = X.detach().to(self.mean), y.to(self.mean.device).long()
        self.count.add_(class_counts(y, len(self.count)))
        agree = decisions_agree(self.W, X.mT, self.mean, b=self.b)
        self.total.index_add_(0, y, agree)

    def rate(self, weighting: Weighting = Weighting.CLASSES) -> float:
        """Share of agreement.

        Args:
            weighting: CLASSES averages the classes' rates; the others average samples.

        Returns:
            The share, in [0, 1].
        """
        check_counts(self.count)
        _, share = weighting.shares(self.count)
        return float((share * self.total / self.count).sum())
