"""Solver settings as plain numbers; the algorithms are in `ufm.solvers`. Torch-free."""

from __future__ import annotations

import abc
from typing import Literal

from ufm._spec import later, spec
from ufm.counts import check_count, check_number


class Method(abc.ABC):  # noqa: B024 - a closed set of types, dispatched in solve
    """How to solve a problem."""


def _check(owner: object, *, counts: tuple[str, ...] = (), positive: tuple[str, ...] = ()) -> None:
    for name in counts:
        object.__setattr__(owner, name, check_count(name, getattr(owner, name)))
    for name in positive:
        object.__setattr__(owner, name, check_number(name, getattr(owner, name), strict=True))


@spec
class LBFGS(Method):
    """Batched L-BFGS on class means with an Armijo line search per instance.

    Attributes:
        memory: Stored pairs; 12 where memory is free, 5 on a card, 8 at K = 1000.
        gtol: Stop when the scaled Riemannian gradient norm is below this.
        max_steps: Step limit per instance.
        start: ``"frame"`` is the deterministic full-rank start (a Helmert frame scaled by the
            class shares), ``"random"`` is Gaussian from the seed.
        engine: Who computes: ``"tensors"``, ``"fused"`` (one compiled kernel an instance) or
            ``"auto"``, which takes the kernel where it can and the problem is small. The results
            agree within ``gtol``; the choice never depends on the size of a batch.
    """

    memory: int = 12
    gtol: float = 3e-6
    max_steps: int = 2000
    start: Literal["frame", "random"] = "frame"
    engine: Literal["auto", "tensors", "fused"] = later(default="auto")

    def __post_init__(self):
        _check(self, counts=("memory", "max_steps"), positive=("gtol",))
        if self.start not in ("frame", "random"):
            raise ValueError(f"start must be 'frame' or 'random', got {self.start!r}")
        if self.engine not in ("auto", "tensors", "fused"):
            raise ValueError(f"engine must be 'auto', 'tensors' or 'fused', got {self.engine!r}")


@spec
class Newton(Method):
    """Riemannian Newton by truncated conjugate gradients, rotations projected out.

    Attributes:
        gtol: Stop when the scaled Riemannian gradient norm is below this.
        max_steps: Outer step limit per instance.
        max_cg: Hessian products per outer step.
    """

    gtol: float = 1e-12
    max_steps: int = 30
    max_cg: int = 400

    def __post_init__(self):
        _check(self, counts=("max_steps", "max_cg"), positive=("gtol",))


@spec
class GradientFlow(Method):
    r"""Gradient flow by an adaptive embedded Runge-Kutta pair.

    :math:`\dot x = -\nabla f(x)`. On budgets and spheres the flow is the Riemannian one, on the
    product of spheres that the budgets at equality describe.

    Attributes:
        t_end: Flow time to integrate to.
        rtol: Error per step relative to the Frobenius norms of W, H and b; at least 1e-14.
        atol: Absolute error per step in those norms.
        samples: Observables are recorded at this many times (dense output).
        spacing: ``"log"`` or ``"linear"`` spacing of those times; 0 is always among them.
        scale: Standard deviation of the Gaussian start, in units of 1/sqrt(d).
        gtol: Stop early when the gradient norm is below this; 0 never does.
        class_means: Integrate class means instead of samples. That is another dynamics unless
            all samples of a class start equal; nothing reduces a flow silently.
        max_steps: Step limit per instance.
    """

    t_end: float = 1e4
    rtol: float = 1e-8
    atol: float = 1e-10
    samples: int = 100
    spacing: Literal["log", "linear"] = "log"
    scale: float = 1.0
    gtol: float = 0.0
    class_means: bool = False
    max_steps: int = 100_000

    def __post_init__(self):
        _check(self, counts=("samples", "max_steps"), positive=("t_end", "atol", "scale"))
        object.__setattr__(self, "rtol", check_number("rtol", self.rtol, 1e-14))
        object.__setattr__(self, "gtol", check_number("gtol", self.gtol))
        if self.spacing not in ("log", "linear"):
            raise ValueError(f"spacing must be 'log' or 'linear', got {self.spacing!r}")


@spec
class GradientDescent(Method):
    """Plain (Riemannian) gradient descent with a constant step; the field's baseline.

    Attributes:
        lr: Step size.
        steps: Number of steps.
        samples: Observables are recorded at this many steps, spaced logarithmically.
        scale: Standard deviation of the Gaussian start, in units of 1/sqrt(d).
        class_means: Descend on class means instead of samples.
    """

    lr: float = 0.1
    steps: int = 1000
    samples: int = 100
    scale: float = 1.0
    class_means: bool = False

    def __post_init__(self):
        _check(self, counts=("steps", "samples"), positive=("lr", "scale"))


@spec
class Convex(Method):
    """The equivalent convex programme through cvxpy (extra ``convex``).

    Attributes:
        form: ``"nuclear"``, K x K with the nuclear norm, or ``"sdp"``, the 2K x 2K semidefinite
            programme.
        solver: cvxpy's name of the solver.
        eps: Its tolerance; None keeps its default.
    """

    form: Literal["nuclear", "sdp"] = "nuclear"
    solver: Literal["CLARABEL", "SCS"] = "CLARABEL"
    eps: float | None = None

    def __post_init__(self):
        if self.form not in ("nuclear", "sdp"):
            raise ValueError(f"form must be 'nuclear' or 'sdp', got {self.form!r}")
        if self.solver not in ("CLARABEL", "SCS"):
            raise ValueError(f"solver must be 'CLARABEL' or 'SCS', got {self.solver!r}")
        if self.eps is not None:
            _check(self, positive=("eps",))


@spec
class ClosedForm(Method):
    """The exact solution where one is known: balanced models and step imbalance."""
