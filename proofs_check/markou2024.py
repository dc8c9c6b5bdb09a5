"""Evidence for the nearest simplex ETF in closed form."""

from __future__ import annotations

import sympy as sp
import torch

from proofs_check._harness import Measurement, evidence
from proofs_check._proof import Proof, points
from ufm.claims import EvidenceKind
from ufm.geometry import etf, nearest_etf
from ufm.theory.markou2024 import NEAREST


@evidence(
    NEAREST,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, d >= K-1, scales c > 0, class means",
    steps=("constant norms", "bound", "attained", "unique"),
)
def procrustes(proof: Proof) -> None:
    """Columns M = QB' with Q'Q = I, B'B = I of r = K-1 columns; HbarB = U S V' is its SVD.

    <Q, USV'> = sum_i s_i <u_i, Q v_i> <= sum_i s_i by Cauchy-Schwarz, since |Qv_i| = 1, with
    equality iff Q v_i = u_i wherever s_i > 0: for all i, that is Q = UV', iff no s_i vanishes.
    """
    d, K, r = sp.symbols("d K r", positive=True, integer=True)
    Q, B = sp.MatrixSymbol("Q", d, r), sp.MatrixSymbol("B", K, r)
    H, one = sp.MatrixSymbol("H", d, K), sp.Identity(r)
    c = sp.Symbol("c", positive=True)
    M = c * Q * B.T
    difference = H - proof.term("scaled", M, 2 * M)
    square = difference.T * difference
    proof.zero(
        square - H.T * H + c * (H.T * Q * B.T + B * Q.T * H) - c**2 * B * (Q.T * Q) * B.T,
        "trace: |Hbar - cQB'|^2 = |Hbar|^2 - 2c <Q, Hbar B> + c^2 |QB'|^2",
    )
    proof.zero(
        B * (Q.T * Q) * B.T - B * B.T - B * (Q.T * Q - one) * B.T,
        "|QB'|^2 = tr BB' = K-1 whatever the rotation: constant, by Q'Q = I",
    )
    U, V, S = sp.MatrixSymbol("U", d, r), sp.MatrixSymbol("V", r, r), sp.MatrixSymbol("S", r, r)
    polar = proof.term("polar factor", U * V.T, 2 * U * V.T)
    proof.zero(
        polar.T * (U * S * V.T) - V * S * V.T - V * (U.T * U - one) * S * V.T,
        "Q = UV': <Q, USV'> = tr VSV' = tr S, the nuclear norm: the bound is attained",
    )
    x, y = sp.symbols("x y", positive=True)  # K = 2: means (x, 0) and (0, y)
    proof.tie(
        sp.sqrt(x**2 + y**2),
        [x, y],
        _alignment_of_two_means,
        points(77, 5, (0.1, 3.0), (0.1, 3.0)),
        "nearest_etf, K = 2: c |Hbar B|_* = |h_1 - h_2|",
    )


def _alignment_of_two_means(x: float, y: float) -> torch.Tensor:
    H = torch.diag(torch.tensor([x, y], dtype=torch.float64))
    return (nearest_etf(H) * H.mT).sum()


@evidence(
    NEAREST,
    EvidenceKind.NUMERIC,
    domain="K = 5, d = 9, Gaussian means, seed 1; 2000 random rotations and 50 small turns",
)
def no_rotation_is_nearer(measure: Measurement) -> None:
    """Distance of the closed form against other ETFs of the same scale."""
    generator = torch.Generator().manual_seed(1)
    H = torch.randn(9, 5, generator=generator, dtype=torch.float64)
    best = nearest_etf(H)
    error = (best @ best.mT - etf(5, 9) @ etf(5, 9).mT).abs().max()
    measure.below("Gram matrix of an ETF", error, 1e-12)
    least = float((best - H.mT).norm())
    turns = torch.randn(2000, 9, 9, generator=generator, dtype=torch.float64)
    rotated = etf(5, 9) @ torch.linalg.qr(turns).Q
    small = torch.linalg.matrix_exp(0.05 * (turns[:50] - turns[:50].mT))
    for name, others in (("rotations", rotated), ("turns", best @ small)):
        nearest = float((others - H.mT).norm(dim=(-2, -1)).min())
        measure.above(f"distance of random {name} over the least", nearest / least, 1.0)
