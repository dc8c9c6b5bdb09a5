"""What happens on a GPU that refuses, told by stand-ins: captures, streams, parts of a batch."""

from __future__ import annotations

import contextlib
import dataclasses
from types import SimpleNamespace

import pytest
import torch
from training import FULL, NO_AUGMENT, SMALL, images, step_of

from deep import device
from deep.building import build
from deep.data import draw_epoch
from deep.distributed import World
from deep.evaluate import Evaluation
from deep.methods import CE, RBL, NearestETF
from deep.recipes.digits import METHODS
from deep.step import Step


TINY = dataclasses.replace(SMALL, batch=12)
GPU = torch.device("cuda", 0)


@pytest.fixture
def gpu(monkeypatch):
    """Stand-ins for torch.cuda: ``log`` of what was done, ``end`` what ends a capture."""
    said = SimpleNamespace(log=[], end=None, stream=SimpleNamespace(device=GPU))

    @contextlib.contextmanager
    def graph(made, *, pool, stream):
        said.log.append("begin")
        try:
            yield
        finally:
            said.log.append("end")
            if said.end:
                raise said.end

    for name, stand_in in (
        ("CUDAGraph", lambda: SimpleNamespace(replay=lambda: said.log.append("replay"))),
        ("graph_pool_handle", lambda: (0, 7)),
        ("graph", graph),
        ("default_stream", lambda where: f"default of {where}"),
        ("set_stream", lambda stream: said.log.append(f"set {stream}")),
        ("stream", lambda stream: contextlib.nullcontext()),
        ("synchronize", lambda where: None),
        ("current_stream", lambda where: None),
    ):
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(
        torch.cuda.memory, "_cuda_endAllocateToPool",
        lambda index, pool: said.log.append(f"freed {index} {pool}"),
    )  # fmt: skip
    return said


def test_a_capture_that_is_allowed_leaves_everything_alone(gpu):
    graph = device.captured(lambda: gpu.log.append("work"), stream=gpu.stream)
    graph.replay()
    assert gpu.log == ["begin", "work", "end", "replay"]


@pytest.mark.parametrize("end", [None, RuntimeError("invalid capture")])
def test_a_refused_capture_frees_stream_and_allocator_and_says_what_came_first(gpu, end):
    def work():
        raise RuntimeError("operation not permitted when stream is capturing")

    gpu.end = end
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        device.captured(work, stream=gpu.stream)
    assert gpu.log == ["begin", "end", "set default of cuda:0", "freed 0 (0, 7)"]


def test_an_end_that_fails_alone_and_an_allocator_that_knows_already(gpu, monkeypatch):
    def known(index, pool):
        raise RuntimeError("not currently recording to mempool_id")

    monkeypatch.setattr(torch.cuda.memory, "_cuda_endAllocateToPool", known)
    gpu.end = RuntimeError("invalid capture")
    with pytest.raises(RuntimeError, match="invalid capture"):
        device.captured(lambda: None, stream=gpu.stream)


def test_lack_of_memory_in_a_capture_is_lack_of_memory(gpu):
    def work():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    gpu.end = RuntimeError("invalid capture")
    with pytest.raises(torch.OutOfMemoryError):
        device.captured(work, stream=gpu.stream)


def test_decompositions_and_solves_are_not_captured():
    for name, method in METHODS.items():
        built = build(method, width=256, n=(8,) * 10)
        assert bool(built.uncapturable) is isinstance(method, RBL | NearestETF), name


def test_a_step_that_is_refused_runs_uncaptured_and_says_why(gpu, monkeypatch):
    data, steps = images(), []
    plan = draw_epoch(data.train.labels, batch=12, augment=NO_AUGMENT, seed=0, epoch=0)
    for refused in (True, False):
        step = step_of(TINY, data)
        if refused:
            step.graphs, step.stream = True, SimpleNamespace(wait_stream=lambda other: None,
                                                             device=GPU)  # fmt: skip
            gpu.end = RuntimeError("cusolver: not permitted when stream is capturing\nat line 3")
        step.begin(plan, epoch=0)
        step.prepare()
        for s in range(len(plan)):
            step(s)
        steps.append(step)
    assert steps[0].engine == (
        "eager, capture refused: cusolver: not permitted when stream is capturing"
    )
    assert not steps[0].graphs
    assert torch.equal(steps[0].tally.losses, steps[1].tally.losses)  # the trials left no trace
    for a, b in zip(*(step.model.state_dict().values() for step in steps), strict=True):
        assert torch.equal(a, b)
    assert bool(Evaluation(steps[0])().isfinite().all())


def test_an_evaluation_that_is_refused_is_not_tried_again(gpu):
    step = step_of(TINY, images())
    evaluation = Evaluation(step)
    expected = evaluation().clone()
    step.graphs, step.stream = True, gpu.stream
    gpu.end = RuntimeError("not permitted")
    for _ in range(2):
        assert torch.equal(evaluation(), expected)
    assert gpu.log.count("begin") == 1


def test_accumulated_batches_are_compiled_in_their_parts(monkeypatch):
    sizes = []
    call = Step._images

    def measured(self, index, *rest):
        sizes.append(len(index))
        return call(self, index, *rest)

    monkeypatch.setattr(torch, "compile", lambda call: call)
    monkeypatch.setattr(Step, "_images", measured)
    data = images()
    step = step_of(dataclasses.replace(TINY, accumulate=3), data, compiled=True)
    step.begin(
        draw_epoch(data.train.labels, batch=12, augment=NO_AUGMENT, seed=0, epoch=0), epoch=0
    )
    step.prepare()
    step(0)
    assert set(sizes) == {4}  # the whole batch is what the memory does not hold


def test_a_checkpoint_waits_for_the_stream_of_its_run(monkeypatch):
    # Averaged weights go back on that stream, behind the measurement and before the checkpoint.
    step, inside = step_of(dataclasses.replace(FULL, batch=8), images()), []

    @contextlib.contextmanager
    def on_stream():
        inside.append(True)
        yield
        inside.pop()

    cpu = torch.Tensor.cpu

    def copied(tensor):
        assert inside
        return cpu(tensor)

    monkeypatch.setattr(step, "on_stream", on_stream)
    monkeypatch.setattr(torch.Tensor, "cpu", copied)
    assert step.state()["average"] is not None


def test_parts_of_a_compiled_step_exchange_gradients_once(monkeypatch):
    # The compiler's wrapper is not the one that knows how to skip the exchange.
    asked = []

    def last_part(world, module, last):
        asked.append((module, last))
        return contextlib.nullcontext()

    monkeypatch.setattr(World, "last_part", last_part)
    monkeypatch.setattr(torch, "compile", lambda call: lambda *rows, **named: call(*rows, **named))
    data = images()
    step = step_of(dataclasses.replace(TINY, accumulate=2, method=CE()), data, compiled=True)
    step.begin(
        draw_epoch(data.train.labels, batch=12, augment=NO_AUGMENT, seed=0, epoch=0), epoch=0
    )
    step(0)
    assert asked == [(step.objective, False), (step.objective, True)]
