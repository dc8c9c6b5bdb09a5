"""Accuracy: in total, by class, by how many training samples a class has; confusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ufm._typing import Float, Int, Tensor
from ufm.counts import check_count, check_sizes


SHOTS = ("many", "medium", "few")


@dataclass(frozen=True, eq=False)
class AccuracyRecord:
    """Tally of answers; records of batches add up with ``+``.

    Attributes:
        confusion: Samples of true class i answered as j ``(K, K)``, int64.
    """

    confusion: Int[Tensor, "K K"]

    def __add__(self, other: AccuracyRecord) -> AccuracyRecord:
        if self.confusion.shape != other.confusion.shape:
            raise ValueError(
                f"K must be the same in both records, got {len(self.confusion)} "
                f"and {len(other.confusion)}"
            )
        return AccuracyRecord(self.confusion + other.confusion)

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of right answers; NaN without samples."""
        return int(self.confusion.trace()) / self.samples if self.samples else math.nan

    @property
    def by_class(self) -> Float[Tensor, "K"]:
        """Share of right answers of each class ("recall"); NaN for a class without samples."""
        return self.confusion.diagonal().to(torch.float64) / self.confusion.sum(-1)

    @property
    def balanced(self) -> float:
        """Mean of the classes' accuracies, over classes with samples."""
        return float(self.by_class.nanmean())

    def by_shot(self, n: Sequence[int], *, many: int = 100, few: int = 20) -> dict[str, float]:
        """Mean accuracy of classes with many, medium and few training samples.

        Args:
            n: Training samples of each class.
            many: Classes with more than that are "many".
            few: Classes with less than that are "few"; the others are "medium".

        Returns:
            Mean of the classes' accuracies in each group that has a class with test samples.

        Raises:
            ValueError: If there are not K sizes or the groups overlap.

        References:
            Liu et al. (2019) [liu2019]_.
        """
        sizes = check_sizes(n, len(self.confusion))
        if few > many:
            raise ValueError(f"few must be at most many={many}, got {few}")
        group = ["many" if size > many else "few" if size < few else "medium" for size in sizes]
        found = {}
        for name in SHOTS:
            member = torch.tensor([g == name for g in group], device=self.confusion.device)
            mean = float(self.by_class[member].nanmean())
            if not math.isnan(mean):
                found[name] = mean
        return found

    def as_row(self) -> dict[str, float]:
        """Numbers for a table.

        Returns:
            ``accuracy``, ``balanced_accuracy`` and ``samples``.
        """
        return {
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced,
            "samples": self.samples,
        }


def tally(answers: Int[Tensor, "N"], y: Int[Tensor, "N"], *, K: int) -> AccuracyRecord:
    """Tally of a batch of answers.

    Args:
        answers: Class answered for each sample.
        y: True classes.
        K: Number of classes.

    Returns:
        The tally, on the device of ``y``.

    Raises:
        ValueError: If lengths differ or a class is out of range.

    >>> record = tally(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), K=2)
    >>> record.confusion.tolist(), record.balanced
    ([[1, 1], [0, 1]], 0.75)
    """
    check_count("K", K, 2)
    if answers.shape != y.shape:
        raise ValueError(f"answers must be one a sample, got {len(answers)} for {len(y)} labels")
    for name, classes in (("answers", answers), ("y", y)):
        if len(classes) and (int(classes.min()) < 0 or int(classes.max()) >= K):
            raise ValueError(
                f"{name} must be classes 0..{K - 1}, got {int(classes.min())}..{int(classes.max())}"
            )
    pairs = y.long() * K + answers.to(y.device).long()
    return AccuracyRecord(torch.bincount(pairs, minlength=K**2).reshape(K, K))
