"""``python -m deep train``: train recipes, or go on with them; alone or under ``torchrun``."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import time
from pathlib import Path

import torch

from deep import results
from deep.distributed import joined
from deep.progress import watching
from deep.recipe import Recipe
from deep.recipes import find
from deep.run import Outcome, Result
from deep.train import check_limit, train_many
from ufm.counts import check_count


OUT = Path("runs/deep")
# Exit status: done; failed; the time limit came first. A signal gives 128 and its number.
STATUS = {Outcome.FINISHED: 0, Outcome.NONFINITE: 1, Outcome.OUT_OF_MEMORY: 1}
NOT_YET = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command.

    Args:
        parser: Its parser.
    """
    parser.add_argument("recipe", nargs="+", help="names, see `python -m deep list`")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="K")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--epochs", type=int, help="another length than the recipe's, its schedule "
                        "in proportion: a run and results of its own, NAME-Nepochs")  # fmt: skip
    parser.add_argument("--folder", type=Path, help="where the data is (default $UFM_DATA or data)")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of runs (default runs/deep)")
    parser.add_argument("--fresh", action="store_true", help="start again, whatever is there")
    parser.add_argument(
        "--limit", type=float, default=math.inf, help="seconds for all; then stop and save"
    )
    parser.add_argument("--record", action="store_true", help="keep the rows in deep/results")
    parser.add_argument(
        "--tensorboard", type=Path, metavar="FOLDER", help="scalars, a folder a run"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(arguments: argparse.Namespace) -> int:
    """Train.

    Args:
        arguments: Parsed arguments.

    Returns:
        Exit status.
    """
    recipes = [adapted(find(name), epochs=arguments.epochs) for name in arguments.recipe]
    status, until = 0, time.monotonic() + check_limit(arguments.limit)
    with joined(arguments.device) as world:
        first = world.rank == 0
        board = arguments.tensorboard if first else None
        with watching(quiet=arguments.quiet or not first, tensorboard=board) as callback:
            for recipe, name in zip(recipes, arguments.recipe, strict=True):
                if recipe.name != name and first and not arguments.quiet:
                    sys.stderr.write(f"{recipe.name}: {recipe.differs[-1]}\n")
                found = train_many(
                    recipe, arguments.seeds, device=arguments.device, folder=arguments.folder,
                    out=arguments.out, resume=not arguments.fresh, callback=callback,
                    limit=max(until - time.monotonic(), 0.0), world=world,
                )  # fmt: skip
                for result in found if first else ():
                    report(result, record=arguments.record, device=arguments.device)
                status = max([status, *(exit_status(result) for result in found)])
                if any(result.outcome is Outcome.INTERRUPTED for result in found):
                    break
    return status


def adapted(recipe: Recipe, *, epochs: int | None) -> Recipe:
    """A recipe of another length, under a name of its own, its schedule in proportion.

    Args:
        recipe: The recipe.
        epochs: Epochs, or None for its own.

    Returns:
        The recipe; ``differs`` says the length and the schedule.

    Raises:
        ValueError: If ``epochs`` is not a number of epochs.
    """
    if epochs is None or epochs == recipe.epochs:
        return recipe
    schedule = recipe.schedule.stretched(check_count("epochs", epochs) / recipe.epochs)
    changed = (
        f"{epochs} epochs instead of {recipe.epochs}: {schedule}, instead of {recipe.schedule}"
    )
    return dataclasses.replace(
        recipe, name=f"{recipe.name}-{epochs}epochs", epochs=epochs, schedule=schedule,
        differs=(*recipe.differs, changed),
    )  # fmt: skip


def exit_status(result: Result) -> int:
    """Exit status of a result.

    Args:
        result: The result.

    Returns:
        0, 1, 3 for the time limit, or 128 and the signal.
    """
    if result.outcome is Outcome.INTERRUPTED:
        return 128 + result.signal if result.signal else NOT_YET
    return STATUS[result.outcome]


def report(result: Result, *, record: bool, device: str) -> None:
    """Say in a line how a run ended, and keep its rows if asked.

    Args:
        result: The result.
        record: Whether finished rows go to ``deep/results``.
        device: Where it was trained.
    """
    name = f"{result.recipe.name} seed {result.seed}"
    if result.outcome is Outcome.FINISHED:
        last, tested = result.rows[-1], [row["test"] for row in result.rows if "test" in row]
        sys.stdout.write(
            f"{name}: test {100 * last['test']:.2f} % behind the last epoch, "
            f"{100 * max(tested):.2f} % behind the best, {result.seconds:.1f} s, {result.folder}\n"
        )
        if record:
            results.write(result, device=device)
    else:
        sys.stdout.write(f"{name}: {result.outcome.name.lower()}: {result.message}\n")
