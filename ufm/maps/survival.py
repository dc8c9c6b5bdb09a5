r"""Survival map of problem P: how many classes the ridge leaves alive, over ridge and imbalance.

The number is that of nonzero singular values of the optimal logits, which are diagonal. Both sides
are proved: with a duality gap g, strong convexity in the logits puts the optimum within
:math:`\sqrt{2 g N \bar f/\min_k g_k}` of the point's :math:`Z D^{1/2}`, and strong concavity of the
dual puts its dual matrix within :math:`\sqrt{2 g \max_k g_k/(N \bar f)}` of the certificate's
:math:`Y D^{-1/2}`, D = diag(n). By Weyl at least those singular values of the first survive that
exceed their radius, and at most those of the second that are within theirs of the ridge.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
import polars as pl
import torch

from ufm._spec import spec
from ufm._typing import Int, Tensor
from ufm.center_counts import class_aware_centers
from ufm.certificates import Certificate
from ufm.certified import solve_certified
from ufm.counts import check_count, exponential_sizes
from ufm.geometry import survival_index
from ufm.geometry.multicenter import center_gain
from ufm.losses import CenterSquaredError
from ufm.maps.grid import Axis, Map
from ufm.methods import LBFGS, Method
from ufm.problem import Problem, WeightDecay
from ufm.solution import Solution


Counts = Literal["equal", "class-aware"]


@spec
class SurvivalMap(Map):
    r"""Classes of problem P that survive, exponential class sizes.

    Every pixel is solved as the full model of K logits with a learnable frame, and certified.

    Attributes:
        K: Number of classes.
        n_max: Size of the largest class.
        f: Mean number of centers a class.
        counts: ``"equal"`` gives each class f of them, ``"class-aware"`` shares them out by size.
        theta: Angle of the centers.
        ratio: ``lam_W / lam_H``.
        x: Root of the product of the ridges.
        y: Imbalance rho = n_max/n_min.
        gtol: Gradient norm of the solver.
    """

    K: int = 6
    n_max: int = 1000
    f: int = 3
    counts: Counts = "equal"
    theta: float = 0.2
    ratio: float = 10.0
    x: Axis = Axis(2e-4, 2e-2, 512, "log")
    y: Axis = Axis(1.0, 1000.0, 512, "log")
    gtol: float = 1e-9
    kind: ClassVar[str] = "survival-map"
    names: ClassVar[tuple[str, str]] = ("ridge", "rho")

    def __post_init__(self):
        check_count("K", self.K, 2)
        if self.counts not in ("equal", "class-aware"):
            raise ValueError(f"counts must be 'equal' or 'class-aware', got {self.counts!r}")

    @property
    def method(self) -> LBFGS:
        """L-BFGS to `gtol`."""
        return LBFGS(gtol=self.gtol)

    def classes(self, rho: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Class sizes and centers at an imbalance.

        Args:
            rho: Imbalance.

        Returns:
            n and f.
        """
        n = exponential_sizes(K=self.K, n_max=self.n_max, rho=rho)
        return n, (self.f,) * self.K if self.counts == "equal" else class_aware_centers(n, self.f)

    def problems(self, rho: float) -> list[Problem]:
        r"""The models of one line, their objective times :math:`\bar f`.

        So the loss depends on the counts alone, and lines of equal counts are one batch.

        Args:
            rho: Imbalance.

        Returns:
            One a pixel.
        """
        n, f = self.classes(rho)
        loss, root = CenterSquaredError(f, self.theta), math.sqrt(self.ratio)
        scale = _mean_centers(n, f)
        return [
            Problem(K=self.K, d=self.K, n=n, loss=loss, reg=WeightDecay(lam * root, lam / root))
            for lam in (scale * ridge for ridge in self.x.values())
        ]

    def solve(
        self, lines: tuple[float, ...], method: Method, *, device: str = "cpu"
    ) -> pl.DataFrame:
        """Solve, certify and count; lines with the same centers are one batch.

        Args:
            lines: Imbalances.
            method: L-BFGS.
            device: Where to solve.

        Returns:
            Rows: counts, ridge, rho, ``least`` and ``most`` (bounds of the number of survivors,
            both proved), ``exact`` (the number by the closed form), value, gap, certified,
            decided, agrees.

        Raises:
            ValueError: If the method is not L-BFGS.
        """
        if not isinstance(method, LBFGS):
            raise ValueError(f"method must be LBFGS for a survival map, got {method!r}")
        by_counts: dict[tuple[int, ...], list[float]] = {}
        for rho in lines:
            by_counts.setdefault(self.classes(rho)[1], []).append(rho)
        parts = [self._batch(tuple(group), method, device) for group in by_counts.values()]
        return pl.concat(parts).sort("rho", maintain_order=True)

    def thresholds(self, rho: float) -> np.ndarray:
        """Ridges at which the classes are lost, by the closed form.

        Args:
            rho: Imbalance.

        Returns:
            Root of ``lam_W lam_H`` at which each class dies (K,).
        """
        n, f = (torch.tensor(v, dtype=torch.float64) for v in self.classes(rho))
        return (survival_index(f, n, self.theta).sqrt() / (f * n).sum()).numpy()

    def _batch(self, lines: tuple[float, ...], method: LBFGS, device: str) -> pl.DataFrame:
        problems = [p for rho in lines for p in self.problems(rho)]
        sol, cert = solve_certified(problems, method, device=device)
        least, most = (v.cpu().numpy() for v in survivors(sol, cert))
        ridge, rho = (v.ravel() for v in np.meshgrid(self.x.values(), lines))
        thresholds = np.stack([self.thresholds(y) for y in lines]).repeat(self.x.size, axis=0)
        exact = (thresholds > ridge[:, None]).sum(-1)
        scale = np.repeat([_mean_centers(*self.classes(y)) for y in lines], self.x.size)
        columns = {
            "ridge": ridge, "rho": rho, "least": least, "most": most, "exact": exact,
            "value": cert.primal.cpu().numpy() / scale, "gap": cert.gap.cpu().numpy() / scale,
            "certified": cert.passed.cpu().numpy(), "decided": least == most,
            "agrees": (least <= exact) & (exact <= most),
        }  # fmt: skip
        return pl.DataFrame(columns).with_columns(counts=pl.lit(self.counts))


def _mean_centers(n: tuple[int, ...], f: tuple[int, ...]) -> float:
    return sum(a * b for a, b in zip(f, n, strict=True)) / sum(n)


def survivors(sol: Solution, cert: Certificate) -> tuple[Int[Tensor, "B"], Int[Tensor, "B"]]:
    r"""Proved bounds of the rank of the optimal logits of P, see the module.

    Args:
        sol: Points of problem P with a ridge a sample, on class means, one batch axis.
        cert: Their certificate.

    Returns:
        Least and largest possible rank.

    Raises:
        ValueError: If the problem is another one.
    """
    objective, problem = sol.objective(), sol.problems[0]
    loss = problem.loss
    if not isinstance(loss, CenterSquaredError):
        raise ValueError(f"problem must be problem P, got {type(loss).__name__}")
    # The weights g_k / f-bar of the squares, which times pi_k = n_k/N are the curvatures.
    curvature = center_gain(torch.tensor(loss.f).to(objective.c), loss.theta) / loss.mean_centers
    gap, root = cert.gap.clamp(min=0) + cert.margin, objective.m.sqrt().unsqueeze(-2)
    N = objective.m.sum(-1)
    limit = (objective.lam_W * objective.p[:, 0] / objective.m[:, 0]).sqrt()
    primal = torch.linalg.svdvals((sol.W @ sol.H) * root)
    dual = torch.linalg.svdvals(cert.Y / root)
    least = primal > (2 * gap * N / curvature.min()).sqrt().unsqueeze(-1)
    most = dual + (2 * gap * curvature.max() / N).sqrt().unsqueeze(-1) >= limit.unsqueeze(-1)
    return least.sum(-1), most.sum(-1)
