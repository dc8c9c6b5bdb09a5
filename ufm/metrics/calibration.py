"""Calibration: how far the probability of the answer is from the share of right answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from ufm._typing import Bool, Float, Int, Tensor
from ufm.counts import check_count


Spacing = Literal["width", "mass"]


@dataclass(frozen=True, eq=False)
class CalibrationRecord:
    r"""Samples binned by the probability of their answer; batches of equal width add up with ``+``.

    Attributes:
        count: Samples of each bin ``(bins,)``.
        confidence: Sum of the probabilities of the answers in each bin, float64.
        correct: Right answers in each bin.
        spacing: ``width``: bins of equal width of probability, (0, 1/bins], (1/bins, 2/bins], ...
            ``mass``: bins of equally many samples; those of different batches do not add up.
    """

    count: Int[Tensor, "bins"]
    confidence: Float[Tensor, "bins"]
    correct: Int[Tensor, "bins"]
    spacing: Spacing

    def __add__(self, other: CalibrationRecord) -> CalibrationRecord:
        if not self.spacing == other.spacing == "width" or len(self.count) != len(other.count):
            raise ValueError(
                "records must have equally many bins of equal width to add up, got "
                f"{len(self.count)} by {self.spacing} and {len(other.count)} by {other.spacing}"
            )
        return CalibrationRecord(
            self.count + other.count,
            self.confidence + other.confidence,
            self.correct + other.correct,
            self.spacing,
        )

    @property
    def gaps(self) -> Float[Tensor, "bins"]:
        """Mean probability minus share of right answers; NaN in an empty bin."""
        return (self.confidence - self.correct) / self.count

    @property
    def ece(self) -> float:
        r"""Expected calibration error, :math:`\sum_b \frac{|b|}{N}|\mathrm{gap}_b|`."""
        return float((self.confidence - self.correct).abs().sum() / self.count.sum())

    @property
    def mce(self) -> float:
        """Largest gap of a bin with samples."""
        return float(self.gaps[self.count > 0].abs().max())

    def as_row(self) -> dict[str, float]:
        """Numbers for a table.

        Returns:
            ``ece`` and ``mce``.
        """
        return {"ece": self.ece, "mce": self.mce}


def calibrate(
    scores: Float[Tensor, "N K"],
    y: Int[Tensor, "N"],
    *,
    bins: int = 15,
    spacing: Spacing = "width",
) -> CalibrationRecord:
    """Bin samples by the probability of their answer.

    Args:
        scores: Logits; probabilities are their softmax, the answer is the largest.
        y: True classes.
        bins: Number of bins.
        spacing: Bins of equal width, or of equally many samples (to one).

    Returns:
        The record.

    Raises:
        ValueError: If there is no sample, sizes differ, scores are NaN, or a label is no class.

    References:
        Guo et al. (2017) [guo2017]_ for equal width; Nixon et al. (2019) [nixon2019]_ for equal
        mass, which does not leave most samples in the last bin.
    """
    if len(y) == 0 or scores.shape[0] != len(y):
        raise ValueError(
            f"y must label N >= 1 samples, got {len(y)} labels and {len(scores)} rows of scores"
        )
    if bool(scores.isnan().any()):
        raise ValueError("scores must be numbers, got NaN")
    if int(y.min()) < 0 or int(y.max()) >= scores.shape[1]:
        raise ValueError(
            f"y must be classes 0..{scores.shape[1] - 1}, got {int(y.min())}..{int(y.max())}"
        )
    sure, answer = scores.detach().to(torch.float64).softmax(-1).max(-1)
    return calibrate_answers(sure, answer == y.to(answer), bins=bins, spacing=spacing)


def calibrate_answers(
    confidence: Float[Tensor, "N"],
    right: Bool[Tensor, "N"],
    *,
    bins: int = 15,
    spacing: Spacing = "width",
) -> CalibrationRecord:
    """Bin answers by their probability.

    Args:
        confidence: Probability of each answer, in [0, 1].
        right: Whether it is right.
        bins: Number of bins.
        spacing: Bins of equal width, or of equally many samples (to one).

    Returns:
        The record.

    Raises:
        ValueError: If probabilities are out of range or ``spacing`` is unknown.
    """
    check_count("bins", bins)
    sure = confidence.detach().to(torch.float64)
    if len(sure) == 0 or not bool(((sure >= 0) & (sure <= 1)).all()):
        raise ValueError("confidence must hold probabilities of at least one answer")
    if spacing == "width":
        place = ((sure * bins).ceil().long() - 1).clamp(0, bins - 1)
    elif spacing == "mass":
        rank = torch.empty_like(sure, dtype=torch.long)
        rank[sure.argsort(stable=True)] = torch.arange(len(sure), device=sure.device)
        place = rank * bins // len(sure)
    else:
        raise ValueError(f"spacing must be 'width' or 'mass', got {spacing!r}")
    count = torch.bincount(place, minlength=bins)
    total = sure.new_zeros(bins).index_add_(0, place, sure)
    hits = torch.zeros_like(count).index_add_(0, place, right.to(place))
    return CalibrationRecord(count, total, hits, spacing)
