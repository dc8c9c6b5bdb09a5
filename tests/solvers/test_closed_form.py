"""Closed forms as a method: golden values, certificates, other solvers, thresholds, refusals."""

import math

import pytest
import torch
from tolerances import CERTIFIED, EXACT, SOLVED

import ufm
from ufm.manifold import gaussian
from ufm.objective import Objective
from ufm.solvers.balanced import mse_budget_logits
from ufm.solvers.closed_form import has_closed_form


CE, MSE = ufm.CrossEntropy(), ufm.SquaredError()
LAMBDAS = ufm.WeightDecay(lam_W=0.004, lam_H=0.009)
OF = ufm.WeightDecay(lam_W=6e-3, lam_H=4e-3)
EDGE = 0.048 / 0.952  # bias penalty at which the ETF of `OF` starts to open


def model(K=4, d=6, n=5, reg=LAMBDAS, **kwargs) -> ufm.Problem:
    n = n if isinstance(n, tuple) else (n,) * K
    return ufm.Problem(K=K, d=d, n=n, reg=reg, **kwargs)


def step(K_A, K_B, R, reg, *, d=None, weights=None) -> ufm.Problem:
    K = K_A + K_B
    weights = weights or ufm.step_weights(K=K, K_A=K_A, R=R)
    return ufm.Problem(K=K, d=d or K, n=(1,) * K, weights=weights, reg=reg)


GOLDEN = {  # value, digits printed
    "ce-ridge": (model(), 0.21295367823514733, 1e-15),
    "ce-ridge free bias": (model(bias=ufm.FreeBias()), 0.21295367823514733, 1e-15),
    "ce-ridge penalised": (model(bias=ufm.PenalisedBias(0.1)), 0.21295367823514733, 1e-15),
    "ce-ridge class mean": (
        model(n=(5, 1, 2, 9), weights=(18, 90, 45, 10), reg=ufm.ClassMeanDecay(0.02, 0.009)),
        0.21295367823514733,
        1e-15,
    ),
    "ce-ridge zero": (
        model(reg=ufm.WeightDecay(0.4, 0.4)), math.log(4), 1e-15
    ),
    "lpm": (model(reg=ufm.AverageBudget(E_W=3, E_H=2)), 0.1083859879, 5e-11),
    "per vector": (model(d=3, reg=ufm.VectorBudget(E_W=3, E_H=2)), 0.1083859879, 5e-11),
    "sphere": (model(d=3, reg=ufm.Sphere(E_W=3, E_H=2)), 0.1083859879, 5e-11),
    "fixed etf": (
        model(5, 4, (9, 1, 3, 4, 5), ufm.VectorBudget(1.5, 4),
              classifier=ufm.Fixed(ufm.SimplexETF(1.5))),
        0.1715991541,
        5e-11,
    ),
    "mse-of": (model(4, 5, 6, OF, loss=MSE), 0.046848, 1e-15),
    "mse free bias": (model(4, 5, 6, OF, loss=MSE, bias=ufm.FreeBias()), 0.035136, 1e-15),
    "mse penalised 2": (
        model(4, 5, 6, OF, loss=MSE, bias=ufm.PenalisedBias(2 * EDGE)), 0.043992, 1e-15
    ),
    "mse penalised 20": (
        model(4, 5, 6, OF, loss=MSE, bias=ufm.PenalisedBias(20 * EDGE)), 0.0465624, 1e-15
    ),
    "mse-gof": (
        model(4, 4, (12, 7, 3, 1), ufm.WeightDecay(0.004, 0.001), loss=MSE), 0.0174998075, 5e-11
    ),
    "mse-gof lost": (
        model(4, 1, (12, 7, 3, 1), ufm.WeightDecay(0.24, 0.06), loss=MSE), 0.4892226286, 5e-11
    ),
    # From the singular values of the catalogue; its own value ends in 13, which they do not give.
    "mse-imbalanced free bias": (
        model(4, 3, (12, 7, 3, 1), ufm.WeightDecay(3e-3, 3e-3), loss=MSE, bias=ufm.FreeBias()),
        0.0179744120,
        5e-11,
    ),
    "step": (step(5, 5, 10, ufm.AverageBudget(1, 5)), 0.261677038637, 6e-13),
    "step vanished": (step(7, 3, 10, ufm.AverageBudget(1, 5), d=6), 0.321853497805, 6e-13),
    "all zero": (
        model(5, 1, (30, 30, 4, 4, 4), ufm.WeightDecay(0.077, 0.077)), math.log(5), 1e-15
    ),
}  # fmt: skip
OTHERS = {
    "two angle": step(3, 2, 15.2, ufm.VectorBudget(1, 1), d=3),
    "two angle, one majority class": step(1, 4, 720.0, ufm.Sphere(2, 1), d=1),
    "mse budget": step(2, 3, 3.0, ufm.AverageBudget(0.3, 0.5)),
    "mse vector": model(4, 4, (1, 5, 2, 2), ufm.VectorBudget(0.3, 0.5), loss=MSE),
    "all zero, free bias": model(
        5, 1, (30, 30, 4, 4, 4), ufm.WeightDecay(0.077, 0.077), bias=ufm.FreeBias()
    ),
    "dr": model(4, 3, 2, ufm.VectorBudget(2, 1), loss=ufm.DotRegression(s=2.0)),
    "dr fixed": model(
        4, 4, (1, 2, 3, 4), ufm.VectorBudget(2, 1), loss=ufm.DotRegression(s=2**0.5),
        classifier=ufm.Fixed(ufm.OrthogonalFrame(2)),
    ),
}  # fmt: skip
ALL = {name: case[0] for name, case in GOLDEN.items()} | OTHERS


def exact(problem) -> ufm.Solution:
    return ufm.solve(problem, ufm.ClosedForm())


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values(name):
    problem, value, digits = GOLDEN[name]
    assert exact(problem).value.item() == pytest.approx(value, abs=digits)


@pytest.mark.parametrize("name", ALL)
def test_stationary_feasible_and_below_every_random_point(name):
    problem = ALL[name]
    solution = exact(problem)
    assert solution.status == (ufm.Status.CONVERGED,)
    # On the sphere of a budget that is not used up the radial part stays, times a zero gradient.
    assert solution.grad_norm.item() < 1e-14
    objective = Objective.stack([problem] * 64, problem.K)
    assert objective.infeasibility(solution.point).max() < EXACT
    points = gaussian(objective, range(64), scale=0.7)
    assert (objective.value(points) >= solution.value - EXACT).all()


@pytest.mark.parametrize("name", ALL)
def test_certified(name):
    certificate = ufm.certify(exact(ALL[name]))
    assert certificate.passed.all()
    assert certificate.gap.abs().max() < CERTIFIED


IMBALANCED = ("step", "step vanished", "mse-gof", "mse-imbalanced free bias", "two angle")


@pytest.mark.parametrize("name", IMBALANCED)
def test_agrees_with_an_iterative_solver(name):
    problem = ALL[name]
    # A point of full rank finds the optimum from anywhere; d >= K - 1 makes it one.
    wide = ufm.Problem(**{**vars_of(problem), "d": problem.K})
    found = ufm.solve(wide, ufm.LBFGS(), throw=False)
    solution = exact(problem)
    assert found.value.item() == pytest.approx(solution.value.item(), abs=SOLVED**2)
    assert ufm.distance(found.geometry[0], solution.geometry[0]) < 1e-3


def vars_of(problem: ufm.Problem) -> dict:
    names = ("K", "d", "n", "loss", "reg", "bias", "classifier", "weights")
    return {name: getattr(problem, name) for name in names}


def test_balanced_ridge_has_the_published_norms():
    solution = exact(model())
    torch.testing.assert_close(
        solution.W.square().sum(-1),
        torch.full((1, 4), 10.7420026312, dtype=torch.float64),
        rtol=1e-11,
        atol=0,
    )
    torch.testing.assert_close(
        solution.H.square().sum(-2),
        torch.full((1, 4), 0.9548446783, dtype=torch.float64),
        rtol=1e-10,
        atol=0,
    )
    gap = solution.Z[0, 0, 0] - solution.Z[0, 1, 0]
    assert gap.item() == pytest.approx(4.2701952174, abs=5e-11)


@pytest.mark.parametrize(
    ("kappa", "value", "norm"), [(0.9 / 4, 1.3721443232, 1.5706), (1.1 / 4, math.log(4), 0)]
)
def test_balanced_ridge_threshold(kappa, value, norm):
    lam = kappa / 5**0.5
    solution = exact(model(d=3, reg=ufm.WeightDecay(lam, lam)))
    assert solution.value.item() == pytest.approx(value, abs=5e-11)
    assert solution.W.norm().item() == pytest.approx(norm, abs=5e-5)


def test_bias_opens_the_etf_continuously():
    def cosine(lam_b: float) -> float:
        solution = exact(model(4, 4, 6, OF, loss=MSE, bias=ufm.PenalisedBias(lam_b)))
        return float(ufm.cosines(solution.geometry.gram_W)[0, 0, 1])

    assert cosine(0.5 * EDGE) == pytest.approx(-1 / 3, rel=EXACT)
    assert cosine(0.999 * EDGE) == pytest.approx(-1 / 3, rel=EXACT)
    assert cosine(1.001 * EDGE) == pytest.approx(-1 / 3, rel=0.01)
    assert cosine(2 * EDGE) == pytest.approx(-1 / 7, rel=EXACT)
    assert cosine(20 * EDGE) == pytest.approx(-0.0126582278, abs=5e-11)
    assert abs(cosine(1e9)) < 1e-9
    solution = exact(model(4, 4, 6, OF, loss=MSE, bias=ufm.PenalisedBias(2 * EDGE)))
    assert solution.b[0, 0].item() == pytest.approx(0.119, rel=EXACT)


def test_imbalanced_squared_error_has_the_published_spectrum():
    solution = exact(GOLDEN["mse-gof"][0])
    norms = solution.W.square().sum(-1)[0]  # sqrt(lam_H/lam_W) sigma = sigma / 2
    expected = (
        torch.tensor([3.4181016151, 2.5997513111, 1.6860508076, 0.954], dtype=torch.float64) / 2
    )
    torch.testing.assert_close(norms, expected, rtol=1e-10, atol=0)
    assert torch.linalg.matrix_rank(exact(GOLDEN["mse-gof lost"][0]).W) == 1


def test_budget_water_filling_uses_the_whole_radius():
    pi = (0.5, 0.3, 0.15, 0.05)
    for tau in (0.2, 1.0, 2.5, 3.9):
        z = mse_budget_logits(pi, tau)
        assert sum(z) == pytest.approx(tau, rel=EXACT)
        multipliers = [p * (1 - x) for p, x in zip(pi, z, strict=True) if x > 0]
        assert max(multipliers) == pytest.approx(min(multipliers), rel=EXACT)
    assert mse_budget_logits(pi, 4.1) == (1.0,) * 4


def test_class_order_does_not_matter():
    reg = ufm.AverageBudget(1, 5)
    sorted_, mixed = (
        exact(step(2, 3, 7.0, reg, weights=w)) for w in ((7, 7, 1, 1, 1), (1, 7, 1, 1, 7))
    )
    assert mixed.value.item() == pytest.approx(sorted_.value.item(), rel=EXACT)
    order = [1, 4, 0, 2, 3]
    Z = mixed.Z[0][order][:, order]
    torch.testing.assert_close(Z, sorted_.Z[0], rtol=1e-10, atol=1e-10)
    # Sizes state the same profile as weights.
    sizes = exact(ufm.Problem(K=5, d=5, n=(4, 28, 4, 4, 28), reg=reg))
    torch.testing.assert_close(sizes.Z, mixed.Z, rtol=1e-10, atol=1e-10)


def test_a_sweep_is_a_loop_and_seeds_repeat_it():
    reg = ufm.AverageBudget(1, 5)
    problems = [step(5, 5, R, reg) for R in (1.0, 3.0, 12.0, 13.0, 1e3)]
    batch = ufm.solve(problems, ufm.ClosedForm(), seeds=2)
    for i, problem in enumerate(problems):
        assert batch.value[2 * i] == batch.value[2 * i + 1] == exact(problem).value


@pytest.mark.parametrize(
    ("problem", "rank"),
    [
        (model(d=3), 3),
        (model(4, 4, 6, OF, loss=MSE), 4),
        (step(5, 5, 10, ufm.AverageBudget(1, 5), d=9), 9),
        (step(5, 5, 100, ufm.AverageBudget(1, 5), d=5), 5),
        (step(7, 3, 10, ufm.AverageBudget(1, 5), d=6), 6),
        (step(3, 2, 15.2, ufm.VectorBudget(1, 1), d=3), 3),
    ],
)
def test_dimension_at_its_limit(problem, rank):
    assert has_closed_form(problem)
    assert problem.d == rank
    assert exact(problem).W.shape == (1, problem.K, rank)
    small = ufm.Problem(**{**vars_of(problem), "d": rank - 1})
    assert not has_closed_form(small)
    with pytest.raises(ValueError, match=f"^d must be at least {rank} .*, got {rank - 1}$"):
        exact(small)


@pytest.mark.parametrize(
    "problem",
    [
        model(n=(5, 5, 5, 1)),  # imbalanced cross-entropy with a ridge
        step(3, 2, 15.1, ufm.VectorBudget(1, 1)),  # below the per-vector threshold
        model(n=(3, 2, 1, 1), reg=ufm.AverageBudget(1, 1)),
        model(n=(3, 1, 1, 1), reg=ufm.AverageBudget(1, 1), bias=ufm.FreeBias()),
        model(4, 4, (2, 2, 2, 1), OF, loss=MSE, bias=ufm.PenalisedBias(0.1)),
        model(4, 4, 2, OF, loss=MSE, bias=ufm.FreeBias(), weights=(1, 1, 1, 2)),
        model(4, 4, (1, 2, 3, 4), ufm.AverageBudget(1, 1),
              classifier=ufm.Fixed(ufm.SimplexETF())),
        model(4, 4, 2, ufm.VectorBudget(1, 1), classifier=ufm.Fixed(ufm.OrthogonalFrame())),
        model(loss=MSE, reg=ufm.NoReg()),
    ],
)  # fmt: skip
def test_unknown_closed_forms_are_refused(problem):
    assert not has_closed_form(problem)
    with pytest.raises(ValueError, match=r"^problem must have a known closed form"):
        exact(problem)
