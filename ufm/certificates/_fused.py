"""From a solution to the compiled certificates, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ufm._triton.launch import can_launch, fits
from ufm._typing import Float, Int, Tensor
from ufm.certificates._certificate import Certificate
from ufm.certificates._means import feasible
from ufm.certificates.cuda.fused import prove_average
from ufm.compiled.rows import available, kernel, over_rows
from ufm.losses import CrossEntropy
from ufm.objective import Objective, Point
from ufm.problem import AverageBudget, NoBias
from ufm.solution import Solution


# Above this LAPACK's blocked decompositions are faster: measured on one core, they take 3, 2 and
# 0.7 times the time at K = 32, 70 and 150.
LARGEST_K = 80
# Order of the kernel's columns and of its names.
REAL = ("primal", "dual", "raw_gap", "gap", "margin", "infeasibility", "stationarity", "norm")
NAMES = tuple(f"average budgets: {name}" for name in ("raw", "clip", "infimum"))


def is_fused(sol: Solution) -> bool:
    """Whether a kernel certifies a solution; never a question of how many instances it has.

    Args:
        sol: Points.

    Returns:
        True for cross-entropy with average budgets, a learnable classifier and no bias, on class
        means: on the CPU for K up to 80 where numba is installed, on CUDA for K and d up to 16.
    """
    problem, device = sol.problems[0], sol.H.device
    if not (
        type(problem.loss) is CrossEntropy
        and isinstance(problem.reg, AverageBudget)
        and isinstance(problem.bias, NoBias)
        and problem.is_learnable
        and sol.H.shape[-1] == problem.K
    ):
        return False
    if can_launch(device):
        return fits(problem.K, problem.d)
    return device.type == "cpu" and problem.K <= LARGEST_K and available()


def fused_certificate(sol: Solution) -> tuple[Certificate, Int[Tensor, "S"]]:
    """Certify by a kernel.

    Args:
        sol: Points for which `is_fused` holds.

    Returns:
        Certificate with a flat batch axis, and the positions where its gap is so large that the
        trial ranks of the tensor code may give a better one.
    """
    B, K, d = len(sol), sol.problems[0].K, sol.problems[0].d
    objective = Objective.stack(sol.problems, K, device=sol.H.device)
    W, H = (t.detach().to(torch.float64) for t in (sol.W, sol.H))
    W, H = W.reshape(B, K, d), H.reshape(B, d, K)
    by_kernel = _on_card if can_launch(sol.H.device) else _on_processor
    columns, whole = by_kernel(objective, W, H)
    ratio = (objective.E_H / objective.E_W).rsqrt()  # sqrt is MKL's, which wakes torch's threads
    scales = torch.stack([ratio, 1 / ratio], -1) * (columns.pop("norm") / 2).unsqueeze(-1)
    rank, code, loose = whole
    certificate = Certificate(
        **columns, rank=rank, bound=tuple(NAMES[i] for i in code.tolist()),
        multipliers=scales.unsqueeze(-1).expand(B, 2, K),
    )  # fmt: skip
    return certificate, loose.nonzero().squeeze(-1)


def _on_processor(
    objective: Objective, W: Float[Tensor, "B K d"], H: Float[Tensor, "B d K"]
) -> tuple[dict[str, Any], tuple[Tensor, ...]]:
    B, K = W.shape[:2]
    budget = torch.stack([objective.E_W, objective.E_H], -1)
    real, whole = np.empty((B, len(REAL))), np.empty((B, 3), dtype=np.int64)
    Y = np.empty((B, K, K))
    over_rows(
        kernel("ufm.certificates._fused_kernel", "certify_rows"), B,
        objective.c.contiguous().numpy(), budget.numpy(), W.contiguous().numpy(),
        H.contiguous().numpy(), real, whole, Y,
    )  # fmt: skip
    columns: dict[str, Any] = dict(zip(REAL, torch.from_numpy(real).T.contiguous(), strict=True))
    columns["Y"] = torch.from_numpy(Y).mT
    return columns, tuple(torch.from_numpy(whole).T.contiguous())


def _on_card(
    objective: Objective, W: Float[Tensor, "B K d"], H: Float[Tensor, "B d K"]
) -> tuple[dict[str, Any], tuple[Tensor, ...]]:
    # The kernel wants balanced factors, which have the same logits: W t^-1 and t H.
    given = Point(W, H, torch.zeros_like(objective.c))
    x = feasible(objective, given)
    t = (objective.E_W / objective.E_H)[:, None, None] ** 0.25
    balanced = torch.cat([(x.W / t).flatten(1), (x.H * t).mT.flatten(1)], -1)
    radius = objective.K * (objective.E_W * objective.E_H).sqrt()
    proof, evidence = prove_average(balanced, objective.c, 2 * radius)
    columns = {
        "primal": proof.primal, "gap": proof.gap, "margin": proof.margin, "Y": proof.Y,
        "infeasibility": objective.infeasibility(given), "dual": evidence.dual,
        "raw_gap": evidence.raw_gap, "stationarity": evidence.stationarity, "norm": evidence.norm,
    }  # fmt: skip
    return columns, (evidence.rank, evidence.code, evidence.loose)
