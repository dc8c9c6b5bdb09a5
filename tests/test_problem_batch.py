"""Batches of problems as arrays: the same problems, the same bits, errors that name the entry."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT

import ufm
from ufm.objective import Objective
from ufm.problem_batch import _exact_sums


WEIGHTS = np.array([[1.0, 2.0, 3.0], [0.7, 0.7, 0.7], [1e-3, 1e3, 7.0], [3.0, 0.1, 0.3]])


def budgets(**arrays) -> ufm.ProblemBatch:
    template = ufm.Problem(K=3, d=2, n=(4, 2, 3), reg=ufm.AverageBudget(E_W=2.0, E_H=0.5))
    return ufm.ProblemBatch(template, **arrays)


def test_it_is_a_sequence_of_problems():
    batch = budgets(weights=WEIGHTS, E_H=[1.0, 2.0, 3.0, 4.0])
    assert len(batch) == 4
    assert batch[-1] == list(batch)[3] == batch[1:][2] == batch.select([3])[0]
    assert batch[2].weights == tuple(WEIGHTS[2])
    assert batch[2].reg == ufm.AverageBudget(E_W=2.0, E_H=3.0)
    assert batch[1].weights is None  # equal weights are none
    assert [p.reg.E_H for p in batch.repeat(2)] == [1, 1, 2, 2, 3, 3, 4, 4]
    with pytest.raises(IndexError, match="index must be within a batch of 4, got 4"):
        batch[4]
    with pytest.raises(ValueError, match="read-only"):
        batch.E_H[0] = 3.0


def test_copies_are_as_unchangeable_and_as_equal():
    batch = budgets(weights=WEIGHTS, E_H=[1.0, 2.0, 3.0, 4.0])
    for other in (pickle.loads(pickle.dumps(batch)), copy.deepcopy(batch)):
        assert list(other) == list(batch)
        assert not any(array.flags.writeable for array in (other.weights, other.E_H, other.pi))


def test_wrong_positions_are_refused_in_a_line():
    batch = budgets(E_H=[1.0, 2.0])
    assert batch[np.int64(1)] == batch[-1]
    for index in ("a", 1.0, [0, 1], None):
        with pytest.raises(TypeError, match=r"^index must be an integer or a slice, got"):
            batch[index]
    for rows in ([2], [0, -3], 5):
        with pytest.raises(ValueError, match=r"^rows must be within a batch of 2, got"):
            batch.select(rows)
    assert len(batch.select(1)) == 1
    for rows in ([], slice(0, 0)):
        with pytest.raises(ValueError, match="must hold at least one problem"):
            batch.select(rows)
    for count in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=r"^count must be an integer of at least 1"):
            batch.repeat(count)
    with pytest.raises(ValueError, match=r"^template must be a Problem, got ProblemBatch$"):
        ufm.ProblemBatch(batch, E_H=[1.0])


@given(st.lists(st.lists(st.floats(1e-150, 1e150), min_size=3, max_size=3), min_size=1))
def test_shares_are_bitwise_those_of_each_problem(weights):
    batch = budgets(weights=weights)
    assert [tuple(row) for row in batch.pi.tolist()] == [problem.pi for problem in batch]


@given(st.integers(0, 100))
def test_sums_are_rounded_once(seed):
    generator = np.random.default_rng(seed)
    ties = 2.0 ** generator.integers(-60, 3, size=(200, 7))
    spread = np.exp(8 * generator.standard_normal((200, 7)))
    for rows in (ties, spread):
        assert _exact_sums(rows).tolist() == [math.fsum(row) for row in rows.tolist()]


@pytest.mark.parametrize(
    "template",
    [
        ufm.Problem(K=3, d=2, n=(4, 2, 3), reg=ufm.AverageBudget(2.0, 0.5)),
        ufm.Problem(K=3, d=2, n=(4, 2, 3), reg=ufm.WeightDecay(2.0, 0.5)),
        ufm.Problem(K=3, d=2, n=(4, 2, 3), reg=ufm.NoReg(), bias=ufm.PenalisedBias(0.2)),
        ufm.Problem(K=3, d=2, n=(2,) * 3, classifier=ufm.Fixed(ufm.SimplexETF())),
    ],
)
def test_the_objective_is_that_of_the_problems_one_by_one(template):
    batch = ufm.ProblemBatch(template, weights=WEIGHTS)
    for M in (3, template.N):
        a, b = Objective.stack(batch, M), Objective.stack(list(batch), M)
        for name in ("y", "c", "m", "u", "lam_W", "p", "lam_b", "E_W", "E_H"):
            torch.testing.assert_close(
                getattr(a, name), getattr(b, name), rtol=0, atol=0, equal_nan=True
            )


def test_solving_certifying_and_selecting_keep_the_arrays():
    batch = budgets(weights=WEIGHTS, E_W=torch.tensor([1.0, 2.0, 3.0, 4.0]))
    sol, cert = ufm.solve_certified(batch, seeds=2)
    assert isinstance(sol.problems, ufm.ProblemBatch)
    assert len(sol) == 8
    assert cert.passed.all()
    one = ufm.solve(batch[2])
    assert torch.equal(sol.select(torch.tensor([4])).W, one.W)
    assert sol[5].problem == batch[2]
    assert isinstance(sol.select(torch.tensor([1, 3])).problems, ufm.ProblemBatch)


def test_instances_that_no_attempt_can_certify_keep_their_place():
    # d = K - 4 is below the rank of the optimal logits: no attempt improves on the last one.
    weights = np.where(np.arange(10) < 5, 2.0, 1.0)
    template = ufm.Problem(K=10, d=6, n=(1,) * 10, reg=ufm.AverageBudget(E_W=1.0, E_H=5.0))
    sol, cert = ufm.solve_certified(
        ufm.ProblemBatch(template, weights=[weights, np.arange(10) + 1.0])
    )
    assert not cert.passed.any()
    assert (cert.gap > 1e-6).all()
    assert sol.value.isfinite().all()
    torch.testing.assert_close(cert.primal, sol.value, rtol=EXACT, atol=0)


def test_flows_take_them_too():
    template = ufm.Problem(K=3, d=2, n=(1,) * 3, reg=ufm.WeightDecay(0.1, 0.1))
    sol = ufm.solve(
        ufm.ProblemBatch(template, lam_W=[0.1, 0.2]), ufm.GradientFlow(t_end=1.0, samples=3)
    )
    assert sol.problems[1].reg == ufm.WeightDecay(0.2, 0.1)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "weights or a strength must be an array, got none"),
        ({"E_W": 1.0}, "weights or a strength must be an array, got none"),
        ({"E_W": [1.0, math.nan]}, r"E_W\[1\] must be a finite number > 0, got nan"),
        ({"E_W": [1.0, 0.0]}, r"E_W\[1\] must be a finite number > 0, got 0.0"),
        ({"E_W": []}, "problems must hold at least one problem, got none"),
        ({"E_W": [[1.0]]}, r"E_W must have shape \(B,\), got \(1, 1\)"),
        ({"E_W": ["a"]}, "E_W must be an array of numbers: "),
        ({"E_W": [1 + 1j]}, "E_W must be an array of numbers: it holds complex ones"),
        ({"E_W": torch.ones(2, requires_grad=True)}, "E_W must be an array of numbers: "),
        ({"weights": WEIGHTS[:, :2]}, r"weights must have shape \(B, K\), got \(4, 2\)"),
        ({"weights": -WEIGHTS}, r"weights\[0, 0\] must be a finite number > 0, got -1.0"),
        ({"weights": WEIGHTS, "E_H": [1.0, 2.0]}, "E_H must have B=4 rows as the others, got 2"),
        ({"lam_W": [1.0]}, r"lam_W must be absent for reg=AverageBudget\(.*\), got \[1.0\]"),
        ({"weights": [[1.0, 1e300, 1e-300]]}, "weights must leave each class a share"),
    ],
)
def test_errors_are_one_line_and_name_the_entry(arrays, message):
    with pytest.raises(ValueError, match=message) as error:
        budgets(**arrays)
    assert "\n" not in str(error.value)


def test_a_template_must_be_a_problem_and_have_a_minimiser():
    with pytest.raises(ValueError, match="template must be a Problem, got int"):
        ufm.ProblemBatch(3, E_W=[1.0])
    template = ufm.Problem(K=3, d=2, n=(1,) * 3, reg=ufm.WeightDecay(0.1, 0.1))
    with pytest.raises(ValueError, match="problem must have a minimiser"):
        ufm.solve(ufm.ProblemBatch(template, lam_H=[0.1, 0.0, 0.2]))


@pytest.mark.parametrize("rows", [np.array([True, False, True, False]), [0.5]])
def test_a_mask_is_no_list_of_positions(rows):
    with pytest.raises(ValueError, match="rows must be positions or a slice, got "):
        budgets(weights=WEIGHTS).select(rows)
