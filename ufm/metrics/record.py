"""The record of all metrics of one classifier and its features."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ufm._arrays import as_float64
from ufm._typing import Float, Tensor
from ufm.counts import check_count, check_sizes
from ufm.metrics import nc1, nc2, nc3
from ufm.metrics.generalised import riesz_spread
from ufm.metrics.moments import Moments, Weighting
from ufm.metrics.nc4 import decisions_agree


_VANISHED_MEAN = "a centred class mean vanishes, its angle is 0/0"
_VANISHED_ROW = "a classifier row vanishes, its angle is 0/0"
_SAME_DIRECTION = "two centred class means share a direction, or one vanishes"
_NO_CLASSIFIER = "W is zero"
_NO_LOGITS = "W is zero or orthogonal to the centred class means"
REASONS = {
    "nc1_svd": "class means span fewer than min(K-1, d) directions",
    "nc1_cdnv": "two class means coincide",
    "nc2_equiangle": _VANISHED_MEAN,
    "nc2_maxangle": _VANISHED_MEAN,
    "nc2_etf_err_raw": "the class means are zero",
    "nc2_of_err": "the class means are zero",
    "nc2_equinorm_w": _NO_CLASSIFIER,
    "nc2_equiangle_w": _VANISHED_ROW,
    "nc2_maxangle_w": _VANISHED_ROW,
    "nc2_etf_err_w": _NO_CLASSIFIER,
    "nc2_of_err_w": _NO_CLASSIFIER,
    "nc2g_dist": _SAME_DIRECTION,
    "nc2g_log": _SAME_DIRECTION,
    "nc3_dual_err": _NO_LOGITS,
    "nc3_self_dual": _NO_CLASSIFIER,
    "nc4_agree": "not measured: it needs the samples again, once the class means are known",
}


@dataclass(frozen=True)
class NCRecord:
    """Neural-collapse metrics of one classifier and its features; plain floats.

    All are 0 at full collapse to a simplex ETF, except ``nc2_of_err`` and ``nc2_of_err_w`` (0 at
    an orthogonal frame), ``nc2_etf_err_raw`` (0 only if the means need no centring) and
    ``nc4_agree`` (1). A value that is not defined is NaN, and `undefined` says why. Formulas and
    sources: the functions of the modules `nc1` to `nc4` and `generalised`.

    Attributes:
        nc1_pinv: tr(S_W pinv(S_B)) / K.
        nc1_svd: The same with K - 1 directions always.
        nc1_quot: tr S_W / tr S_B.
        nc1_cdnv: Class-distance normalised variance.
        nc1_share: tr S_W / (tr S_W + tr S_B).
        nc2_equinorm: Spread of the norms of the centred class means.
        nc2_equiangle: Spread of their cosines.
        nc2_maxangle: Mean distance of their cosines from -1/(K-1).
        nc2_etf_err: Distance of their Gram matrix from an ETF's.
        nc2_etf_err_raw: The same of the class means without centring.
        nc2_of_err: Distance of the Gram matrix of the uncentred means from an orthogonal frame's.
        nc2_equinorm_w: As ``nc2_equinorm``, of the classifier rows (uncentred).
        nc2_equiangle_w: As ``nc2_equiangle``, of the classifier rows.
        nc2_maxangle_w: As ``nc2_maxangle``, of the classifier rows.
        nc2_etf_err_w: As ``nc2_etf_err``, of the classifier rows (uncentred).
        nc2_of_err_w: As ``nc2_of_err``, of the classifier rows.
        nc2g_dist: Variance of the distances between directions of the centred means.
        nc2g_log: Variance of the logarithms of those distances.
        nc3_dual_err: Distance of W M' from an ETF's Gram matrix.
        nc3_self_dual: Distance of W from a multiple of the centred means.
        nc3u_uni_dual: Variance of the products of class mean and classifier row.
        nc4_agree: Agreement of the linear rule (with bias) and the nearest class centre.
    """

    nc1_pinv: float
    nc1_svd: float
    nc1_quot: float
    nc1_cdnv: float
    nc1_share: float
    nc2_equinorm: float
    nc2_equiangle: float
    nc2_maxangle: float
    nc2_etf_err: float
    nc2_etf_err_raw: float
    nc2_of_err: float
    nc2_equinorm_w: float
    nc2_equiangle_w: float
    nc2_maxangle_w: float
    nc2_etf_err_w: float
    nc2_of_err_w: float
    nc2g_dist: float
    nc2g_log: float
    nc3_dual_err: float
    nc3_self_dual: float
    nc3u_uni_dual: float
    nc4_agree: float

    def as_row(self) -> dict[str, float]:
        """Metrics by name, for tables.

        Returns:
            Name to value; names shared with rhubarbwu/neural-collapse mean the same there.
        """
        return dataclasses.asdict(self)

    @property
    def undefined(self) -> dict[str, str]:
        """Why each NaN is one, by name."""
        return {name: REASONS[name] for name, x in self.as_row().items() if math.isnan(x)}


def measure(m: Moments, W: Float[Tensor, "K d"], *, agreement: float = math.nan) -> NCRecord:
    """All metrics from class moments and a classifier.

    Args:
        m: Moments of one problem, such as ``FeatureStats.moments()``.
        W: Classifier rows.
        agreement: NC4 of a second pass over the samples, `nc4.Agreement.rate`.

    Returns:
        The record.

    Raises:
        ValueError: If W does not fit or is not finite, or all class means coincide.
    """
    m.checked()
    if W.shape != m.mean.shape:
        raise ValueError(f"W must have shape (K, d) = {tuple(m.mean.shape)}, got {tuple(W.shape)}")
    W = W.detach().to(m.mean)
    if not bool(W.isfinite().all()):
        raise ValueError("W must be finite, got NaN or infinity")
    M = m.centred
    metrics = {
        **{f.__name__: f(m) for f in
           (nc1.nc1_pinv, nc1.nc1_svd, nc1.nc1_quot, nc1.nc1_cdnv, nc1.nc1_share)},
        **{f"nc2_{f.__name__}": f(M) for f in _NC2},
        "nc2_etf_err_raw": nc2.etf_err(m.mean),
        "nc2_of_err": nc2.of_err(m.mean),
        **{f"nc2_{f.__name__}_w": f(W) for f in (*_NC2, nc2.of_err)},
        "nc2g_dist": riesz_spread(M, s=-1),
        "nc2g_log": riesz_spread(M, s=0),
        **{f.__name__: f(W, m) for f in
           (nc3.nc3_dual_err, nc3.nc3_self_dual, nc3.nc3u_uni_dual)},
    }  # fmt: skip
    return NCRecord(**{name: float(x) for name, x in metrics.items()}, nc4_agree=agreement)


_NC2 = (nc2.equinorm, nc2.equiangle, nc2.maxangle, nc2.etf_err)


def nc(
    W: Any,
    H: Any,
    y: Any,
    b: Any = None,
    *,
    n: Sequence[int] | None = None,
    weighting: Weighting = Weighting.CLASSES,
) -> NCRecord:
    """All metrics of a classifier and features in memory.

    Args:
        W: Classifier rows ``(K, d)``, array-like.
        H: Features as columns ``(d, M)``: samples, or one column a class (then NC1 is exactly 0).
        y: Label of each column ``(M,)``.
        b: Bias ``(K,)``; zero by default. Only NC4 sees it.
        n: Class sizes, only where columns are class means (M = K); the columns' counts by default.
        weighting: How classes of unequal size are averaged.

    Returns:
        The record.

    Raises:
        ValueError: If a shape, label or entry does not fit, a class has no column, or all class
            means coincide.

    >>> from ufm.geometry import etf
    >>> record = nc(3 * etf(4, 5), etf(4, 5).mT, range(4))
    >>> record.nc1_quot, record.nc2_etf_err < 1e-12, record.nc4_agree
    (0.0, True, 1.0)
    """
    W, H, y = as_float64("W", W), as_float64("H", H), _labels(y)
    if W.ndim != 2:
        raise ValueError(f"W must have shape (K, d), got {tuple(W.shape)}")
    K = check_count("K", W.shape[0], 2)
    if H.shape != (W.shape[1], len(y)):
        raise ValueError(
            f"H must have shape (d, M) = ({W.shape[1]}, {len(y)}), got {tuple(H.shape)}"
        )
    bias = torch.zeros(K, dtype=W.dtype) if b is None else as_float64("b", b)
    if bias.shape != (K,):
        raise ValueError(f"b must have shape (K,) = ({K},), got {tuple(bias.shape)}")
    H, y, bias = (t.to(W.device) for t in (H, y, bias))
    if n is not None and len(y) != K:
        raise ValueError(f"n must be absent unless H has K={K} columns, got {len(y)} columns")
    count = None if n is None else torch.tensor(check_sizes(n, K), device=W.device)
    m = Moments.of_columns(H, y, K, count=count, weighting=weighting).checked()
    agree = decisions_agree(W, H, m.mean, b=bias)
    rate = torch.zeros_like(bias).index_add_(0, y, agree) / torch.bincount(y, minlength=K)
    return measure(m, W, agreement=float((m.within_share * rate).sum()))


def _labels(y: Any) -> Tensor:
    tensor = y if isinstance(y, Tensor) else torch.as_tensor(np.asarray(y))
    if tensor.ndim != 1 or tensor.is_floating_point() or tensor.is_complex():
        raise ValueError(
            "y must be a vector of integer labels, "
            f"got {tensor.dtype} of shape {tuple(tensor.shape)}"
        )
    return tensor.long()
