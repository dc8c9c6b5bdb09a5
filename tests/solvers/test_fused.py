"""The fused kernel against tensors, autograd, known values, and itself in other batches."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tolerances import CERTIFIED, EXACT, SOLVED

import ufm
from ufm.compiled import rows
from ufm.geometry.frames import helmert
from ufm.methods import GradientFlow
from ufm.objective import Point
from ufm.solvers.fused import engine
from ufm.status import STATUSES, Status


pytestmark = pytest.mark.skipif(not rows.available(), reason="needs numba (extra `fast`)")
FUSED, TENSORS = ufm.LBFGS(engine="fused"), ufm.LBFGS(engine="tensors")


def step(R: float, tau: float, *, K_A: int = 5, K_B: int = 5, d: int | None = None) -> ufm.Problem:
    K = K_A + K_B
    weights = ufm.step_weights(K=K, K_A=K_A, R=R)
    reg = ufm.AverageBudget(E_W=1.0, E_H=(tau / K) ** 2)
    return ufm.Problem(K=K, d=d or K - 1, n=(1,) * K, weights=weights, reg=reg)


def random_batch(B: int, K: int, d: int, seed: int = 0) -> ufm.ProblemBatch:
    generator = np.random.default_rng(seed)
    template = ufm.Problem(K=K, d=d, n=(1,) * K, reg=ufm.AverageBudget())
    weights = np.exp(generator.uniform(0, math.log(1000), (B, K)))
    E_W, E_H = np.exp(generator.uniform(-1, 1, (2, B)))
    return ufm.ProblemBatch(template, weights=weights, E_W=E_W, E_H=E_H)


def same(a: ufm.Solution, b: ufm.Solution) -> bool:
    pairs = [(x, y) for x, y in zip(a.point, b.point, strict=True)]
    pairs += [(getattr(a, n), getattr(b, n)) for n in ("value", "code", "steps", "grad_norm")]
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize(("K", "d"), [(2, 1), (2, 4), (3, 2), (5, 9), (10, 9), (17, 16)])
def test_agrees_with_the_tensor_engine(K, d):
    batch = random_batch(6, K, d)
    sol, reference = ufm.solve(batch, FUSED), ufm.solve(batch, TENSORS)
    cert = ufm.certify(sol, engine="tensors")
    # Both end within gtol of the optimum, where the value is off by gtol^2 at most.
    torch.testing.assert_close(sol.value, reference.value, rtol=CERTIFIED, atol=CERTIFIED)
    assert (sol.grad_norm <= FUSED.gtol).all()
    assert (cert.infeasibility == 0).all()
    assert (cert.gap <= SOLVED).all()
    torch.testing.assert_close(cert.primal, sol.value, rtol=EXACT, atol=EXACT)


def test_solutions_of_one_start_are_the_same_point_up_to_the_tolerance():
    problem = step(10.0, 22.0)
    sol, reference = ufm.solve(problem, FUSED)[0], ufm.solve(problem, TENSORS)[0]
    assert abs(sol.steps - reference.steps) <= 3
    torch.testing.assert_close(sol.Z, reference.Z, rtol=0, atol=1e-4)
    # Frames, not only logits: the same deterministic start was used.
    torch.testing.assert_close(sol.W, reference.W, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("K", "d", "low", "high", "share", "seed", "rare"),
    [
        (5, 4, 0.01, 0.1, 1.0, 2, [1170, 2406, 3586]),
        (5, 4, 1, 5, 1.0, 1, [2960, 4694]),
        (5, 4, 20, 40, 1.0, 4, [264, 1284, 3044]),
        (5, 4, 100, 300, 0.95, 0, []),
        (2, 1, 1, 5, 1.0, 0, []),
        (3, 1, 1, 5, 1.0, 0, []),
        (5, 2, 1, 5, 1.0, 0, []),
    ],
)
def test_every_step_is_that_of_the_tensor_engine(K, d, low, high, share, seed, rare):
    # Random starts meet what the frame avoids: steps that are too long or cut back, in low
    # dimension pairs of negative curvature, also when the memory is full, and in the rare rows
    # values that only the slope's share refuses. A decision taken otherwise leads elsewhere;
    # rounding decides only where the loss is below the slack of the line search.
    generator, rows = np.random.default_rng(seed), [*range(200), *rare]
    weights = np.exp(generator.uniform(0, math.log(1000), (5000, K)))[rows]
    radius = np.exp(generator.uniform(math.log(low), math.log(high), 5000))[rows]
    template = ufm.Problem(K=K, d=d, n=(1,) * K, reg=ufm.AverageBudget())
    batch = ufm.ProblemBatch(template, weights=weights, E_W=1.0, E_H=radius**2)
    method = ufm.LBFGS(start="random", memory=3, gtol=1e-5, max_steps=25)
    sol, reference = (
        ufm.solve(batch, replace(method, engine=engine), throw=False)
        for engine in ("fused", "tensors")
    )
    distance = torch.linalg.matrix_norm(sol.Z - reference.Z) / torch.linalg.matrix_norm(sol.Z)
    same_way = (distance < 1e-7) & (sol.steps == reference.steps) & (sol.code == reference.code)
    assert same_way.double().mean() >= share


@pytest.mark.parametrize(
    ("K_A", "K_B", "R", "value"),
    [(5, 5, 5.0, 0.376705506418), (7, 3, 10.0, 0.321853497805), (2, 2, 2.0, 0.543340722014)],
)
def test_known_values(K_A, K_B, R, value):
    # etf_lpm.md 3.4, twelve digits of an exact solver.
    K = K_A + K_B
    E_H = 1.0 if K == 4 else 5.0
    problem = replace(step(R, 1.0, K_A=K_A, K_B=K_B), reg=ufm.AverageBudget(E_W=1.0, E_H=E_H))
    sol, cert = ufm.solve_certified(problem, FUSED)
    assert float(sol.value[0]) == pytest.approx(value, rel=0, abs=1e-11)
    assert cert.passed.all()


def test_balanced_optimum_is_the_simplex_frame():
    K, s = 6, 1.7
    problem = ufm.Problem(K=K, d=K - 1, n=(3,) * K, reg=ufm.AverageBudget(E_W=s, E_H=s))
    sol = ufm.solve(problem, FUSED)
    assert float(sol.value[0]) == pytest.approx(
        math.log1p((K - 1) * math.exp(-K * s / (K - 1))), rel=CERTIFIED
    )


def test_losses_far_below_one_keep_their_digits():
    # K = 2, d = 1, w = h: the first class has the logits (2 s, 0) and nearly all of the weight.
    s = np.concatenate([np.linspace(0.02, 0.7, 30), np.linspace(1, 300, 30)])
    template = ufm.Problem(K=2, d=1, n=(1, 1), weights=(1, 1e-300), reg=ufm.AverageBudget())
    batch = ufm.ProblemBatch(template, E_W=s, E_H=s)
    row = torch.from_numpy(np.sqrt(2 * s))[:, None, None] * torch.eye(2, dtype=torch.float64)[:, :1]
    start = Point(row, row.mT, torch.zeros(60, 2, dtype=torch.float64))
    sol = ufm.solve(batch, replace(FUSED, gtol=1e9), start=start)
    assert (sol.steps == 0).all()
    error = sol.value.numpy() / np.log1p(np.exp(-2 * s)) - 1
    # An ulp of the logit is 2 s ulps of the loss.
    assert (np.abs(error) <= 4 * 2.0**-52 * (1 + 2 * s)).all()


def test_a_run_that_cannot_end_otherwise_ends_after_fifty_steps_of_no_use():
    # A tolerance that nobody meets. Use is a lower value or the least gradient so far; the other
    # end is a line search along the gradient that fails as the one before it did.
    batch = random_batch(8, 4, 3, seed=5)
    batch = ufm.ProblemBatch(batch.template, weights=batch.weights**0.2, E_W=1.0, E_H=9.0)
    method = replace(FUSED, start="random", gtol=1e-30, memory=4, max_steps=400)
    ends = ufm.solve(batch, method, throw=False)
    assert (ends.code == Status.STALLED.code).all()
    assert (ends.grad_norm < 1e-15).all()  # values that rise by rounding do not stop the descent
    path = [
        ufm.solve(batch, replace(method, max_steps=k), throw=False)
        for k in range(1, int(ends.steps.max()) + 1)
    ]
    value, norm = (torch.stack([getattr(sol, n) for sol in path]) for n in ("value", "grad_norm"))
    useful = value[1:] < value[:-1] - 1e-15 * (1 + value[:-1])
    useful |= norm[1:] < norm.cummin(0).values[:-1]
    for i, N in enumerate(ends.steps.tolist()):
        idle = N - 2 - int(useful[: N - 1, i].nonzero().max())
        x, y, z = (path[N - back].Z[i] for back in (1, 2, 3))
        assert idle == 50 or (torch.equal(x, y) and torch.equal(y, z))


def test_nothing_converges_where_the_multiplier_is_negative_and_everything_where_none_is_left():
    # Logits of the wrong sign are no optimum however loose the tolerance; where the gradient
    # underflows, any is met.
    problem = step(3.0, 8.0)
    sol = ufm.solve(problem, FUSED)
    wrong = sol.point._replace(W=-sol.W)
    assert ufm.solve(problem, replace(FUSED, gtol=1e9), start=wrong).steps[0] > 0
    huge = ufm.solve(step(3.0, 1e12), replace(FUSED, gtol=1e-300))
    assert huge.converged.all()
    assert float(huge.grad_norm) == 0
    assert float(huge.value) < 1e-300


def test_value_gradient_and_first_step_against_autograd():
    # Zero steps give value and gradient norm at a start, one step its direction.
    K, d = 5, 4
    problem = random_batch(1, K, d, seed=1)[0]
    tau = problem.radius
    x = torch.randn(2, K, d, dtype=torch.float64)
    x[1] = x[0] + 0.3 * x[1]  # logits of some use: the multiplier is positive
    x *= math.sqrt(2 * tau) / x.norm()
    balance = (problem.reg.E_W / problem.reg.E_H) ** 0.25
    start = ufm.Solution.from_arrays(problem, balance * x[0], x[1].T / balance).point
    still = ufm.solve(problem, replace(FUSED, gtol=1e9), start=start)[0]
    moved = ufm.solve(problem, replace(FUSED, max_steps=1), start=start, throw=False)[0]

    t = x.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy((t[0] @ t[1].T).T, torch.arange(K), reduction="none")
    risk = loss @ torch.tensor(problem.pi, dtype=torch.float64)
    (grad,) = torch.autograd.grad(risk, t)
    grad = grad - (grad * x).sum() / (2 * tau) * x
    assert still.steps == 0
    torch.testing.assert_close(still.value, risk.detach(), rtol=EXACT, atol=0)
    torch.testing.assert_close(still.grad_norm, grad.norm(), rtol=EXACT, atol=0)
    y = x - 0.35 * x.norm() / grad.norm() * grad
    Z = y[0] @ y[1].T * (2 * tau) / y.square().sum()
    assert moved.steps == 1
    torch.testing.assert_close(moved.Z, Z, rtol=0, atol=EXACT)


def test_alone_in_a_batch_and_for_any_number_of_threads_bitwise_the_same():
    batch = random_batch(2 * rows.PIECE + 7, 7, 6)
    threads = torch.get_num_threads()
    whole = ufm.solve(batch, FUSED)
    torch.set_num_threads(3)
    try:
        shared = ufm.solve(batch, FUSED)
    finally:
        torch.set_num_threads(threads)
    assert same(whole, shared)
    for i in (0, rows.PIECE, len(batch) - 1):
        assert same(ufm.solve(batch[i], FUSED), whole.select(torch.tensor([i])))


def test_neighbours_of_an_instance_that_overflows_do_not_notice():
    batch = random_batch(5, 4, 3)
    E_H = batch.E_H.copy()
    E_H[2] = 1e308
    E_W = batch.E_W.copy()
    E_W[2] = 1e308
    bad = ufm.ProblemBatch(batch.template, weights=batch.weights, E_W=E_W, E_H=E_H)
    sol, good = ufm.solve(bad, FUSED, throw=False), ufm.solve(batch, FUSED)
    assert STATUSES[int(sol.code[2])] in (Status.NONFINITE, Status.STALLED, Status.CONVERGED)
    keep = torch.tensor([0, 1, 3, 4])
    assert same(sol.select(keep), good.select(keep))
    cert = ufm.certify(sol)
    assert cert.passed[keep].all()
    assert not cert.passed[2]


def test_statuses_of_the_limits():
    problem = step(10.0, 22.0)
    out = ufm.solve(problem, replace(FUSED, max_steps=3), throw=False)[0]
    assert out.status is Status.MAX_STEPS
    assert out.steps == 3
    # A tolerance below rounding cannot be met; the end is told from convergence.
    idle = ufm.solve(problem, replace(FUSED, gtol=1e-30), throw=False)[0]
    assert idle.status is Status.STALLED
    assert idle.value == pytest.approx(float(ufm.solve(problem, FUSED).value[0]), rel=CERTIFIED)
    with pytest.raises(ufm.SolveError, match="1 of 1 instances did not converge"):
        ufm.solve(problem, replace(FUSED, max_steps=1))


def test_given_and_random_starts():
    problem = step(10.0, 22.0, d=12)
    sol = ufm.solve(problem, FUSED)
    again = ufm.solve(problem, FUSED, start=sol.point)
    assert again.steps[0] <= 2
    random = ufm.solve(problem, replace(FUSED, start="random"), seeds=3)
    reference = ufm.solve(problem, replace(TENSORS, start="random"), seeds=3)
    assert len(set(random.steps.tolist())) > 1
    torch.testing.assert_close(random.value, reference.value, rtol=CERTIFIED, atol=0)


def test_low_dimension_starts_at_random():
    # d < K - 1 has no frame; what it finds is feasible and above the certified bound.
    sol, cert = ufm.solve_certified(step(2.0, 22.0, d=6), FUSED)
    assert not cert.passed.any()
    assert float(sol.value[0]) > float(cert.dual[0]) + 1e-4


# algorithms.md 2, robustness, in a small sample of each.
@pytest.mark.parametrize(("low", "high"), [(0.01, 0.1), (0.1, 0.5), (5, 10), (10, 20), (20, 40)])
def test_every_radius_is_certified(low, high):
    generator = np.random.default_rng(3)
    batch = random_batch(40, 10, 9, seed=2)
    radius = generator.uniform(low, high, 40)
    batch = ufm.ProblemBatch(batch.template, weights=batch.weights, E_W=1.0, E_H=radius**2)
    _, cert = ufm.solve_certified(batch, FUSED)
    assert cert.passed.all()


def test_sizes_over_six_decades_and_thresholds_are_certified():
    generator = np.random.default_rng(4)
    weights = 10 ** generator.uniform(0, 6, (40, 10))
    template = ufm.Problem(K=10, d=9, n=(1,) * 10, reg=ufm.AverageBudget(E_W=1.0, E_H=5.0))
    assert ufm.solve_certified(ufm.ProblemBatch(template, weights=weights), FUSED)[1].passed.all()
    near = []
    for tau in (4.0, 12.0, 25.0):
        R0 = float(ufm.R0(5, 5, tau))
        near += [step(R0 * (1 + e), tau) for e in (-1e-2, -1e-6, 0.0, 1e-6, 1e-2)]
    assert ufm.solve_certified(near, FUSED)[1].passed.all()


def test_the_choice_depends_on_the_problem_and_never_on_the_batch(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the kernel ran")

    small, cpu = step(3.0, 10.0), torch.device("cpu")
    assert engine.is_fused(ufm.LBFGS(), small, cpu, watched=False)
    assert not engine.is_fused(ufm.LBFGS(), small, cpu, watched=True)
    large = ufm.Problem(K=120, d=120, n=(1,) * 120, reg=ufm.AverageBudget())
    assert not engine.is_fused(ufm.LBFGS(), large, cpu, watched=False)
    assert engine.is_fused(FUSED, large, cpu, watched=False)
    monkeypatch.setattr(engine, "over_rows", refuse)
    with pytest.raises(AssertionError, match="the kernel ran"):
        ufm.solve(small)
    ufm.solve(small, TENSORS)
    ufm.solve(replace(small, reg=ufm.WeightDecay(0.01, 0.01)))
    ufm.solve(small, callback=lambda *_: None)
    monkeypatch.setattr(engine, "available", lambda: False)
    ufm.solve(small)


@pytest.mark.parametrize(
    "change",
    [
        {"reg": ufm.WeightDecay(0.01, 0.01)},
        {"loss": ufm.SquaredError()},
        {"bias": ufm.FreeBias()},
        {"classifier": ufm.Fixed(ufm.SimplexETF())},
    ],
)
def test_asking_for_the_impossible_is_an_error(change):
    with pytest.raises(ValueError, match=r"^engine must be 'auto' or 'tensors'"):
        ufm.solve(replace(step(3.0, 10.0), **change), FUSED)


def test_asking_for_a_callback_or_without_numba_is_an_error(monkeypatch):
    with pytest.raises(ValueError, match="there is a callback"):
        ufm.solve(step(3.0, 10.0), FUSED, callback=lambda *_: None)
    monkeypatch.setattr(engine, "available", lambda: False)
    with pytest.raises(ValueError, match="numba is not installed"):
        ufm.solve(step(3.0, 10.0), FUSED)


def test_the_engine_is_validated_and_in_keys_only_where_it_was_chosen():
    from ufm._spec import canonical, decode, encode

    with pytest.raises(ValueError, match="engine must be 'auto', 'tensors' or 'fused', got 'gpu'"):
        ufm.LBFGS(engine="gpu")
    assert "engine" not in canonical(ufm.LBFGS())
    assert decode(encode(FUSED)) == FUSED
    assert decode(encode(ufm.LBFGS())) == ufm.LBFGS()
    assert "engine" not in canonical(GradientFlow())


def test_helmert_start_is_what_the_tensor_engine_starts_from():
    # Zero steps: the point is the start.
    problem = step(10.0, 22.0)
    kept = replace(FUSED, max_steps=1, gtol=1e6)
    sol = ufm.solve(problem, kept)[0]
    assert sol.steps == 0
    frame = helmert(10) * (10 * torch.tensor(problem.pi)).sqrt().sqrt().unsqueeze(-1)
    frame = frame - frame.mean(0)
    cosine = (sol.W * frame).sum() / (sol.W.norm() * frame.norm())
    assert float(cosine) == pytest.approx(1.0, rel=EXACT)


@pytest.mark.parametrize("method", [FUSED, TENSORS, replace(TENSORS, start="random")])
@pytest.mark.parametrize("energy", [1e-300, 1e300])
def test_a_radius_out_of_range_is_told_and_disturbs_nobody(method, energy):
    good = [step(2.0, 10.0), step(30.0, 22.0)]
    beyond = replace(good[0], reg=ufm.AverageBudget(E_W=energy, E_H=energy))
    sol = ufm.solve([good[0], beyond, good[1]], method, throw=False)
    assert sol[1].status is Status.NONFINITE
    for i, problem in ((0, good[0]), (2, good[1])):
        assert same(sol[i], ufm.solve(problem, method)[0])
