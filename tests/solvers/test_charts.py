"""Charts: gradient and Hessian against autograd through the retraction, and the way back."""

import itertools

import pytest
import torch
from tolerances import EXACT

import ufm
from ufm.objective import Objective
from ufm.solvers._charts import Chart
from ufm.solvers._feasible import into_budgets
from ufm.solvers._manifolds import chart_of
from ufm.solvers._orbit import horizontal
from ufm.solvers._start import start


REGS = [
    ufm.AverageBudget(1.0, 5.0), ufm.VectorBudget(2.0, 0.7), ufm.Sphere(1.5, 0.5),
    ufm.WeightDecay(5e-3, 2e-2), ufm.ClassMeanDecay(4e-2, 9e-3), ufm.NoReg(),
]  # fmt: skip
LOSSES = [ufm.CrossEntropy(), ufm.SquaredError(), ufm.DotRegression(s=1.3)]
HEADS = [ufm.Learnable(), ufm.Fixed(ufm.SimplexETF())]
BIASES = [ufm.NoBias(), ufm.PenalisedBias(0.3)]
MODELS = list(itertools.product(REGS, LOSSES, HEADS, BIASES))


def name(part: object) -> str:
    return type(part).__name__


def model(reg, loss, head, bias) -> tuple[Chart, Objective]:
    problems = [
        ufm.Problem(K=4, d=3, n=n, reg=reg, loss=loss, classifier=head, bias=bias)
        for n in ((7, 4, 2, 1), (3, 3, 3, 3))
    ]
    objective = Objective.stack(problems, 4)
    return chart_of(objective), objective


def random_point(chart: Chart, objective: Objective) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = start(chart, objective, "random", (1, 2))
    noise = torch.randn(2, *x.shape, dtype=torch.float64, generator=generator)
    x = chart.retract(x + 0.3 * noise[0])
    return x, chart.project(x, noise[1])


@pytest.mark.parametrize(
    "parts", MODELS, ids=lambda parts: "-".join(type(p).__name__ for p in parts)
)
def test_gradient_and_hessian_are_derivatives_along_the_retraction(parts):
    chart, objective = model(*parts)
    x, v = random_point(chart, objective)
    t = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    along = objective.value(chart.point(chart.retract(x + t.unsqueeze(-1) * v)))
    (first,) = torch.autograd.grad(along.sum(), t, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), t)
    value, grad, mu = chart.value_and_grad(x)
    scale = grad.norm(dim=-1) * v.norm(dim=-1)
    torch.testing.assert_close(value, along.detach(), rtol=EXACT, atol=EXACT)
    assert ((grad * v).sum(-1) - first.detach()).abs().max() < EXACT * scale.max()
    torch.testing.assert_close(chart.project(x, grad), grad, rtol=EXACT, atol=EXACT)
    assert (mu > 0).all() or chart.floor == 0
    # The retraction of a sphere is of second order, so this is the Riemannian Hessian.
    curvature = (v * chart.hessian(x)(v)).sum(-1)
    torch.testing.assert_close(curvature, second, rtol=1e-10, atol=1e-10 * float(scale.max()))


@pytest.mark.parametrize("reg", REGS, ids=name)
def test_points_and_coordinates_are_inverse(reg):
    chart, objective = model(reg, ufm.SquaredError(), ufm.Learnable(), ufm.PenalisedBias(0.3))
    x, _ = random_point(chart, objective)
    back = chart.coordinates(chart.point(x))
    torch.testing.assert_close(
        objective.value(chart.point(back)), objective.value(chart.point(x)), rtol=EXACT, atol=EXACT
    )
    for ours, theirs in zip(chart.point(back), chart.point(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("reg", REGS[:2], ids=name)
def test_rescaled_points_are_feasible_and_average_budgets_share_their_excess(reg):
    objective = Objective.stack([ufm.Problem(K=4, d=3, n=(7, 4, 2, 1), reg=reg)] * 50, 4)
    generator = torch.Generator().manual_seed(1)
    W, H = torch.randn(2, 50, 12, dtype=torch.float64, generator=generator)
    size = torch.linspace(0.3, 4.0, 50, dtype=torch.float64)[:, None, None]
    x = ufm.objective.Point(size * W.view(50, 4, 3), H.view(50, 3, 4), torch.zeros(50, 4).double())
    inside = into_budgets(objective, x)
    assert float(objective.infeasibility(x).max()) > 1
    assert float(objective.infeasibility(inside).max()) == 0
    if isinstance(reg, ufm.AverageBudget):
        both = (objective.used(x)[0] * objective.used(x)[1]).sqrt()
        kept = both[:, 0] <= 1
        assert 0 < int(kept.sum()) < 50
        torch.testing.assert_close(inside.W @ inside.H, (x.W @ x.H) / both.clamp(min=1)[..., None])


def test_rotations_are_what_the_projector_removes():
    chart, objective = model(ufm.AverageBudget(1, 2), *MODELS[0][1:])
    x, v = random_point(chart, objective)
    skew = torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    skew = skew - skew.mT
    orbit = (chart.split(x).X @ skew).flatten(1)
    project = horizontal(chart, x)
    assert project(orbit).abs().max() < EXACT * orbit.abs().max() * 10
    flat = project(v)
    torch.testing.assert_close(project(flat), flat, rtol=EXACT, atol=EXACT)
    assert (flat * orbit).sum(-1).abs().max() < 1e-11
    # The objective does not change along the orbit, so its gradient is horizontal everywhere.
    grad = chart.value_and_grad(x)[1]
    torch.testing.assert_close(project(grad), grad, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize(("K", "d", "r", "nullity"), [(4, 6, 3, 12), (4, 3, 3, 3), (5, 7, 4, 18)])
def test_the_hessian_at_an_optimum_is_flat_on_the_orbit_only(K, d, r, nullity):
    assert nullity == d * (d - 1) // 2 - (d - r) * (d - r - 1) // 2
    n = tuple(range(3, 3 + K))
    problem = ufm.Problem(K=K, d=d, n=n, reg=ufm.ClassMeanDecay(5e-3, 5e-3))
    sol = ufm.polish(ufm.solve(problem))
    objective = sol.objective()
    chart = chart_of(objective)
    x = chart.coordinates(sol.point)
    product = chart.hessian(x)
    H = torch.stack([product(e.unsqueeze(0))[0] for e in torch.eye(x.shape[-1]).double()])
    eigenvalues = torch.linalg.eigvalsh((H + H.mT) / 2)
    assert int((eigenvalues.abs() < 1e-9).sum()) == nullity
    assert float(eigenvalues[nullity]) > 1e-5
    project = horizontal(chart, x)
    P = torch.stack([project(e.unsqueeze(0))[0] for e in torch.eye(x.shape[-1]).double()])
    assert x.shape[-1] - int(torch.linalg.matrix_rank(P)) == nullity


def test_a_zero_row_of_a_fixed_classifier_still_has_a_start():
    frame = ufm.ExplicitFrame(rows=((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)))
    for reg in (ufm.Sphere(1, 1), ufm.VectorBudget(1, 1), ufm.WeightDecay(1e-2, 1e-2)):
        problem = ufm.Problem(K=3, d=2, n=(3, 2, 1), reg=reg, classifier=ufm.Fixed(frame))
        assert bool(ufm.solve(problem).value.isfinite().all())
