"""Steps, evaluation and measurement of recipes on CUDA tensors without data: types and devices.

Run by the tests with the stand-in of ``fake_cuda.cpp`` loaded before torch. Autocast, autograd and
the devices of all operands are torch's own; nothing is computed.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from unittest import mock

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from deep import throughput
from deep.data import draw_epoch
from deep.evaluate import Evaluation
from deep.model import assemble
from deep.probe import probe
from deep.recipe import Recipe
from deep.recipes import recipes
from deep.step import Step
from deep.trees import tree_of
from ufm.hierarchy import distance_matrix


GPU = torch.device("cuda", 0)
ATEN = torch.ops.aten
COPIES = (ATEN._to_copy.default, ATEN.copy_.default, ATEN._local_scalar_dense.default)


class Apart(TorchDispatchMode):
    """Refuses what makes host and device meet: a captured step allows no copy between them."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operator, and look at where its tensors are."""
        out = func(*args, **(kwargs or {}))
        if func in COPIES:
            where = {t.device.type for t in (*args, out) if isinstance(t, torch.Tensor)}
            if len(where) > 1 or not isinstance(out, torch.Tensor):
                raise AssertionError(f"host and device meet in {func}")
        return out


class Stream:
    """A stream on which nothing runs."""

    device = GPU

    def __init__(self, *_):
        pass

    def wait_stream(self, other: Stream) -> None:
        """Nothing to wait for."""


class Heard:
    """Stands for `deep.decisions.Decisions`, which counts on the host what this hears."""

    accuracy = 0.5

    def __init__(self, K, *, D=None):
        self.K = K

    def update(self, scores, y):
        """Take a batch."""
        assert scores.shape == (len(y), self.K)
        assert scores.device == y.device == GPU

    def as_row(self, n=None):
        """Nothing was counted."""
        return {}


def sgd(params, grads, buffers, *, lr, **options) -> None:
    """The fused kernel's arguments, which has no form without data."""
    tensors = (*params, *grads, *buffers, lr)
    assert {(t.device, t.dtype) for t in tensors} == {(GPU, torch.float32)}
    assert [p.shape for p in params] == [g.shape for g in grads] == [b.shape for b in buffers]


@contextlib.contextmanager
def cuda() -> Iterator[FakeTensorMode]:
    """Tensors without data, streams without work."""
    names = {
        "torch.cuda.Stream": Stream,
        "torch.cuda.current_stream": Stream,
        "torch.cuda.stream": lambda stream: contextlib.nullcontext(),
        "torch.cuda.amp.common.amp_definitely_not_available": lambda: False,
        "torch.cuda.is_bf16_supported": lambda *_, **__: True,
        "torch._fused_sgd_": sgd,
        "deep.probe.Decisions": Heard,
    }
    with contextlib.ExitStack() as stack:
        for name, stand_in in names.items():
            stack.enter_context(mock.patch(name, stand_in))
        yield stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))


@contextlib.contextmanager
def numbers(truth: bool = True) -> Iterator[None]:
    """The host may read: any number does, ``any`` is false and other questions ``truth``."""
    asked = torch.Tensor.any

    def none(self, *rest, **named):
        found = asked(self, *rest, **named)
        found.says = False
        return found

    def count(x, weights=None, minlength=0):
        return torch.ones(minlength, dtype=torch.int64, device=x.device)

    def empty(x):
        return torch.zeros(0, x.ndim, dtype=torch.int64, device=x.device)

    with contextlib.ExitStack() as stack:
        for name, stand_in in (
            ("any", none), ("bincount", count), ("nonzero", empty), ("item", lambda t: 0.5),
            ("__bool__", lambda t: getattr(t, "says", truth)), ("__float__", lambda t: 0.5),
            ("__int__", lambda t: 1), ("tolist", lambda t: [0.5] * t.numel()),
        ):  # fmt: skip
            stack.enter_context(mock.patch.object(torch.Tensor, name, stand_in))
        stack.enter_context(mock.patch("torch.bincount", count))
        yield


def move(module: nn.Module, mode: FakeTensorMode) -> None:
    """Put a module on the GPU, its numbers left behind."""
    for part in module.modules():
        for name, t in part.named_parameters(recurse=False):
            part._parameters[name] = nn.Parameter(mode.from_tensor(t.detach()).to(GPU))
        for name, t in part.named_buffers(recurse=False):
            part._buffers[name] = mode.from_tensor(t).to(GPU)


def check(recipe: Recipe) -> None:
    """Two steps in the first and the last epoch, evaluation, checkpoint, measurement."""
    K = 100 if recipe.data.source == "cifar100" else 10
    data = throughput.random_images(recipe, N=max(2 * recipe.batch, 2 * K))
    model, built = assemble(recipe, throughput.shape_of(data), seed=0)
    plan = draw_epoch(data.train.labels, batch=recipe.batch, augment=recipe.augment, seed=0,
                      sampling=recipe.sampling, epoch=0, size=data.train.size)  # fmt: skip
    tree = tree_of(recipe.data.source)
    D = None if tree is None else torch.as_tensor(distance_matrix(tree))
    with cuda() as mode:
        for module in (model, *built.rules.values()):
            if isinstance(module, nn.Module):
                move(module, mode)
        with numbers(False):
            data = data.to(GPU)
            step = Step(model, built, recipe, data, compiled=False)
        assert step.objective.narrow is (recipe.precision == "bf16")
        assert step.graphs is not bool(built.uncapturable)
        for epoch in (0, recipe.epochs - 1):
            step.begin(plan, epoch=epoch)
            with numbers():
                step._next()  # the warm-up may copy constants
            with Apart() if step.graphs else numbers():
                step._next()
        evaluation = Evaluation(step)
        with torch.no_grad(), step.averaged():
            with numbers():
                evaluation._pass()
            with Apart():
                evaluation._pass()
        kept = step.state()
        assert {t.device.type for t in (*kept["model"].values(), *kept["momentum"])} == {"cpu"}
        with numbers():
            probe(model, data.train, mean=data.mean, std=data.std, n=data.train.n, D=D,
                  rules=built.rules)  # fmt: skip


def mistakes() -> None:
    """What a GPU would refuse is refused here."""
    with cuda(), warnings.catch_warnings():
        there, here = torch.ones(2, device=GPU), torch.ones(2)
        for mistake in (lambda: there + here, lambda: there @ there.bfloat16()):
            try:
                mistake()
            except RuntimeError:
                continue
            raise AssertionError("a mistake must be noticed")
        with Apart():
            try:
                there.cpu()
            except AssertionError:
                return
    raise AssertionError("a copy must be noticed")


if __name__ == "__main__":
    warnings.simplefilter("error")
    mistakes()
    for chosen in sys.argv[1:] or recipes():
        try:
            check(recipes()[chosen])
        except Exception as error:
            error.add_note(f"recipe {chosen}")
            raise
