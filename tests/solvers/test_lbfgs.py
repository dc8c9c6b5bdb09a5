"""L-BFGS against known optima: closed forms, tables, thresholds, boundaries, invariances."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CERTIFIED

import ufm


LOG = math.log
# etf_lpm.md 3.4: K_A, K_B, E_W, E_H, R, value, |w_A|^2/E_W, |w_B|^2/E_W, |h_B|^2/E_H (exact solver,
# twelve digits).
STEP_TABLE = [
    (5, 5, 1, 5, 5, 0.376705506418, 1.554536, 0.445464, 0.417447),
    (5, 5, 1, 5, 10, 0.261677038637, 1.805860, 0.194140, 0.152760),
    (5, 5, 1, 5, 100, 0.091299164075, 1.965847, 0.034153, 0.000660),
    (7, 3, 1, 5, 3, 0.476396165203, 1.277416, 0.352697, 0.329784),
    (7, 3, 1, 5, 5, 0.399655089328, 1.409625, 0.044209, 0.029481),
    (7, 3, 1, 5, 10, 0.321853497805, 1.428571, 0.0, 0.0),
    (3, 7, 1, 5, 100, 0.050453680086, 2.731642, 0.257868, 0.203148),
    (2, 2, 1, 1, 2, 0.543340722014, 1.361559, 0.638441, 0.547643),
    (50, 50, 1, 5, 10, 1.085333466491, 2.0, 0.0, 0.0),
]


def etf_value(K: int, s: float) -> float:
    return math.log1p((K - 1) * math.exp(-K * s / (K - 1)))


def step_problem(K_A: int, K_B: int, R: float, reg: ufm.problem.Regulariser, d: int | None = None):
    K = K_A + K_B
    weights = ufm.step_weights(K=K, K_A=K_A, R=R)
    return ufm.Problem(K=K, d=d or K - 1, n=(1,) * K, weights=weights, reg=reg)


def ridge(K=4, d=6, n=(5,) * 4, lam_W=0.004, lam_H=0.009, **fields) -> ufm.Problem:
    return ufm.Problem(K=K, d=d, n=n, reg=ufm.WeightDecay(lam_W, lam_H), **fields)


def mse(bias: ufm.problem.Bias, d=5, n=(6,) * 4, lam_W=6e-3, lam_H=4e-3) -> ufm.Problem:
    return ridge(d=d, n=n, lam_W=lam_W, lam_H=lam_H, loss=ufm.SquaredError(), bias=bias)


THRESHOLD = 0.048 / 0.952  # lam_b = c / (1 - c) at c = K sqrt(n lam_W lam_H) = .048
KNOWN = {
    "lpm-balanced": (
        ufm.Problem(K=4, d=3, n=(5,) * 4, reg=ufm.AverageBudget(E_W=3, E_H=2)),
        etf_value(4, math.sqrt(6)),
    ),
    "ce-oblique-etf": (
        ufm.Problem(K=4, d=3, n=(1,) * 4, reg=ufm.Sphere(E_W=3, E_H=3)), etf_value(4, 3.0)
    ),
    "ce-per-vector": (
        ufm.Problem(K=4, d=5, n=(2,) * 4, reg=ufm.VectorBudget(E_W=3, E_H=3)), etf_value(4, 3.0)
    ),
    "ce-ridge-etf": (ridge(), 0.21295367823514733),
    "ce-ridge-etf, free bias": (ridge(bias=ufm.FreeBias()), 0.21295367823514733),
    "ce-ridge-etf, penalised bias": (ridge(bias=ufm.PenalisedBias(0.1)), 0.21295367823514733),
    "ce-ridge, K kappa = .9": (
        ridge(lam_W=0.9 / 4 / math.sqrt(5), lam_H=0.9 / 4 / math.sqrt(5)), 1.3721443232
    ),
    "ce-ridge, K kappa = 1.1": (
        ridge(lam_W=1.1 / 4 / math.sqrt(5), lam_H=1.1 / 4 / math.sqrt(5)), LOG(4)
    ),
    "ce-two-cluster-reduced": (
        ridge(K=5, d=5, n=(15, 15, 6, 6, 6), lam_W=8e-3, lam_H=8e-3), 0.4504863524540283
    ),
    "mse-of": (mse(ufm.NoBias()), 0.046848),
    "mse-of, d = 2 < K": (mse(ufm.NoBias(), d=2), 0.273424),
    "mse-etf-freebias": (mse(ufm.FreeBias()), 0.035136),
    "mse-bias-transition, 2x": (mse(ufm.PenalisedBias(2 * THRESHOLD)), 0.043992),
    "mse-bias-transition, 20x": (mse(ufm.PenalisedBias(20 * THRESHOLD)), 0.0465624),
    "mse-bias-transition, below": (mse(ufm.PenalisedBias(0.5 * THRESHOLD)), None),
    "mse-gof": (mse(ufm.NoBias(), n=(12, 7, 3, 1), lam_W=4e-3, lam_H=1e-3), 0.0174998075),
    "mse-gof, one left": (mse(ufm.NoBias(), n=(12, 7, 3, 1), lam_W=0.24, lam_H=0.06), 0.4892226286),
    # Soft threshold by N L of the singular values: L sum(sigma) - 3 N L^2 / 2.
    "mse-imbal-freebias": (
        mse(ufm.FreeBias(), n=(12, 7, 3, 1), lam_W=3e-3, lam_H=3e-3),
        3e-3 * (3.0065740202 + 1.9715908762 + 1.1168057670) - 1.5 * 23 * 9e-6,
    ),
    "fixed-etf-ce": (
        ufm.Problem(K=5, d=4, n=(9, 4, 2, 1, 1), reg=ufm.VectorBudget(E_W=1.5, E_H=4),
                    classifier=ufm.Fixed(ufm.SimplexETF(E_W=1.5))),
        etf_value(5, math.sqrt(6)),
    ),
    "dr-loss": (
        ufm.Problem(K=5, d=5, n=(9, 4, 2, 1, 1), reg=ufm.VectorBudget(E_W=1.5, E_H=4),
                    loss=ufm.DotRegression(s=math.sqrt(6)),
                    classifier=ufm.Fixed(ufm.SimplexETF(E_W=1.5))),
        0.0,
    ),
    "K = 2": (ufm.Problem(K=2, d=1, n=(3, 3), reg=ufm.AverageBudget(2, 2)), etf_value(2, 2.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name, (_, value) in KNOWN.items() if value is not None])
def test_known_optimum(name: str):
    problem, value = KNOWN[name]
    sol = ufm.solve(problem)
    # The values of the catalogue have ten digits.
    assert float(sol.value[0]) == pytest.approx(value, rel=CERTIFIED, abs=2 * CERTIFIED)
    assert float(sol.objective().infeasibility(sol.point)[0]) <= 1e-15


def test_penalised_bias_below_its_threshold_gives_the_etf_with_bias_1_over_K_of_1_plus_lam():
    problem, _ = KNOWN["mse-bias-transition, below"]
    sol, c, lam_b = ufm.solve(problem)[0], 0.048, 0.5 * THRESHOLD
    centred = torch.eye(4, dtype=torch.float64) - 0.25
    torch.testing.assert_close(sol.W @ sol.H, (1 - c) * centred, rtol=0, atol=1e-6)
    expected = torch.full((4,), 1 / (4 * (1 + lam_b)), dtype=torch.float64)
    torch.testing.assert_close(sol.b, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("row", STEP_TABLE, ids=lambda row: f"{row[:5]}")
def test_step_table(row):
    K_A, K_B, E_W, E_H, R, value, w_A, w_B, h_B = row
    problem = step_problem(K_A, K_B, R, ufm.AverageBudget(E_W, E_H))
    sol = ufm.solve(problem)[0]
    assert float(sol.value) == pytest.approx(value, abs=CERTIFIED)
    W2, H2 = sol.W.square().sum(-1) / E_W, sol.H.square().sum(-2) / E_H
    # Norms are first order in the error of the point, the value second: 1e-10 gives 1e-5.
    for got, expected in ((W2[0], w_A), (W2[-1], w_B), (H2[-1], h_B)):
        assert float(got) == pytest.approx(expected, abs=3e-5)


def test_ridge_at_its_threshold_vanishes():
    problem, _ = KNOWN["ce-ridge, K kappa = 1.1"]
    assert float(ufm.solve(problem).W.norm()) < 1e-5


def test_fixed_etf_does_not_see_the_class_sizes():
    def features(n):
        problem = ufm.Problem(
            K=4, d=4, n=n, reg=ufm.VectorBudget(2.0, 3.0),
            classifier=ufm.Fixed(ufm.SimplexETF(E_W=2.0)),
        )  # fmt: skip
        return ufm.polish(ufm.solve(problem)).H[0]

    torch.testing.assert_close(features((50, 9, 2, 1)), features((1,) * 4), rtol=1e-8, atol=1e-8)


def test_a_budget_is_left_unused_where_the_loss_has_its_minimum_inside():
    for reg in (ufm.AverageBudget(9.0, 9.0), ufm.VectorBudget(9.0, 9.0)):
        problem = ufm.Problem(K=4, d=4, n=(5, 3, 2, 1), reg=reg, loss=ufm.SquaredError())
        sol = ufm.solve(problem)
        assert float(sol.value[0]) < CERTIFIED
        assert float(sol.objective().used(sol.point)[1].max()) < 0.9


@pytest.mark.parametrize(("K_A", "K_B", "R0"), [(3, 2, 15.1706), (2, 2, 22.5449)])
def test_per_vector_minority_collapse_threshold(K_A, K_B, R0):
    below, above = (
        ufm.solve(step_problem(K_A, K_B, factor * R0, ufm.VectorBudget(1, 1), d=9))[0]
        for factor in (0.97, 1.03)
    )
    cosine = [float(ufm.cosines(sol.geometry.gram_W)[-1, -2]) for sol in (below, above)]
    assert 0.99 < cosine[0] < 0.99999
    assert cosine[1] == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 6])
def test_dimension(d: int):
    # ce-dimension: K - 1 suffices; K - 2 costs .0341546; d = 1 is worse still.
    sol = ufm.solve(ridge(d=d), ufm.LBFGS(start="random"), seeds=6)
    best = float(sol.value.min()) - 0.21295367823514733
    expected = {2: 0.0341546}.get(d, 0.0)
    if d == 1:
        assert best > 0.3
    else:
        assert best == pytest.approx(expected, abs=5e-8 if expected else CERTIFIED)


def test_below_K_minus_1_dimensions_five_classes_form_a_pentagon():
    problem = ridge(K=5, d=2, n=(1,) * 5, lam_W=1e-2, lam_H=1e-2)
    sol = ufm.polish(ufm.solve(problem, seeds=6))
    best = sol[int(sol.value.argmin())]
    assert float(best.value) == pytest.approx(0.3102327578, abs=CERTIFIED)
    cosine = ufm.cosines(best.geometry.gram_W)[0].sort().values[-3:-1]
    torch.testing.assert_close(cosine, torch.full_like(cosine, math.cos(2 * math.pi / 5)))


def test_random_starts_reach_the_optimum_from_K_minus_1_dimensions():
    problem = step_problem(3, 2, 20.0, ufm.AverageBudget(1, 2), d=4)
    sol = ufm.solve(problem, ufm.LBFGS(start="random"), seeds=12)
    frame = ufm.solve(problem)
    torch.testing.assert_close(sol.value, frame.value.expand(12), rtol=CERTIFIED, atol=0)
    assert torch.unique(sol.W[:, 0, 0]).numel() == 12


@given(
    n=st.lists(st.integers(1, 40), min_size=3, max_size=3),
    E_W=st.floats(0.2, 5),
    t=st.floats(0.1, 10),
)
def test_only_the_product_of_the_budgets_matters(n, E_W, t):
    one, two = (
        ufm.solve(ufm.Problem(K=3, d=3, n=tuple(n), reg=ufm.AverageBudget(a, b)))[0]
        for a, b in ((E_W, 1.0), (E_W * t, 1.0 / t))
    )
    torch.testing.assert_close(one.Z, two.Z, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(one.W * math.sqrt(t), two.W, rtol=1e-8, atol=1e-8)


@given(n=st.permutations([30, 11, 3, 2]), factor=st.integers(2, 5))
def test_classes_may_be_renamed_and_sizes_multiplied(n, factor):
    def value(n, lam_H):
        return float(ufm.solve(ridge(n=tuple(n), lam_W=0.01, lam_H=lam_H)).value[0])

    base = value((30, 11, 3, 2), 0.01)
    assert value(n, 0.01) == pytest.approx(base, rel=CERTIFIED)
    # f is the same for n -> t n, lam_H -> lam_H / t with one feature a class.
    assert value([factor * k for k in n], 0.01 / factor) == pytest.approx(base, rel=CERTIFIED)


def test_huge_and_tiny_budgets():
    for s in (1e-3, 30.0):
        problem = ufm.Problem(K=4, d=3, n=(9, 3, 1, 1), reg=ufm.AverageBudget(s, s))
        sol = ufm.solve(problem)
        assert bool(ufm.certify(sol).passed.all())


def test_the_callback_sees_every_step_of_every_running_instance():
    problems = [step_problem(2, 2, R, ufm.AverageBudget(1, 1)) for R in (1.0, 2.0, 50.0)]
    seen = torch.zeros(3, dtype=torch.int64)
    values: dict[int, list[float]] = {0: [], 1: [], 2: []}

    def watch(step, alive, x):
        assert x.W.shape == (len(alive), 4, 3)
        seen[alive] += 1
        objective = ufm.solve(problems).objective().select(alive)
        for slot, value in zip(alive.tolist(), objective.value(x).tolist(), strict=True):
            values[slot].append(value)

    sol = ufm.solve(problems, callback=watch)
    # The step at which an instance stops is its last; it is not running after it.
    assert seen.tolist() == [max(steps - 1, 0) for steps in sol.steps.tolist()]
    assert all(later <= earlier + 1e-14 for row in values.values()
               for earlier, later in itertools.pairwise(row))  # fmt: skip
