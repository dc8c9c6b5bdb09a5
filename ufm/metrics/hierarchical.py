r"""Metrics of a classifier against a class hierarchy: top-1, mistake severity, HD@k.

Tallies add up over batches, so that every sample counts, the last batch's too. Distances come from
`ufm.hierarchy.distance_matrix`; say which convention they are in, the scales differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ufm._shapes import Real
from ufm._typing import Float, Int, Tensor
from ufm.counts import check_count


DEFAULT_K = (1, 5, 20)  # as in the published tables


@dataclass(frozen=True)
class HierarchyRecord:
    """Sums over samples; records of batches add up with ``+``.

    Attributes:
        samples: Number of samples.
        correct: Samples whose best class is the true one.
        mistake_distance: Distance of the best class to the true one, summed over samples.
        k: The k of HD@k.
        ranked_distance: Mean distance of a sample's k best classes to the true one, summed over
            samples, for each k.
    """

    samples: int
    correct: int
    mistake_distance: float
    k: tuple[int, ...]
    ranked_distance: tuple[float, ...]

    def __add__(self, other: HierarchyRecord) -> HierarchyRecord:
        if self.k != other.k:
            raise ValueError(f"k must be the same in both records, got {self.k} and {other.k}")
        return HierarchyRecord(
            self.samples + other.samples,
            self.correct + other.correct,
            self.mistake_distance + other.mistake_distance,
            self.k,
            tuple(a + b for a, b in zip(self.ranked_distance, other.ranked_distance, strict=True)),
        )

    @property
    def top1(self) -> float:
        """Share of correct samples."""
        return self.correct / self.samples

    @property
    def severity(self) -> float:
        """Mistake severity, the mean distance over mistakes only; NaN without mistakes."""
        mistakes = self.samples - self.correct
        return self.mistake_distance / mistakes if mistakes else float("nan")

    @property
    def hd(self) -> tuple[float, ...]:
        """Hierarchical distance at each k; HD@1 = severity (1 - top1)."""
        return tuple(total / self.samples for total in self.ranked_distance)

    def as_row(self) -> dict[str, float]:
        """Numbers for a table.

        Returns:
            ``top1``, ``mistake_severity``, ``hd@k`` for each k and ``samples``.
        """
        hd = {f"hd@{k}": value for k, value in zip(self.k, self.hd, strict=True)}
        row = {"top1": self.top1, "mistake_severity": self.severity, **hd}
        return {**row, "samples": self.samples}


def hierarchy_metrics(
    scores: Float[Tensor, "N K"] | Real[np.ndarray, "N K"],
    y: Int[Tensor, "N"] | Real[np.ndarray, "N"],
    D: Float[Tensor, "K K"] | Int[Tensor, "K K"] | Real[np.ndarray, "K K"],
    *,
    k: Sequence[int] | None = None,
) -> HierarchyRecord:
    r"""Tally of a batch of scored samples.

    With :math:`r_{i1}, r_{i2}, \dots` the classes by falling score (ties by class index):
    top-1 is the share of :math:`r_{i1} = y_i`, severity the mean :math:`d(r_{i1}, y_i)` over
    mistakes, and :math:`\mathrm{HD@}k = \operatorname{mean}_i \frac1k\sum_{j\le k} d(r_{ij}, y_i)`,
    which does not see the order of the best k and is above `hd_floor`.

    Args:
        scores: Logits or probabilities, one row a sample.
        y: True classes.
        D: Distances of the classes, as `ufm.hierarchy.distance_matrix` gives them.
        k: The k, each between 1 and K; by default those of 1, 5 and 20 that are below K (HD@K is
            the same for every classifier).

    Returns:
        The tally.

    Raises:
        ValueError: If there is no sample, sizes differ, scores are NaN, labels are no integers, or
            a k is out of range.

    References:
        Bertinetto et al. (2020) [bertinetto2020]_.

    >>> from ufm.hierarchy import Tree, distance_matrix
    >>> D = distance_matrix(Tree.from_nested([[0, 1], 2]))
    >>> hierarchy_metrics(torch.eye(3)[[0, 1, 2]], torch.tensor([0, 0, 1]), D).as_row()
    {'top1': 0.3333333333333333, 'mistake_severity': 1.5, 'hd@1': 1.0, 'samples': 3}
    """
    scores, y = torch.as_tensor(scores), torch.as_tensor(y)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(f"scores must be one row of K scores a sample, got {tuple(scores.shape)}")
    N, K = scores.shape
    if N == 0 or y.shape != (N,):
        raise ValueError(
            f"y must label N >= 1 samples, got labels {tuple(y.shape)} and {N} rows of scores"
        )
    if y.is_floating_point() or y.is_complex():
        raise ValueError(f"y must be integers, got {y.dtype}")
    y, D = y.long(), _distances(D, K)
    if int(y.min()) < 0 or int(y.max()) >= K:
        raise ValueError(f"y must be classes 0..{K - 1}, got {int(y.min())}..{int(y.max())}")
    if bool(scores.isnan().any()):
        raise ValueError("scores must be numbers, got NaN")
    sizes = _check_k([size for size in DEFAULT_K if size < K] if k is None else k, K)
    ranked = scores.argsort(dim=-1, descending=True, stable=True)[:, : max(sizes)].cpu()
    y, D = y.cpu(), D.cpu()  # not every device has float64, and the answers are Python's numbers
    sums = D[y.unsqueeze(-1), ranked].to(torch.float64).cumsum(-1).sum(0)
    return HierarchyRecord(
        N,
        int((ranked[:, 0] == y).sum()),
        float(sums[0]),
        sizes,
        tuple(float(sums[size - 1]) / size for size in sizes),
    )


def hd_floor(
    D: Float[Tensor, "K K"] | Int[Tensor, "K K"] | Real[np.ndarray, "K K"], k: int
) -> Float[Tensor, "K"]:
    """Least HD@k of a sample of each class, the mean of the k smallest distances in its row.

    Args:
        D: Distances of the classes.
        k: The k.

    Returns:
        The floor of each class; its mean is that of a balanced test set.
    """
    D = _distances(D)
    (size,) = _check_k((k,), len(D))
    return D.to(torch.float64).sort(-1).values[:, :size].mean(-1)


def random_severity(
    D: Float[Tensor, "K K"] | Int[Tensor, "K K"] | Real[np.ndarray, "K K"],
) -> float:
    """Severity of a uniformly random wrong guess, all classes as frequent.

    Args:
        D: Distances of the classes.

    Returns:
        Mean distance of two different classes.
    """
    D = _distances(D)
    K = len(D)
    return float(D.to(torch.float64).sum()) / (K * (K - 1))


def confidence_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float]:
    r"""Mean over independent runs and half the width of its Student interval.

    :math:`t_{(1+\text{level})/2,\,n-1}\,\hat\sigma/\sqrt n` with the *sample* standard deviation
    (divisor n - 1); the divisor n makes intervals of five runs 10.6 % too narrow.

    Args:
        values: One number a run, at least two.
        level: Coverage, in (0, 1).

    Returns:
        ``(mean, half_width)``.

    Raises:
        ValueError: If there are fewer than two runs or the level is out of range.

    >>> mean, half = confidence_interval([1.0, 2.0, 3.0]); round(half, 4)
    2.4841
    """
    if len(values) < 2:
        raise ValueError(f"values must hold at least 2 runs, got {len(values)}")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level!r}")
    # The bare interpreter of a GPU machine, which only measures, may have no SciPy.
    from scipy.special import stdtrit

    runs = torch.as_tensor(values, dtype=torch.float64)
    quantile = float(stdtrit(len(runs) - 1, (1 + level) / 2))
    return float(runs.mean()), quantile * float(runs.std(correction=1)) / len(runs) ** 0.5


def _distances(D: Any, K: int | None = None) -> Tensor:
    if not isinstance(D, Tensor | np.ndarray):
        raise ValueError(
            "D must be a matrix of distances, such as ufm.hierarchy.distance_matrix(tree), "
            f"got a {type(D).__name__}"
        )
    K = len(D) if K is None else K
    if D.shape != (K, K):
        raise ValueError(f"D must be K x K = {K} x {K}, got {tuple(D.shape)}")
    return torch.as_tensor(D)


def _check_k(k: Sequence[int] | int, K: int) -> tuple[int, ...]:
    if isinstance(k, int):
        raise ValueError(f"k must be a sequence of integers, such as (1, 5), got {k}")
    sizes = tuple(check_count(f"k[{j}]", size) for j, size in enumerate(k))
    if not sizes or max(sizes) > K:
        raise ValueError(f"k must be between 1 and K={K}, got {tuple(k)}")
    return sizes
