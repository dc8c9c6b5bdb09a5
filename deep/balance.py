r"""Which ridge or budget balances the gradient of a trained classifier: estimates with residuals.

At a stationary point of :math:`R(W H + b) + \frac{\lambda_W}2\|W\|^2 + \frac12\sum_i p_i\|h_i\|^2`

.. math:: \lambda_W W = -\partial R/\partial W,\qquad p_i h_i = -\partial R/\partial h_i,\qquad
    \lambda_b b = -\partial R/\partial b.

Each strength is the least-squares solution of its equation, and the share of the gradient that it
leaves over is the residual: 0 for a stationary point, near 1 where the gradient has nothing to do
with the point. Budgets are multipliers of the same form, with the norms as constraints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from deep.collapse import Batches, Classifier, membership
from ufm._typing import Float, Int, Tensor
from ufm.losses import Loss


# Shares of a gradient below this are rounding: the equation holds with a multiplier of zero.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Balance:
    r"""Sums over samples at (W, b) and features, float64.

    Attributes:
        classifier: The linear rule.
        n: Samples of each class ``(K,)``.
        risk: Weighted mean loss.
        G: Gradient of the risk in W ``(K, d)``.
        G_b: Gradient in the bias ``(K,)``.
        size: Sum over samples of the weighted norms of the gradient in the logits.
        gh: :math:`\sum_i \langle \partial R/\partial h_i, h_i\rangle` of each class ``(K,)``.
        hh: :math:`\sum_i \|h_i\|^2` of each class ``(K,)``.
        pull: :math:`\sum_i \partial R/\partial h_i` of each class ``(K, d)``.
        total: :math:`\sum_i h_i` of each class ``(K, d)``.
    """

    classifier: Classifier
    n: Int[Tensor, "K"]
    risk: float
    G: Float[Tensor, "K d"]
    G_b: Float[Tensor, "K"]
    size: float
    gh: Float[Tensor, "K"]
    hh: Float[Tensor, "K"]
    pull: Float[Tensor, "K d"]
    total: Float[Tensor, "K d"]

    @property
    def lam_W(self) -> float:
        """Ridge on W, by least squares."""
        W = self.classifier.W
        return float(-(self.G * W).sum() / W.square().sum())

    @property
    def lam_W_by_class(self) -> Float[Tensor, "K"]:
        """Ridge that each row alone asks for; equal at a ridge optimum."""
        W = self.classifier.W
        return -(self.G * W).sum(-1) / W.square().sum(-1)

    @property
    def lam_H_by_class(self) -> Float[Tensor, "K"]:
        """Ridge per sample that the features of each class alone ask for."""
        return -self.gh / self.hh

    @property
    def residual_W(self) -> float:
        """Share of the gradient in W that a ridge leaves over."""
        return share(self.G + self.lam_W * self.classifier.W, self.G)

    @property
    def residual_W_rows(self) -> float:
        """The same for per-vector budgets: each row has a multiplier, and its norm is the largest.

        What a row falls short of the largest norm counts with its multiplier.
        """
        W = self.classifier.W
        pull = self.lam_W_by_class.clamp(min=0).unsqueeze(-1) * W
        square = W.square().sum(-1, keepdim=True)
        return share(torch.cat([self.G + pull, pull * (1 - square / square.max())]), self.G)

    @property
    def E_H(self) -> float:
        """Largest mean squared norm of a class's features: the per-vector budget."""
        return float((self.hh / self.n).max())

    def residual_means(self, ridge: Float[Tensor, "K"] | None = None) -> float:
        """Share of the classes' summed gradients that a ridge on their mean features leaves over.

        Noise within classes averages out here: this is what a model of class means has to explain.

        Args:
            ridge: Ridge on a sample of each class; by default a multiplier of its own for each
                class, not negative, with what its mean falls short of the budget.

        Returns:
            The share.
        """
        if ridge is not None:
            return share(self.pull + ridge.unsqueeze(-1) * self.total, self.pull)
        square = self.total.square().sum(-1, keepdim=True)
        own = -(self.pull * self.total).sum(-1, keepdim=True) / square.clamp(min=1e-300)
        held = own.clamp(min=0) * self.total
        norm = square / self.n.to(square).square().unsqueeze(-1)
        return share(torch.cat([self.pull + held, held * (1 - norm / norm.max())]), self.pull)

    @property
    def bias_is_free(self) -> bool:
        """Whether the gradient in the bias vanishes, up to rounding."""
        return float(self.G_b.norm()) <= ROUNDING * self.size

    @property
    def lam_b(self) -> float:
        """Ridge on the bias, by least squares; 0 where the bias is zero."""
        square = float(self.classifier.b.square().sum())
        return float(-(self.G_b @ self.classifier.b)) / square if square else 0.0

    @property
    def residual_b(self) -> float:
        """Gradient in the bias that a ridge leaves over, as a share of that in the logits."""
        left = self.G_b + self.lam_b * self.classifier.b
        return float(left.norm()) / self.size if self.size and not self.bias_is_free else 0.0

    @property
    def per_sample(self) -> float:
        """Ridge on every sample's feature, one number: lambda_H of `ufm.WeightDecay`."""
        return float(-self.gh.sum() / self.hh.sum())

    @property
    def per_class_mean(self) -> float:
        """One number over n_k on every sample of class k: lambda_H of `ufm.ClassMeanDecay`."""
        n = self.n.to(self.hh)
        return float(-(self.gh / n).sum() / (self.hh / n.square()).sum())


def share(left: Tensor, whole: Tensor) -> float:
    """Norm of what is left over relative to the whole; 1 where the whole is zero.

    Args:
        left: What is left.
        whole: What was to be explained.

    Returns:
        The share.
    """
    size = float(torch.linalg.vector_norm(whole))
    return float(torch.linalg.vector_norm(left)) / size if size else 1.0


def balance(
    batches: Batches, classifier: Classifier, loss: Loss, *, weight: Float[Tensor, "K"]
) -> Balance:
    """Accumulate the gradient of the risk over samples, one pass.

    Args:
        batches: Called for an iterator over ``(features, labels)``.
        classifier: The linear rule.
        loss: Loss on the logits.
        weight: Weight of one sample of each class in the risk ``(K,)``; 1/N each for a mean.

    Returns:
        The sums.
    """
    W = classifier.W
    K = len(W)
    G, G_b, sums = torch.zeros_like(W), W.new_zeros(K), W.new_zeros(2, K)
    pull, total = torch.zeros_like(W), torch.zeros_like(W)
    n = torch.zeros(K, dtype=torch.int64, device=W.device)
    risk = size = 0.0
    for X, y, by_logit, value in _gradients(batches, classifier, loss, weight):
        member = membership(y, K)
        n += member.sum(0).long()
        risk += float(value.sum())
        size += float(by_logit.norm(dim=0).sum())
        G += by_logit @ X
        G_b += by_logit.sum(-1)
        g = by_logit.mT @ W
        rows = torch.stack([(g * X).sum(-1), X.square().sum(-1)])
        sums += rows @ member
        pull += member.mT @ g
        total += member.mT @ X
    gh, hh = sums
    return Balance(classifier, n, risk, G, G_b, size, gh, hh, pull, total)


def residuals(
    batches: Batches,
    classifier: Classifier,
    loss: Loss,
    *,
    weight: Float[Tensor, "K"],
    ridges: Float[Tensor, "R K"],
    E_H: float,
) -> tuple[Float[Tensor, "R"], float]:
    r"""What ridges leave over of the gradient in the features, one pass.

    Args:
        batches: As in `balance`.
        classifier: The linear rule.
        loss: Loss on the logits.
        weight: Weight of one sample of each class.
        ridges: Ridge :math:`p` on a sample of each class, one row a model.
        E_H: Per-vector budget.

    Returns:
        Share left over by each model, and by one multiplier a sample, not negative, where what a
        feature falls short of the budget counts with its multiplier.
    """
    left = classifier.W.new_zeros(len(ridges) + 1)
    whole = classifier.W.new_zeros(())
    for X, y, by_logit, _ in _gradients(batches, classifier, loss, weight):
        g = by_logit.mT @ classifier.W
        whole += g.square().sum()
        square = X.square().sum(-1)
        own = (-(g * X).sum(-1) / square.clamp(min=1e-300)).clamp(min=0)
        left[-1] += (own.square() * square * (1 - square / E_H).square()).sum()
        for row, p in enumerate((*(ridge[y] for ridge in ridges), own)):
            left[row] += (g + p.unsqueeze(-1) * X).square().sum()
    shares = (left / whole).sqrt() if whole > 0 else torch.ones_like(left)
    return shares[:-1], float(shares[-1])


def _gradients(
    batches: Batches, classifier: Classifier, loss: Loss, weight: Float[Tensor, "K"]
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    W, b = classifier.W, classifier.b
    for X, y in batches():
        X, y = X.to(W), y.to(W.device)
        value, grad = loss.value_and_grad(W @ X.mT + b.unsqueeze(-1), y)
        c = weight[y]
        yield X, y, grad * c, value * c
