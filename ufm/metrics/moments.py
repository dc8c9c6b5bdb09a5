"""What the metrics need of labelled features: class means, their centre and the scatter."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import torch

from ufm._typing import Bool, Float, Int, Tensor


# Vectors closer than this share of the largest norm are equal as far as float64 means can tell.
ROUNDING = 64 * torch.finfo(torch.float64).eps


class Weighting(enum.Enum):
    r"""How classes of unequal size enter averages; irrelevant when all n_k are equal.

    ======== ========================= ============================================
    member   mean and S_B weights      S_W weights
    ======== ========================= ============================================
    CLASSES  1/K, every class once     1/K
    SAMPLES  n_k/N, every sample once  n_k/N
    POOLED   1/K                       n_k/N, as rhubarbwu/neural-collapse computes
    ======== ========================= ============================================

    Papers on imbalance (layer-peeled models) count every class once; SAMPLES makes the majority
    define the global mean, and hides a collapsed minority behind it.
    """

    CLASSES = "classes"
    SAMPLES = "samples"
    POOLED = "pooled"

    def shares(self, count: Int[Tensor, "K"]) -> tuple[Float[Tensor, "K"], Float[Tensor, "K"]]:
        """Weights of the class means and of the class covariances; each sums to one.

        Args:
            count: Samples of each class.

        Returns:
            Weights ``(between, within)``.
        """
        once = torch.full(count.shape, 1 / len(count), dtype=torch.float64, device=count.device)
        sized = count.to(torch.float64) / count.sum()
        between = sized if self is Weighting.SAMPLES else once
        return between, once if self is Weighting.CLASSES else sized


@dataclass(frozen=True, eq=False)
class Moments:
    r"""First and second moments of labelled features, possibly of a batch of problems.

    Attributes:
        mean: Class means :math:`\mu_k` as rows ``(*b, K, d)``.
        share: Weight of each class in the global mean and in S_B ``(K,)``.
        within: Within-class covariance :math:`\Sigma_W` ``(*b, d, d)``.
        spread: Within-class variance of each class, the trace of its covariance ``(*b, K)``.
        within_share: Weight of each class in the trace of S_W ``(K,)``.
    """

    mean: Float[Tensor, "*b K d"]
    share: Float[Tensor, "K"]
    within: Float[Tensor, "*b d d"]
    spread: Float[Tensor, "*b K"]
    within_share: Float[Tensor, "K"]

    @classmethod
    def of_columns(
        cls,
        H: Float[Tensor, "*b d M"],
        y: Int[Tensor, "M"],
        K: int,
        *,
        count: Int[Tensor, "K"] | None = None,
        weighting: Weighting = Weighting.CLASSES,
    ) -> Moments:
        """Moments of features held as columns, all at once; float64 whatever comes in.

        Args:
            H: Features.
            y: Label of each column.
            K: Number of classes.
            count: Samples that each class stands for; the number of its columns by default.
            weighting: How classes of unequal size are averaged.

        Returns:
            The moments.

        Raises:
            ValueError: If a label is out of range or a class has no column.
        """
        columns = class_counts(y, K)
        check_counts(columns)
        H = H.to(torch.float64)
        share, within_share = weighting.shares(columns if count is None else count)
        # A matrix product, not index_add: on CUDA that would sum in another order every time.
        average = H.new_zeros(len(y), K)
        average[torch.arange(len(y), device=y.device), y.long()] = (1 / columns.to(H))[y]
        mean = (H @ average).mT
        deviation = H - mean.mT[..., y]
        spread = deviation.square().sum(-2) @ average
        weight = (within_share / columns)[y]
        within = (deviation * weight) @ deviation.mT
        return cls(mean, share, within, spread, within_share)

    @property
    def centre(self) -> Float[Tensor, "*b d"]:
        r"""Global mean :math:`\mu_G`."""
        return (self.share.unsqueeze(-1) * self.mean).sum(-2)

    @property
    def resolution(self) -> Float[Tensor, "*b"]:
        """Distance below which float64 cannot tell two class means apart."""
        return ROUNDING * torch.linalg.vector_norm(self.mean, dim=-1).amax(-1)

    @property
    def coincide(self) -> Bool[Tensor, "*b"]:
        """Whether all class means are equal to within rounding; then no metric is defined."""
        deviation = self.mean - self.centre.unsqueeze(-2)
        return torch.linalg.vector_norm(deviation, dim=-1).amax(-1) <= self.resolution

    @property
    def centred(self) -> Float[Tensor, "*b K d"]:
        r"""Centred class means :math:`\mu_k - \mu_G`; NaN where all class means coincide."""
        deviation = self.mean - self.centre.unsqueeze(-2)
        return deviation.masked_fill(self.coincide[..., None, None], float("nan"))

    @property
    def distances(self) -> Float[Tensor, "*b P"]:
        """Distances of the K(K-1)/2 pairs of class means; NaN where a pair coincides."""
        return pair_distances(self.mean)

    @property
    def trace_within(self) -> Float[Tensor, "*b"]:
        """Trace of S_W."""
        return (self.within_share * self.spread).sum(-1)

    @property
    def trace_between(self) -> Float[Tensor, "*b"]:
        """Trace of S_B; NaN where all class means coincide."""
        return (self.share * self.centred.square().sum(-1)).sum(-1)

    def checked(self) -> Moments:
        """These moments, if class means differ.

        Returns:
            Self.

        Raises:
            ValueError: If class means are not finite, or all of them coincide: within-class
                scatter over nothing would read as perfect collapse.
        """
        if not bool(self.mean.isfinite().all() & self.spread.isfinite().all()):
            raise ValueError("features must be finite, got NaN or infinity")
        if bool(self.coincide.any()):
            raise ValueError(
                f"class means must differ, got all K={len(self.share)} equal to within rounding: "
                "no neural-collapse metric is defined there"
            )
        return self


def pair_distances(V: Float[Tensor, "*b K d"]) -> Float[Tensor, "*b P"]:
    """Distances of the pairs i < j of rows; NaN where a pair coincides to within rounding.

    Args:
        V: Rows.

    Returns:
        The K(K-1)/2 distances.
    """
    K = V.shape[-2]
    # Differences, not the Gram identity: it loses half the digits of a small distance.
    distance = torch.cdist(V, V, compute_mode="donot_use_mm_for_euclid_dist")
    i, j = torch.triu_indices(K, K, 1, device=V.device)
    pairs = distance[..., i, j]
    largest = torch.linalg.vector_norm(V, dim=-1).amax(-1, keepdim=True)
    return pairs.masked_fill(pairs <= ROUNDING * largest, float("nan"))


def class_counts(y: Int[Tensor, "M"], K: int) -> Int[Tensor, "K"]:
    """Number of labels of each class.

    Args:
        y: Labels.
        K: Number of classes.

    Returns:
        Counts, int64.

    Raises:
        ValueError: If a label is not an integer in 0..K-1.
    """
    if y.is_floating_point():
        raise ValueError(f"y must hold integers, got {y.dtype}")
    if y.numel() and (int(y.min()) < 0 or int(y.max()) >= K):
        raise ValueError(f"y must lie in 0..K-1 = 0..{K - 1}, got {int(y.min())}..{int(y.max())}")
    return torch.bincount(y.long(), minlength=K)


def check_counts(count: Int[Tensor, "K"]) -> None:
    """Refuse classes without samples.

    Args:
        count: Samples of each class.

    Raises:
        ValueError: If a class has none; it is named.
    """
    empty = (count == 0).nonzero().flatten().tolist()
    if empty:
        more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
        raise ValueError(f"y must contain every class, class {empty[0]}{more} has no samples")
