"""Every method: builds, learns, keeps its frame, decides by its published rule."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tolerances import EXACT
from training import SMALL, images, step_of

from deep.building import build, centers_of
from deep.data import draw_epoch, load
from deep.data.spec import Data
from deep.methods import (
    CE,
    LDAMDRW,
    CalibratedTargets,
    Centers,
    CentersMSE,
    ClassWeightedCE,
    HierarchyMix,
    Method,
)
from deep.model import Shape, assemble
from deep.recipes.digits import METHODS
from deep.step import Step
from deep.trees import tree
from ufm.center_counts import class_aware_centers
from ufm.hierarchy import distance_matrix


N = tuple(range(20, 0, -2))
LEARNED = {"ce", "ce-residual", "class-weighted", "logit-adjusted", "arb", "ldam-drw",
           "targets-learnable", "rbl", "rbl-simplex"}  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    return load(Data("digits"))


@pytest.mark.parametrize("name", METHODS)
def test_a_few_steps_lower_the_loss_and_move_what_is_learned(digits, name):
    method = METHODS[name]
    wide = dataclasses.replace(SMALL.network, widths=(256,))
    # P pulls features of length one with small forces; scaled cosines (LDAM) bear no large steps.
    lr = 0.5 if name == "p" else 0.04
    recipe = dataclasses.replace(SMALL, name=name, method=method, network=wide, lr=lr)
    shape = Shape(digits.train.n, 1, (8, 8))
    model, built = assemble(recipe, shape, seed=0)
    step = Step(model, built, recipe, digits)
    before = model.head.frame.detach().clone()
    losses = []
    for epoch in range(2):
        plan = draw_epoch(digits.train.labels, batch=64, augment=recipe.augment, seed=0,
                          epoch=epoch)  # fmt: skip
        step.begin(plan, epoch=epoch)
        for s in range(len(plan)):
            step(s)
        losses.append(float(step.tally.losses[-10:].mean() if epoch else step.tally.losses[0]))
    assert losses[1] < 0.8 * losses[0]
    moved = not torch.equal(before, model.head.frame)
    assert moved == (name in LEARNED or name == "nearest-etf")
    assert float(step.tally.right) / (len(plan) * 64) > 0.5  # chance is 0.1
    with torch.no_grad():
        features = model.eval().features(torch.randn(5, 1, 8, 8))
        for rule in built.rules.values():
            assert rule(features, model.head).shape == (5, 10)


@pytest.mark.parametrize(
    ("method", "there", "needed"),
    [
        (Centers(f=20.0), "the network's 64 features", "at least sum.f.*210, got 64"),
        (Centers(f=20.0, d=100), "d=100", "at least sum.f.*210, got 100"),
        (HierarchyMix(tree="digits", d=5), "d=5", "at least 9"),
    ],
)
def test_too_few_dimensions_are_said_with_both_numbers(method, there, needed):
    with pytest.raises(ValueError, match=f"does not fit {there}.*{needed}.*set the method's d"):
        build(method, width=64, n=N)


def test_widening_makes_the_frame_fit():
    built = build(Centers(d=210), width=64, n=N)
    assert (built.head.d, built.head.K) == (210, 10)
    assert next(iter(built.rules)) == "regular"


def test_a_recipe_names_itself_when_its_frame_does_not_fit():
    recipe = dataclasses.replace(SMALL, method=Centers())
    with pytest.raises(ValueError, match=r"recipe small: Centers does not fit .* 32 features"):
        step_of(recipe, images())


def test_numbers_of_centers():
    assert centers_of(Centers(counts="equal", f=3), N) == (3,) * 10
    assert centers_of(CentersMSE(), N) == class_aware_centers(N, 20)
    assert sum(centers_of(Centers(counts="proportional"), N)) == 200
    with pytest.raises(ValueError, match="counts must be equal"):
        centers_of(Centers(counts="equal", f=2.5), N)


def test_a_tree_of_another_data_set_is_refused():
    with pytest.raises(ValueError, match=r"tree must have the data's K=10 leaves.*has 100"):
        build(HierarchyMix(tree="cifar100_level5"), width=64, n=N)
    with pytest.raises(ValueError, match="tree must be one of digits"):
        tree("insects")


def test_post_hoc_adjustment_and_least_cost():
    built = build(CE(tree="digits"), width=16, n=N)
    h = torch.randn(4, 16)
    Z = built.head.logits(h)
    prior = torch.tensor(N).double()
    expected = Z - (prior / prior.sum()).log()
    torch.testing.assert_close(
        built.rules["adjusted"](h, built.head), expected.float(), rtol=1e-5, atol=1e-6
    )  # float32
    D = torch.tensor(distance_matrix(tree("digits"))).double()
    cost = (Z.double().softmax(-1)[:, None, :] * D[None]).sum(-1)
    assert built.rules["crm"](h, built.head).argmax(-1).equal(cost.argmin(-1))


def test_alpha_rises_along_training():
    built = build(HierarchyMix(tree="digits", alpha=0.4, rise="linear_rise"), width=16, n=N)
    assert built.loss_at(25, 100).alpha == pytest.approx(0.1, rel=EXACT)
    assert built.loss_at(0, 100) == built.loss_at(0, 100)


@pytest.mark.parametrize("method", [LDAMDRW(), ClassWeightedCE(start=0.8)])
def test_class_weights_are_deferred_to_160_of_200(method: Method):
    built = build(method, width=16, n=N)
    assert built.loss_at(159, 200) == built.loss_at(0, 200) != built.loss_at(160, 200)


def test_calibrated_targets_are_reached_by_the_frame():
    built = build(CalibratedTargets(tree="digits", d=9, beta=5.0), width=16, n=N)
    W, y = built.head.frame, torch.arange(10)
    assert float(built.loss_at(0, 1).value(5.0 * W, W, y).max()) < 1e-6  # float32


@pytest.mark.parametrize("name", sorted(METHODS))
def test_equal_seeds_draw_equal_networks(name):
    recipe = dataclasses.replace(
        SMALL, method=METHODS[name], network=dataclasses.replace(SMALL.network, widths=(256,))
    )
    shape = Shape(N, 1, (8, 8))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, second = (assemble(recipe, shape, seed=3)[0].state_dict() for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = assemble(recipe, shape, seed=4)[0].state_dict()
    assert any(not torch.equal(first[key], other[key]) for key in first)
