"""Evidence for Yan et al. (2024): how fast classes of a single center collapse."""

from __future__ import annotations

import math
from typing import Any

import sympy as sp
import torch

from proofs_check._harness import Measurement, evidence
from proofs_check._proof import Proof, points
from proofs_check.yan2024 import cos_alpha, f, sin
from proofs_check.yan2024_losses import FREE
from ufm._typing import Float, Tensor
from ufm.claims import EvidenceKind
from ufm.geometry import Centers, multicenter_frame
from ufm.geometry.specs import MultiCenter
from ufm.losses import CosineRegression
from ufm.metrics import multicenter_collapse
from ufm.theory.yan2024_losses import SINGLE_CENTER_RATE


@evidence(
    SINGLE_CENTER_RATE,
    EvidenceKind.SYMBOLIC,
    domain="all f_k, n_k, theta in (0, pi/2), lambda > 0, all starts but -e_k and 0; flow",
    steps=("angle", "quartic", "single center", "several centers", "average"),
)
def collapse_under_the_flow(proof: Proof) -> None:
    """Along h' = -gradient the norm r obeys r' = -2 lambda (r - 1), the angle phi to e the rest.

    The square turns h only, by 1/r of its derivative in the angle, so phi' = -F'(phi)/r^2. By
    `yan2024.cosine-minimiser` every start but -e tends to e.
    """
    phi, x, r, lam = sp.symbols("phi x r lambda", positive=True)
    loss = (1 - sp.cos(phi)) ** 2
    leading = proof.term("leading", phi**4 / 4)
    proof.equal(sp.series(loss, phi, 0, 6).removeO(), leading, "f = 1: a quartic, phi' ~ -phi^3")
    t, start = sp.symbols("t c", positive=True)
    solution = 1 / sp.sqrt(2 * t + start)
    slope: Any = sp.diff(leading, phi)
    proof.equal(sp.diff(solution, t), -slope.subs(phi, solution), "so phi^2 = 1/(2t + c)")
    proof.equal(solution.subs(t, 0), start ** sp.Rational(-1, 2), "c = phi^-2 at the start")
    _exact_flow(proof, phi, x, r)
    proof.zero(
        sp.diff(sp.exp(-2 * lam * t), t) + 2 * lam * sp.exp(-2 * lam * t),
        "r - 1 falls like exp(-2 lambda t): r -> 1",
    )
    _several_centers(proof, t)
    share, limit = sp.symbols("n_k N", positive=True)
    proof.equal(share / limit * sp.Rational(1, 2), share / (2 * limit), "n_k/N of the samples each")


def _exact_flow(proof: Proof, phi: sp.Symbol, x: sp.Symbol, r: sp.Symbol) -> None:
    # With x = 1 - cos(phi) the flow is rational, and needs no expansion.
    speed = -sp.diff((1 - sp.cos(phi)) ** 2, phi) / r**2
    proof.equal(
        sp.sin(phi) * speed,
        (-2 * x**2 * (2 - x) / r**2).subs(x, 1 - sp.cos(phi)),
        "x = 1 - cos(phi) obeys x' = -2 x^2 (2 - x)/r^2",
    )
    gain = proof.term("gain", (4 - 2 * x) / r**2)
    proof.equal(2 * x**2 * (2 - x) / r**2 / x**2, gain, "(1/x)' = -x'/x^2 = (4 - 2x)/r^2")
    proof.limit(
        gain.subs(r, 1), x, 0, 4, "-> 4 as x -> 0, r -> 1: 1/(x t) -> 4, the mean of its slope"
    )
    proof.equal(
        (2 - 2 * sp.cos(phi)).subs(sp.cos(phi), 1 - x) / x,
        2,
        "NC = |h/|h| - e|^2 = 2x: t NC -> 1/2",
    )
    proof.tie(
        speed.subs(r, 1), [phi], _speed, points(45, 6, (0.1, 3.0)), "autograd, CosineRegression"
    )


def _several_centers(proof: Proof, t: sp.Symbol) -> None:
    # Non-degenerate minimum for f > 1: both Hessians of the cosine loss, FREE with m > 0.
    more = sp.Symbol("m", positive=True)
    free = {f: 1 + more, **{k: v for k, v in FREE.items() if k is not f}}
    c2, s2 = (cos_alpha**2).subs(free), (sin**2).subs(free)
    proof.equal(
        sp.cancel(1 - c2),
        sp.cancel((more * (1 - sin**2) / (1 + more)).subs(free)),
        "f = 1 + m > 1: cos(alpha) < 1, so 2 f cos(alpha)(1 - cos(alpha)) > 0",
    )
    proof.positive(sp.cancel(c2 - s2**2), "and cos(alpha) > sin^2(theta): the other one too")
    rate = sp.Symbol("kappa", positive=True)
    decay = proof.term("decay", sp.exp(-2 * rate * t), 1 / t)
    proof.limit(t * decay, t, sp.oo, 0, "an exponential rate: t NC -> 0")


def _speed(angle: float) -> Tensor:
    parts = multicenter_frame(MultiCenter((1, 1), math.pi / 4))
    e, across = parts.direction
    h = (math.cos(angle) * e + math.sin(angle) * across).unsqueeze(0).requires_grad_()
    value = CosineRegression(lam=0.25).value(h, parts, torch.tensor([0]))[0]
    flow = -torch.autograd.grad(value, h)[0][0]
    return flow @ (math.cos(angle) * across - math.sin(angle) * e)


def flow(
    H: Float[Tensor, "M d"], parts: Centers, y: Tensor, *, times: Float[Tensor, "T"]
) -> Float[Tensor, "T M d"]:
    """Gradient flow of every sample's own cosine loss, by the classical Runge-Kutta steps.

    Args:
        H: Starts.
        parts: The frame.
        y: Classes.
        times: Rising times from 0, the ends of the steps.

    Returns:
        Features at these times.
    """
    loss = CosineRegression(lam=1.0)

    def velocity(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return -torch.autograd.grad(loss.value(x, parts, y).sum(), x)[0]

    path, now = [H], 0.0
    for end in times.tolist():
        h, x = end - now, path[-1]
        a = velocity(x)
        b = velocity(x + h / 2 * a)
        c = velocity(x + h / 2 * b)
        path.append(x + h / 6 * (a + 2 * b + 2 * c + velocity(x + h * c)))
        now = end
    return torch.stack(path[1:])


@evidence(
    SINGLE_CENTER_RATE,
    EvidenceKind.NUMERIC,
    domain="f = (1, 1, 2, 5), n = (40, 20, 8, 3), theta = .5, lambda = 1: flow from random starts "
    "to t = 80",
)
def flow_of_features(measure: Measurement) -> None:
    """The product t NC_ave nears 60/142, half the share of single centers; others collapse."""
    n, f_k = (40, 20, 8, 3), (1, 1, 2, 5)
    parts = multicenter_frame(MultiCenter(f_k, 0.5))
    y = torch.repeat_interleave(torch.arange(4), torch.tensor(n))
    rng = torch.Generator().manual_seed(0)
    H = torch.randn(len(y), parts.W.shape[1], generator=rng, dtype=torch.float64)
    # The largest rate, 2.4 of a class of five centers, allows steps of 1.1 once all is near.
    times = torch.cat([torch.arange(0.125, 4, 0.125), torch.arange(4, 80.5, 0.75)]).double()
    last = flow(H, parts, y, times=times)[-1]
    limit = sum(size for size, count in zip(n, f_k, strict=True) if count == 1) / (2 * sum(n))
    found = float(times[-1]) * float(multicenter_collapse(last.mT, y, parts).nc_ave)
    measure.record("t NC_ave", found)
    # 1/x = 4t - int 2x + 1/x_0: an error of order log(t)/t.
    measure.below("relative distance from the limit", abs(found / limit - 1), 0.03)
    several = y >= 2
    rest = multicenter_collapse(last[several].mT, y[several], parts).nc_ave
    measure.below("NC_ave of the classes with several centers", rest, 1e-12)
