"""ResNet-20 on Fashion-MNIST-LT on a CPU: a training step beside its bare convolutions."""

from __future__ import annotations

import os
import statistics
import time

import torch
from torch import nn
from torch.nn.functional import conv2d

from benchmarks.measure import Row, in_fresh_process
from deep.allocator import keep_host_memory
from deep.data.images import Images, ImageSet
from deep.data.plan import draw_epoch
from deep.model import Shape, assemble
from deep.recipes import fashion
from deep.step import Step


ROUNDS = 15


def resnet_floor() -> list[Row]:
    """A training step as `deep` takes it, and the convolutions alone on the same tensors.

    The step is augmentation, forward and backward pass with batch norm, ReLU, shortcuts, head and
    loss, and SGD. The floor is `conv2d` and its two gradients on the inputs, weights and output
    gradients of the same network, nothing between them, in the better of both memory formats. Both
    alternate in one process. With one thread times are of the CPU, not of the clock; neighbours
    still share caches and memory, and two threads wait for each other: read the load first.
    """
    rows = []
    for threads in (1, 2):
        for keep in (False, True):
            code = (
                "from benchmarks.resnet_floor import measured\n"
                f"result = measured(threads={threads}, keep={keep})"
            )
            rows.append(in_fresh_process(code, threads=threads))
    return rows


def measured(*, threads: int, keep: bool) -> Row:
    """Best and median times of step and floor in this process."""
    if keep and not keep_host_memory():
        raise RuntimeError("memory is kept by glibc on Linux only")
    torch.set_num_threads(threads)
    # CPU time of this thread leaves out the neighbours' share of a busy core.
    clock = time.thread_time if threads == 1 else time.perf_counter
    step, convolutions = training_step()
    plain = [tuple(t.contiguous() for t in case[:3]) + case[3:] for case in convolutions]
    runs = {
        "step": lambda: step(0),
        "floor": lambda: bare(convolutions),
        "floor, contiguous": lambda: bare(plain),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(ROUNDS + 2):
        for name, run in runs.items():
            start = clock()
            run()
            if turn >= 2:
                times[name].append(clock() - start)
    best = {name: min(found) for name, found in times.items()}
    floor = min(("floor", "floor, contiguous"), key=lambda name: best[name])
    ratios = [a / b for a, b in zip(times["step"], times[floor], strict=True)]
    return {
        "threads": threads,
        "memory kept": keep,
        "load": os.getloadavg()[0],
        "convolutions": len(convolutions),
        **{f"{name} ms": 1e3 * value for name, value in best.items()},
        "step / floor": best["step"] / best[floor],
        "step / floor, median": statistics.median(ratios),
    }


def training_step() -> tuple[Step, list[tuple]]:
    """The step of a recipe on random pixels, and what its convolutions see."""
    recipe = next(r for r in fashion.RECIPES if r.name == "fashion-lt-ce")
    data = pixels(2 * recipe.batch)
    model, built = assemble(recipe, Shape(data.train.n, 1, (28, 28)), seed=0)
    model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    step = Step(model, built, recipe, data)
    plan = draw_epoch(
        data.train.labels, batch=recipe.batch, augment=recipe.augment, seed=0, epoch=0
    )
    step.begin(plan, epoch=0)
    seen: list[tuple] = []

    def look(layer: nn.Conv2d, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        x = inputs[0].detach().clone().requires_grad_(inputs[0].requires_grad)
        weight = layer.weight.detach().clone().requires_grad_()
        seen.append((x, weight, torch.randn_like(output), layer.stride))

    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    handles = [layer.register_forward_hook(look) for layer in layers]
    step(0)
    for handle in handles:
        handle.remove()
    return step, seen


def bare(convolutions: list[tuple]) -> None:
    """Each convolution and its gradients."""
    for x, weight, gradient, stride in convolutions:
        y = conv2d(x, weight, stride=stride, padding=1)
        wanted = (x, weight) if x.requires_grad else (weight,)
        torch.autograd.grad(y, wanted, gradient)


def pixels(count: int) -> ImageSet:
    """Random images of the size of Fashion-MNIST's: times do not depend on what is on them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8, generator=generator)
    images = Images(x, torch.arange(count) % 10, 10)
    names = tuple(str(k) for k in range(10))
    return ImageSet("fashion-mnist", images, images, None, (0.5,), (0.25,), names)
