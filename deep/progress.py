"""Watching a training: a bar with loss, accuracy, speed and time left, or plain lines."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from deep.recipe import Recipe
from deep.run import Callback, Row


if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


# Seconds between plain lines of one run.
LINE_EVERY = 10.0


def line(recipe: Recipe, seed: int, row: Row) -> str:
    """A row in words.

    Args:
        recipe: What is trained.
        seed: Its seed.
        row: A row of `deep.train.train`'s callback.

    Returns:
        One line.
    """
    head = f"{recipe.name} seed {seed}"
    if "loss" not in row:
        return (
            f"{head}  epoch {row['epoch'] + 1}/{recipe.epochs}  step {row['step']}/{row['steps']}"
        )
    return f"{head}  epoch {row['epoch']}/{recipe.epochs}  {numbers(row)}  {left(recipe, row)}"


def numbers(row: Row) -> str:
    """Loss, accuracies and speed.

    Args:
        row: The row of an epoch.

    Returns:
        The text.
    """
    test = f"  test {100 * row['test']:.2f} %" if "test" in row else ""
    speed = row["images_per_second"]
    return f"loss {row['loss']:.4g}  train {100 * row['train']:.2f} %{test}  {speed:,.0f} images/s"


def left(recipe: Recipe, row: Row) -> str:
    """Time left at the average speed so far.

    Args:
        recipe: What is trained.
        row: The row of an epoch.

    Returns:
        The text.
    """
    # Seconds are a run's share; those beside it go on meanwhile.
    rest = row["seconds"] / row["epoch"] * (recipe.epochs - row["epoch"]) * row["together"]
    return f"{rest:.0f} s left" if rest < 600 else f"{rest / 60:.0f} min left"


class Lines:
    """Plain lines, one in ten seconds a run and the last one.

    Args:
        file: Where to.
    """

    def __init__(self, file: TextIO):
        self.file = file
        self._next: dict[tuple[str, int], float] = {}

    def __call__(self, recipe: Recipe, seed: int, row: Row) -> None:
        """Take a row.

        Args:
            recipe: What is trained.
            seed: Its seed.
            row: The row.
        """
        now, key = time.monotonic(), (recipe.name, seed)
        last = "loss" in row and row["epoch"] == recipe.epochs
        if not last and now < self._next.setdefault(key, now + LINE_EVERY):
            return
        self._next[key] = now + LINE_EVERY
        self.file.write(line(recipe, seed, row) + "\n")
        self.file.flush()


class Bars:
    """One bar a run.

    Args:
        progress: Where they are drawn.
    """

    def __init__(self, progress: Progress):
        self.progress = progress
        self._tasks: dict[tuple[str, int], TaskID] = {}

    def __call__(self, recipe: Recipe, seed: int, row: Row) -> None:
        """Take a row.

        Args:
            recipe: What is trained.
            seed: Its seed.
            row: The row.
        """
        key = (recipe.name, seed)
        if key not in self._tasks:
            self._tasks[key] = self.progress.add_task(
                f"{recipe.name} seed {seed}", total=recipe.epochs, numbers=""
            )
        if "loss" in row:
            self.progress.update(self._tasks[key], completed=row["epoch"], numbers=numbers(row))
        else:
            done = row["epoch"] + row["step"] / row["steps"]
            self.progress.update(self._tasks[key], completed=done)


class TensorBoard:
    """Scalars of each epoch for TensorBoard.

    Args:
        folder: Where event files go, one folder a run.

    Raises:
        ModuleNotFoundError: If tensorboard is not installed.
    """

    def __init__(self, folder: Path):
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "--tensorboard needs the package tensorboard: pip install tensorboard"
            ) from error
        self._make, self.folder = SummaryWriter, folder
        self._writers: dict[tuple[str, int], Any] = {}

    def __call__(self, recipe: Recipe, seed: int, row: Row) -> None:
        """Take a row.

        Args:
            recipe: What is trained.
            seed: Its seed.
            row: The row.
        """
        if "loss" not in row:
            return
        key = (recipe.name, seed)
        if key not in self._writers:
            self._writers[key] = self._make(str(self.folder / recipe.name / f"seed{seed}"))
        for name, value in row.items():
            if isinstance(value, int | float) and name != "epoch":
                self._writers[key].add_scalar(name, value, row["epoch"])
        self._writers[key].flush()


@contextmanager
def watching(*, quiet: bool = False, tensorboard: Path | None = None) -> Iterator[Callback]:
    """A callback that shows a training: bars on a terminal, else lines on standard error.

    Args:
        quiet: Show nothing.
        tensorboard: Folder for TensorBoard, or None.

    Yields:
        The callback.
    """
    board = TensorBoard(tensorboard) if tensorboard else None
    bars = None if quiet or not sys.stderr.isatty() else _bars()
    shown = Lines(sys.stderr) if bars is None else Bars(bars)

    def callback(recipe: Recipe, seed: int, row: Row) -> None:
        if not quiet:
            shown(recipe, seed, row)
        if board:
            board(recipe, seed, row)

    with contextlib.nullcontext() if bars is None else bars:
        yield callback


def _bars() -> Progress | None:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ModuleNotFoundError:  # a bare interpreter on a GPU machine shows plain lines
        return None
    return Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=20),
        TextColumn("{task.fields[numbers]}"), TimeRemainingColumn(), console=Console(stderr=True),
    )  # fmt: skip
