"""Neural collapse of streamed features in two passes: class means, then everything about them.

Only sums of float64 numbers of sizes K x d and d x d are kept, so that a thousand classes or wide
features fit. The definitions are those of `ufm.metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ufm._typing import Float, Int, Tensor
from ufm.geometry import Geometry, cosines
from ufm.geometry.multicenter import Centers
from ufm.metrics import Agreement, Moments, Weighting
from ufm.metrics.moments import check_counts, class_counts
from ufm.metrics.record import NCRecord, measure


Batches = Callable[[], Iterator[tuple[Tensor, Tensor]]]


@dataclass(frozen=True, eq=False)
class Classifier:
    """The linear rule of a head, and where its features are meant to go; float64.

    Attributes:
        W: Rows ``(K, d)``.
        b: Bias ``(K,)``, zero where there is none.
        direction: Direction that the features of each class are meant to take ``(K, d)``: the rows
            themselves, or the mean directions of a multi-center frame.
        centers: The multi-center frame, or None.
    """

    W: Float[Tensor, "K d"]
    b: Float[Tensor, "K"]
    direction: Float[Tensor, "K d"]
    centers: Centers | None = None

    @classmethod
    def of(cls, W: Float[Tensor, "K d"], b: Float[Tensor, "K"] | None = None) -> Classifier:
        """A classifier whose features are meant to take the directions of its rows.

        Args:
            W: Rows.
            b: Bias.

        Returns:
            The classifier.
        """
        W = W.detach().to(torch.float64)
        return cls(W, W.new_zeros(len(W)) if b is None else b.detach().to(W), W)


@dataclass(frozen=True, eq=False)
class Collapse:
    """What two passes over labelled features say; float64 sums, no samples.

    Attributes:
        classifier: The classifier they are measured against.
        moments: Class means and scatter, every class counting once.
        count: Samples of each class ``(K,)``.
        agree: NC4.
        multicenter: ``nc_ave``, ``nc_std`` and ``sigma`` of a multi-center frame, else empty.
    """

    classifier: Classifier
    moments: Moments
    count: Int[Tensor, "K"]
    agree: float
    multicenter: dict[str, float]

    @property
    def geometry(self) -> Geometry:
        """Gram triple of rows and class means."""
        M, W = self.moments.mean, self.classifier.W
        spread = self.moments.spread.sum()
        total = M.square().sum() + spread
        within = torch.where(total > 0, spread / total.clamp(min=1e-300), 0.0)
        return Geometry(W @ W.mT, M @ M.mT, W @ M.mT, within)

    @property
    def record(self) -> NCRecord:
        """NC1 to NC4; every entry NaN where all class means coincide or are not finite."""
        m = self.moments
        usable = bool(m.mean.isfinite().all() & m.spread.isfinite().all())
        if not usable or bool(m.coincide):
            return NCRecord(**dict.fromkeys(NCRecord.__dataclass_fields__, math.nan))
        return measure(m, self.classifier.W, agreement=self.agree)

    @property
    def angles(self) -> Float[Tensor, "K"]:
        """Angle of each class mean to the direction it is meant to take, in degrees."""
        return angles_between(self.moments.mean, self.classifier.direction)

    @property
    def E_H(self) -> Float[Tensor, "K"]:
        """Mean squared norm of each class's features."""
        return self.moments.mean.square().sum(-1) + self.moments.spread

    @property
    def E_W(self) -> Float[Tensor, "K"]:
        """Squared norm of each row."""
        return self.classifier.W.square().sum(-1)

    def as_row(self, *, gram_up_to: int = 10) -> dict[str, Any]:
        """Numbers for a table.

        Args:
            gram_up_to: Largest K whose Gram matrices are listed in full.

        Returns:
            NC metrics by name; ``angle_mean`` and ``angle_max`` (degrees) to the head's frame;
            ``E_W`` and ``E_H``; summaries of the cosines of class means, and Gram matrices for few
            classes.
        """
        angles, geometry = self.angles, self.geometry
        K = len(angles)
        cos = cosines(geometry.gram_H)[*torch.triu_indices(K, K, 1, device=angles.device)]
        row: dict[str, Any] = {
            **self.record.as_row(),
            "angle_mean": float(angles.mean()),
            "angle_max": float(angles.max()),
            "E_W": float(self.E_W.mean()),
            "E_H": float(self.E_H.mean()),
            "within": float(geometry.within),
            "cos_mean": float(cos.mean()),
            "cos_min": float(cos.min()),
            "cos_max": float(cos.max()),
            **self.multicenter,
        }
        if gram_up_to >= K:
            for name in ("gram_W", "gram_H", "Z"):
                row[name] = getattr(geometry, name).tolist()
        return row


def unit(V: Float[Tensor, "K d"]) -> Float[Tensor, "K d"]:
    """Rows of length one; NaN for zero rows.

    Args:
        V: Rows.

    Returns:
        Directions.
    """
    return V / torch.linalg.vector_norm(V, dim=-1, keepdim=True)


def angles_between(A: Float[Tensor, "K d"], B: Float[Tensor, "K d"]) -> Float[Tensor, "K"]:
    """Angle of each row of A to that of B, in degrees; NaN for a zero row.

    By chord and sum, which keeps the digits of small angles.

    Args:
        A: Rows.
        B: Rows.

    Returns:
        The angles.
    """
    u, v = unit(A), unit(B)
    chord, total = (torch.linalg.vector_norm(x, dim=-1) for x in (u - v, u + v))
    return torch.rad2deg(2 * torch.atan2(chord, total))


def class_means(batches: Batches, K: int) -> tuple[Float[Tensor, "K d"], Int[Tensor, "K"]]:
    """First pass: class means and counts.

    Args:
        batches: Called for an iterator over ``(features (B, d), labels (B,))``.
        K: Number of classes.

    Returns:
        Means as rows, float64, and counts.

    Raises:
        ValueError: If there is no batch, or a class has no sample.
    """
    total = count = None
    for X, y in batches():
        X = X.to(torch.float64)
        y = y.to(X.device)
        if total is None or count is None:
            total = X.new_zeros(K, X.shape[-1])
            count = torch.zeros(K, dtype=torch.int64, device=X.device)
        count += class_counts(y, K)
        total += membership(y, K).mT @ X
    if total is None or count is None:
        raise ValueError("batches must hold at least one batch, got none")
    check_counts(count)
    return total / count.unsqueeze(-1), count


def membership(y: Int[Tensor, "B"], K: int) -> Float[Tensor, "B K"]:
    """One-hot labels: sums over classes as products, in the same order every time on CUDA too.

    Args:
        y: Labels.
        K: Number of classes.

    Returns:
        Zeros and ones, float64.
    """
    return torch.nn.functional.one_hot(y.long(), K).to(torch.float64)


def collapse(batches: Batches, classifier: Classifier) -> Collapse:
    """Measure the collapse of features, in two passes.

    Args:
        batches: Called twice for an iterator over ``(features, labels)``, the same samples each
            time, on the classifier's device.
        classifier: Linear rule and meant directions.

    Returns:
        The measures.

    Raises:
        ValueError: If there is no batch, a class has no sample, or sizes do not fit.
    """
    W = classifier.W
    K, d = W.shape
    mean, count = class_means(batches, K)
    if mean.shape != W.shape:
        raise ValueError(f"features must have d={d} entries as W has, got {mean.shape[1]}")
    share, within_share = Weighting.CLASSES.shares(count)
    weight = within_share / count
    within, spread = W.new_zeros(d, d), W.new_zeros(K)
    agreement = Agreement.empty(W, mean, b=classifier.b)
    tally = _CenterTally(classifier)
    for X, y in batches():
        X, y = X.to(torch.float64), y.to(W.device)
        agreement.update(X, y)
        tally.update(X, y)
        deviation = X - mean[y]
        within.addmm_((deviation * weight[y].unsqueeze(-1)).mT, deviation)
        spread += membership(y, K).mT @ deviation.square().sum(-1)
    moments = Moments(mean, share, within, spread / count, within_share)
    return Collapse(classifier, moments, count, agreement.rate(), tally.row())


class _CenterTally:
    # Sums of NC = |h/|h| - e_k|^2 and of its square about the first batch's mean, and of the cosine
    # to w_k; empty where the frame has one center a class.
    def __init__(self, classifier: Classifier):
        self.centers = classifier.centers
        self.samples, self.shift = 0, 0.0
        self.sums = classifier.W.new_zeros(3)
        self.classifier = classifier

    def update(self, X: Float[Tensor, "B d"], y: Int[Tensor, "B"]) -> None:
        if self.centers is None or not len(y):
            return
        U = unit(X)
        nc = (U - unit(self.classifier.direction)[y]).square().sum(-1)
        cos = (U * unit(self.classifier.W)[y]).sum(-1)
        if not self.samples:
            self.shift = nc.mean()
        self.samples += len(y)
        moved = nc - self.shift
        self.sums += torch.stack([moved.sum(), moved.square().sum(), cos.sum()])

    def row(self) -> dict[str, float]:
        if self.centers is None:
            return {}
        first, second, cos = self.sums / self.samples
        deviation = (second - first.square()).clamp(min=0).sqrt()
        average = first + self.shift
        return {
            "nc_ave": float(average), "nc_std": float(deviation), "sigma": float(1 - cos),
        }  # fmt: skip
