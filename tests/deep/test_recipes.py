"""Recipes: found by name, keyed by what changes the network, torch-free."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from training import SMALL

from deep.methods import Centers, NearestETF
from deep.models.spec import WideResNet
from deep.recipe import Recipe
from deep.recipes import find, recipes
from ufm._spec import decode, encode


def test_every_recipe_survives_json_and_has_its_own_key():
    known = recipes()
    assert len({recipe.digest for recipe in known.values()}) == len(known) > 100
    for recipe in known.values():
        assert decode(encode(recipe)) == recipe
        assert recipe.source


def test_the_key_is_of_what_is_trained():
    other = dataclasses.replace(SMALL, name="x", source="y", differs=("z",), probe_every=5)
    assert other.digest == SMALL.digest
    for change in ({"lr": 0.06}, {"epochs": 4}, {"ema": 0.5}, {"method": Centers()}):
        assert dataclasses.replace(SMALL, **change).digest != SMALL.digest


def test_published_sizes_need_the_widening_that_the_recipe_names():
    recipe = find("yan2024-cifar100-lt200-cal")
    assert recipe.method.d == 2100 > recipe.network.width == 2048
    assert any("widened" in sentence for sentence in recipe.differs)
    assert find("yan2024-cifar10-lt200-cal").method.d == 0


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(ValueError, match=r"near: digits-etf-dr.*got 'digits-etfdr'"):
        find("digits-etfdr")


def test_the_list_does_not_load_torch():
    code = "import sys, deep.recipes as r; r.recipes(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 10, "accumulate": 4}, "accumulate must divide batch=10"),
        ({"ema": 1.0}, "ema must be below 1"),
        ({"lr": 0.0}, "lr"),
        ({"name": "a b"}, "name must be a folder's name"),
        ({"network": "resnet"}, "network must be a spec"),
        ({"sampling": "balanced"}, "sampling must be"),
        ({"precision": "fp8"}, "precision must be"),
    ],
)
def test_bad_recipes(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


def test_the_nearest_frame_takes_no_mixed_samples():
    mixed = dataclasses.replace(SMALL.augment, mixup=1.0)
    with pytest.raises(ValueError, match="mixup must be 0 for NearestETF"):
        dataclasses.replace(SMALL, method=NearestETF(), augment=mixed)
    assert isinstance(dataclasses.replace(SMALL, method=NearestETF()), Recipe)


def test_long_tailed_cifar100_is_normalised_by_the_constants_of_cifar10():
    # As MiSLAS's loader does, which both papers took over; CIFAR-100's own are (.5071, ...).
    for name in ("yang2022-cifar100-lt100-etf-dr", "yan2024-cifar100-lt200-cal"):
        assert find(name).data.mean == (0.4914, 0.4822, 0.4465)
        assert find(name).data.std == (0.2023, 0.1994, 0.2010)
    assert find("liang2023-cifar100-haframe").data.mean == ()  # the source's own constants


def test_the_wide_network_is_the_released_one():
    # Leaky activation, slow statistics, raw input of the second and third stage's first block.
    network = find("liang2023-cifar100-haframe").network
    assert network == WideResNet(28, k=8, leak=0.1, momentum=0.001, raw_transitions=True)
