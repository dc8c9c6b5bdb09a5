"""Training: from a recipe and seeds to measured networks, stopped and resumed at any moment.

`train` is one seed, `train_many` several at once on one GPU. A run is a folder ``out/<recipe>/
seed<k>`` with ``checkpoint.pt`` and ``log.jsonl``. Everything random is drawn on the CPU from the
seed and the epoch, so a run that was interrupted goes on to the same numbers, on a CPU bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from deep.data import load
from deep.device import checked
from deep.distributed import ALONE, World
from deep.interrupt import Interrupt, kernels
from deep.memory import advice
from deep.models.spec import MLP
from deep.recipe import Recipe
from deep.run import Callback, NonFinite, Outcome, Result, Run


def train(
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    out: Path,
    resume: bool = True,
    callback: Callback | None = None,
    limit: float = math.inf,
    world: World = ALONE,
) -> Result:
    """Train one network, or go on with it.

    Args:
        recipe: What to train.
        seed: Seed of weights, frame, order, augmentation and subset.
        device: Where.
        folder: Where the data is.
        out: Folder of runs; this one is ``out/<recipe.name>/seed<seed>``.
        resume: Go on from the checkpoint there, if there is one; otherwise start afresh.
        callback: Called with the recipe, the seed and each row: one an epoch, and now and then
            inside an epoch one with ``step`` (enqueued steps of ``steps``) instead of a loss.
        limit: Seconds after which to stop as if interrupted.
        world: Processes that share each batch.

    Returns:
        The result. Interruption, a loss that is not finite and lack of memory are outcomes.

    Raises:
        ValueError: If data, recipe and checkpoint do not fit together.
        FileNotFoundError: If the data is not there; the message says what to fetch.
        OSError: If ``out`` cannot be written.
    """
    return train_many(
        recipe, (seed,), device=device, folder=folder, out=out, resume=resume, callback=callback,
        limit=limit, world=world,
    )[0]  # fmt: skip


def train_many(
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    out: Path,
    resume: bool = True,
    callback: Callback | None = None,
    limit: float = math.inf,
    world: World = ALONE,
) -> list[Result]:
    """Train several seeds: on a GPU side by side, their steps in turn; on a CPU one by one.

    Args:
        recipe: What to train.
        seeds: The seeds.
        device: Where.
        folder: Where the data is.
        out: Folder of runs.
        resume: Whether to go on from checkpoints.
        callback: As in `train`.
        limit: Seconds after which to stop as if interrupted.
        world: Processes that share each batch.

    Returns:
        One result a seed.

    Raises:
        ValueError: If seeds repeat or are negative, ``limit`` is negative, or data, recipe
            and checkpoint do not fit together.
        MemoryError: If the device does not hold data and networks, or, of several processes,
            this one's a step.
        ConnectionError: If another process has ended.
    """
    if len(set(seeds)) < len(seeds) or not seeds or min(seeds) < 0:
        raise ValueError(f"seeds must be distinct, at least 0 and at least one, got {list(seeds)}")
    limit = check_limit(limit)
    device = world.device or checked(device)
    together = len(seeds) if device.type == "cuda" else 1
    results: list[Result] = []
    small = isinstance(recipe.network, MLP)
    with Interrupt(limit) as interrupt, kernels(device, small=small), world.connected():
        for first in range(0, len(seeds), together):
            runs: list[Run] = []
            try:
                for seed in seeds[first : first + together]:
                    data = runs[0].data if runs and recipe.data.choose == "file" else None
                    data = data or load(recipe.data, folder=folder, seed=seed).to(device)
                    runs.append(Run.start(recipe, seed, data, out=out, resume=resume,
                                          callback=callback, world=world))  # fmt: skip
            except torch.OutOfMemoryError as error:
                raise MemoryError(_too_large(len(runs), together, error)) from error
            for run in runs:
                run.together = len(runs)
            results += _drive(runs, interrupt, world)
    return results


def check_limit(limit: float) -> float:
    """Check a time limit.

    Args:
        limit: Seconds.

    Returns:
        It.

    Raises:
        ValueError: If it is negative or not a number.
    """
    if not limit >= 0:
        raise ValueError(f"limit must be at least 0 seconds, got {limit:g}")
    return limit


def _too_large(held: int, together: int, error: torch.OutOfMemoryError) -> str:
    # Before any step there is no batch to make smaller, only fewer seeds.
    reason = str(error).partition(". ")[0]
    hint = f"; {held} of {together} seeds fitted: give --seeds fewer at once" if held else ""
    return f"{'a network' if held else 'data and network'} must fit on the device ({reason}){hint}"


def _drive(runs: Sequence[Run], interrupt: Interrupt, world: World) -> list[Result]:
    # One step of each run in turn; a run that fails leaves the others alone.
    results: dict[int, Result] = {}
    live = {run.seed: (run, run.steps()) for run in runs}
    count = 0
    while live:
        count += 1
        if world.any(interrupt.due(), step=count):
            for seed, (run, _) in live.items():
                results[seed] = run.stopped(interrupt.reason, signal=interrupt.signal)
            break
        for seed, (run, steps) in list(live.items()):
            try:
                if next(steps, None) is None:
                    results[seed] = run.result(Outcome.FINISHED)
            except NonFinite as error:
                results[seed] = run.result(Outcome.NONFINITE, str(error))
            except torch.OutOfMemoryError as error:
                message = advice(run.step, error, together=run.together)
                if world.size > 1:  # the others wait for this one's part of the step
                    raise MemoryError(f"process {world.rank}: {message}") from error
                results[seed] = run.result(Outcome.OUT_OF_MEMORY, message)
            if seed in results:
                del live[seed]
    return [results[run.seed] for run in runs]
