"""What a classifier decides on labelled samples: accuracy, confusion, calibration, severity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ufm._typing import Float, Int, Tensor
from ufm.metrics import (
    AccuracyRecord,
    CalibrationRecord,
    HierarchyRecord,
    calibrate_answers,
    hierarchy_metrics,
    tally,
)
from ufm.metrics.moments import class_counts


Distances = Tensor | np.ndarray


class Decisions:
    """Tallies of one decision rule over batches.

    Args:
        K: Number of classes.
        D: Distances of the classes ``(K, K)`` where they have a hierarchy, or None.
        k: The k of HD@k; those above K are left out.
    """

    def __init__(self, K: int, *, D: Distances | None = None, k: Sequence[int] = (1, 5, 20)):
        self.K = K
        self.D = None if D is None else torch.as_tensor(D)
        self.k = tuple(size for size in k if size <= K)
        self._answers = AccuracyRecord(torch.zeros(K, K, dtype=torch.int64))
        self._calibration: CalibrationRecord | None = None
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
        self._answers += tally(decided.cpu(), y.cpu(), K=self.K)
        sure = calibrate_answers(scores.softmax(-1).amax(-1).cpu(), (decided == y).cpu())
        self._calibration = sure if self._calibration is None else self._calibration + sure
        if self.D is not None:
            record = hierarchy_metrics(scores, y, self.D, k=self.k)
            self._hierarchy = record if self._hierarchy is None else self._hierarchy + record

    @property
    def confusion(self) -> Int[Tensor, "K K"]:
        """Samples of true class i decided as j."""
        return self._answers.confusion

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self._answers.samples

    @property
    def accuracy(self) -> float:
        """Share of correct samples; NaN without samples."""
        return self._answers.accuracy

    @property
    def per_class(self) -> Float[Tensor, "K"]:
        """Share of correct samples of each class; NaN for a class without samples."""
        return self._answers.by_class

    @property
    def ece(self) -> float:
        """Expected calibration error over 15 bins of equal width; NaN without samples."""
        return float("nan") if self._calibration is None else self._calibration.ece

    def by_shot(self, n: Sequence[int]) -> dict[str, float]:
        """Mean accuracy of classes with many, medium and few training samples.

        Args:
            n: Training samples of each class: many is over 100, few is below 20.

        Returns:
            Mean of the classes' accuracies in each group; groups without classes are left out.

        Raises:
            ValueError: If ``n`` does not have K entries.
        """
        return self._answers.by_shot(n)

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
