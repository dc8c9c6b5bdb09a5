"""``python -m deep bench``: images a second, beside the plain loop and the device's matrix rate.

All on random images, so no data is needed. Three numbers for each network: the speed of the steps
that `deep.train` takes, the same against the loop a user would write, and the share of the measured
matrix rate that the network's products reach.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from deep import plain
from deep.data import Images, ImageSet, draw_epoch
from deep.device import checked
from deep.interrupt import kernels
from deep.model import Shape, assemble
from deep.models.spec import ResNet
from deep.recipe import Recipe
from deep.recipes import find
from deep.results import provenance
from deep.step import Step
from ufm._typing import Tensor
from ufm.runs.files import write_atomic


FILE = "throughput.json"
# Raised by hand when what is measured changes.
VERSION = 1
RECIPES = {"cuda": ("yang2022-cifar10-lt100-etf-dr", "liang2023-cifar100-haframe"),
           "cpu": ("fashion-lt-etf-dr",)}  # fmt: skip
# Seeds in turn, for networks too small to fill a GPU; images and epochs that are timed.
TOGETHER = (1, 3)
IMAGES = {"cuda": 12800, "cpu": 320}
EPOCHS = {"cuda": 8, "cpu": 1}
MATRIX = {"cuda": 8192, "cpu": 512}
# Timed steps of the plain loop.
PLAIN_STEPS = {"cuda": 100, "cpu": 8}


def random_images(recipe: Recipe, *, N: int = 4096) -> ImageSet:
    """Images of the recipe's shape and number of classes, of random pixels.

    Args:
        recipe: The recipe.
        N: How many to train on.

    Returns:
        The images, on the CPU.
    """
    K = 100 if recipe.data.source == "cifar100" else 10
    shape = {"digits": (1, 8, 8), "fashion-mnist": (1, 28, 28)}.get(recipe.data.source, (3, 32, 32))
    generator = torch.Generator().manual_seed(0)

    def some(count: int) -> Images:
        pixels = torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)
        return Images(pixels, torch.arange(count) % K, K)

    half = (0.5,) * shape[0]
    names = tuple(map(str, range(K)))
    return ImageSet(recipe.data.source, some(N), some(K), None, half, half, names)


def shape_of(data: ImageSet) -> Shape:
    """What a network depends on.

    Args:
        data: The images.

    Returns:
        Its sizes.
    """
    return Shape(data.train.n, data.train.channels, data.train.size)


def flops_per_image(recipe: Recipe, *, batch: int = 2) -> float:
    """Floating-point operations of a training step per image, counted on the CPU.

    Args:
        recipe: Network and head.
        batch: Images to count with.

    Returns:
        Multiplications and additions of forward and backward products, 2 a multiply-add.
    """
    data = random_images(recipe, N=200)
    model, _ = assemble(recipe, shape_of(data), seed=0)
    x = torch.randn(batch, data.train.channels, *data.train.size)
    with FlopCounterMode(display=False) as counter:
        model(x).sum().backward()
    return counter.get_total_flops() / batch


def matrix_rate(device: torch.device, *, size: int, repeats: int = 5) -> float:
    """Floating-point operations a second of a square product: bfloat16 on CUDA, float32 on a CPU.

    Args:
        device: Where.
        size: Rows and columns.
        repeats: Goes, the fastest counts.

    Returns:
        Operations a second.
    """
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    A, B = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = min(_seconds(lambda: A @ B, device, count=10) for _ in range(repeats))
    return 2 * size**3 / best


def _seconds(call: Callable[[], object], device: torch.device, *, count: int) -> float:
    call()
    _wait(device)
    begin = time.perf_counter()
    for _ in range(count):
        call()
    _wait(device)
    return (time.perf_counter() - begin) / count


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def step_speed(
    recipe: Recipe, *, device: torch.device, together: int = 1, epochs: int = 2, N: int = 4096
) -> float:
    """Images a second of the trainer's steps, all seeds summed, without compilation.

    Args:
        recipe: What is trained.
        device: Where.
        together: Seeds in turn.
        epochs: Epochs of random images that are timed.
        N: Images of an epoch.

    Returns:
        Images a second.
    """
    data = random_images(recipe, N=N)
    labels = data.train.labels
    data = data.to(device)
    steps = [_step(recipe, data, seed) for seed in range(together)]

    def epoch(number: int) -> int:
        plan = draw_epoch(labels, batch=recipe.batch, augment=recipe.augment, seed=0, epoch=number,
                          sampling=recipe.sampling)  # fmt: skip
        for step in steps:
            step.begin(plan, epoch=10)
            step.prepare()
        for s in range(len(plan)):
            for step in steps:
                step(s)
        return len(plan) * recipe.batch * together

    epoch(0)
    _wait(device)
    begin = time.perf_counter()
    images = sum(epoch(number) for number in range(1, epochs + 1))
    _wait(device)
    return images / (time.perf_counter() - begin)


def _step(recipe: Recipe, data: ImageSet, seed: int) -> Step:
    model, built = assemble(recipe, shape_of(data), seed=seed)
    device = data.train.pixels.device
    model = model.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Step(model, built, recipe, data)


def convolution_seconds(recipe: Recipe, *, device: torch.device, count: int = 3) -> float:
    """Time that the bare convolutions of a step take, forward and backward, each alone.

    In the memory format of the trainer, which is the faster one.

    Args:
        recipe: Network and batch.
        device: Where.
        count: Goes.

    Returns:
        Seconds a step.
    """
    data = random_images(recipe, N=200)
    model = assemble(recipe, shape_of(data), seed=0)[0]
    model = model.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    calls: list[tuple[nn.Conv2d, torch.Size]] = []

    def note(layer: nn.Conv2d, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        calls.append((layer, inputs[0].shape))

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(note) for layer in layers]  # pyright: ignore[reportArgumentType]
    x = torch.randn(recipe.batch, data.train.channels, *data.train.size, device=device)
    model.backbone(x)
    for hook in hooks:
        hook.remove()

    def once(layer: nn.Conv2d, inputs: Tensor, upstream: Tensor) -> None:
        layer.weight.grad = inputs.grad = None
        layer(inputs).backward(upstream)

    total = 0.0
    for i, (layer, shape) in enumerate(calls):
        inputs = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
        inputs.requires_grad_(i > 0)
        upstream = torch.randn_like(layer(inputs))
        total += _seconds(functools.partial(once, layer, inputs, upstream), device, count=count)
    return total


def measure(recipe: Recipe, *, device: torch.device, rate: float, N: int = 4096) -> dict[str, Any]:
    """All numbers of a recipe.

    Args:
        recipe: The recipe.
        device: Where.
        rate: The device's matrix rate.
        N: Images of an epoch of ours.

    Returns:
        Numbers by name; ``share`` is of the matrix rate.
    """
    small = device.type == "cuda" and isinstance(recipe.network, ResNet)
    ours = {
        together: step_speed(
            recipe, device=device, together=together, epochs=EPOCHS[device.type], N=N
        )
        for together in (TOGETHER if small else TOGETHER[:1])
    }
    best = max(ours.values())
    data = random_images(recipe, N=N)
    model = assemble(recipe, shape_of(data), seed=0)[0].to(device)
    written = plain.images_per_second(
        model, data, batch=recipe.batch, device=device, steps=PLAIN_STEPS[device.type]
    )
    flops = flops_per_image(recipe)
    row = {
        "recipe": recipe.name,
        "batch": recipe.batch,
        "images_per_second": {str(k): v for k, v in ours.items()},
        "plain_images_per_second": written,
        "times_plain": best / written,
        "flops_per_image": flops,
        "share": best * flops / rate,
    }
    if device.type == "cpu":
        bare = convolution_seconds(recipe, device=device)
        if bare:  # a network of linear layers has none
            row["times_convolutions"] = recipe.batch / best / bare
    return row


def is_current(path: Path, device: str) -> bool:
    """Whether a file holds this version's numbers of that kind of device, of all its recipes.

    Args:
        path: The file.
        device: The device.

    Returns:
        True if it need not be measured again.
    """
    kind, record = torch.device(device).type, _read(path)
    return record.get("kind") == kind and _names(record) >= set(RECIPES[kind])


def _read(path: Path | None) -> dict[str, Any]:
    # Empty unless of this version.
    try:
        record = json.loads(path.read_bytes()) if path else {}
    except (OSError, ValueError):
        return {}
    return record if record.get("version") == VERSION else {}


def _names(record: dict[str, Any]) -> set[str]:
    return {row["recipe"] for row in record.get("rows", ())}


def _begun(path: Path | None, wanted: set[str], environment: dict[str, Any]) -> dict[str, Any]:
    # A record that lacks some of its rows, of the same device and code; else empty.
    record = _read(path)
    before = record.get("provenance", {})
    same = all(before.get(k) == environment[k] for k in ("device", "torch", "commit", "dirty"))
    return record if same and _names(record) < wanted else {}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command.

    Args:
        parser: Its parser.
    """
    parser.add_argument("recipe", nargs="*", help="recipes (default: one of each kind of network)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="samples a step, instead of the recipe's")
    parser.add_argument("--images", type=int, help="random images of an epoch")
    parser.add_argument("--record", type=Path, help="file that takes the numbers")


def with_batch(recipe: Recipe, batch: int | None) -> Recipe:
    """A recipe with another batch.

    Args:
        recipe: The recipe.
        batch: Samples a step, or None for its own.

    Returns:
        The recipe.
    """
    return recipe if batch is None else dataclasses.replace(recipe, batch=batch)


def run(arguments: argparse.Namespace) -> int:
    """Measure and write JSON.

    Args:
        arguments: Parsed arguments.

    Returns:
        0.

    Raises:
        ValueError: If a recipe is unknown, or there are too few images for a step.
    """
    device = checked(arguments.device)
    names = arguments.recipe or RECIPES[device.type]
    chosen = [with_batch(find(name), arguments.batch) for name in names]
    count = IMAGES[device.type] if arguments.images is None else arguments.images
    for recipe in chosen:
        least = max(recipe.batch, len(random_images(recipe, N=1).classes))
        if count < least:  # one batch, and one of each class
            raise ValueError(f"images must be at least {least} for {recipe.name}, got {count}")
    environment = provenance(device)
    record = _begun(arguments.record, {recipe.name for recipe in chosen}, environment)
    with kernels(device):
        if not record:
            record = {
                "version": VERSION, "kind": device.type,
                "matrix_rate": matrix_rate(device, size=MATRIX[device.type]), "rows": [],
                "provenance": environment,
            }  # fmt: skip
        for recipe in chosen:
            if recipe.name in _names(record):
                continue
            record["rows"].append(
                measure(recipe, device=device, rate=record["matrix_rate"], N=count)
            )
            if arguments.record:  # a stop keeps the rows that are done
                write_atomic({arguments.record: _text(record)}, role="record")
    sys.stdout.write(_text(record).decode())
    return 0


def _text(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=1) + "\n").encode()


__all__ = ["FILE", "VERSION", "add_arguments", "is_current", "measure", "run"]
