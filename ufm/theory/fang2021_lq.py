r"""What holds for the layer-peeled model with an l_q feature budget (extends Fang et al. 2021).

Derived here: the power mean turns the budget into one on squares, so the balanced theorem bounds
the value; for q > 2 equality asks for entries of one magnitude, that is for columns of signs.
"""

from __future__ import annotations

import math

from ufm.claims import Claim, Kind, register
from ufm.theory.fang2021 import OURS
from ufm.theory.zhu2021 import balanced_value


LQ_BOUND = register(
    Claim(
        id="fang2021.lq-bound",
        kind=Kind.OURS,
        statement="Balanced classes, q >= 2, any p: the value is at least that of the layer-peeled "
        "model with the budget E_H' below on the squared norms. For q > 2 it is attained iff K "
        "columns of p signs form a simplex ETF, and the class means are then a multiple of such "
        "columns. The rows but the first of a normalised Hadamard matrix of order K do so, with "
        "p = K-1; with p = K > 2 nothing does, and the bound is strict.",
        formula=r"F\ge\log\Bigl(1+(K-1)e^{-\frac{K}{K-1}\sqrt{E_WE_H'}}\Bigr),\quad "
        r"E_H'=p^{1-2/q}E_H^{2/q};\quad\text{equality for }q>2:\ "
        r"H\propto X\in\{\pm1\}^{p\times K},\ X^\top X=\tfrac{pK}{K-1}(I-\tfrac1K11^\top)",
        source=OURS,
        outside="a layer-peeled model with an l_q feature budget",
        steps=("power mean", "budget", "equality", "signs", "Hadamard"),
        uses=("fang2021.balanced",),
    )
)


def lq_bound(K: int, p: int, q: float, *, E_W: float = 1.0, E_H: float = 1.0) -> float:
    r"""Lower bound of the balanced layer-peeled model with an l_q feature budget.

    :math:`\frac1K\sum_k\|w_k\|^2\le E_W`, :math:`\frac1K\sum_k\|h_k\|_q^q\le E_H`.

    Args:
        K: Number of classes, >= 2.
        p: Feature dimension.
        q: Exponent, >= 2.
        E_W: Mean squared norm of the rows.
        E_H: Mean of the q-th powers of the features' l_q norms.

    Returns:
        The bound, attained as `LQ_BOUND` says.

    Raises:
        ValueError: If q is below 2: the power mean then goes the other way.
    """
    if q < 2:
        raise ValueError(f"q must be at least 2, got {q:g}")
    return balanced_value(K, K / (K - 1) * math.sqrt(E_W * p ** (1 - 2 / q) * E_H ** (2 / q)))
