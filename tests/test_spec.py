"""Specs: equality, canonical text, keys and the way back."""

import json

import pytest

import ufm
from ufm._spec import TYPES, canonical, decode, digest, encode, spec
from ufm.problem import Learnable


SPECS = [
    ufm.Problem(K=3, d=2, n=(4, 2, 1)),
    ufm.Problem(
        K=3,
        d=2,
        n=(4, 2, 1),
        loss=ufm.DotRegression(s=1.5),
        reg=ufm.VectorBudget(E_W=2, E_H=0.1),
        bias=ufm.PenalisedBias(lam_b=1e-3),
        classifier=ufm.Fixed(ufm.SimplexETF(E_W=2)),
        weights=(1.0, 2.0, 1 / 3),
    ),
    ufm.Problem(
        K=2, d=2, n=(1, 1), classifier=ufm.Fixed(ufm.ExplicitFrame(((1.0, 0.1), (0.2, 3e-300))))
    ),
    ufm.LBFGS(memory=5),
    ufm.Newton(),
    ufm.GradientFlow(t_end=10, spacing="linear"),
    ufm.GradientDescent(lr=0.1),
    ufm.Convex(form="sdp", eps=1e-9),
    ufm.ClosedForm(),
    ufm.WeightDecay(),
    ufm.ClassMeanDecay(),
    ufm.Sphere(E_W=2),
    ufm.NoReg(),
]


@pytest.mark.parametrize("value", SPECS, ids=lambda value: type(value).__name__)
def test_round_trip_through_json_text(value):
    again = decode(json.loads(canonical(value)))
    assert again == value
    assert type(again) is type(value)
    assert hash(again) == hash(value)
    assert digest(again) == digest(value)


def test_type_names_are_part_of_the_key():
    # Equal fields, different meaning: a key made of fields alone would collide.
    problems = [
        ufm.Problem(K=3, d=2, n=(1, 1, 1), reg=reg)
        for reg in (ufm.AverageBudget(), ufm.VectorBudget(), ufm.Sphere())
    ]
    assert len({digest(problem) for problem in problems}) == 3
    assert len(set(problems)) == 3


def test_equal_specs_have_equal_keys_however_they_were_written():
    a = ufm.Problem(K=3, d=2, n=(4, 2, 1), reg=ufm.AverageBudget(E_W=1, E_H=4))
    b = ufm.Problem(K=3, d=2, n=[4, 2, 1], reg=ufm.AverageBudget(E_H=4.0), weights=(1, 1, 1))
    assert a == b
    assert digest(a) == digest(b)
    assert a.classifier == Learnable()


def test_every_digit_counts():
    a, b = ufm.AverageBudget(E_W=0.1 + 0.2), ufm.AverageBudget(E_W=0.3)
    assert digest(a) != digest(b)


def test_keys_do_not_change_by_accident():
    # Stored runs are found by these keys. Change the number only together with the store's version.
    text = (
        '{"K":3,"bias":{"type":"NoBias"},"classifier":{"type":"Learnable"},"d":2,'
        '"loss":{"type":"CrossEntropy"},"n":[4,2,1],'
        '"reg":{"lam_H":0.0005,"lam_W":0.0005,"type":"WeightDecay"},"type":"Problem",'
        '"weights":null}'
    )
    assert canonical(SPECS[0]) == text
    assert digest(SPECS[0]) == "787b73f0ca344d1a"


def test_plain_data_passes_through():
    data = {"a": [1, 2.5, None, True], "b": "x"}
    assert encode(data) == data
    assert decode(data) == {"a": (1, 2.5, None, True), "b": "x"}


@pytest.mark.parametrize("value", [object(), {1, 2}, ufm.CrossEntropy, b"x", 1j])
def test_only_specs_and_plain_numbers_are_encoded(value):
    with pytest.raises(TypeError, match="value must be made of specs and plain numbers"):
        encode(value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"type": "NoSuchThing"}, "type must be one of .*, got 'NoSuchThing'"),
        ({"type": "NoReg", "lam": 1.0}, "fields of NoReg must fit its signature"),
        ({"type": "Problem", "K": 3}, "fields of Problem must fit its signature"),
        ({"type": "AverageBudget", "E_W": -1.0}, "E_W must be a finite number > 0, got -1.0"),
    ],
)
def test_bad_data(data, message):
    with pytest.raises(ValueError, match=message):
        decode(data)


def test_names_are_unique():
    with pytest.raises(ValueError, match="spec names must be unique, got 'NoReg' twice"):

        @spec
        class NoReg:
            pass

    assert TYPES["NoReg"] is ufm.NoReg
