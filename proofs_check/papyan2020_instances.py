"""Numeric evidence for Papyan, Han and Donoho (2020): the four properties at an optimum."""

from __future__ import annotations

from functools import cache

import torch

from proofs_check._harness import Measurement, evidence
from proofs_check._optima import CERTIFIED
from proofs_check._proof import ProofFailure
from ufm import GradientFlow, certify, solve
from ufm.claims import EvidenceKind
from ufm.geometry import etf
from ufm.metrics import NCRecord
from ufm.problem import AverageBudget, Problem
from ufm.theory.papyan2020 import NC1, NC2, NC3, NC4, NC4_EQUIVALENCE


DOMAIN = "layer-peeled model, K = 3, n = 2, d = 3, E = (1, 2), gradient flow on samples, seed 0"
# The flow stops at a gradient of 1e-7, which leaves (W, H) that far from the optimum.
FLOW = 1e-5


@cache
def _flow() -> NCRecord:
    problem = Problem(K=3, d=3, n=(2, 2, 2), reg=AverageBudget(1.0, 2.0))
    solution = solve(problem, GradientFlow(t_end=1e4, rtol=1e-6, atol=1e-9, gtol=1e-7))[0]
    certificate = certify(solution)
    if not float(certificate.gap) <= CERTIFIED:
        raise ProofFailure(f"the flow's end must be certified, got {certificate}")
    return solution.nc()


@evidence(NC1, EvidenceKind.CERTIFIED, domain=DOMAIN)
def variability_collapses(measure: Measurement) -> None:
    """Within-class scatter over between-class scatter."""
    measure.below("tr(S_W pinv S_B)/K", _flow().nc1_pinv, CERTIFIED)


@evidence(NC2, EvidenceKind.CERTIFIED, domain=DOMAIN)
def means_form_an_etf(measure: Measurement) -> None:
    """Equal norms and equal angles of the centred means."""
    measure.below("spread of norms", _flow().nc2_equinorm, FLOW)
    measure.below("ETF error", _flow().nc2_etf_err, FLOW)


@evidence(NC3, EvidenceKind.CERTIFIED, domain=DOMAIN)
def self_duality(measure: Measurement) -> None:
    """Distance of the normalised classifier to the normalised means."""
    measure.below("duality error", _flow().nc3_dual_err, FLOW)


@evidence(
    NC4_EQUIVALENCE,
    EvidenceKind.NUMERIC,
    domain="K = 5, d = 8, ETF means around a random mean; 5000 random points, seed 0",
)
def agreement_with_and_without_bias(measure: Measurement) -> None:
    """The rules agree on every point with the bias -W mu_G, and not without."""
    generator = torch.Generator().manual_seed(0)
    frame = etf(5, 8)
    centre = torch.randn(8, generator=generator, dtype=torch.float64)
    x = 2 * torch.randn(5000, 8, generator=generator, dtype=torch.float64)
    nearest = torch.cdist(x, centre + frame).argmin(-1)
    W = 3 * frame
    linear = (x @ W.mT - W @ centre).argmax(-1)
    measure.above("agreement with the bias", (linear == nearest).double().mean(), 1.0)
    measure.below("agreement without", ((x @ W.mT).argmax(-1) == nearest).double().mean(), 0.9)


@evidence(NC4, EvidenceKind.CERTIFIED, domain=DOMAIN)
def nearest_mean_decisions(measure: Measurement) -> None:
    """Share of samples on which the two rules agree."""
    measure.above("agreement", _flow().nc4_agree, 1.0)
