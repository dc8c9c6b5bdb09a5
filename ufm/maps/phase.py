"""Phase diagram of minority collapse: imbalance ratio against energy, every pixel certified."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl

from ufm._spec import spec
from ufm.certified import solve_certified
from ufm.geometry import cosines, norms
from ufm.maps.grid import Axis, Map
from ufm.maps.step_phase import UNDECIDED, proved_phase
from ufm.methods import LBFGS, Method
from ufm.problem import AverageBudget, Problem
from ufm.problem_batch import ProblemBatch
from ufm.solution import Solution
from ufm.solvers import step_optimum
from ufm.solvers.thresholds import check_counts, log_R0, log_R1


@spec
class PhaseMap(Map):
    r"""Phases of cross-entropy with average budgets and two groups of equal classes.

    Every pixel is solved as the full model of K classes (no symmetry is used), certified, and its
    phase proved from the certificate; the closed forms :math:`R_0` and :math:`R_1` enter only in
    ``agrees``.

    Attributes:
        K_A: Majority classes.
        K_B: Minority classes, at least 2.
        x: Ratio R = pi_A/pi_B.
        y: Energy sqrt(E_W E_H), the radius over K.
        gtol: Gradient norm of the solver; the phase is decided only to the root of the gap.
    """

    K_A: int = 5
    K_B: int = 5
    x: Axis = Axis(1.0, 1e4, 512, "log")
    y: Axis = Axis(0.0, 5.0, 512)
    gtol: float = 3e-8
    kind: ClassVar[str] = "phase-map"
    names: ClassVar[tuple[str, str]] = ("R", "s")

    def __post_init__(self):
        check_counts(self.K_A, self.K_B, least_B=2)
        if self.x.low < 1:
            raise ValueError(f"x must have ratios of at least 1, got {self.x.low}")

    @property
    def method(self) -> LBFGS:
        """L-BFGS to `gtol`."""
        return LBFGS(gtol=self.gtol)

    def problems(self, lines: tuple[float, ...]) -> ProblemBatch:
        """The models of some lines.

        Args:
            lines: Energies.

        Returns:
            One a pixel, line by line.
        """
        K = self.K_A + self.K_B
        R, s = (v.ravel() for v in np.meshgrid(self.x.values(), lines))
        weights = np.ones((len(R), K))
        weights[:, : self.K_A] = R[:, None]
        template = Problem(K=K, d=K - 1, n=(1,) * K, reg=AverageBudget(E_W=1.0))
        return ProblemBatch(template, weights=weights, E_H=s * s)

    def solve(
        self, lines: tuple[float, ...], method: Method, *, device: str = "cpu"
    ) -> pl.DataFrame:
        """Solve, certify and decide.

        Args:
            lines: Energies.
            method: L-BFGS.
            device: Where to solve.

        Returns:
            Rows: R, s, phase, value, gap, certified, decided, agrees; ``exact`` (phase by the
            closed form), ``cos_W_B`` (mean cosine of two minority rows, NaN if they are zero), and
            ``w_B`` (mean squared norm of a minority row over E_W).

        Raises:
            ValueError: If the method is not L-BFGS.
        """
        if not isinstance(method, LBFGS):
            raise ValueError(f"method must be LBFGS for a phase map, got {method!r}")
        sol, cert = solve_certified(self.problems(lines), method, device=device)
        R, s = (v.ravel() for v in np.meshgrid(self.x.values(), lines))
        phase = np.array(proved_phase(sol, cert, self.K_A))
        exact = self.exact(R, s)
        columns = {
            "R": R, "s": s, "phase": phase, "exact": exact, "value": cert.primal.cpu().numpy(),
            "gap": cert.gap.cpu().numpy(), "certified": cert.passed.cpu().numpy(),
            "decided": phase != UNDECIDED, "agrees": (phase == UNDECIDED) | (phase == exact),
            "steps": sol.steps.cpu().numpy(), **self._minority(sol),
        }  # fmt: skip
        return pl.DataFrame(columns)

    def exact(self, R: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Phases by the closed forms of the thresholds.

        Args:
            R: Ratios.
            s: Energies.

        Returns:
            Names of phases.
        """
        tau = (self.K_A + self.K_B) * s
        merged, zero = (np.log(R) >= f(self.K_A, self.K_B, tau) for f in (log_R0, log_R1))
        return np.select([zero, merged], ["vanished", "collapsed"], "full")

    def optimum(self, R: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Optimal values by the closed form of the whole solution.

        Args:
            R: Ratios.
            s: Energies.

        Returns:
            Risks.
        """
        return step_optimum(self.K_A, self.K_B, R=R, tau=(self.K_A + self.K_B) * s).value

    def _minority(self, sol: Solution) -> dict[str, np.ndarray]:
        gram = sol.W @ sol.W.mT
        square = norms(gram)[:, self.K_A :].square().mean(-1)
        among = cosines(gram)[:, self.K_A :, self.K_A :]
        pairs = self.K_B * (self.K_B - 1)
        mean = (among.sum((-2, -1)) - among.diagonal(dim1=-2, dim2=-1).sum(-1)) / pairs
        return {"cos_W_B": mean.cpu().numpy(), "w_B": square.cpu().numpy()}
