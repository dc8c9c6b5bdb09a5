"""The objective: its definition, derivatives against autograd, reductions, symmetries, stacking."""

import dataclasses
import itertools

import hypothesis.strategies as st
import pytest
import torch
from collapsed import gaussian, rotation
from hypothesis import given
from tolerances import EXACT
from torch.nn.functional import cross_entropy

from ufm.geometry.specs import ExplicitFrame, SimplexETF
from ufm.losses import CrossEntropy, DotRegression, SquaredError
from ufm.objective import Objective, Point
from ufm.problem import (
    AverageBudget,
    ClassMeanDecay,
    Fixed,
    FreeBias,
    Learnable,
    NoBias,
    NoReg,
    PenalisedBias,
    Problem,
    Sphere,
    VectorBudget,
    WeightDecay,
)


K, D = 3, 2
LOSSES = [CrossEntropy(), SquaredError(), DotRegression(s=1.3)]
REGS = [
    WeightDecay(0.02, 0.03), ClassMeanDecay(0.02, 0.03), AverageBudget(E_W=2, E_H=3),
    VectorBudget(E_W=2, E_H=3), Sphere(E_W=2, E_H=3), NoReg(),
]  # fmt: skip
BIASES = [NoBias(), FreeBias(), PenalisedBias(lam_b=0.1)]
CLASSIFIERS = [Learnable(), Fixed(SimplexETF(E_W=2))]
CASES = list(itertools.product(LOSSES, REGS, BIASES, CLASSIFIERS))
case = pytest.mark.parametrize(
    ("loss", "reg", "bias", "classifier"),
    CASES,
    ids=["-".join(type(part).__name__ for part in parts) for parts in CASES],
)


def point(objective: Objective, seed: int = 0, *, batch: int | None = None) -> Point:
    """A random point; zero where there is no bias, the frame where W is fixed."""
    B, M = batch or len(objective.problems), objective.M
    template = objective.template
    W = objective.fixed_W()
    W = gaussian(B, K, D, seed=seed) if W is None else W.expand(B, K, D).clone()
    b = gaussian(B, K, seed=seed + 1) if template.has_bias else torch.zeros(B, K).double()
    return Point(W, gaussian(B, D, M, seed=seed + 2), b)


def direction(objective: Objective, seed: int = 10) -> Point:
    v = point(objective, seed)
    return v if objective.template.is_learnable else v._replace(W=torch.zeros_like(v.W))


def masked(objective: Objective, x: Point) -> Point:
    """Zero in what is no variable."""
    W = x.W if objective.template.is_learnable else torch.zeros_like(x.W)
    b = x.b if objective.template.has_bias else torch.zeros_like(x.b)
    return Point(W, x.H, b)


def assert_points(a, b, tol=EXACT):
    for s, t in zip(a, b, strict=True):
        torch.testing.assert_close(s, t, rtol=tol, atol=tol)


def samples_and_means(**fields):
    """A batch on samples, and one of different sizes and weights on class means."""
    first = Problem(K=K, d=D, n=(3, 2, 1), **fields)
    second = Problem(K=K, d=D, n=(1, 1, 5), weights=(1, 2, 3.5), **fields)
    return Objective.stack([first, first], first.N), Objective.stack([first, second], K)


@case
def test_derivatives_match_autograd(loss, reg, bias, classifier):
    for objective in samples_and_means(loss=loss, reg=reg, bias=bias, classifier=classifier):
        x, v = point(objective), direction(objective)
        leaves = tuple(t.clone().requires_grad_() for t in x)
        expected = torch.autograd.grad(objective.value(Point(*leaves)).sum(), leaves)
        value, gradient = objective.value_and_grad(x)
        torch.testing.assert_close(value, objective.value(x), rtol=EXACT, atol=0)
        assert_points(gradient, masked(objective, Point(*expected)))
        assert_points(objective.grad(x), gradient)
        _, product = torch.autograd.functional.hvp(
            lambda *t, f=objective: f.value(Point(*t)).sum(), tuple(x), tuple(v)
        )
        assert_points(objective.hvp(x, v), masked(objective, Point(*product)))


@case
def test_class_means_stand_for_samples_that_equal_them(loss, reg, bias, classifier):
    problem = Problem(
        K=K, d=D, n=(3, 2, 1), weights=(1, 2, 0.5), loss=loss, reg=reg, bias=bias,
        classifier=classifier,
    )  # fmt: skip
    means, samples = (Objective.stack([problem], M) for M in (K, problem.N))
    x = point(means)
    full = x._replace(H=x.H[..., samples.y])
    torch.testing.assert_close(means.value(x), samples.value(full), rtol=EXACT, atol=0)
    small, large = means.value_and_grad(x)[1], samples.value_and_grad(full)[1]
    gathered = torch.zeros_like(x.H).index_add(-1, samples.y, large.H)
    assert_points(small, large._replace(H=gathered))
    torch.testing.assert_close(
        means.infeasibility(x), samples.infeasibility(full), rtol=EXACT, atol=EXACT
    )


@pytest.mark.parametrize("reg", REGS, ids=lambda reg: type(reg).__name__)
def test_value_by_its_definition(reg):
    n, weights = (3, 2, 1), (1.0, 2.0, 0.5)
    bias = PenalisedBias(lam_b=0.1)
    problem = Problem(K=K, d=D, n=n, weights=weights, reg=reg, bias=bias)
    objective = Objective.stack([problem], problem.N)
    x = point(objective)
    W, H, b = (t[0] for t in x)
    labels = [0, 0, 0, 1, 1, 2]
    total = sum(w * size for w, size in zip(weights, n, strict=True))
    value = 0.1 / 2 * (b**2).sum()
    for j, k in enumerate(labels):
        logits = (W @ H[:, j] + b).unsqueeze(0)
        value += weights[k] / total * cross_entropy(logits, torch.tensor([k]))
        if isinstance(reg, WeightDecay):
            value += 0.03 / 2 * H[:, j].square().sum()
        if isinstance(reg, ClassMeanDecay):
            value += 0.03 / 2 * H[:, j].square().sum() / n[k]
    if isinstance(reg, WeightDecay | ClassMeanDecay):
        value += 0.02 / 2 * W.square().sum()
    torch.testing.assert_close(objective.value(x)[0], value, rtol=EXACT, atol=0)


def test_mean_loss_by_default():
    problem = Problem(K=K, d=D, n=(3, 2, 1), reg=NoReg())
    objective = Objective.stack([problem], 6)
    x = point(objective)
    expected = cross_entropy((x.W @ x.H)[0].mT, objective.y)
    torch.testing.assert_close(objective.value(x)[0], expected, rtol=EXACT, atol=0)


def test_penalty_leaves_out_a_fixed_classifier():
    problem = Problem(K=K, d=D, n=(1, 1, 1), reg=WeightDecay(5.0, 0.0), classifier=CLASSIFIERS[1])
    objective = Objective.stack([problem], K)
    assert objective.penalty(point(objective)) == 0
    fixed = objective.fixed_W()
    assert fixed is not None
    torch.testing.assert_close(fixed.square().sum(-1), torch.full((3,), 2.0).double())


class TestFeasibility:
    def objective(self, reg, **fields):
        return Objective.stack([Problem(K=K, d=D, n=(3, 2, 1), reg=reg, **fields)], 6)

    def test_average_budgets_count_every_class_once(self):
        objective = self.objective(AverageBudget(E_W=2, E_H=3))
        x = point(objective)
        W, H = objective.used(x)
        square = x.H[0].square().sum(0)
        by_class = square[:3].mean() + square[3:5].mean() + square[5]
        torch.testing.assert_close(W[0, 0], x.W.square().sum() / 6, rtol=EXACT, atol=0)
        torch.testing.assert_close(H[0, 0], by_class / 9, rtol=EXACT, atol=0)

    @pytest.mark.parametrize("reg", REGS[2:5], ids=lambda reg: type(reg).__name__)
    def test_scaled_to_the_limit_is_feasible_and_beyond_is_not(self, reg):
        objective = self.objective(reg)
        x = point(objective)
        W, H = objective.used(x)
        W = W.sqrt() if isinstance(reg, AverageBudget) else W.sqrt().mT.unsqueeze(0)
        W = W.reshape(1, -1, 1)
        at_limit = Point(x.W / W, x.H / H.sqrt().reshape(1, 1, -1), x.b)
        assert objective.infeasibility(at_limit) < EXACT
        beyond = at_limit._replace(H=1.1 * at_limit.H)
        assert objective.infeasibility(beyond).item() == pytest.approx(0.21, rel=EXACT)
        inside = objective.infeasibility(at_limit._replace(H=0.9 * at_limit.H)).item()
        assert inside == pytest.approx(0.19 if isinstance(reg, Sphere) else 0, abs=EXACT)

    def test_a_fixed_classifier_has_no_budget_to_break(self):
        frame = ExplicitFrame(((9.0, 0.0), (0.0, 9.0), (9.0, 9.0)))
        objective = self.objective(VectorBudget(), classifier=Fixed(frame))
        x = point(objective)
        assert objective.infeasibility(x._replace(H=0 * x.H)) == 0

    def test_without_budgets_everything_is_feasible(self):
        objective = self.objective(WeightDecay())
        assert objective.infeasibility(point(objective)) == 0
        with pytest.raises(ValueError, match="reg must have budgets, got WeightDecay"):
            objective.used(point(objective))


seeds = st.integers(0, 300)
problems = st.builds(
    Problem,
    K=st.just(K),
    d=st.just(D),
    n=st.tuples(*[st.integers(1, 5)] * K),
    loss=st.sampled_from(LOSSES),
    reg=st.sampled_from(REGS),
    bias=st.sampled_from(BIASES),
)


class TestSymmetries:
    @given(problem=problems, seed=seeds)
    def test_rotations(self, problem, seed):
        objective = Objective.stack([problem], problem.N)
        x, R = point(objective, seed), rotation(D, seed)

        def turn(x):
            return Point(x.W @ R, R.mT @ x.H, x.b)

        value, gradient = objective.value_and_grad(x)
        turned_value, turned_gradient = objective.value_and_grad(turn(x))
        torch.testing.assert_close(turned_value, value, rtol=EXACT, atol=EXACT)
        assert_points(turned_gradient, turn(gradient))
        torch.testing.assert_close(
            objective.infeasibility(turn(x)), objective.infeasibility(x), rtol=EXACT, atol=EXACT
        )

    @given(problem=problems, order=st.permutations(range(K)), seed=seeds)
    def test_relabelling_classes(self, problem, order, seed):
        objective = Objective.stack([problem], K)
        relabelled = dataclasses.replace(problem, n=tuple(problem.n[k] for k in order))
        x, order = point(objective, seed), torch.tensor(order)
        moved = Point(x.W[:, order], x.H[..., order], x.b[:, order])
        torch.testing.assert_close(
            Objective.stack([relabelled], K).value(moved), objective.value(x), rtol=EXACT, atol=0
        )

    @given(problem=problems, order_seed=seeds)
    def test_order_of_samples_within_a_class(self, problem, order_seed):
        objective = Objective.stack([problem], problem.N)
        x = point(objective, order_seed)
        shuffled = torch.randperm(problem.N, generator=torch.Generator().manual_seed(order_seed))
        order = shuffled[objective.y[shuffled].argsort(stable=True)]
        moved = x._replace(H=x.H[..., order])
        torch.testing.assert_close(
            objective.value(moved), objective.value(x), rtol=EXACT, atol=EXACT
        )

    @given(seed=seeds, n=st.tuples(*[st.integers(1, 5)] * K), loss=st.sampled_from(LOSSES))
    def test_twice_the_samples_is_half_the_ridge(self, seed, n, loss):
        def means(n, reg):
            return Objective.stack([Problem(K=K, d=D, n=n, loss=loss, reg=reg)], K)

        double = tuple(2 * size for size in n)
        x = point(means(n, REGS[0]), seed)
        one = means(n, WeightDecay(0.02, 0.04)).value(x)
        torch.testing.assert_close(
            means(double, WeightDecay(0.02, 0.02)).value(x), one, rtol=EXACT, atol=0
        )
        # Per class mean the number of samples does not enter at all.
        per_class = [means(sizes, ClassMeanDecay(0.02, 0.04)).value(x) for sizes in (n, double)]
        torch.testing.assert_close(*per_class, rtol=EXACT, atol=0)

    @given(seed=seeds)
    def test_a_common_shift_of_logits_costs_cross_entropy_nothing(self, seed):
        objective = Objective.stack([Problem(K=K, d=D, n=(3, 2, 1), reg=NoReg())], 6)
        Z, shift = gaussian(1, K, 6, seed=seed), gaussian(1, 1, 6, seed=seed + 1)
        torch.testing.assert_close(
            objective.risk(Z + shift), objective.risk(Z), rtol=1e2 * EXACT, atol=0
        )  # digits lost in Z + shift
        assert objective.risk_grad(Z).sum(-2).abs().max() < EXACT

    @given(problem=problems, seed=seeds)
    def test_a_batch_is_a_loop(self, problem, seed):
        other = Problem(
            K=K, d=D, n=(1, 4, 2), loss=problem.loss, reg=problem.reg, bias=problem.bias
        )
        batch = Objective.stack([problem, other, problem], K)
        x, v = point(batch, seed), direction(batch, seed + 5)
        value, gradient = batch.value_and_grad(x)
        product = batch.hvp(x, v)
        for i, single in enumerate(batch.problems):
            alone = Objective.stack([single], K)
            xi, vi = (Point(*(t[i : i + 1] for t in p)) for p in (x, v))
            torch.testing.assert_close(alone.value(xi), value[i : i + 1], rtol=EXACT, atol=0)
            assert_points(alone.value_and_grad(xi)[1], [t[i : i + 1] for t in gradient])
            assert_points(alone.hvp(xi, vi), [t[i : i + 1] for t in product])


class TestStack:
    def test_select_is_indexing(self):
        problems = [Problem(K=K, d=D, n=(1, 1, m), reg=WeightDecay(m, 2 * m)) for m in (1, 2, 3)]
        objective = Objective.stack(problems, K)
        x = point(objective)
        index = torch.tensor([2, 0])
        some = objective.select(index)
        assert some.problems == (problems[2], problems[0])
        sub = Point(*(t[index] for t in x))
        torch.testing.assert_close(some.value(sub), objective.value(x)[index], rtol=0, atol=0)

    def test_sizes(self):
        objective = Objective.stack([Problem(K=K, d=D, n=(3, 2, 1))], 6)
        assert (objective.K, objective.d, objective.M) == (3, 2, 6)
        assert objective.fixed_W() is None
        torch.testing.assert_close(objective.c.sum(-1), torch.ones(1).double())

    def test_type_follows_the_request(self):
        problem = Problem(K=K, d=D, n=(3, 2, 1), classifier=CLASSIFIERS[1])
        objective = Objective.stack([problem], K, dtype=torch.float32)
        x = Point(*(t.float() for t in point(objective)))
        value, gradient = objective.value_and_grad(x)
        assert {t.dtype for t in (value, *gradient, *objective.hvp(x, x))} == {torch.float32}

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"d": 3}, "d must be equal across a batch, got 2 and 3"),
            ({"K": 2, "n": (1, 1)}, "K must be equal across a batch, got 3 and 2"),
            ({"loss": SquaredError()}, "loss must be equal across a batch, got CrossEntropy"),
            ({"classifier": Fixed(SimplexETF())}, "classifier must be equal across a batch"),
            ({"reg": AverageBudget()}, "reg must be of one type .*got WeightDecay and AverageB"),
            ({"bias": FreeBias()}, "bias must be of one type .*got NoBias and FreeBias"),
        ],
    )
    def test_problems_of_different_shape_do_not_stack(self, fields, message):
        first = Problem(K=K, d=D, n=(1, 1, 1))
        second = Problem(**{"K": K, "d": D, "n": (1, 1, 1), **fields})
        with pytest.raises(ValueError, match=message):
            Objective.stack([first, second], K)

    def test_other_misfits(self):
        with pytest.raises(ValueError, match="problems must hold at least one problem, got none"):
            Objective.stack([], K)
        problems = [Problem(K=K, d=D, n=n) for n in ((1, 2, 3), (3, 2, 1))]
        with pytest.raises(ValueError, match="n must be equal across a batch on samples"):
            Objective.stack(problems, 6)
        with pytest.raises(ValueError, match="H must have K=3 columns"):
            Objective.stack(problems, 5)
