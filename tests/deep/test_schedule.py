"""Schedules against the papers' milestones."""

from __future__ import annotations

import math

import pytest
from tolerances import EXACT

from deep.commands.train import adapted
from deep.recipes import find
from deep.schedule import Cosine, Steps


def test_yang2022_drops_behind_160_and_180():
    recipe = find("yang2022-cifar10-lt100-etf-dr")
    rates = [recipe.rate(epoch) for epoch in range(recipe.epochs)]
    # The released code counts epochs from 1: e/5 up to 5, drops from 161 and from 181 on.
    for epoch, rate in enumerate(rates, start=1):
        expected = 0.1 * (epoch / 5 if epoch <= 5 else 0.01 if epoch > 180 else 0.1 if epoch > 160
                          else 1)  # fmt: skip
        assert rate == pytest.approx(expected, rel=EXACT)


def test_liang2023_cosine_an_epoch_and_a_tenth_for_the_body():
    recipe = find("liang2023-cifar100-ce")
    for epoch in range(recipe.epochs):
        expected = 0.05 * (1 + math.cos(math.pi * epoch / 100))
        assert recipe.rate(epoch) == pytest.approx(expected, rel=EXACT)
    assert recipe.body == 0.1


def test_cosine_behind_a_warm_up_starts_at_the_top():
    schedule = Cosine(warmup=2)
    assert [schedule.at(epoch, 10) for epoch in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert schedule.at(6, 10) == pytest.approx(0.5, rel=EXACT)


@pytest.mark.parametrize(
    "name", ["digits-ce", "yang2022-cifar10-lt100-ce", "fashion-lt-ce", "liang2023-cifar100-ce"]
)
def test_another_length_has_the_same_factors_at_the_same_shares(name):
    recipe = find(name)
    # Epoch by epoch the longer training has each factor twice, up to the steps of the warm-up.
    twice = adapted(recipe, epochs=2 * recipe.epochs)
    warm = twice.schedule.warmup
    assert warm == 2 * recipe.schedule.warmup
    for epoch in range(recipe.schedule.warmup, recipe.epochs):
        pair = [twice.rate(2 * epoch + i) for i in (0, 1)]
        if isinstance(recipe.schedule, Steps):
            assert pair == [recipe.rate(epoch)] * 2
        else:
            assert pair[0] == pytest.approx(recipe.rate(epoch), rel=EXACT)


def test_short_trainings_keep_every_drop_in_order():
    yang = Steps((160, 180), warmup=5)
    assert yang.stretched(20 / 200) == Steps((16, 18), warmup=1)
    assert yang.stretched(40 / 200) == Steps((32, 36), warmup=1)
    for epochs in range(1, 30):
        short = yang.stretched(epochs / 200)
        assert short.milestones[0] < short.milestones[1]
        assert abs(short.milestones[0] - 0.8 * epochs) <= 0.5
        assert short.at(epochs - 1, epochs) > 0
    assert Cosine(warmup=4).stretched(0.5) == Cosine(warmup=2)
    assert (str(yang), str(Cosine())) == ("drops behind 160 and 180, warm-up of 5 epochs", "cosine")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"milestones": (3, 3)}, "milestones must rise"),
        ({"milestones": (0,)}, r"milestones\[0\]"),
        ({"factor": 2.0}, "factor must be at most 1"),
        ({"warmup": -1}, "warmup"),
    ],
)
def test_bad_schedules(arguments, message):
    with pytest.raises(ValueError, match=message):
        Steps(**arguments)
