"""Runs under step imbalance: grids of (R, E_H), solved and certified, and the exact curves."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch

import ufm
from figures._registry import Job
from ufm._spec import spec
from ufm.geometry import cosines, norms
from ufm.maps import proved_phase
from ufm.problem import Problem
from ufm.runs import Chunk, RunSpec, certificate_rows
from ufm.solution import Solution
from ufm.solvers import R0, R1, step_optimum
from ufm.solvers.thresholds import tau0, tau1


# Raised by hand when the producers' results change.
VERSION = 1
# Tighter than a certified value needs: the phase is decided only to the square root of the gap.
METHOD = ufm.LBFGS(gtol=3e-8)


@spec
class StepGrid:
    """Cross-entropy with average budgets and two groups of equal classes, E_H-major.

    Attributes:
        K_A: Majority classes.
        K_B: Minority classes.
        R: Ratios ``pi_A / pi_B``.
        E_H: Feature budgets.
        E_W: Classifier budget.
    """

    K_A: int
    K_B: int
    R: tuple[float, ...]
    E_H: tuple[float, ...]
    E_W: float = 1.0

    def problems(self) -> tuple[Problem, ...]:
        """The problems.

        Returns:
            One for each pair (E_H, R).
        """
        K = self.K_A + self.K_B
        return tuple(
            Problem(
                K=K, d=K - 1, n=(1,) * K, reg=ufm.AverageBudget(E_W=self.E_W, E_H=E_H),
                weights=ufm.step_weights(K=K, K_A=self.K_A, R=R),
            )
            for E_H in self.E_H for R in self.R
        )  # fmt: skip

    def columns(self) -> dict[str, np.ndarray]:
        """What identifies the rows of this grid.

        Returns:
            K_A, K_B, E_W, E_H, R and s = sqrt(E_W E_H), one entry a problem.
        """
        E_H, R = (v.ravel() for v in np.meshgrid(self.E_H, self.R, indexing="ij"))
        columns = {"K_A": self.K_A, "K_B": self.K_B, "E_W": self.E_W, "E_H": E_H, "R": R}
        return {name: np.broadcast_to(v, R.shape) for name, v in columns.items()} | {
            "s": np.sqrt(self.E_W * E_H)
        }


def solved_job(grid: StepGrid) -> Job:
    """Solve and certify a grid.

    Args:
        grid: The grid.

    Returns:
        The run that a figure asks for.
    """
    return Job(RunSpec("step-solved", grid, METHOD, version=VERSION), solve_grid)


def exact_job(grid: StepGrid) -> Job:
    """Evaluate the closed forms on a grid.

    Args:
        grid: The grid.

    Returns:
        The run that a figure asks for.
    """
    return Job(RunSpec("step-exact", grid, ufm.ClosedForm(), version=VERSION), exact_grid)


def exact_grid(run: RunSpec) -> Chunk:
    """Producer: exact optima and thresholds, part ``"exact"``.

    Args:
        run: Its subject is a `StepGrid`.

    Returns:
        Rows: the grid's columns, phase, value, norms and cosines of both groups; the thresholds R0
        and R1 of the row's energy, and s0 and s1, the energies sqrt(E_W E_H) up to which the
        row's ratio is collapsed and vanished.
    """
    at = run.subject.columns()
    tau = (at["K_A"] + at["K_B"]) * at["s"]
    best = step_optimum(at["K_A"], at["K_B"], R=at["R"], tau=tau)
    fields = ("phase", "value", "gap", "w_A", "w_B", "h_A", "h_B", "cos_W_B", "cos_H_B")
    columns = {name: getattr(best, name) for name in fields}
    K_A, K_B, K = at["K_A"], at["K_B"], at["K_A"] + at["K_B"]
    # At R = 1 nothing is collapsed at any energy.
    ratio = np.maximum(at["R"], 1 + 1e-12)
    thresholds = {
        "R0": R0(K_A, K_B, tau),
        "R1": R1(K_A, K_B, tau),
        "s0": tau0(K_A, K_B, ratio) / K,
        "s1": tau1(K_A, K_B, ratio) / K,
    }
    rows = pl.DataFrame({**at, **columns, **thresholds})
    return Chunk(rows.with_columns(part=pl.lit("exact")))


def solve_grid(run: RunSpec) -> Chunk:
    """Producer: certified points with their geometry and proved phase, part ``"solved"``.

    Args:
        run: Its subject is a `StepGrid`.

    Returns:
        Rows: the grid's columns, those of `certificate_rows` and `shape`, and the `proved_phase`;
        tensors W and H.
    """
    grid: StepGrid = run.subject
    method = run.method if isinstance(run.method, ufm.LBFGS) else METHOD
    sol, cert = ufm.solve_certified(grid.problems(), method, seeds=run.seeds)
    columns = {**grid.columns(), **shape(sol, grid.K_A)}
    phases = pl.DataFrame({**columns, "phase": proved_phase(sol, cert, grid.K_A)})
    rows = pl.concat([phases, certificate_rows(sol, cert)], how="horizontal")
    return Chunk(rows.with_columns(part=pl.lit("solved")), {"W": sol.W, "H": sol.H})


def shape(sol: Solution, K_A: int) -> dict[str, np.ndarray]:
    """Norms, cosines and differences of the two groups' vectors.

    Args:
        sol: Points on class means.
        K_A: Majority classes; they come first.

    Returns:
        ``w_A``, ``w_B``, ``h_A``, ``h_B``: mean squared norm over the budget. ``cos_W_B``,
        ``cos_H_B``: mean cosine of two minority vectors, NaN if one is zero. ``spread_W``,
        ``spread_H``: largest distance of two minority vectors over the root of the budget.
    """
    objective = sol.objective()
    columns = {}
    for name, rows, budget in (("W", sol.W, objective.E_W), ("H", sol.H.mT, objective.E_H)):
        gram = rows @ rows.mT
        square = norms(gram).square() / budget.unsqueeze(-1)
        minority = rows[:, K_A:]
        pair = torch.triu_indices(minority.shape[1], minority.shape[1], offset=1)
        distance = torch.linalg.vector_norm(minority[:, pair[0]] - minority[:, pair[1]], dim=-1)
        small = name.lower()
        columns[f"{small}_A"] = square[:, :K_A].mean(-1)
        columns[f"{small}_B"] = square[:, K_A:].mean(-1)
        columns[f"cos_{name}_B"] = cosines(gram)[:, K_A:, K_A:][:, pair[0], pair[1]].mean(-1)
        columns[f"spread_{name}"] = distance.amax(-1) / budget.sqrt()
    return {name: value.numpy() for name, value in columns.items()}


def log_grid(low: float, high: float, count: int) -> tuple[float, ...]:
    """Powers of ten with equally spaced exponents, rounded so that keys are stable.

    Args:
        low: Smallest exponent.
        high: Largest exponent.
        count: Number of values.

    Returns:
        The values, 12 significant digits.
    """
    return tuple(float(f"{10.0**x:.12g}") for x in np.linspace(low, high, count))
