r"""Yan et al. (2024): decision rules at hard samples, and how many centers a class gets.

RCR is the argmax over the class vectors, GCR over the best center of each class.
"""

from __future__ import annotations

from ufm.claims import Claim, Kind, Provenance, Source, register
from ufm.theory.yan2024 import OURS, WHERE, printed


HARD = "samples at the mean of the centers plus small isotropic noise"
COUNTS = "the numbers of centers f_k given the class sizes"

PROP_31 = register(
    Claim(
        id="yan2024.prop31",
        kind=Kind.PROPOSITION,
        statement="Hard samples: the mean of F = sum f_k orthonormal vectors plus isotropic "
        "noise, from class k with probability p_k. RCR is right with probability 1/K, GCR with "
        "sum f_k p_k/F, which is at least 1/K if f and p both rise towards the rare classes.",
        formula=r"P_{GCR}=\frac1F\sum_kf_kp_k\ge\frac1K\quad(f_1\le\dots\le f_K,\ p_1\le\dots\le "
        r"p_K)",
        source=printed("Proposition 3.1"),
        outside=HARD,
        steps=("exchangeable", "success", "Chebyshev", "order"),
    )
)

CLASS_AVERAGE = register(
    Claim(
        id="yan2024.class-average",
        kind=Kind.OURS,
        statement="The gain of Proposition 3.1 is in the p_k-weighted accuracy alone: the accuracy "
        "averaged over classes is 1/K for every f. P_GCR is linear in f, so for a given total it "
        "is largest with all spare centers on the class of the largest p_k.",
        formula=r"\frac1K\sum_k\frac{f_k}F=\frac1K,\qquad\frac1F\sum_kf_kp_k\le"
        r"\frac1F\Bigl[\sum_kp_k+(F-K)\max_kp_k\Bigr]",
        source=OURS,
        outside=HARD,
        steps=("average", "maximiser"),
        uses=("yan2024.prop31",),
    )
)

PROP_C1 = register(
    Claim(
        id="yan2024.propc1",
        kind=Kind.PROPOSITION,
        statement="Hard samples z = mean of the mean centers plus noise: GCR prefers class k to k' "
        "with probability 1/2 at the margin of RCR below, m being the median of the difference of "
        "best v-scores of z itself; the classes' mean terms stand beside it once more.",
        formula=r"\langle w_k-w_{k'},z\rangle=\frac{\frac{\cos\theta}K(\frac1{f_{k'}}-\frac1{f_k})"
        r"-\cos\theta\,m}{\sin\theta},\quad m=\operatorname{med}\bigl[\max_j\langle v_j^{(k)},z"
        r"\rangle-\max_j\langle v_j^{(k')},z\rangle\bigr]",
        source=Source("yan2024", WHERE, Provenance.RECONSTRUCTED, "Proposition C.1"),
        outside=HARD,
        fails=True,
        repaired_by="yan2024.gcr-margin",
    )
)

GCR_MARGIN = register(
    Claim(
        id="yan2024.gcr-margin",
        kind=Kind.OURS,
        statement="Proposition C.1 with its mean term counted once: with m the median of the "
        "difference of best v-scores of the noise, GCR prefers class k to k' with probability "
        "above 1/2 iff the margin of RCR exceeds the bound below.",
        formula=r"\langle w_k-w_{k'},z\rangle>\frac{\frac{\cos^2\theta}K(\frac1{f_{k'}}-"
        r"\frac1{f_k})-\cos\theta\,m}{\sin\theta},\quad m=\operatorname{med}\bigl[\max_j\langle "
        r"v_j^{(k)},p\rangle-\max_j\langle v_j^{(k')},p\rangle\bigr]",
        source=OURS,
        outside=HARD,
        steps=("mean", "scores", "bound"),
        uses=("yan2024.frame",),
    )
)

FEWER_CENTERS = register(
    Claim(
        id="yan2024.gcr-fewer-centers",
        kind=Kind.OURS,
        statement="At exact collapse and small noise GCR prefers the class with fewer centers, "
        "since each center of a large group lies farther from the common mean: at equal RCR scores "
        "the preference turns only above a noise variance s*.",
        formula=r"s^*=\Bigl[\frac{\cos\theta}{K\,m_1}\Bigl(\frac1{f_{k'}}-\frac1{f_k}\Bigr)\Bigr]^2,"
        r"\quad m_1=\operatorname{med}\bigl[\max_{j\le f_k}x_j-\max_{j\le f_{k'}}y_j\bigr],\ "
        r"x,y\sim N(0,1)",
        source=OURS,
        outside=HARD,
        steps=("small noise", "crossing"),
        uses=("yan2024.gcr-margin",),
    )
)

RCR_SCALE = register(
    Claim(
        id="yan2024.rcr-scale",
        kind=Kind.OURS,
        statement="On features in the span of the mean centers, as at collapse, RCR is the rule of "
        "the single directions e_k with class k's score times cos(rho_k): a fixed multiplicative "
        "logit adjustment that favours classes of many centers, absent at theta = pi/2 and void of "
        "information at theta = 0.",
        formula=r"u=\sum_lx_le_l:\quad\langle w_k,u\rangle=\cos\rho_k\,\langle e_k,u\rangle",
        source=OURS,
        outside="decision rules on a multi-center frame",
        steps=("score", "increasing", "limits"),
        uses=("yan2024.frame",),
    )
)

COUNTS_STEPS = register(
    Claim(
        id="yan2024.counts-steps",
        kind=Kind.EMPIRICAL,
        statement="The steps for the numbers of centers, read literally (classes sorted from the "
        "largest, missing centers added from the left), give the paper's worked example and "
        "numbers that rise towards the rare classes.",
        formula=r"f_k=\Bigl\lfloor\frac{(f-1)Kn_{K+1-k}}N\Bigr\rfloor+1+[k\le D],\quad "
        r"D=fK-\sum_k\Bigl(\Bigl\lfloor\frac{(f-1)Kn_k}N\Bigr\rfloor+1\Bigr)",
        source=printed("Section 3.5"),
        outside=COUNTS,
        fails=True,
        repaired_by="yan2024.counts",
    )
)

COUNTS_SMALL_END = register(
    Claim(
        id="yan2024.counts",
        kind=Kind.OURS,
        statement="With the missing centers added from the small classes' end, as in the worked "
        "example, one pass always meets the sum (0 <= D <= K-1) for a mean f >= 1, every class has "
        "a center, the numbers never fall towards the rare classes, and balanced classes get f "
        "each, f an integer.",
        formula=r"f_k=\Bigl\lfloor\frac{(f-1)Kn_{K+1-k}}N\Bigr\rfloor+1+[k>K-D],\quad "
        r"0\le D\le K-1,\quad f_1\le\dots\le f_K,\quad\sum_kf_k=fK",
        source=OURS,
        outside=COUNTS,
        steps=("deficit", "monotone", "balanced"),
    )
)
