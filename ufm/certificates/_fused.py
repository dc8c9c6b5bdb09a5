"""From a solution to the compiled certificates, and back."""

from __future__ import annotations

import numpy as np
import torch

from ufm._typing import Int, Tensor
from ufm.certificates._certificate import Certificate
from ufm.compiled.rows import available, kernel, over_rows
from ufm.losses import CrossEntropy
from ufm.objective import Objective
from ufm.problem import AverageBudget, NoBias
from ufm.solution import Solution


# Above this LAPACK's blocked decompositions are faster: measured on one core, they take 3, 2 and
# 0.7 times the time at K = 32, 70 and 150.
LARGEST_K = 80
# Order of the kernel's columns and of its names.
REAL = ("primal", "dual", "raw_gap", "gap", "margin", "infeasibility", "stationarity", "norm")
NAMES = tuple(f"average budgets: {name}" for name in ("raw", "clip", "infimum"))


def is_fused(sol: Solution) -> bool:
    """Whether the kernel certifies a solution; never a question of how many instances it has.

    Args:
        sol: Points.

    Returns:
        True for cross-entropy with average budgets, a learnable classifier and no bias, on class
        means, for K up to 80, on the CPU, where numba is installed.
    """
    problem = sol.problems[0]
    return (
        type(problem.loss) is CrossEntropy
        and isinstance(problem.reg, AverageBudget)
        and isinstance(problem.bias, NoBias)
        and problem.is_learnable
        and problem.K <= LARGEST_K
        and sol.H.shape[-1] == problem.K
        and sol.H.device.type == "cpu"
        and available()
    )


def fused_certificate(sol: Solution) -> tuple[Certificate, Int[Tensor, "S"]]:
    """Certify by the kernel.

    Args:
        sol: Points for which `is_fused` holds.

    Returns:
        Certificate with a flat batch axis, and the positions where its gap is so large that the
        trial ranks of the tensor code may give a better one.
    """
    B, K, d = len(sol), sol.problems[0].K, sol.problems[0].d
    objective = Objective.stack(sol.problems, K)
    budget = torch.stack([objective.E_W, objective.E_H], -1)
    W, H = (t.detach().to(torch.float64) for t in (sol.W, sol.H))
    real, whole = np.empty((B, len(REAL))), np.empty((B, 3), dtype=np.int64)
    Y = np.empty((B, K, K))
    over_rows(
        kernel("ufm.certificates._fused_kernel", "certify_rows"), B,
        objective.c.contiguous().numpy(), budget.numpy(), W.reshape(B, K, d).contiguous().numpy(),
        H.reshape(B, d, K).contiguous().numpy(), real, whole, Y,
    )  # fmt: skip
    columns = dict(zip(REAL, torch.from_numpy(real).T.contiguous(), strict=True))
    ratio = torch.from_numpy(np.sqrt((objective.E_W / objective.E_H).numpy()))
    scales = torch.stack([ratio, 1 / ratio], -1) * (columns.pop("norm") / 2).unsqueeze(-1)
    rank, code, loose = torch.from_numpy(whole).T.contiguous()
    certificate = Certificate(
        **columns, rank=rank, bound=tuple(NAMES[i] for i in code.tolist()),
        Y=torch.from_numpy(Y).mT, multipliers=scales.unsqueeze(-1).expand(B, 2, K),
    )  # fmt: skip
    return certificate, loose.nonzero().squeeze(-1)
