"""What a classifier decides on labelled samples: accuracy, confusion, calibration, severity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ufm._typing import Float, Int, Tensor
from ufm.metrics import HierarchyRecord, hierarchy_metrics
from ufm.metrics.moments import class_counts


Distances = Tensor | np.ndarray
BINS = 15
MANY, FEW = 100, 20
SHOTS = ("many", "medium", "few")


class Decisions:
    """Tallies of one decision rule over batches.

    Args:
        K: Number of classes.
        D: Distances of the classes ``(K, K)`` where they have a hierarchy, or None.
        k: The k of HD@k; those above K are left out.

    Attributes:
        confusion: Samples of true class i decided as j ``(K, K)``, int64, on the CPU.
    """

    def __init__(self, K: int, *, D: Distances | None = None, k: Sequence[int] = (1, 5, 20)):
        self.K = K
        self.D = None if D is None else torch.as_tensor(D)
        self.k = tuple(size for size in k if size <= K)
        self.confusion = torch.zeros(K, K, dtype=torch.int64)
        self._bins = torch.zeros(3, BINS, dtype=torch.float64)
        self._hierarchy: HierarchyRecord | None = None

    def update(self, scores: Float[Tensor, "B K"], y: Int[Tensor, "B"]) -> None:
        """Add a batch, in place.

        Args:
            scores: Scores, the largest wins; probabilities are their softmax.
            y: True classes.

        Raises:
            ValueError: If sizes differ, a label is out of range or a score is NaN.
        """
        if scores.shape != (len(y), self.K):
            raise ValueError(
                f"scores must have shape {(len(y), self.K)}, got {tuple(scores.shape)}"
            )
        class_counts(y, self.K)
        if not len(y):
            return
        if bool(scores.isnan().any()):
            raise ValueError("scores must be numbers, got NaN")
        scores, y = scores.to(torch.float64), y.to(scores.device).long()
        decided = scores.argmax(-1)
        pairs = torch.bincount(y * self.K + decided, minlength=self.K**2)
        self.confusion += pairs.reshape(self.K, self.K).cpu()
        self._calibrate(scores.softmax(-1).amax(-1).cpu(), (decided == y).cpu())
        if self.D is not None:
            record = hierarchy_metrics(scores, y, self.D, k=self.k)
            self._hierarchy = record if self._hierarchy is None else self._hierarchy + record

    def _calibrate(self, sure: Float[Tensor, "B"], right: Tensor) -> None:
        # Bins (0, 1/15], (1/15, 2/15], ...
        place = (sure * BINS).ceil().long().clamp(1, BINS) - 1
        for row, weight in enumerate((torch.ones_like(sure), sure, right.to(sure))):
            self._bins[row] += torch.bincount(place, weight, minlength=BINS)

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of correct samples; NaN without samples."""
        return int(self.confusion.trace()) / self.samples if self.samples else math.nan

    @property
    def per_class(self) -> Float[Tensor, "K"]:
        """Share of correct samples of each class; NaN for a class without samples."""
        return self.confusion.diagonal().double() / self.confusion.sum(-1)

    @property
    def ece(self) -> float:
        r"""Expected calibration error.

        :math:`\sum_b \frac{|b|}{N}\,|\mathrm{accuracy}_b - \mathrm{confidence}_b|` over 15 bins of
        equal width of the largest probability, as Guo et al. (2017) compute it.
        """
        _, sure, right = self._bins
        return float((sure - right).abs().sum()) / self.samples if self.samples else math.nan

    def by_shot(self, n: Sequence[int]) -> dict[str, float]:
        """Mean accuracy of classes with many, medium and few training samples.

        Args:
            n: Training samples of each class: many is over 100, few is below 20.

        Returns:
            Mean of the classes' accuracies in each group; groups without classes are left out.

        Raises:
            ValueError: If ``n`` does not have K entries.
        """
        if len(n) != self.K:
            raise ValueError(f"n must have K={self.K} entries, got {len(n)}")
        group = ["many" if size > MANY else "few" if size < FEW else "medium" for size in n]
        rate = self.per_class.tolist()
        chosen = {
            name: [r for r, g in zip(rate, group, strict=True) if g == name] for name in SHOTS
        }
        return {name: sum(rates) / len(rates) for name, rates in chosen.items() if rates}

    def as_row(
        self, *, n: Sequence[int] | None = None, confusion_up_to: int = 10
    ) -> dict[str, Any]:
        """Numbers for a table.

        Args:
            n: Training samples of each class, for accuracy by shot.
            confusion_up_to: Largest K whose confusion matrix is listed.

        Returns:
            ``accuracy``, ``per_class``, ``ece``, ``many``, ``medium``, ``few``, ``confusion``, and
            with a hierarchy ``mistake_severity`` and ``hd@k``.
        """
        row: dict[str, Any] = {
            "samples": self.samples,
            "accuracy": self.accuracy,
            "ece": self.ece,
            "per_class": self.per_class.tolist(),
        }
        if n is not None:
            row |= self.by_shot(n)
        if self._hierarchy is not None:
            record = self._hierarchy.as_row()
            row |= {name: x for name, x in record.items() if name not in ("top1", "samples")}
        if confusion_up_to >= self.K:
            row["confusion"] = self.confusion.tolist()
        return row
