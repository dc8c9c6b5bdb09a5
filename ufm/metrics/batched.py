"""Cheap metrics of many instances at once, for traces of a gradient flow."""

from __future__ import annotations

from ufm._typing import Float, Int, Tensor
from ufm.metrics import nc1, nc2, nc3
from ufm.metrics.moments import Moments


OBSERVABLES = (
    "nc1_quot", "nc1_share", "nc2_equinorm", "nc2_maxangle", "nc2_etf_err", "nc2_of_err",
    "nc3_dual_err", "nc3_self_dual",
)  # fmt: skip


def observe(
    W: Float[Tensor, "*b K d"], H: Float[Tensor, "*b d M"], y: Int[Tensor, "M"]
) -> dict[str, Float[Tensor, "*b"]]:
    """The metrics `OBSERVABLES` of each instance, with the definitions of `NCRecord`.

    Every class counts once. NaN where a metric is not defined; nothing raises for that, so that
    one degenerate instance does not end a run.

    Args:
        W: Classifier rows.
        H: Features as columns.
        y: Label of each column; every class must occur.

    Returns:
        Name to values.
    """
    m = Moments.of_columns(H, y, W.shape[-2])
    W, M = W.to(m.mean), m.centred
    return {
        "nc1_quot": nc1.nc1_quot(m),
        "nc1_share": nc1.nc1_share(m),
        "nc2_equinorm": nc2.equinorm(M),
        "nc2_maxangle": nc2.maxangle(M),
        "nc2_etf_err": nc2.etf_err(M),
        "nc2_of_err": nc2.of_err(m.mean),
        "nc3_dual_err": nc3.nc3_dual_err(W, m),
        "nc3_self_dual": nc3.nc3_self_dual(W, m),
    }
