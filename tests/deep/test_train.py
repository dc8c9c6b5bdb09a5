"""Training: stopped and resumed to the same bits, failing without loss, many seeds as one."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
import weakref

import pytest
import torch
from tolerances import EXACT
from training import FULL, SMALL, images, step_of

from deep import checkpoint, run
from deep.data import load
from deep.distributed import ALONE
from deep.interrupt import Interrupt
from deep.memory import fitting_batch
from deep.methods import NearestETF
from deep.model import restore
from deep.run import Outcome
from deep.step import Step
from deep.train import _drive, train, train_many


FOLLOWS = dataclasses.replace(SMALL, name="follows", method=NearestETF(), accumulate=2)


def stop_at(monkeypatch, count):
    """Make the next training stop before its step ``count``, as a signal would."""
    asked = []

    def due(self):
        asked.append(True)
        if len(asked) > count + 1:  # the first time is before any step
            self.signal = signal.SIGTERM
        return len(asked) > count + 1

    monkeypatch.setattr(Interrupt, "due", due)


def same(a, b):
    """Whether two checkpoints hold the same bits (but for times)."""
    assert a.keys() == b.keys()
    for key in ("model", "momentum", "average"):
        if a[key] is None:
            assert b[key] is None
            continue
        pairs = zip(a[key], b[key], strict=True) if key == "momentum" else (
            (a[key][name], b[key][name]) for name in a[key])  # fmt: skip
        assert all(torch.equal(x, y) for x, y in pairs), key
    rows = [json.loads(state["rows"]) for state in (a, b)]
    for row in (*rows[0], *rows[1]):
        del row["seconds"], row["images_per_second"]
    assert json.dumps(rows[0]) == json.dumps(rows[1])  # NaN equals NaN there
    return True


@pytest.mark.parametrize("recipe", [SMALL, FULL, FOLLOWS], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("at", [1, 30, 44])
def test_interrupted_and_resumed_is_uninterrupted(recipe, at, tmp_path, monkeypatch):
    whole = train(recipe, out=tmp_path / "whole", seed=5)
    assert whole.outcome is Outcome.FINISHED
    assert [row["epoch"] for row in whole.rows] == [1, 2, 3]

    with monkeypatch.context() as patch:
        stop_at(patch, at)
        part = train(recipe, out=tmp_path / "part", seed=5)
    assert part.outcome is Outcome.INTERRUPTED
    assert (part.signal, part.message) == (signal.SIGTERM, "stopped by SIGTERM")
    state = checkpoint.load(part.folder)
    assert state["epoch"] * 22 + state["at"] == at
    torch.randn(3)  # the global generator has no say

    rest = train(recipe, out=tmp_path / "part", seed=5)
    assert rest.outcome is Outcome.FINISHED
    assert same(checkpoint.load(whole.folder), checkpoint.load(rest.folder))
    lines = (rest.folder / run.LOG).read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    again = train(recipe, out=tmp_path / "part", seed=5)
    assert again.rows == rest.rows


def test_a_signal_saves_and_exits(tmp_path):
    arguments = [
        sys.executable, "-m", "deep", "train", "digits-ce", "--seeds", "0", "--device", "cpu",
        "--out", str(tmp_path), "--epochs", "500",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True,
                               stdout=subprocess.PIPE)  # fmt: skip
    folder = tmp_path / "digits-ce-500epochs" / "seed0"
    until = time.monotonic() + 60
    while not (folder / run.LOG).exists() or not (folder / run.LOG).read_text():
        assert time.monotonic() < until
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "interrupted: stopped by SIGTERM" in out
    state = checkpoint.load(folder)
    assert state["epoch"] >= 1
    assert len(json.loads(state["rows"])) == state["epoch"]


def test_the_time_limit_stops_like_a_signal(tmp_path):
    result = train(SMALL, out=tmp_path, limit=0.0)
    assert (result.outcome, result.signal, result.message) == (
        Outcome.INTERRUPTED, 0, "time is up",
    )  # fmt: skip


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SAVE_EVERY", 0.0)
    broken = dataclasses.replace(SMALL, name="broken", epochs=4)
    calls = []
    update = Step._update

    def poisoned(self, rows):
        loss, right = update(self, rows)
        calls.append(loss)
        return (loss * float("nan") if len(calls) == 2 * 22 + 5 else loss), right

    monkeypatch.setattr(Step, "_update", poisoned)
    result = train(broken, out=tmp_path)
    assert result.outcome is Outcome.NONFINITE
    assert "got nan in step 5 of epoch 3 (steps 49 to 66 of the run)" in result.message
    assert "checkpoint behind epoch 2, step 0 is kept" in result.message
    assert checkpoint.load(result.folder)["epoch"] == 2
    assert [row["epoch"] for row in result.rows] == [1, 2]


def test_weights_that_are_not_finite_are_not_saved_although_the_loss_is(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SAVE_EVERY", 0.0)
    calls = []
    update = Step._update

    def poisoned(self, rows):
        out = update(self, rows)
        calls.append(out)
        if len(calls) == 2 * 22:  # the last step of the second epoch has no loss behind it
            with torch.no_grad():
                self.model.head.frame[0, 0] = float("inf")
        return out

    monkeypatch.setattr(Step, "_update", poisoned)
    result = train(SMALL, out=tmp_path)
    assert result.outcome is Outcome.NONFINITE
    assert "behind step 22 of epoch 2" in result.message
    assert "checkpoint behind epoch 1, step 0 is kept" in result.message
    state = checkpoint.load(result.folder)
    assert state["epoch"] == 1
    assert all(t.isfinite().all() for t in state["model"].values())


def test_a_device_that_does_not_hold_the_networks_says_how_many_fit(tmp_path, monkeypatch):
    start = run.Run.start

    def full(recipe, seed, *rest, **named):
        if seed:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return start(recipe, seed, *rest, **named)

    monkeypatch.setattr(run.Run, "start", full)
    assert train(SMALL, out=tmp_path, limit=0).outcome is Outcome.INTERRUPTED
    with pytest.raises(MemoryError, match=r"data and network must fit .*\(CUDA out of memory\)$"):
        train(SMALL, out=tmp_path, seed=1)


def test_averaged_weights_leave_although_the_evaluation_fails():
    step = step_of(dataclasses.replace(FULL, batch=8), images())
    before = [p.clone() for p in step.model.parameters()]
    for mean in step.average.values():
        mean.add_(1)

    def fail():
        with step.averaged():
            assert not torch.equal(before[0], next(step.model.parameters()))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert all(map(torch.equal, before, step.model.parameters()))


@pytest.mark.parametrize(
    ("seeds", "limit", "message"),
    [
        ((-1,), 1.0, r"seeds must be distinct, at least 0 and at least one, got \[-1\]"),
        ((0,), -1.0, "limit must be at least 0 seconds, got -1"),
        ((0,), float("nan"), "limit must be at least 0 seconds, got nan"),
    ],
)
def test_seeds_and_limit_are_checked(tmp_path, seeds, limit, message):
    with pytest.raises(ValueError, match=message):
        train_many(SMALL, seeds, out=tmp_path / "out", limit=limit)
    assert not (tmp_path / "out").exists()


def test_a_diverging_rate_is_found_and_named(tmp_path):
    wild = dataclasses.replace(SMALL, name="wild", lr=1e30)
    result = train(wild, out=tmp_path)
    assert result.outcome is Outcome.NONFINITE
    assert checkpoint.load(result.folder)["epoch"] == 0
    assert all(t.isfinite().all() for t in checkpoint.load(result.folder)["model"].values())


def test_out_of_memory_says_the_batch_that_fits(tmp_path, monkeypatch):
    call = Step._images

    def small_memory(self, index, corner, flip, hole):
        if len(index) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return call(self, index, corner, flip, hole)

    monkeypatch.setattr(Step, "_images", small_memory)
    result = train(SMALL, out=tmp_path)
    assert result.outcome is Outcome.OUT_OF_MEMORY
    assert "batch 64 in 1 parts does not fit (CUDA out of memory)" in result.message
    assert "16 samples at a time do: set batch=16, or keep the batch with accumulate=4" in (
        result.message
    )
    assert checkpoint.load(result.folder)["epoch"] == 0


def test_what_a_failed_step_held_is_free_for_the_smaller_ones(tmp_path, monkeypatch):
    held: list[weakref.ref] = []
    call = Step._images

    def failing(self, index, corner, flip, hole):
        maps = torch.zeros(3)
        if not held:
            held.append(weakref.ref(maps))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        assert held[0]() is None
        return call(self, index, corner, flip, hole)

    monkeypatch.setattr(Step, "_images", failing)
    assert "32 samples at a time do" in train(SMALL, out=tmp_path).message


def test_several_seeds_at_once_are_told_to_be_fewer_first(tmp_path, monkeypatch):
    # As on a GPU, where seeds run side by side and one does not fit; the others go on.
    failed = []

    def full(self, size):
        if size > 20:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    step = Step.__call__

    def first_fails(self, s):
        if self.model is failed[0].step.model:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        step(self, s)

    monkeypatch.setattr(Step, "try_batch", full)
    monkeypatch.setattr(Step, "__call__", first_fails)
    data = load(SMALL.data)
    runs = [
        run.Run.start(SMALL, seed, data, out=tmp_path, resume=False, callback=None, world=ALONE)
        for seed in (0, 1)
    ]
    failed.append(runs[0])
    for one in runs:
        one.together = 2
    with Interrupt(math.inf) as interrupt:
        found = _drive(runs, interrupt, ALONE)
    assert [result.outcome for result in found] == [Outcome.OUT_OF_MEMORY, Outcome.FINISHED]
    assert found[0].message.startswith("2 seeds at once do not fit: give --seeds fewer of them")
    assert "16 samples at a time do: set batch=16" in found[0].message


def test_not_even_one_sample(tmp_path, monkeypatch):
    def none(self, *rows):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried")

    monkeypatch.setattr(Step, "_images", none)
    result = train(SMALL, out=tmp_path)
    assert "not even one sample fits" in result.message
    assert fitting_batch.__doc__


def test_several_seeds_are_the_single_ones(tmp_path):
    both = train_many(FULL, (1, 2), out=tmp_path / "both")
    alone = [train(FULL, seed=seed, out=tmp_path / "alone") for seed in (1, 2)]
    for a, b in zip(both, alone, strict=True):
        assert same(checkpoint.load(a.folder), checkpoint.load(b.folder))
    assert both[0].rows[-1]["test"] != both[1].rows[-1]["test"]
    with pytest.raises(ValueError, match="seeds must be distinct"):
        train_many(FULL, (1, 1), out=tmp_path)


def test_side_by_side_seeds_share_the_time(tmp_path):
    data = load(SMALL.data)
    started = [
        run.Run.start(SMALL, seed, data, out=tmp_path, resume=False, callback=None, world=ALONE)
        for seed in (0, 1)
    ]
    begin = time.perf_counter()
    live = [(one, one.steps()) for one in started]
    for one, _ in live:
        one.together = 2
    while all(next(steps, None) for _, steps in live):
        pass
    elapsed = time.perf_counter() - begin
    assert 0 < sum(one.seconds for one in started) < elapsed
    assert started[0].rows[-1]["together"] == 2


def test_a_checkpoint_gives_the_network_back(tmp_path):
    result = train(FULL, out=tmp_path)
    found = restore(result.folder)
    assert (found.recipe, found.epoch, found.seed) == (FULL, 3, 0)
    state = checkpoint.load(result.folder)
    for name, t in found.model.state_dict().items():
        assert torch.equal(t, state["average"][name])
    assert not found.model.training
    row = result.rows[-1]
    assert row["probe"]["test"]["accuracy"] == pytest.approx(row["test"], rel=EXACT)


def test_the_callers_settings_come_back(tmp_path):
    threads, fixed = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    handler = signal.getsignal(signal.SIGTERM)
    train(dataclasses.replace(SMALL, epochs=1), out=tmp_path)
    assert (threads, fixed) == (
        torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(),
    )  # fmt: skip
    assert signal.getsignal(signal.SIGTERM) is handler


def test_out_must_be_writable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="out must be a writable folder"):
        train(SMALL, out=tmp_path / "file")
