"""What a classifier decides on labelled samples: accuracy, confusion, calibration, severity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ufm._typing import Float, Int, Tensor
from ufm.metrics import (
    AccuracyRecord,
    CalibrationRecord,
    HierarchyRecord,
    calibrate,
    hierarchy_metrics,
    tally,
)


Distances = Tensor | np.ndarray


class Decisions:
    """Tallies of one decision rule over batches.

    Args:
        K: Number of classes.
        D: Distances of the classes ``(K, K)`` where they have a hierarchy, or None.
        k: The k of HD@k; those above K are left out.

    Attributes:
        answers: What was answered for each class, on the CPU.
    """

    def __init__(self, K: int, *, D: Distances | None = None, k: Sequence[int] = (1, 5, 20)):
        self.K = K
        self.D = None if D is None else torch.as_tensor(D)
        self.k = tuple(size for size in k if size <= K)
        self.answers = AccuracyRecord(torch.zeros(K, K, dtype=torch.int64))
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
        if not len(y):
            return
        # A handful of numbers a sample: tallied on the host, in the same order every time.
        scores, y = scores.detach().to("cpu", torch.float64), y.cpu()
        calibration = calibrate(scores, y)
        self.answers = self.answers + tally(scores.argmax(-1), y, K=self.K)
        before = self._calibration
        self._calibration = calibration if before is None else before + calibration
        if self.D is not None:
            record = hierarchy_metrics(scores, y, self.D.cpu(), k=self.k)
            self._hierarchy = record if self._hierarchy is None else self._hierarchy + record

    @property
    def accuracy(self) -> float:
        """Share of correct samples; NaN without samples."""
        return self.answers.accuracy

    @property
    def ece(self) -> float:
        """Expected calibration error over 15 bins of equal width; NaN without samples."""
        return math.nan if self._calibration is None else self._calibration.ece

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
            **self.answers.as_row(),
            "ece": self.ece,
            "per_class": self.answers.by_class.tolist(),
        }
        if n is not None:
            row |= self.answers.by_shot(n)
        if self._hierarchy is not None:
            record = self._hierarchy.as_row()
            row |= {name: x for name, x in record.items() if name not in ("top1", "samples")}
        if confusion_up_to >= self.K:
            row["confusion"] = self.answers.confusion.tolist()
        return row
