"""One step: its loss and gradient against formulas, accumulation, averaging, what moves."""

from __future__ import annotations

import copy
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tolerances import EXACT
from training import SMALL, images, step_of

from deep.data import draw_epoch
from deep.data.augment import normalised
from deep.data.spec import NO_AUGMENT, Augment
from deep.distributed import World
from deep.evaluate import Evaluation
from deep.methods import CE, ETFDR, Centers, CentersMSE, LogitAdjustedCE
from deep.model import Shape, assemble
from deep.objective import optimiser
from deep.recipe import Recipe
from deep.recipes.digits import METHODS
from deep.step import Step


MIXED = dataclasses.replace(NO_AUGMENT, mixup=0.7)
TINY = dataclasses.replace(SMALL, batch=12, lr=0.1)


def plan_of(recipe: Recipe, data, *, seed: int = 0, epoch: int = 0):
    return draw_epoch(
        data.train.labels, batch=recipe.batch, augment=recipe.augment, seed=seed, epoch=epoch
    )


def test_mixup_is_the_two_target_formula():
    recipe, data = dataclasses.replace(TINY, augment=MIXED), images()
    step, plan = step_of(recipe, data), plan_of(recipe, data)
    twin = copy.deepcopy(step.model)
    step.begin(plan, epoch=0)
    step(0)

    x = normalised(data.train.pixels[plan.index[0]], data.mean, data.std)
    y, lam, partner = data.train.labels[plan.index[0]], plan.share[0], plan.partner[0]
    Z = twin(lam * x + (1 - lam) * x[partner])
    ce = torch.nn.functional.cross_entropy
    loss = lam * ce(Z, y) + (1 - lam) * ce(Z, y[partner])
    torch.testing.assert_close(step.tally.losses[0], loss.detach(), rtol=1e-6, atol=0)  # float32
    loss.backward()
    rate = recipe.rate(0)
    for mine, theirs in zip(step.model.parameters(), twin.parameters(), strict=True):
        moved = theirs - rate * (theirs.grad + recipe.weight_decay * theirs)
        torch.testing.assert_close(mine, moved, rtol=1e-5, atol=1e-7)  # float32


@pytest.mark.parametrize("augment", [NO_AUGMENT, MIXED])
@pytest.mark.parametrize("method", [CE(), LogitAdjustedCE()])
def test_accumulation_equals_the_large_batch(method, augment):
    recipe, data = dataclasses.replace(TINY, method=method, augment=augment), images()
    whole = step_of(recipe, data)
    parts = step_of(dataclasses.replace(recipe, accumulate=3), data)
    for step in (whole, parts):
        step.begin(plan_of(recipe, data), epoch=0)
        for s in range(2):
            step(s)
    torch.testing.assert_close(whole.tally.losses, parts.tally.losses, rtol=1e-5, atol=0)  # float32
    torch.testing.assert_close(whole.tally.right, parts.tally.right, rtol=1e-5, atol=0)
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)  # float32, sums in another order


def test_average_by_hand():
    recipe, data = dataclasses.replace(TINY, ema=0.75), images()
    step = step_of(recipe, data)
    start = [p.detach().clone() for p in step.model.parameters()]
    step.begin(plan_of(recipe, data), epoch=0)
    step(0)
    first = [p.detach().clone() for p in step.model.parameters()]
    step(1)
    second = [p.detach().clone() for p in step.model.parameters()]
    averages = list(step.average.values())
    for mean, p0, p1, p2 in zip(averages, start, first, second, strict=True):
        by_hand = 0.75 * (0.75 * p0 + 0.25 * p1) + 0.25 * p2
        torch.testing.assert_close(mean, by_hand, rtol=1e-5, atol=1e-7)  # float32
    with step.averaged():
        assert all(torch.equal(p, m) for p, m in zip(step.model.parameters(), averages,
                                                     strict=True))  # fmt: skip
    assert all(torch.equal(p, q) for p, q in zip(step.model.parameters(), second, strict=True))


def test_averaged_weights_are_evaluated_with_averaged_statistics():
    recipe, data = dataclasses.replace(TINY, ema=0.75, method=ETFDR()), images()
    step = step_of(recipe, data)
    names = [name for name in step.average if "running" in name]
    assert len(names) == 2  # mean and variance of the head's batch norm; not its frame
    assert step.average.keys() - dict(step.model.named_parameters()).keys() == set(names)
    places = step.model.state_dict()
    by_hand = {name: places[name].clone() for name in names}
    step.begin(plan_of(recipe, data), epoch=0)
    for s in range(2):
        step(s)
        for name in names:
            by_hand[name] = 0.75 * by_hand[name] + 0.25 * places[name]
    last = {name: places[name].clone() for name in names}
    with step.averaged():
        for name in names:
            torch.testing.assert_close(places[name], by_hand[name], rtol=1e-5, atol=1e-7)  # float32
    assert all(torch.equal(places[name], last[name]) for name in names)


@pytest.mark.parametrize("error", [RuntimeError("no C compiler"), OSError("no C compiler")])
def test_a_machine_that_cannot_compile_trains_uncompiled(monkeypatch, error):
    def compiler(call):
        def compiled(*arguments, **options):
            raise error

        return compiled

    monkeypatch.setattr(torch, "compile", compiler)
    recipe, data = dataclasses.replace(TINY, augment=MIXED, method=ETFDR()), images()
    steps = [step_of(recipe, data, compiled=compiled) for compiled in (True, False)]
    for step in steps:
        step.begin(plan_of(recipe, data), epoch=0)
        step.prepare()
        for s in range(2):
            step(s)
    assert [step.engine for step in steps] == [
        "eager, compilation refused: no C compiler", "eager",
    ]  # fmt: skip
    assert torch.equal(steps[0].tally.losses, steps[1].tally.losses)  # the trial left no trace
    for a, b in zip(*(step.model.state_dict().values() for step in steps), strict=True):
        assert torch.equal(a, b)
    assert bool(Evaluation(steps[0])().isfinite().all())


def test_fixed_frames_stay_and_learned_classifiers_move():
    data = images()
    for method, moves in ((ETFDR(), False), (CE(), True)):
        step = step_of(dataclasses.replace(TINY, method=method), data)
        before = step.model.head.frame.detach().clone()
        step.begin(plan_of(TINY, data), epoch=0)
        step(0)
        assert torch.equal(before, step.model.head.frame) is not moves
        assert not moves or step.model.head.frame.requires_grad


def test_rates_of_classifier_and_body():
    recipe = dataclasses.replace(TINY, body=0.1)
    step = step_of(recipe, images())
    sizes = [sum(p.numel() for p in group["params"]) for group in step.optimiser.param_groups]
    head, body = step.model.head, step.model.backbone
    assert sizes == [
        head.frame.numel() + head.bias.numel(),
        sum(p.numel() for p in body.parameters()),
    ]
    step.begin(plan_of(recipe, images()), epoch=2)
    rates = [group["lr"] for group in step.optimiser.param_groups]
    assert rates == pytest.approx([0.01, 0.001], rel=EXACT)


def test_a_zero_momentum_buffer_is_the_optimisers_own_start():
    model = step_of(TINY, images()).model
    twin = copy.deepcopy(model)
    mine = optimiser(model, TINY, torch.device("cpu"))
    theirs = torch.optim.SGD(twin.parameters(), lr=TINY.lr, momentum=0.9, weight_decay=1e-3)
    for _ in range(3):
        for network, sgd in ((model, mine), (twin, theirs)):
            sgd.zero_grad()
            network(torch.ones(4, 2, 4, 4)).square().mean().backward()
            sgd.step()
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)  # float32, fused against not


def test_parts_of_the_processes_are_the_batch():
    parts = [World(rank, 2).parts(24, 3) for rank in range(2)]
    rows = [row for part in parts for piece in part for row in range(24)[piece]]
    assert rows == list(range(24))
    assert World().parts(24, 1) == [None]
    with pytest.raises(ValueError, match="batch must divide into 2 processes x 5 parts, got 24"):
        World(0, 2).parts(24, 5)


def test_the_loss_of_an_epoch_is_read_from_the_device_in_one_piece():
    data = images()
    step = step_of(TINY, data)
    step.begin(plan_of(TINY, data), epoch=0)
    for s in range(2):
        step(s)
    assert step.tally.losses.shape == (2,)
    assert bool((step.tally.losses > 0).all())
    step.begin(plan_of(TINY, data, epoch=1), epoch=1)
    assert float(step.tally.losses.abs().sum()) == 0 == float(step.tally.right)


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"nearest-etf"}))
@pytest.mark.parametrize("sampled", [Augment(crop=1, flip=True, cutout=2, mixup=1.0), NO_AUGMENT])
def test_a_step_neither_reads_the_device_nor_copies_numbers_to_it(name, sampled, monkeypatch):
    # What a captured CUDA graph forbids; constants may be made in the first step, the warm-up.
    method = METHODS[name]
    if method.__class__ in (Centers, CentersMSE):
        method = dataclasses.replace(method, f=2.0, d=32)
    if hasattr(method, "tree") and not isinstance(method, CE):
        method = dataclasses.replace(method, tree="digits")
    data = images(K=10)
    recipe = dataclasses.replace(TINY, method=method, augment=sampled, ema=0.5)
    step = step_of(recipe, data)
    step.begin(draw_epoch(data.train.labels, batch=12, augment=sampled, seed=0, epoch=0,
                          size=(4, 4)), epoch=0)  # fmt: skip
    evaluation = Evaluation(step)
    step(0)
    evaluation()

    def forbidden(*_, **__):
        raise AssertionError("host and device met inside a step")

    for function in ("item", "tolist", "cpu", "numpy", "nonzero", "new_tensor", "__bool__",
                     "__float__", "__int__", "__index__"):  # fmt: skip
        monkeypatch.setattr(torch.Tensor, function, forbidden)
    for function in ("tensor", "from_numpy", "nonzero"):
        monkeypatch.setattr(torch, function, forbidden)
    # Of a tensor it is the tensor.
    as_tensor = lambda x: x if isinstance(x, torch.Tensor) else forbidden()  # noqa: E731
    monkeypatch.setattr(torch, "as_tensor", as_tensor)
    step.graphs = False
    losses, right = step._update(tuple(t[1] for t in step.plan))
    evaluation()
    monkeypatch.undo()
    assert bool(losses.isfinite())
    assert right.shape == ()


def test_the_captured_form_of_a_step_is_the_step():
    data, mixed = images(), dataclasses.replace(TINY, augment=MIXED, ema=0.5, method=ETFDR())
    steps = [step_of(mixed, data) for _ in range(2)]
    for step in steps:
        step.begin(plan_of(mixed, data), epoch=0)
    plain, captured = steps
    with captured._unchanged():  # the warm-up leaves no trace
        for _ in range(3):
            captured._next()
    for s in range(2):
        plain(s)
        captured._next()
    assert torch.equal(plain.tally.losses, captured.tally.losses)
    assert torch.equal(plain.tally.right, captured.tally.right)
    assert int(captured.tally.cursor) == 0
    a, b = (step.model.state_dict() for step in steps)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert plain.average.keys() == captured.average.keys()
    assert all(torch.equal(plain.average[name], captured.average[name]) for name in plain.average)


COMPILED = """
import dataclasses, sys, torch
from training import NO_AUGMENT, SMALL, images, step_of
from deep.data import draw_epoch
from deep.recipes.digits import METHODS
method = METHODS[sys.argv[1]]
if sys.argv[1] == "cal":
    method = dataclasses.replace(method, f=2.0, d=32)
mixed = dataclasses.replace(NO_AUGMENT, mixup=0.7)
recipe = dataclasses.replace(SMALL, method=method, augment=mixed, batch=16)
data, found = images(K=10), []
for compiled in (False, True):
    step = step_of(recipe, data, compiled=compiled)
    for epoch in (0, 2):  # the second one has another loss under deferred weights
        plan = draw_epoch(data.train.labels, batch=16, augment=mixed, seed=0, epoch=epoch)
        step.begin(plan, epoch=epoch)
        for s in range(len(plan)):
            step(s)
    found.append(step.tally.losses)
torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)  # float32, other kernels
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ldam-drw", "etf-dr-global", "cal"])
def test_compiled_steps_are_the_eager_ones(name):
    # Without the shape checks of the tests, as users compile.
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (tests, tests.parent)))}
    done = subprocess.run([sys.executable, "-c", COMPILED, name], env=environment, check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")  # the compiler warns of what it could do better
@pytest.mark.parametrize("name", sorted(METHODS))
def test_captured_steps_train_like_eager_ones(name):
    method = METHODS[name]
    if isinstance(method, Centers | CentersMSE):
        method = dataclasses.replace(method, f=2.0, d=32)
    data = images(K=10, n=24).to("cuda")
    sampled = Augment(crop=1, flip=True, mixup=0.0 if name == "nearest-etf" else 1.0)
    recipe = dataclasses.replace(TINY, method=method, augment=sampled, batch=48)
    plan = draw_epoch(data.train.labels, batch=48, augment=sampled, seed=0, epoch=0)
    states, engines = [], []
    for options in ({}, {"compiled": False, "graphs": False}):
        model, built = assemble(recipe, Shape(data.train.n, 2, (4, 4)), seed=0)
        step = Step(model.to("cuda"), built, recipe, data, **options)
        step.begin(plan, epoch=0)
        for s in range(len(plan)):
            step(s)
        torch.cuda.synchronize()
        states.append(step.tally.losses.cpu())
        engines.append(step.engine)
    assert engines[1] == "eager"
    # Decompositions and solves are not captured: the libraries do not say that they may be.
    decomposes = name == "nearest-etf" or name.startswith("rbl")
    assert engines[0].startswith("compiled, not captured: " if decomposes else "compiled, captured")
    torch.testing.assert_close(*states, rtol=1e-3, atol=1e-4)  # float32, other kernels
