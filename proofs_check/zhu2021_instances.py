"""Numeric evidence for Zhu et al. (2021): saddles and dimensions on one instance."""

from __future__ import annotations

import torch

from proofs_check._harness import Measurement, evidence
from proofs_check._optima import best_of, optimum
from proofs_check.catalogue import ridge_problem
from ufm._linalg import op_norm
from ufm.claims import EvidenceKind
from ufm.objective import Objective, Point
from ufm.problem import Problem, WeightDecay
from ufm.theory.zhu2021 import LOW_DIMENSION, STRICT_SADDLE


DOMAIN = "K = 4, n = 5, lam_W = .004, lam_H = .009"
WIDE = ridge_problem((5,) * 4, (0.004, 0.009), d=6)
# The reference values are printed with ten decimals.
PRINTED = 1e-9


def _embedded(rank: int) -> Point:
    """The optimum of dimension ``rank``, on samples, embedded in the dimension of `WIDE`."""
    x = Point(torch.zeros(4, 1), torch.zeros(1, 4), torch.zeros(4))
    if rank:
        x = best_of(ridge_problem((5,) * 4, (0.004, 0.009), d=rank), seeds=4).point
    W = torch.zeros(1, 4, WIDE.d, dtype=torch.float64)
    H = torch.zeros(1, WIDE.d, WIDE.N, dtype=torch.float64)
    W[0, :, : x.W.shape[-1]] = x.W
    H[0, : x.H.shape[0]] = x.H.repeat_interleave(5, dim=1)
    return Point(W, H, torch.zeros(1, 4, dtype=torch.float64))


def lowest_curvature(problem: Problem, x: Point) -> float:
    """Smallest eigenvalue of the dense Hessian in (W, H).

    Args:
        problem: A model on samples.
        x: Point with one batch axis.

    Returns:
        The eigenvalue.
    """
    objective = Objective.stack([problem], x.H.shape[-1])
    sizes = [x.W.numel(), x.H.numel()]
    columns = []
    for unit in torch.eye(sum(sizes), dtype=torch.float64):
        W, H = unit.split(sizes)
        v = Point(W.reshape(x.W.shape), H.reshape(x.H.shape), torch.zeros_like(x.b))
        product = objective.hvp(x, v)
        columns.append(torch.cat([product.W.flatten(), product.H.flatten()]))
    return float(torch.linalg.eigvalsh(torch.stack(columns))[0])


@evidence(STRICT_SADDLE, EvidenceKind.NUMERIC, domain=f"{DOMAIN}; origin, embedded ranks 1, 2; d=6")
def saddles_of_one_instance(measure: Measurement) -> None:
    """The lowest curvature equals the 2 x 2 formula, and the reference values."""
    reg = WIDE.reg
    assert isinstance(reg, WeightDecay)
    mean, half = (reg.lam_W + reg.lam_H) / 2, (reg.lam_W - reg.lam_H) / 2
    for rank, reference in enumerate((-0.1053313462, -0.0944545145, -0.0054426056)):
        x = _embedded(rank)
        objective = Objective.stack([WIDE], WIDE.N)
        G = op_norm(objective.risk_grad(objective.logits(x)))[0]
        formula = mean - (half**2 + float(G) ** 2) ** 0.5
        found = lowest_curvature(WIDE, x)
        measure.below("curvature minus formula", abs(found - formula), PRINTED)
        measure.below("formula minus reference", abs(formula - reference), PRINTED)


@evidence(
    LOW_DIMENSION, EvidenceKind.NUMERIC, domain=f"{DOMAIN}; d = 2 against d = 3; 8 random starts"
)
def one_dimension_short(measure: Measurement) -> None:
    """At d = K-2 the best of several starts misses the optimum by the reference difference."""
    short = best_of(ridge_problem((5,) * 4, (0.004, 0.009), d=2), seeds=8)
    full = optimum(ridge_problem((5,) * 4, (0.004, 0.009), d=3)).solution
    excess = float(short.value - full.value)
    measure.record("excess", excess)
    # The reference is printed with seven decimals.
    measure.below("excess minus reference", abs(excess - 0.0341546), 1e-7)
