"""The statement of a model: what it derives, what it refuses."""

import dataclasses
import math

import pytest
from tolerances import EXACT

import ufm
from ufm import (
    AverageBudget,
    ClassMeanDecay,
    CrossEntropy,
    DotRegression,
    ExplicitFrame,
    Fixed,
    FreeBias,
    NoReg,
    OrthogonalFrame,
    PenalisedBias,
    Problem,
    SimplexETF,
    Sphere,
    SquaredError,
    VectorBudget,
    WeightDecay,
)


def problem(**fields):
    return Problem(**{"K": 3, "d": 2, "n": (4, 2, 2), **fields})


class TestDerived:
    def test_shares_follow_sizes_and_weights(self):
        assert problem().pi == (0.5, 0.25, 0.25)
        weighted = problem(weights=(1, 2, 4))
        assert weighted.pi == pytest.approx((4 / 16, 4 / 16, 8 / 16), rel=EXACT)
        assert math.fsum(weighted.pi) == pytest.approx(1, rel=EXACT)
        assert weighted.N == 8

    def test_only_ratios_of_weights_count(self):
        assert problem(weights=(3, 3, 3)) == problem()
        assert problem(n=(1, 1, 1), weights=(2, 2, 2)).is_balanced
        a, b = problem(weights=(1, 2, 3)), problem(weights=(10, 20, 30))
        assert a.pi == pytest.approx(b.pi, rel=EXACT)

    def test_weights_near_the_limits_of_float64(self):
        for scale in (1e-307, 1e307):
            shares = problem(n=(2, 1, 1), weights=(4 * scale, 2 * scale, scale)).pi
            assert shares == pytest.approx((8 / 11, 2 / 11, 1 / 11), rel=EXACT)
        with pytest.raises(ValueError, match="weights must leave each class a share of the risk"):
            problem(weights=(1.0, 1.0, 1e-320))

    def test_real_ratios_by_weights_are_integer_ratios_by_sizes(self):
        by_size = Problem(K=3, d=2, n=(5, 2, 2))
        by_weight = Problem(K=3, d=2, n=(1, 1, 1), weights=ufm.step_weights(K=3, K_A=1, R=2.5))
        assert by_size.pi == pytest.approx(by_weight.pi, rel=EXACT)

    def test_balance_is_of_sizes_and_of_shares(self):
        assert problem(n=(3, 3, 3)).is_balanced
        assert not problem().is_balanced
        assert not problem(n=(3, 3, 3), weights=(1, 1, 2)).is_balanced
        assert not problem(n=(2, 1, 1), weights=(1, 2, 2)).is_balanced

    def test_radius(self):
        assert problem(reg=AverageBudget(E_W=4, E_H=9)).radius == 18
        assert problem(reg=Sphere(E_W=1, E_H=4)).radius == 6
        with pytest.raises(ValueError, match="reg must have budgets E_W and E_H, got WeightDecay"):
            _ = problem().radius

    def test_predicates(self):
        assert all(problem(reg=reg()).is_budgeted for reg in (AverageBudget, VectorBudget, Sphere))
        assert not problem(reg=ClassMeanDecay()).is_budgeted
        assert problem(bias=FreeBias()).has_bias
        assert problem(bias=PenalisedBias()).has_bias
        assert not problem().has_bias
        assert problem().is_learnable
        assert not problem(classifier=Fixed(SimplexETF())).is_learnable

    def test_labels_of_class_means_and_samples(self):
        assert problem().labels(3) == (0, 1, 2)
        assert problem().labels(8) == (0, 0, 0, 0, 1, 1, 2, 2)
        message = r"H must have K=3 columns \(class means\) or N=8 \(samples\), got 5"
        with pytest.raises(ValueError, match=message):
            problem().labels(5)

    def test_equality_and_hash_ignore_cached_values(self):
        a, b = problem(), problem()
        _ = a.pi
        assert a == b
        assert hash(a) == hash(b)
        assert dataclasses.replace(a, n=(1, 1, 2)).pi == (0.25, 0.25, 0.5)


@pytest.mark.parametrize(
    ("fields", "attained"),
    [
        ({"reg": WeightDecay(1e-3, 1e-3)}, True),
        ({"reg": WeightDecay(1e-3, 0.0)}, False),
        ({"reg": ClassMeanDecay(0.0, 1e-3)}, False),
        ({"reg": WeightDecay(0, 0)}, False),
        ({"reg": WeightDecay(0, 0), "loss": SquaredError()}, True),
        # One factor shrinks while the free one grows: the infimum is the unregularised one.
        ({"reg": WeightDecay(1e-3, 0), "loss": SquaredError()}, False),
        ({"reg": NoReg()}, False),
        ({"reg": NoReg(), "loss": SquaredError()}, True),
        ({"reg": NoReg(), "loss": DotRegression()}, True),
        ({"reg": AverageBudget()}, True),
        ({"reg": Sphere()}, True),
        ({"reg": WeightDecay(0, 1e-3), "classifier": Fixed(SimplexETF())}, True),
        ({"reg": WeightDecay(1e-3, 0), "classifier": Fixed(SimplexETF())}, False),
    ],
)
def test_whether_the_infimum_is_attained(fields, attained):
    assert problem(**fields).has_minimiser is attained


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"K": 1, "n": (1,)}, "K must be an integer of at least 2, got 1"),
        ({"K": 3.0}, "K must be an integer of at least 2, got 3.0"),
        ({"d": 0}, "d must be an integer of at least 1, got 0"),
        ({"d": "2"}, "d must be an integer of at least 1, got '2'"),
        ({"n": (4, 2)}, "n must have K=3 entries, got 2"),
        ({"n": (4, 2, 0)}, r"n\[2\] must be an integer of at least 1, got 0"),
        ({"n": (4, 2, -1)}, r"n\[2\] must be an integer of at least 1, got -1"),
        ({"n": (4, 2, 1.5)}, r"n\[2\] must be an integer of at least 1, got 1.5"),
        ({"n": 4}, "n must be a sequence of K=3 class sizes, got 4"),
        ({"weights": (1, 2)}, "weights must have K=3 entries, got 2"),
        ({"weights": (1, 2, 0)}, r"weights\[2\] must be a finite number > 0, got 0"),
        ({"weights": (1, 2, math.inf)}, r"weights\[2\] must be a finite number > 0, got inf"),
        ({"weights": (1, math.nan, 1)}, r"weights\[1\] must be a finite number > 0, got nan"),
        ({"weights": 2.0}, "weights must be a sequence of K=3 numbers, got 2.0"),
        ({"weights": "123"}, "weights must be a sequence of K=3 numbers, got '123'"),
        ({"loss": "ce"}, "loss must be a Loss, got 'ce'"),
        ({"loss": CrossEntropy}, "loss must be a Loss"),
        ({"reg": 5e-4}, "reg must be a Regulariser, got 0.0005; for example ufm.WeightDecay"),
        ({"bias": True}, "bias must be a Bias, got True"),
        ({"classifier": SimplexETF()}, "classifier must be a Classifier, got SimplexETF"),
        ({"d": 1, "classifier": Fixed(SimplexETF())}, "d must be at least K-1=2 .*, got 1"),
        ({"d": 2, "classifier": Fixed(OrthogonalFrame())}, "d must be at least K=3 .*, got 2"),
        (
            {"classifier": Fixed(ExplicitFrame(((1.0, 0.0),) * 2))},
            r"rows must be K x d = 3 x 2, got 2 x \[2\]",
        ),
        (
            {"classifier": Fixed(ExplicitFrame(((1.0, 0.0), (1.0,), (0.0, 1.0))))},
            r"rows must be K x d = 3 x 2, got 3 x \[1, 2\]",
        ),
    ],
)
def test_bad_problems(fields, message):
    with pytest.raises(ValueError, match=message) as error:
        problem(**fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [AverageBudget, VectorBudget, Sphere])
@pytest.mark.parametrize("name", ["E_W", "E_H"])
@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, "1", None])
def test_bad_budgets(kind, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a finite number > 0, got {value!r}"):
        kind(**{name: value})


@pytest.mark.parametrize("kind", [WeightDecay, ClassMeanDecay])
@pytest.mark.parametrize("name", ["lam_W", "lam_H"])
@pytest.mark.parametrize("value", [-1e-9, math.inf, math.nan, "1"])
def test_bad_ridges(kind, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a finite number >= 0, got {value!r}"):
        kind(**{name: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PenalisedBias(lam_b=0), "lam_b must be a finite number > 0, got 0"),
        (lambda: Fixed("etf"), "frame must be a Frame, got 'etf'"),
        (lambda: SimplexETF(E_W=-1), "E_W must be a finite number > 0, got -1"),
        (lambda: ExplicitFrame((1.0, 2.0)), "rows must be a K x d tuple of tuples"),
        (lambda: ExplicitFrame(((1.0, math.nan),)), r"rows\[0\]\[1\] must be a finite number, got"),
        (lambda: ExplicitFrame(("ab",)), r"rows\[0\]\[0\] must be a finite number, got 'a'"),
        (lambda: DotRegression(s=math.inf), "s must be a finite number > 0, got inf"),
    ],
)
def test_bad_parts(make, message):
    with pytest.raises(ValueError, match=message):
        make()
