r"""Yan et al. (2024): the cosine regression loss (AL, CAL), its gradient, and collapse curves.

Notation of `yan2024`: f centers at angle :math:`\theta`, :math:`g = \cos^2\theta+f\sin^2\theta`,
:math:`\cos\alpha=\sqrt{g/f}`, unit mean center e.
"""

from __future__ import annotations

from ufm.claims import Claim, Kind, Provenance, Source, register
from ufm.theory.yan2024 import OURS, printed


COSINE_LOSS = "the cosine regression loss on the features of a network"

COSINE_MINIMISER = register(
    Claim(
        id="yan2024.cosine-minimiser",
        kind=Kind.OURS,
        statement="For 0 <= theta < pi/2 the cosine loss has two critical directions, the mean "
        "center e (global minimum f(1 - cos alpha)^2) and -e (maximum): no saddle, no spurious "
        "minimum. With the norm term the minimiser is e itself, for all n_k, f_k, beta, lambda > "
        "0. Both are non-degenerate for f > 1; for f = 1 the minimum is quartic.",
        formula=r"\nabla^2|_e=2f(\cos\alpha-\sin^2\theta)\ (\text{in span}),\quad 2f\cos\alpha"
        r"(1-\cos\alpha)\ (\text{outside})",
        source=OURS,
        outside=COSINE_LOSS,
        steps=("two numbers", "critical points", "Hessian", "norm"),
        uses=("yan2024.reduction",),
    )
)

SINGLE_CENTER_RATE = register(
    Claim(
        id="yan2024.single-center-rate",
        kind=Kind.OURS,
        statement="Under the gradient flow of every sample's own cosine loss (beta = cos alpha, "
        "lambda > 0, theta < pi/2), classes of one center collapse like 1/t only, since their "
        "minimum is quartic, and all others exponentially: NC_ave falls like 1/t as soon as one "
        "class has a single center.",
        formula=r"f_k=1:\ \varphi^2\sim\frac1{2t},\qquad t\,\mathrm{NC_{ave}}\to\sum_{f_k=1}"
        r"\frac{n_k}{2N}",
        source=OURS,
        outside=COSINE_LOSS,
        steps=("angle", "quartic", "single center", "several centers", "average"),
        uses=("yan2024.cosine-minimiser", "yan2024.cosine-gradient"),
    )
)

GRADIENT_PRINTED = register(
    Claim(
        id="yan2024.cosine-gradient-printed",
        kind=Kind.LEMMA,
        statement="The gradient of (cos(w, h) - 1)^2 in h has the scale |h|^-2 and the direction "
        "w - a h with a the cosine.",
        formula=r"\nabla_h(a-1)^2=-\frac{2(1-a)}{\|h\|^2}(w-a\,h)",
        source=printed("the Jacobian of the cosine loss"),
        outside=COSINE_LOSS,
        fails=True,
        repaired_by="yan2024.cosine-gradient",
    )
)

GRADIENT = register(
    Claim(
        id="yan2024.cosine-gradient",
        kind=Kind.OURS,
        statement="The gradient of (cos(w, h) - 1)^2 in h has the scale 1/|h| and is tangential: "
        "it turns the feature and never changes its norm. The printed form agrees at |h| = 1 only.",
        formula=r"\nabla_h(a-1)^2=-\frac{2(1-a)}{\|h\|}\bigl(w-a\tfrac h{\|h\|}\bigr),\quad"
        r"\langle\nabla_h,h\rangle=0",
        source=OURS,
        outside=COSINE_LOSS,
        steps=("gradient", "tangential", "printed"),
    )
)

WEIGHTING = register(
    Claim(
        id="yan2024.weighting",
        kind=Kind.OURS,
        statement="At a unit feature orthogonal to its class's centers the gradient of the cosine "
        "loss has norm 2 sqrt(f g), and 2 g with the weight beta = cos(alpha): beta makes the pull "
        "linear in g and, g being at most f, takes emphasis away from classes of many centers.",
        formula=r"\Bigl\|\sum_j2w_j\Bigr\|=2\sqrt{fg},\qquad\cos\alpha\cdot2\sqrt{fg}=2g\le2\sqrt{fg}",
        source=OURS,
        outside=COSINE_LOSS,
        steps=("unweighted", "weighted", "less"),
        uses=("yan2024.frame",),
    )
)

VARIABILITY = register(
    Claim(
        id="yan2024.variability",
        kind=Kind.OURS,
        statement="At exact collapse to the mean centers the published variability sigma, one "
        "minus the cosine to the class vector w_k, tends to a number that is positive for theta < "
        "pi/2: it does not measure collapse. Features at single centers instead would leave NC at "
        "2 - 2 cos(alpha).",
        formula=r"\sigma\to\sum_k\frac{n_k}N(1-\cos\rho_k),\qquad\|w_j^{(k)}-e_k\|^2="
        r"2-2\cos\alpha_k",
        source=OURS,
        outside="collapse metrics of a multi-center frame",
        steps=("limit", "positive", "nearest center"),
        uses=("yan2024.frame",),
    )
)

ARB = register(
    Claim(
        id="yan2024.arb-balanced-softmax",
        kind=Kind.OURS,
        statement="The attraction-repulsion-balanced loss with the counts of the whole data set is "
        "balanced softmax, that is cross-entropy with logits adjusted by log n_k (temperature 1).",
        formula=r"-\log\frac{e^{z_y}}{\sum_j\frac{n_j}{n_y}e^{z_j}}=\mathrm{CE}(z+\log n,\,y)"
        r"=\mathrm{CE}(z+\log\pi,\,y)",
        source=Source("xie2023", "2204.08735", Provenance.DERIVED),
        outside="the attraction-repulsion-balanced loss",
        steps=("identity", "shift"),
    )
)
