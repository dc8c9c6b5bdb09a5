"""Streaming class statistics of features: one pass, mergeable, float64."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ufm._shapes import Real
from ufm._typing import Float, Int, Tensor
from ufm.counts import check_count
from ufm.metrics.moments import Moments, Weighting, check_counts, class_counts


@dataclass(frozen=True, eq=False)
class FeatureStats:
    r"""Counts, means and within-class scatter of each class, accumulated batch by batch.

    `update` changes the tensors in place; ``a + b`` makes a new object. Batches of any size in
    any order give the same moments up to rounding: means and scatter are combined with the
    pairwise formulas of Chan, Golub and LeVeque, never as differences of raw sums.

    The scatter is :math:`\sum_i (h_{k,i}-\mu_k)(h_{k,i}-\mu_k)^\top`, one matrix a class
    (``S = K``), or their sum over classes (``S = 1``, pooled) where K d^2 numbers are too many.

    Attributes:
        count: Samples of each class ``(K,)``.
        mean: Class means as rows ``(K, d)``; zero for a class without samples.
        scatter: Within-class scatter ``(S, d, d)``.
        spread: Trace of each class's scatter ``(K,)``.

    >>> stats = FeatureStats.empty(K=2, d=1)
    >>> stats.update(torch.tensor([[1.0], [3.0], [10.0]]), torch.tensor([0, 0, 1]))
    >>> stats.count.tolist(), stats.mean.flatten().tolist(), stats.spread.tolist()
    ([2, 1], [2.0, 10.0], [2.0, 0.0])
    """

    count: Int[Tensor, "K"]
    mean: Float[Tensor, "K d"]
    scatter: Float[Tensor, "S d d"]
    spread: Float[Tensor, "K"]

    @classmethod
    def empty(
        cls, *, K: int, d: int, pooled: bool = False, device: torch.device | str = "cpu"
    ) -> FeatureStats:
        """Statistics of no samples.

        Args:
            K: Number of classes, at least 2.
            d: Feature dimension.
            pooled: Keep one d x d scatter matrix instead of K.
            device: Where to accumulate.

        Returns:
            Zeros.
        """
        K, d = check_count("K", K, 2), check_count("d", d)

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.float64, device=device)

        count = torch.zeros(K, dtype=torch.int64, device=device)
        return cls(count, zeros(K, d), zeros(1 if pooled else K, d, d), zeros(K))

    @classmethod
    def from_columns(
        cls, H: Float[Tensor, "d M"], y: Int[Tensor, "M"], K: int, *, pooled: bool = False
    ) -> FeatureStats:
        """Statistics of features held as columns, the convention of the models.

        Args:
            H: Features as columns.
            y: Label of each column.
            K: Number of classes.
            pooled: Keep one scatter matrix instead of K.

        Returns:
            The statistics.
        """
        stats = cls.empty(K=K, d=H.shape[0], pooled=pooled, device=H.device)
        stats.update(H.mT, y)
        return stats

    @classmethod
    def from_covariances(
        cls, mean: Float[Tensor, "K d"], covariance: Float[Tensor, "K d d"], *, n: Int[Tensor, "K"]
    ) -> FeatureStats:
        """Statistics from class means and covariances computed elsewhere.

        Args:
            mean: Class means as rows.
            covariance: Class covariances with divisor n_k (not n_k - 1).
            n: Samples of each class.

        Returns:
            The statistics.

        Raises:
            ValueError: If sizes differ, or a class has a negative or fractional number of samples.
        """
        K, d = mean.shape
        if covariance.shape != (K, d, d):
            raise ValueError(
                f"covariance must have shape (K, d, d) = {(K, d, d)}, got {tuple(covariance.shape)}"
            )
        if n.shape != (K,) or n.is_floating_point() or bool((n < 0).any()):
            raise ValueError(f"n must be K={K} integers of at least 0, got {n.tolist()}")
        scatter = covariance.to(torch.float64) * n[:, None, None]
        spread = scatter.diagonal(dim1=-2, dim2=-1).sum(-1)
        return cls(n.to(torch.int64), mean.to(torch.float64), scatter, spread)

    @property
    def is_pooled(self) -> bool:
        """Whether one scatter matrix stands for all classes."""
        return self.scatter.shape[0] != self.mean.shape[0]

    def update(
        self,
        X: Float[Tensor, "B d"] | Real[np.ndarray, "B d"],
        y: Int[Tensor, "B"] | Real[np.ndarray, "B"],
    ) -> None:
        """Add a batch of samples, in place.

        Args:
            X: Features as rows, one a sample: the convention of networks. Tensors or arrays of any
                float type; they are moved to this object's device and accumulated in float64.
            y: Label of each row.

        Raises:
            ValueError: If a shape or label does not fit or a feature is not finite; nothing has
                been added then.
        """
        # A copy, for arrays mapped from a file cannot be written to, which torch would warn of.
        X, y = (t if isinstance(t, Tensor) else torch.tensor(t) for t in (X, y))
        if y.ndim != 1 or X.shape != (len(y), self.mean.shape[-1]):
            raise ValueError(
                f"X must have shape (B, d) = (B, {self.mean.shape[-1]}) with B labels, "
                f"got {tuple(X.shape)} and labels {tuple(y.shape)}"
            )
        X, y = X.detach().to(self.mean), y.to(self.mean.device)
        if not bool(X.isfinite().all()):
            raise ValueError("X must be finite, got NaN or infinity")
        count = class_counts(y, len(self.count))
        present = count.nonzero().flatten()
        if not len(present):
            return
        groups = X[y.long().argsort(stable=True)].split(count[present].tolist())
        mean = torch.stack([group.mean(0) for group in groups])
        shifts = self._move_means(present, count[present], mean)
        # The shift of a class mean scatters like one more sample.
        rows = [
            torch.cat([group - centre, shift.unsqueeze(0)])
            for group, centre, shift in zip(groups, mean, shifts, strict=True)
        ]
        self.spread[present] += torch.stack([row.square().sum() for row in rows])
        if self.is_pooled:
            rows = [torch.cat(rows)]
        for k, row in zip([0] if self.is_pooled else present.tolist(), rows, strict=True):
            self.scatter[k].addmm_(row.mT, row)

    def __add__(self, other: FeatureStats) -> FeatureStats:
        if self.mean.shape != other.mean.shape or self.scatter.shape != other.scatter.shape:
            raise ValueError(
                "statistics must have the same K, d and pooling, "
                f"got {tuple(self.scatter.shape)} and {tuple(other.scatter.shape)}"
            )
        total = FeatureStats(*(t.clone() for t in vars(self).values()))
        other = other.to(self.mean.device)
        classes = torch.arange(len(self.count), device=self.mean.device)
        shifts = total._move_means(classes, other.count, other.mean)
        total.spread.add_(other.spread + shifts.square().sum(-1))
        total.scatter.add_(other.scatter)
        for k in range(len(total.scatter)):
            row = shifts if self.is_pooled else shifts[k : k + 1]
            total.scatter[k].addmm_(row.mT, row)
        return total

    def _move_means(
        self, classes: Int[Tensor, "P"], count: Int[Tensor, "P"], mean: Float[Tensor, "P d"]
    ) -> Float[Tensor, "P d"]:
        # Adds samples to counts and means; returns the rows r whose r' r the merged scatter gains.
        old = self.count[classes]
        share = count / (old + count).clamp(min=1).to(torch.float64)
        delta = mean - self.mean[classes]
        self.mean[classes] += delta * share.unsqueeze(-1)
        self.count[classes] += count
        return delta * (old * share).sqrt().unsqueeze(-1)

    def select(self, classes: Int[Tensor, "P"]) -> FeatureStats:
        """Statistics of some classes only, relabelled 0..P-1 in the given order.

        Args:
            classes: At least two class indices.

        Returns:
            Their statistics.

        Raises:
            ValueError: If the scatter is pooled: it cannot be taken apart again.
        """
        if self.is_pooled:
            raise ValueError("stats must hold one scatter matrix a class to select, got pooled")
        return FeatureStats(*(t[classes] for t in vars(self).values()))

    def covariance(self) -> Float[Tensor, "K d d"]:
        """Covariance of each class, with divisor n_k.

        Returns:
            The K matrices.

        Raises:
            ValueError: If a class has no samples, or the scatter is pooled.
        """
        check_counts(self.count)
        if self.is_pooled:
            raise ValueError("stats must hold one scatter matrix a class, got pooled")
        return self.scatter / self.count[:, None, None]

    def moments(self, weighting: Weighting = Weighting.CLASSES) -> Moments:
        """What the metrics take.

        Args:
            weighting: How classes of unequal size are averaged.

        Returns:
            Means and covariances.

        Raises:
            ValueError: If a class has no samples, all class means coincide, or CLASSES is asked
                of a pooled scatter with unequal class sizes.
        """
        check_counts(self.count)
        share, within_share = weighting.shares(self.count)
        weight = within_share / self.count
        if not self.is_pooled:
            within = torch.tensordot(weight, self.scatter, 1)
        elif weighting is Weighting.CLASSES and bool((self.count != self.count[0]).any()):
            raise ValueError(
                "weighting must be SAMPLES or POOLED for pooled statistics of unequal classes, "
                "got CLASSES"
            )
        else:
            within = weight[0] * self.scatter[0]
        return Moments(self.mean, share, within, self.spread / self.count, within_share).checked()

    def to(self, device: torch.device | str) -> FeatureStats:
        """The same statistics on another device.

        Args:
            device: Where to.

        Returns:
            A copy, or views if they are there already.
        """
        names = ("count", "mean", "scatter", "spread")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})
