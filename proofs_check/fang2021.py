"""Evidence for Fang et al. (2021): the convex form, its dual, and the balanced optimum."""

from __future__ import annotations

import math

import sympy as sp
import torch

from proofs_check._blocks import IJ
from proofs_check._harness import Measurement, evidence
from proofs_check._proof import Proof, points
from proofs_check.zhu2021 import AT_LEAST_TWO, K, a, symmetric_loss, tangent
from ufm import certify, theory
from ufm.claims import EvidenceKind
from ufm.geometry import etf
from ufm.losses import CrossEntropy
from ufm.problem import AverageBudget, Problem
from ufm.solution import Solution
from ufm.theory.fang2021 import (
    BALANCED_ETF,
    CLASS_MEANS,
    CONTRASTIVE,
    DUAL,
    NUCLEAR,
    SCALING,
    SDP,
    TIGHT_RANK,
)
from ufm.theory.zhu2021 import balanced_value


E_W, E_H, sigma = sp.symbols("E_W E_H sigma", positive=True)
tau = K * sp.sqrt(E_W * E_H)


@evidence(
    NUCLEAR,
    EvidenceKind.SYMBOLIC,
    domain="all K, E_W, E_H; per singular direction",
    steps=("lower bound", "scaling", "completion", "factors"),
)
def semidefinite_elimination(proof: Proof) -> None:
    """|Z|_* = sum u_i'Z v_i <= sum sqrt(x_i y_i) <= sqrt(tr X_11 tr X_22) by 2 x 2 minors."""
    x, y, t = sp.symbols("x y t", positive=True)
    proof.equal(
        t * x + y / t - proof.term("mean", sp.Integer(2)) * sp.sqrt(x * y),
        (sp.sqrt(t * x) - sp.sqrt(y / t)) ** 2,
        "with z^2 <= xy for each minor, 2|Z|_* <= t tr X_11 + tr X_22 / t for all t > 0",
    )
    best = sp.sqrt(E_W / E_H)
    proof.equal((best * K * E_H + K * E_W / best) / 2, tau, "at t = sqrt(E_W/E_H) the bound is tau")
    c = proof.term("ratio", sp.sqrt(E_H / E_W))
    block = sp.Matrix([[c * sigma, sigma], [sigma, sigma / c]])
    proof.zero(block.det(), "X_11 = c V S V', X_22 = U S U'/c completes Z to a rank-r matrix")
    proof.positive(block.trace(), "which is positive semidefinite")
    proof.equal(c * tau, K * E_H, "its traces use the budgets: features")
    proof.equal(tau / c, K * E_W, "classifier")
    proof.tie(
        tau,
        [K, E_W, E_H],
        lambda size, *E: Problem(K=size, d=size, n=(1,) * size, reg=AverageBudget(*E)).radius,
        points(19, 5, (2, 20), (0.1, 4.0), (0.1, 4.0)),
        "Problem.radius",
    )


@evidence(
    SCALING, EvidenceKind.SYMBOLIC, domain="all K, E_W, E_H, sum sigma = tau", steps=("norms",)
)
def balanced_factor_norms(proof: Proof) -> None:
    """The factors of a Z on the boundary of the ball, per unit of its nuclear norm."""
    w = proof.term("share of W", (E_W / E_H) ** sp.Rational(1, 4)) * sp.sqrt(sigma)
    h = (E_H / E_W) ** sp.Rational(1, 4) * sp.sqrt(sigma)
    proof.equal(w * h, sigma, "WH = Z")
    proof.equal((w**2).subs(sigma, tau), K * E_W, "|W|^2 = K E_W where sum sigma = tau")
    proof.equal((h**2).subs(sigma, tau), K * E_H, "|H|^2 = K E_H")
    scale = sp.Symbol("c", positive=True)
    proof.equal((scale**2 * E_W) * (E_H / scale**2), E_W * E_H, "(cW, H/c) keeps the product")
    second = sp.Symbol("sigma_2", positive=True)
    norm2 = w**2 + (w**2).subs(sigma, second)
    proof.tie(
        norm2,
        [E_W, E_H, sigma, second],
        _norm_of_balanced_rows,
        points(20, 5, *[(0.1, 4.0)] * 4),
        "theory.balanced_factors: |W|^2 for two singular values",
    )


def _norm_of_balanced_rows(E_W: float, E_H: float, first: float, second: float) -> torch.Tensor:
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    Z = turn @ torch.diag(torch.tensor([first, second], dtype=torch.float64))
    return theory.balanced_factors(Z, (E_W / E_H) ** 0.5).gram_W.trace()


@evidence(SDP, EvidenceKind.SYMBOLIC, domain="all K, all p >= 2K", steps=("recovery",))
def gram_recovery(proof: Proof) -> None:
    """Columns P X^(1/2) with P'P = I have the Gram matrix X, and its upper right block is Z'."""
    m, p = sp.symbols("m p", positive=True, integer=True)
    P, R = sp.MatrixSymbol("P", p, m), sp.MatrixSymbol("R", m, m)
    isometry = P.T * P - proof.term("identity", sp.Integer(1)) * sp.Identity(m)
    proof.zero(
        sp.Transpose(P * R) * (P * R) - R.T * R - R.T * isometry * R,
        "(PR)'PR - R'R = R'(P'P - I)R = 0 with R = X^(1/2)",
    )


@evidence(
    TIGHT_RANK,
    EvidenceKind.SYMBOLIC,
    domain="all K, all class shares",
    steps=("centring", "rank", "shift"),
)
def centred_logits(proof: Proof) -> None:
    """Z'Z - (CZ)'(CZ) = Z'(J/K)Z >= 0 and nonzero unless 1'Z = 0, so centring lowers |Z|_*.

    The risk does not see column means and its infimum is not attained, so the ball is tight at
    the optimum; a Z* with a column mean could be centred and then scaled up.
    """
    C = IJ(sp.Integer(1), -1 / proof.term("size", K), K)
    proof.zero(IJ(sp.Integer(1), sp.Integer(0), K) - C @ C - IJ(sp.Integer(0), 1 / K, K), "C'C")
    proof.zero(C.row_sum, "1'C = 0, so rank CZ <= K-1")
    z, shift = sp.Symbol("z", real=True), sp.Symbol("c", real=True)
    rest = sp.Symbol("rest", positive=True)  # sum of the other exponentials
    loss = sp.log(1 + rest * sp.exp(-z))
    moved = loss.subs({z: z + shift, rest: sp.exp(shift) * rest}, simultaneous=True)
    proof.equal(sp.simplify(moved), loss, "the risk does not see a common shift of a column")


@evidence(
    DUAL,
    EvidenceKind.SYMBOLIC,
    domain="all K, class shares, E_W, E_H; sums over j as moments",
    steps=("conjugate", "gap formula", "slack", "multipliers"),
)
def dual_bound(proof: Proof) -> None:
    """Fenchel per column, then <Y,Z> >= -|Y|_op |Z|_* >= -tau |Y|_op."""
    entropy, inner, lse, z_y = sp.symbols("E B L z_y", real=True)
    mass = proof.term("mass", sp.Integer(1))
    proof.equal(
        (lse - z_y) + entropy - (inner - z_y),
        entropy - inner + mass * lse,
        "loss + conjugate - <q' - e_y, z> = KL(q'||q), with sum q' = 1",
    )
    risk, dual, YZ, op, radius = sp.symbols("F Ent YZ op tau", real=True)
    proof.equal(
        risk - (dual - radius * op),
        (risk - dual - YZ) + (YZ + radius * op),
        "the gap is the summed defect plus <Y,Z> + tau |Y|_op",
    )
    op, sv = sp.symbols("op s", positive=True)
    alpha = proof.term("alpha", op / 2 * sp.sqrt(E_W / E_H))
    beta = op / 2 * sp.sqrt(E_H / E_W)
    slack = sp.Matrix([[alpha, sv / 2], [sv / 2, beta]])
    proof.equal(slack.det(), (op**2 - sv**2) / 4, "[[alpha I, Y'/2], [Y/2, beta I]] >= 0: s <= op")
    proof.equal(alpha * K * E_H + beta * K * E_W, tau * op, "these multipliers cost tau |Y|_op")
    proof.equal(4 * alpha * beta, op**2, "and 4 alpha beta = op^2")
    x, y = sp.symbols("x y", positive=True)
    proof.equal(
        x * K * E_H + y * K * E_W - 2 * tau * sp.sqrt(x * y),
        K * (sp.sqrt(x * E_H) - sp.sqrt(y * E_W)) ** 2,
        "any multipliers x, y cost 2 tau sqrt(xy) at least: these are the cheapest",
    )
    proof.assume(K >= 3)
    # At the logits cP of a slack budget: <G, Z> = -(K-1) c/(e^c + K - 1) and |G|_op = 1/(the same).
    c = sp.Symbol("c", positive=True)
    proof.tie(
        (tau - (K - 1) * c) / (sp.exp(c) + K - 1),
        [K, E_W, E_H, c],
        _raw_gap_of_symmetric_logits,
        points(21, 6, (3, 9), (1.0, 4.0), (1.0, 4.0), (0.25, 0.75)),
        "certify: the raw gap of an ETF pair with logits cP within larger budgets",
    )


def _raw_gap_of_symmetric_logits(K: int, E_W: float, E_H: float, c: float) -> torch.Tensor:
    problem = Problem(K=K, d=K, n=(1,) * K, reg=AverageBudget(E_W, E_H))
    frame = etf(K, K)
    scale = c * (K - 1) / K
    point = Solution.from_arrays(problem, scale**0.5 * frame, scale**0.5 * frame.mT)
    return certify(point, engine="tensors").raw_gap


@evidence(
    CLASS_MEANS,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, n_k, class shares, E_W, E_H, p >= K-1",
    steps=("means", "slack", "strict"),
)
def scatter_costs_radius(proof: Proof) -> None:
    """Jensen: the risk is at least that of the class means; scatter takes from their budget.

    F is the risk at the means' logits Z, centred, and F_0 < F that of M = cP, c large; the logits
    (1-t)Z + tM have rank K-1 at most and for a small t a nuclear norm within tau.
    """
    scatter = sp.Symbol("scatter", positive=True)  # mean over classes
    radius = K * sp.sqrt(E_W * (E_H - proof.term("scatter", scatter)))
    proof.equal(
        radius,
        tau * sp.sqrt(1 - scatter / E_H),
        "|h_k|^2 is the mean of |h_ki|^2 less their scatter (zhu2021.class-means): |Z|_* is at "
        "most the radius of what is left",
    )
    proof.positive(tau**2 - radius**2, "which is less than tau: there is a slack")
    c, t = sp.symbols("c t", positive=True)
    proof.limit(
        symmetric_loss(c).subs(AT_LEAST_TWO), c, sp.oo, 0, "the risk of cP, any shares, vanishes"
    )  # fmt: skip
    F, drop = sp.symbols("F drop", positive=True)
    mixed = (1 - t) * F + proof.term("mixture", t) * (F - drop)
    proof.equal(
        F - mixed, t * drop, "convexity: the mixture is better than Z, which was no optimum"
    )
    proof.tie(
        symmetric_loss(c),
        [K, c],
        _loss_of_symmetric_logits,
        points(22, 5, (2, 9), (0.1, 6.0)),
        "CrossEntropy at cP",
    )


def _loss_of_symmetric_logits(K: int, c: float) -> torch.Tensor:
    Z = c * (torch.eye(K, dtype=torch.float64) - 1 / K)
    return CrossEntropy().value(Z, torch.arange(K)).mean()


@evidence(
    BALANCED_ETF,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, all n, E_W, E_H, p >= K-1",
    steps=("trace bound", "value", "attained", "only those"),
)
def balanced_budget_optimum(proof: Proof) -> None:
    """The averaged tangent inequality with tr(PZ) <= |Z|_* <= tau, at a = tau/(K-1).

    Equality in the tangents and in tr(PZ) <= |Z|_* leaves Z = aP alone, as in `zhu2021.global-etf`.
    """
    trace, total, radius = sp.symbols("T S tau", real=True)
    differences = (total - trace) - (K - 1) * trace
    proof.equal(
        differences / K, -(trace - total / K), "the mean of the logit differences is -tr(PZ)"
    )
    scale = radius / proof.term("directions", K - 1)
    bound = tangent(a, -radius)
    proof.equal(bound.subs(a, scale), symmetric_loss(radius / (K - 1)), "the bound at the scale")
    s = sp.sqrt(E_W * E_H)
    proof.equal(tau / (K - 1), K * s / (K - 1), "a = K s/(K-1)")
    gram = IJ(K * s / (K - 1), -s / (K - 1), K) * sp.sqrt(E_W / E_H)
    proof.equal(gram.a + gram.b, E_W, "(ZZ')^(1/2) sqrt(E_W/E_H) has diagonal E_W")
    proof.equal(gram.b / E_W, -1 / (K - 1), "and cosine -1/(K-1)")
    square_W, square_H = sp.symbols("W2 H2", positive=True)
    excess = E_H * square_W / 2 + E_W * square_H / 2 - proof.term("weight", s) * tau
    proof.equal(
        excess,
        (E_H * (square_W - K * E_W) + E_W * (square_H - K * E_H)) / 2,
        "with |Z|_* = tau the ridges E_H|W|^2/2 + E_W|H|^2/2 have no excess over the nuclear norm: "
        "both budgets are used and the Gram matrices are those (two-factor)",
    )
    proof.tie(
        symmetric_loss(K * s / (K - 1)),
        [K, E_W, E_H],
        _balanced_value,
        points(5, 8, (2, 30), (0.1, 4.0), (0.1, 4.0)),
        "BALANCED_ETF.predict(...).value",
    )


def _balanced_value(K: int, E_W: float, E_H: float) -> float:
    problem = Problem(K=K, d=K, n=(1,) * K, reg=AverageBudget(E_W=E_W, E_H=E_H))
    value = BALANCED_ETF.predict(problem).value
    assert value is not None
    return value


@evidence(
    CONTRASTIVE,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, all n, E_H, p >= K-1",
    steps=("Jensen", "trace bound", "attained", "only those"),
)
def contrastive_optimum(proof: Proof) -> None:
    """Jensen twice reduces the loss to log n plus a cross-entropy of the logits Hbar'Hbar.

    In the negatives log sum_l e^{x_l} >= log n + mean x, and in the anchors the loss is convex.
    Then tr(P Gram) <= tr Gram <= K E_H in the averaged tangent inequality. Equality asks for
    features at their class means (scatter takes from tr Gram), for a centred Gram matrix and for
    differences that are all -a: it is aP, as in `zhu2021.global-etf`.
    """
    x, y = sp.symbols("x y", real=True)
    weight = proof.term("weight", sp.Rational(1, 2))
    proof.equal(
        weight * (sp.exp(2 * x) + sp.exp(2 * y)) - sp.exp(x + y),
        (sp.exp(x) - sp.exp(y)) ** 2 / 2,
        "convexity of exp at the midpoint, equality iff x = y",
    )
    radius = K * E_H
    scale = radius / proof.term("directions", K - 1)
    bound = tangent(a, -radius)
    target = sp.log(1 + (K - 1) * sp.exp(-K * E_H / (K - 1)))
    proof.equal(bound.subs(a, scale), target, "the bound at a = K E_H/(K-1)")
    scatter = sp.Symbol("scatter", positive=True)
    proof.equal(
        tangent(a, -(radius - proof.term("lost", scatter))) - bound,
        scatter / (sp.exp(a) + K - 1),
        "scatter s, of which tr Gram <= K E_H - s knows, raises the bound",
    )
    gram = IJ(K * E_H / (K - 1), -E_H / (K - 1), K)
    proof.equal(gram.trace, K * E_H, "the ETF of squared norm E_H uses the budget")
    proof.equal(gram.a, scale, "and has the logit differences -a")


def contrastive_loss(H: torch.Tensor, n: int) -> torch.Tensor:
    """Mean contrastive loss of features ``(d, K n)`` in class blocks, with its own term.

    Args:
        H: Features.
        n: Samples a class.

    Returns:
        The loss.
    """
    logits = H.mT @ H
    K = logits.shape[0] // n
    own = logits.reshape(K, n, K, n).diagonal(dim1=0, dim2=2).mean(1).flatten()
    return (logits.logsumexp(0).reshape(K, n).mT.flatten() - own).mean()


@evidence(
    CONTRASTIVE,
    EvidenceKind.NUMERIC,
    domain="K = 3, 4, 5, n = 2, d = K, E_H = 1; 5 random starts each",
)
def contrastive_minimum(measure: Measurement) -> None:
    """Minimise over the sphere of features from random starts."""
    for classes in (3, 4, 5):
        target = math.log(2) + balanced_value(classes, classes / (classes - 1))
        frame = etf(classes, classes).mT.repeat_interleave(2, dim=1)
        measure.below("value at the ETF", (contrastive_loss(frame, 2) - target).abs(), 1e-14)
        for seed in range(5):
            found = _minimise_contrastive(classes, 2, seed)
            measure.below("minimum minus formula", (found - target).abs(), 1e-10)


def _minimise_contrastive(classes: int, n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(classes, classes * n, generator=generator, dtype=torch.float64)
    x.requires_grad_(True)
    optimiser = torch.optim.LBFGS(
        [x], max_iter=500, tolerance_grad=1e-10, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def on_budget() -> torch.Tensor:
        return x * ((classes * n) ** 0.5 / x.norm())

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = contrastive_loss(on_budget(), n)
        loss.backward()
        return loss

    optimiser.step(closure)
    return contrastive_loss(on_budget(), n).detach()
