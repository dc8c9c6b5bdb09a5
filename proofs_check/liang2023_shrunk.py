"""Evidence for calibrated soft targets under budgets and ridges that do not let them be fitted."""

from __future__ import annotations

import sympy as sp
import torch

from proofs_check._features import degrees
from proofs_check._harness import Measurement, evidence
from proofs_check._optima import optimum
from proofs_check._proof import Proof, points
from proofs_check.tree_problems import frame_problem, tree_frame
from proofs_check.zhu2021 import K
from ufm.claims import EvidenceKind
from ufm.geometry import Exponential, HAFrame, frame
from ufm.hierarchy import Tree
from ufm.losses import SoftTargets
from ufm.problem import ClassMeanDecay, WeightDecay
from ufm.theory.liang2023_shrunk import BUDGET_SPECTRUM, FIXED_RIDGE


@evidence(
    BUDGET_SPECTRUM,
    EvidenceKind.SYMBOLIC,
    domain="all symmetric trees, all K, beta, radii below that of the exact fit",
    steps=("multiplier", "monotone", "ends"),
)
def budget_as_ridge(proof: Proof) -> None:
    """F_i and T_i: risk and nuclear norm of the penalised optimum of strength k_i."""
    F, T, F_1, T_1, k = sp.symbols("F T F_1 T_1 k", real=True)
    spare = (F + k * T) - (F_1 + k * proof.term("norm of the optimum", T_1))
    proof.equal(
        spare.subs(T, T_1), F - F_1, "among logits of the same nuclear norm the optimum is best"
    )
    under, strength = sp.Symbol("under", nonnegative=True), sp.Symbol("k_1", positive=True)
    proof.equal(
        spare.subs({T: T_1 - under, k: strength}) + strength * under,
        F - F_1,
        "of a smaller norm it is better still: spare >= 0 gives F - F_1 >= k (T_1 - T) >= 0",
    )
    F_2, T_2, k_2 = sp.symbols("F_2 T_2 k_2", real=True)
    first = (F_2 + k * T_2) - (F_1 + k * T_1)
    second = (F_1 + k_2 * T_1) - (F_2 + proof.term("other strength", k_2) * T_2)
    proof.equal(
        first + second,
        (k - k_2) * (T_2 - T_1),
        "both differences are >= 0: the norm does not rise with the strength",
    )
    theta, cut = sp.symbols("theta cut", positive=True)
    proof.zero((theta - cut).subs(cut, theta), "norm 0 at K kappa = theta_L, the exact fit at 0")


@evidence(
    FIXED_RIDGE,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, n_k, beta and ridges for the flat tree; all symmetric trees at s* with "
    "three cosines or more below one",
    steps=("flat", "stationarity", "two cosines"),
)
def ridge_on_features(proof: Proof) -> None:
    """Column of class y: W'(q - t) + (lam_H D/pi) h = 0 with h = a u_y, E_W = 1."""
    a, beta = sp.symbols("a beta", positive=True)
    stretch = proof.term("stretch", K / (K - 1))
    own = 1 / (1 + (K - 1) * sp.exp(-a * K / (K - 1)))
    target = own.subs(a, beta)
    column = sp.log(sp.exp(a) + (K - 1) * sp.exp(-a / (K - 1)))
    column -= target * a - (1 - target) * a / (K - 1)
    proof.equal(
        sp.simplify(sp.diff(column, a) - stretch * (own - target)), 0, "slope along the row: flat"
    )
    q_o, t_o, lam = sp.symbols("q_o t_o lam", real=True)
    pull = (q_o - t_o) - (-(K - 1) * (q_o - t_o))  # coefficient of -u_y in W'(q - t), W'1 = 0
    proof.equal(pull, K * (q_o - t_o), "flat: W'(q-t) is along u_y, so the ridge cannot turn h")
    shift = proof.term("shift", lam * a / K)
    proof.zero(
        (K - 1) * shift + (shift - lam * a),
        "symmetric, at s*: q - t + lam a e_y = shift 1, the null vector; the sum fixes the shift",
    )
    x, A, B, alpha = sp.symbols("x A B alpha", positive=True)
    # q_c - t_c = A exp(alpha x) - B exp(beta x) at the cosine x, alpha = a the scale of h
    root = sp.log(alpha * A / (beta * B)) / (beta - alpha)
    falling = sp.diff(sp.log(alpha * A * sp.exp(alpha * x) / (beta * B * sp.exp(beta * x))), x)
    proof.equal(sp.simplify(falling), alpha - beta, "its two parts have a monotone ratio")
    proof.zero(
        sp.simplify(
            sp.expand_log(sp.log(alpha * A) - sp.log(beta * B), force=True)
            - (beta - alpha) * sp.expand_log(root, force=True)
        ),
        "d(q_c - t_c)/dx = 0 has one solution for a != beta: the value shift at most two cosines",
    )
    proof.zero(shift.subs(a, 0), "and a = beta would need lam a = 0")
    proof.tie(
        K / (K - 1) * (target - own),
        [K, beta, a],
        _pull_along_the_row,
        points(61, 6, (3, 8), (1.0, 4.0), (0.25, 1.0)),
        "SoftTargets: slope along the row of a flat tree",
    )


def _pull_along_the_row(K: int, beta: float, a: float) -> float:
    spec = HAFrame(Tree.from_nested(list(range(K))), Exponential(1.0))
    W = frame(spec, K, K - 1)
    label = torch.tensor([0])
    return -float(SoftTargets(spec, beta).grad(a * (W @ W[:1].mT), label)[:, 0] @ W @ W[0])


@evidence(
    FIXED_RIDGE,
    EvidenceKind.CERTIFIED,
    domain="K = 8, gamma = 2, beta = 4, sizes 40 to 1: flat and balanced tree, ridges 1e-4 to "
    "1e-2, certified optima",
)
def turned_by_the_ridge(measure: Measurement) -> None:
    """Largest angle of a feature to its row, in degrees."""
    for name in ("flat", "balanced"):
        W = frame(tree_frame(name), 8, 7)
        for reg in (ClassMeanDecay(0.0, 1e-3), WeightDecay(0.0, 1e-4), WeightDecay(0.0, 1e-2)):
            problem = frame_problem(tree_frame(name), reg, d=7, beta=4.0)
            angle = degrees(optimum(problem).solution.H.mT, W)
            if name == "flat":
                measure.below("degrees, flat", angle, 1e-5)
            else:
                measure.above("degrees, balanced", angle, 0.1)
