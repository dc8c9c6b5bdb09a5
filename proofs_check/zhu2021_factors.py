"""Evidence for Zhu et al. (2021): ridges on factors as a nuclear norm, and collapse to means."""

from __future__ import annotations

import sympy as sp
import torch

from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check.zhu2021 import K, lam_H, lam_W
from ufm.claims import EvidenceKind
from ufm.objective import Objective, Point
from ufm.problem import ClassMeanDecay, Problem, WeightDecay
from ufm.theory import balanced_factors
from ufm.theory.zhu2021 import CLASS_MEANS, TWO_FACTOR


sigma = sp.Symbol("sigma", positive=True)


@evidence(
    TWO_FACTOR,
    EvidenceKind.SYMBOLIC,
    domain="all shapes with d >= rank Z, and D > 0",
    steps=("column weights", "lower bound", "attained", "balance", "only those"),
)
def two_factor_identity(proof: Proof) -> None:
    """X = Z D^(1/2) = WH~ with H~ = H D^(1/2); X = USV', so |X|_* = tr U'XV = tr U'WH~V.

    The ridges exceed lam |X|_* by half of |sqrt(lam_W) W'U - sqrt(lam_H) H~V|^2 and of what W and
    H~ have outside of U and V: W'(I - UU')W and H~(I - VV')H~' are positive semidefinite.
    """
    D, h_k = sp.Symbol("D", positive=True), sp.Symbol("h", real=True)
    proof.equal(
        (proof.term("root", sp.sqrt(D)) * h_k) ** 2, D * h_k**2, "|H~|^2 is the weighted ridge"
    )
    _exact_excess(proof)
    weight = proof.term("weight", sp.sqrt(lam_W * lam_H))
    w = (lam_H / lam_W) ** sp.Rational(1, 4) * sp.sqrt(sigma)
    h = (lam_W / lam_H) ** sp.Rational(1, 4) * sp.sqrt(sigma)
    proof.equal(w * h, sigma, "W = (lam_H/lam_W)^(1/4) U S^(1/2) and its partner give X")
    proof.equal(lam_W / 2 * w**2 + lam_H / 2 * h**2, weight * sigma, "and attain the bound")
    proof.equal(lam_W * w**2, lam_H * h**2, "they are balanced: lam_W W'W = lam_H H~H~'")
    _only_balanced_factors(proof)
    other = sp.Symbol("sigma_2", positive=True)
    proof.tie(
        weight * sp.sqrt(D) * (sigma + other),
        [lam_W, lam_H, D, sigma, other],
        _penalty_of_balanced_factors,
        points(17, 6, (0.05, 2.0), (0.05, 2.0), (1, 9), (0.1, 3.0), (0.1, 3.0)),
        "Objective.penalty at theory.balanced_factors, per sample, K = 2, n = D",
    )


def _exact_excess(proof: Proof) -> None:
    r, d = sp.symbols("r d", positive=True, integer=True)
    U, V = sp.MatrixSymbol("U", K, r), sp.MatrixSymbol("V", K, r)
    W, H = sp.MatrixSymbol("W", K, d), sp.MatrixSymbol("H", d, K)
    x, y = sp.symbols("x y", positive=True)  # roots of lam_W and lam_H
    defect = x * W.T * U - proof.term("defect", y) * H * V
    crossed = U.T * W * H * V + V.T * H.T * W.T * U
    proof.zero(
        defect.T * defect - x**2 * U.T * W * W.T * U - y**2 * V.T * H.T * H * V + x * y * crossed,
        "trace: |x W'U - y H~V|^2 = lam_W |W'U|^2 + lam_H |H~V|^2 - 2 lam |X|_*, lam = xy",
    )
    outside: Any = W - U * (U.T * W)
    proof.zero(
        outside.T * outside
        - W.T * W
        + W.T * U * (U.T * W)
        - W.T * U * (U.T * U - sp.Identity(r)) * U.T * W,
        "|W - UU'W|^2 = |W|^2 - |W'U|^2 since U'U = I; likewise H~ and V: a sum of squares",
    )


def _only_balanced_factors(proof: Proof) -> None:
    # No excess: W = UB', H~ = (x/y) B V' with B = W'U. Then S = U'XV = (x/y) B'B fixes WW'.
    r, d = sp.symbols("r d", positive=True, integer=True)
    U, V = sp.MatrixSymbol("U", K, r), sp.MatrixSymbol("V", K, r)
    B, S = sp.MatrixSymbol("B", d, r), sp.MatrixSymbol("S", r, r)
    ratio = proof.term("ratio", sp.sqrt(lam_W / lam_H))
    square = sp.sqrt(lam_H / lam_W) * S  # B'B
    product = U * B.T * (ratio * B * V.T)
    proof.zero(product - ratio * U * (B.T * B) * V.T, "WH~ = (x/y) U B'B V', which is USV'")
    proof.zero(
        ratio * U * square * V.T - U * S * V.T,
        "iff B'B = (y/x) S: so WW' = (y/x) USU', the Gram matrix of W, is the same for all minimal "
        "factors; likewise H~'H~ = (x/y) VSV'",
    )


def _penalty_of_balanced_factors(
    lam_W: float, lam_H: float, D: int, first: float, second: float
) -> torch.Tensor:
    problem = Problem(K=2, d=2, n=(D, D), reg=WeightDecay(lam_W, lam_H))
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    Z = turn @ torch.diag(torch.tensor([first, second], dtype=torch.float64))
    geometry = balanced_factors(Z, (lam_H / lam_W) ** 0.5, column_weights=(float(D),) * 2)
    # Factors with these Gram matrices, whatever their rotation, have the same norms.
    W, H = (torch.linalg.cholesky(x)[None] for x in (geometry.gram_W, geometry.gram_H))
    x = Point(W, H.mT, torch.zeros(1, 2, dtype=torch.float64))
    return Objective.stack([problem], 2).penalty(x)[0]


@evidence(
    CLASS_MEANS,
    EvidenceKind.SYMBOLIC,
    domain="all n_k, any loss convex in the logits, ridge per sample or per class mean; per "
    "coordinate",
    steps=("Jensen", "variance split"),
)
def variance_split(proof: Proof) -> None:
    """A convex loss lies above its tangent at the mean; the ridge splits into mean and scatter."""
    n, first, second = sp.Symbol("n", positive=True), sp.Symbol("S1"), sp.Symbol("S2")
    mean = first / proof.term("count", n)
    slope, value = sp.symbols("slope value", real=True)
    proof.equal(
        n * value + slope * (first - n * mean),
        n * value,
        "sum over a class of the tangents at the mean of the logits: n times the loss there",
    )
    scatter = second - 2 * mean * first + n * mean**2
    proof.equal(second, n * (first / n) ** 2 + scatter, "sum h^2 = n mean^2 + sum (h - mean)^2")
    lam, x, y = sp.Symbol("lambda_H", positive=True), *sp.symbols("x y", real=True)
    proof.tie(
        lam / 2 * ((x + y) / 2) ** 2 + lam / 4 * ((x - y) ** 2 / 2),
        [lam, x, y],
        _penalty_of_two_samples,
        points(18, 6, (0.1, 2.0), (-2.0, 2.0), (-2.0, 2.0)),
        "Objective.penalty of two samples of one class, per class mean: mean and scatter",
    )


def _penalty_of_two_samples(lam_H: float, x: float, y: float) -> torch.Tensor:
    problem = Problem(K=2, d=1, n=(2, 2), reg=ClassMeanDecay(1.0, lam_H))
    H = torch.tensor([[[x, y, 0.0, 0.0]]], dtype=torch.float64)
    zero = torch.zeros(1, 2, dtype=torch.float64)
    return Objective.stack([problem], 4).penalty(Point(zero.unsqueeze(-1), H, zero))[0]
