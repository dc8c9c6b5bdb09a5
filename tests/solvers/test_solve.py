"""`solve`: batches, seeds, starts, what it refuses, and that alone equals in a batch."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CERTIFIED, EXACT

import ufm
from ufm.objective import Point


def average(n=(9, 4, 2, 1), d=3, E_W=1.0, E_H=4.0, **fields) -> ufm.Problem:
    return ufm.Problem(K=len(n), d=d, n=n, reg=ufm.AverageBudget(E_W, E_H), **fields)


def same(one: ufm.Solution, many: ufm.Solution, i: int) -> bool:
    def numbers(sol):
        return (*sol.point, sol.value, sol.code, sol.steps, sol.grad_norm)

    return all(torch.equal(a[0], b[i]) for a, b in zip(numbers(one), numbers(many), strict=True))


METHODS = {
    "frame": ufm.LBFGS(),
    "random": ufm.LBFGS(start="random", memory=5),
    "newton": ufm.Newton(),
}
REGS = [
    ufm.AverageBudget(1.0, 5.0), ufm.VectorBudget(2.0, 0.7), ufm.Sphere(1.5, 0.5),
    ufm.WeightDecay(5e-3, 2e-2), ufm.ClassMeanDecay(4e-2, 9e-3),
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("reg", REGS, ids=lambda reg: type(reg).__name__)
def test_alone_and_in_a_batch_are_bitwise_equal(method, reg):
    # Odd sizes: the batch's arrays are then not aligned alike.
    sizes = [(9, 4, 2, 1, 1, 1, 1, 1, 1), (3,) * 9, (80, 40, 20, 9, 5, 4, 3, 2, 1)]
    problems = [ufm.Problem(K=9, d=9, n=n, reg=reg, bias=ufm.PenalisedBias(0.1)) for n in sizes]
    batch = ufm.solve(problems, method, seeds=(4, 7), throw=False)
    for i, (problem, seed) in enumerate(itertools.product(problems, (4, 7))):
        assert same(ufm.solve(problem, method, seeds=(seed,), throw=False), batch, i)


@given(place=st.integers(0, 30), others=st.integers(0, 40))
def test_company_does_not_matter(place, others):
    n = (17, 5, 2, 1, 1, 1, 1)
    company = [average(tuple(range(k + 1, k + 8)), d=6) for k in range(others)]
    batch = [*company[:place], average(n, d=6), *company[place:]]
    assert same(ufm.solve(average(n, d=6)), ufm.solve(batch), min(place, others))


def test_the_batch_is_problems_times_seeds_problem_major():
    problems = [average(), average((5, 5, 5, 5))]
    sol = ufm.solve(problems, ufm.LBFGS(start="random"), seeds=3)
    assert sol.batch_shape == (6,)
    assert sol.problems == (problems[0],) * 3 + (problems[1],) * 3
    assert sol.seeds == (0, 1, 2) * 2
    assert sol[4].problem == problems[1]
    assert sol.seconds > 0
    assert sol.messages == ("",) * 6


def test_a_single_problem_still_has_a_batch_axis():
    assert ufm.solve(average()).batch_shape == (1,)


def test_a_seed_is_a_start():
    first, again = (
        ufm.solve(average(), ufm.LBFGS(start="random"), seeds=seeds) for seeds in (3, (2, 0))
    )
    assert torch.equal(first.W[2], again.W[0])
    assert torch.equal(first.W[0], again.W[1])
    assert not torch.equal(first.W[0], first.W[1])


def test_a_start_is_used_for_one_or_for_each():
    problem = average()
    optimum = ufm.polish(ufm.solve(problem))
    point = Point(*(t[0] for t in optimum.point))
    again = ufm.solve([problem, problem], start=point)
    assert again.steps.tolist() == [0, 0]
    torch.testing.assert_close(again.value, optimum.value.expand(2), rtol=EXACT, atol=0)
    each = ufm.solve([problem, problem], start=Point(*(torch.stack([t, t.flip(0)]) for t in point)))
    assert each.steps.tolist()[0] == 0 < each.steps.tolist()[1]


def test_a_start_outside_the_budgets_is_moved_inside():
    generator = torch.Generator().manual_seed(0)
    W, H = torch.randn(2, 12, generator=generator, dtype=torch.float64) * 100
    for reg in REGS:
        problem = ufm.Problem(K=4, d=3, n=(9, 4, 2, 1), reg=reg)
        sol = ufm.solve(problem, start=Point(W.view(4, 3), H.view(3, 4), torch.zeros(4).double()))
        reference = ufm.solve(problem, ufm.LBFGS(start="random"), seeds=4).value.min()
        assert float(sol.objective().infeasibility(sol.point)[0]) <= 1e-15
        if not isinstance(reg, ufm.Sphere):
            assert float(sol.value[0]) == pytest.approx(float(reference), rel=CERTIFIED)


def test_throw_keeps_the_solution():
    problems = [average((5, 5, 5, 5)), average((90, 9, 3, 1))]
    with pytest.raises(
        ufm.SolveError, match=r"1 of 2 .* instance 1 is MAX_STEPS: .*max_steps"
    ) as e:
        ufm.solve(problems, ufm.LBFGS(max_steps=2))
    kept = e.value.solution
    assert kept.status == (ufm.Status.CONVERGED, ufm.Status.MAX_STEPS)
    assert bool(kept.value.isfinite().all())
    assert ufm.solve(problems, ufm.LBFGS(max_steps=2), throw=False).steps.tolist() == [0, 2]


def test_a_tolerance_below_rounding_ends_as_stalled():
    sol = ufm.solve(average(), ufm.LBFGS(gtol=1e-30, max_steps=300), throw=False)
    assert sol.status == (ufm.Status.STALLED,)
    assert bool(ufm.certify(sol).passed.all())


BAD_DEVICES = ["cuda:99", "nonsense", "meta"]


@pytest.mark.parametrize("device", BAD_DEVICES)
def test_an_absent_device_is_a_one_line_value_error(device):
    with pytest.raises(ValueError, match="^device must be .*" + device.split(":")[0]) as error:
        ufm.solve(average(), device=device)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ufm.solve([]), "problem must hold at least one problem, got none"),
        (lambda: ufm.solve(average(), seeds=0), "seeds must be an integer of at least 1, got 0"),
        (lambda: ufm.solve(average(), seeds=()), "seeds must hold at least one seed, got none"),
        (lambda: ufm.solve(average(), seeds=(1, -1)), r"seeds\[1\] must be an integer of at"),
        (lambda: ufm.solve(average(), seeds=True), "seeds must be an integer of at least 1"),
        (lambda: ufm.solve([average(), 3]), r"problem must be a Problem, got 3"),
        (lambda: ufm.solve(3), r"problem must be a Problem or a sequence of them, got 3"),
        (lambda: ufm.solve(average(), "LBFGS"), "method must be a known method, got 'LBFGS'"),
        (lambda: ufm.solve([average(), average(d=4)]), "d must be equal across a batch"),
        (lambda: ufm.solve([average(), average(n=(1, 1), d=3)]), "K must be equal across"),
        (
            lambda: ufm.solve([average(), ufm.Problem(K=4, d=3, n=(1,) * 4)]),
            "reg must be of one type across a batch, got AverageBudget and WeightDecay",
        ),
        (
            lambda: ufm.solve(ufm.Problem(K=4, d=3, n=(1,) * 4, reg=ufm.NoReg())),
            "problem must have a minimiser .*CrossEntropy.*NoReg",
        ),
        (
            lambda: ufm.solve(ufm.Problem(K=4, d=3, n=(1,) * 4, reg=ufm.WeightDecay(0.0, 1e-3))),
            "problem must have a minimiser",
        ),
        (
            lambda: ufm.solve(average(), start=Point(torch.zeros(4, 2), torch.zeros(3, 4), None)),
            r"W must have shape \(K, d\) = \(4, 3\), got \(4, 2\)",
        ),
        (
            lambda: ufm.solve(average(), start=Point(torch.zeros(4, 3), torch.zeros(3, 16), None)),
            "start must have M=4 feature columns, got 16",
        ),
        (
            lambda: ufm.solve(
                average(), start=Point(torch.ones(2, 4, 3), torch.ones(2, 3, 4), None)
            ),
            "start must have one point or B=1 of them, got 2",
        ),
        (
            lambda: ufm.solve(average(), start=Point(torch.ones(4, 3) / 0, torch.ones(3, 4), None)),
            "W must be finite",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_a_one_line_value_error(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_class_sizes_of_one():
    problem = average((1, 1, 1), d=2)
    assert bool(ufm.certify(ufm.solve(problem)).passed.all())
