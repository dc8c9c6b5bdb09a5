"""One seed in training: its network, its place in the run, its rows, its checkpoint and log."""

from __future__ import annotations

import enum
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from deep import checkpoint
from deep.allocator import keep_host_memory
from deep.data import draw_epoch
from deep.data.images import ImageSet
from deep.data.plan import EpochPlan
from deep.distributed import World
from deep.evaluate import Evaluation
from deep.model import Shape, assemble
from deep.models.spec import MLP
from deep.probe import probe
from deep.recipe import Recipe
from deep.step import Step
from deep.trees import tree_of
from ufm._typing import Tensor
from ufm.hierarchy import distance_matrix
from ufm.runs.files import check_writable, write_atomic


Row = dict[str, Any]
Callback = Callable[[Recipe, int, Row], None]

# Seconds between checkpoints, and between progress reports inside an epoch.
SAVE_EVERY = 30.0
REPORT_EVERY = 0.5
LOG = "log.jsonl"


class Outcome(enum.Enum):
    """How a run ended; the value says what to do about it."""

    FINISHED = "all epochs are done"
    INTERRUPTED = "stopped on request; the same command goes on from here"
    NONFINITE = "the loss is not a number any more; lower the learning rate or use float32"
    OUT_OF_MEMORY = "the device's memory does not hold a step"


@dataclass(frozen=True)
class Result:
    """A run and what it measured.

    Attributes:
        recipe: The recipe.
        seed: Its seed.
        outcome: How it ended.
        rows: One row an epoch that is done; the last one holds the final measurement.
        seconds: Training and evaluation time, resumed runs summed; without compilation and full
            measurements; its share of it where seeds run side by side.
        folder: Where checkpoint and log are.
        message: What happened, in one line.
        signal: Number of the signal that stopped it, or 0.
    """

    recipe: Recipe
    seed: int
    outcome: Outcome
    rows: list[Row]
    seconds: float
    folder: Path
    message: str = ""
    signal: int = 0


class NonFinite(Exception):
    """Loss or weights are not finite; the message says since which step."""


@dataclass(eq=False)
class Run:
    """One seed in training.

    Attributes:
        recipe: The recipe.
        seed: The seed.
        data: Images on the device.
        step: The steps of its network.
        evaluation: Its accuracy.
        folder: Where checkpoint and log go.
        callback: Called with each row.
        world: Processes that share each batch.
        epoch: Epochs that are done.
        at: Steps of the present epoch that are done.
        rows: One row an epoch that is done.
        seconds: Time so far, divided by the runs that shared the device.
        together: How many runs share the device.
    """

    recipe: Recipe
    seed: int
    data: ImageSet
    step: Step
    evaluation: Evaluation
    folder: Path
    callback: Callback | None
    world: World
    epoch: int = 0
    at: int = 0
    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    together: int = 1
    _since: float = 0.0
    _saved: float = 0.0
    _saved_at: tuple[int, int] = (0, 0)
    _resumed: tuple[Tensor, Tensor] | None = None

    @classmethod
    def start(
        cls, recipe: Recipe, seed: int, data: ImageSet, *, out: Path, resume: bool,
        callback: Callback | None, world: World,
    ) -> Run:  # fmt: skip
        """Make the network, or load it where there is a checkpoint.

        Args:
            recipe: The recipe.
            seed: The seed.
            data: Images on the device.
            out: Folder of runs.
            resume: Whether to look for a checkpoint.
            callback: Called with each row.
            world: Processes that share each batch.

        Returns:
            The run, at its first step.

        Raises:
            ValueError: If batch, data and network do not fit together.
        """
        if min(data.train.n) < 1:
            raise ValueError(f"{recipe.name}: class {data.train.n.index(0)} has no image")
        device = data.train.pixels.device
        folder = out / recipe.name / f"seed{seed}"
        check_writable(folder, role="out")
        model, built = assemble(recipe, _shape(data), seed=seed)
        if device.type == "cpu" and not isinstance(recipe.network, MLP):
            keep_host_memory()
        # On CPUs too: convolutions of few channels take half the time.
        model = model.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        step = Step(model, built, recipe, data, world=world)
        run = cls(recipe, seed, data, step, Evaluation(step), folder, callback, world)
        if resume and (folder / checkpoint.NAME).exists():
            run._load(checkpoint.load(folder, recipe=recipe, seed=seed))
        else:
            run._save()
        return run

    def steps(self) -> Iterator[bool]:
        """Train to the end, one step at a time.

        Yields:
            True behind each step that is enqueued; the first time before any.

        Raises:
            NonFinite: If a loss of an epoch, or a weight behind it, is not finite.
        """
        plan = self._plan(self.epoch)
        if plan is not None:
            self._begin(plan)
            self.step.prepare()
        yield True
        self._since = self._saved = reported = time.perf_counter()
        while plan is not None:
            count = len(plan.index)
            for s in range(self.at, count):
                self.step(s)
                self.at = s + 1
                if self.callback and time.perf_counter() - reported > REPORT_EVERY:
                    reported = time.perf_counter()
                    self._report({"epoch": self.epoch, "step": self.at, "steps": count})
                yield True
            plan = self._finish_epoch()
            if plan is not None:
                self._begin(plan)

    def _begin(self, plan: EpochPlan) -> None:
        self.step.begin(plan, epoch=self.epoch, at=self.at)
        if self._resumed is not None and self.at:
            losses, right = self._resumed
            with self.step.on_stream():
                self.step.tally.losses.copy_(losses)
                self.step.tally.right.copy_(right)
        self._resumed = None

    def stopped(self, reason: str, *, signal: int) -> Result:
        """Save where the run is.

        Args:
            reason: Why it stops.
            signal: Number of the signal, or 0.

        Returns:
            The result.
        """
        losses, _ = self._read_tally()
        try:
            self._check(losses)
        except NonFinite as error:
            return self.result(Outcome.NONFINITE, str(error))
        self._tick()
        self._save()
        return self.result(Outcome.INTERRUPTED, reason, signal=signal)

    def result(self, outcome: Outcome, message: str = "", *, signal: int = 0) -> Result:
        """What there is so far.

        Args:
            outcome: How the run ended.
            message: What happened.
            signal: Number of the signal that stopped it, or 0.

        Returns:
            The result.
        """
        return Result(self.recipe, self.seed, outcome, self.rows, self.seconds, self.folder,
                      message or outcome.value, signal)  # fmt: skip

    def _plan(self, epoch: int) -> EpochPlan | None:
        recipe = self.recipe
        if epoch >= recipe.epochs:
            return None
        return draw_epoch(
            self._labels, batch=recipe.batch, augment=recipe.augment, sampling=recipe.sampling,
            seed=self.seed, epoch=epoch, size=self.data.train.size,
        )  # fmt: skip

    def _finish_epoch(self) -> EpochPlan | None:
        # The device is still at work: have it count, draw the next epoch, and only then wait.
        done, last = self.epoch + 1, self.epoch + 1 == self.recipe.epochs
        counts = self.evaluation() if last or done % self.recipe.evaluate_every == 0 else None
        plan = self._plan(done)
        losses, right = self._read_tally()
        self._check(losses)
        images, before = len(losses) * self.recipe.batch, self.seconds
        self._tick()
        row: Row = {
            "epoch": done,
            "rate": self.recipe.rate(self.epoch),
            "loss": float(losses.mean()),
            "train": float(right) / images,
            "images_per_second": round(images / max(self.seconds - before, 1e-9), 1),
            "seconds": round(self.seconds, 3),
            "together": self.together,
            "engine": self.step.engine,
        }
        if counts is not None:
            row |= self.evaluation.shares(counts)
        if last or (self.recipe.probe_every and done % self.recipe.probe_every == 0):
            row["probe"] = self._probe()
        self.epoch, self.at = done, 0
        self.rows.append(row)
        self._report(row)
        if last or time.perf_counter() - self._saved > SAVE_EVERY:
            self._save()
        return plan

    def _probe(self) -> Row:
        data, tree = self.data, tree_of(self.data.name)
        D = None if tree is None else torch.as_tensor(distance_matrix(tree))
        with self.step.averaged(), self.step.on_stream():
            rows = {
                name: probe(
                    self.step.model, images, mean=data.mean, std=data.std, n=data.train.n, D=D,
                    rules=self.step.built.rules,
                )
                for name, images in (("train", data.train), ("test", data.test))
            }  # fmt: skip
        self._since = time.perf_counter()
        return rows

    def _read_tally(self) -> tuple[Tensor, Tensor]:
        # The one place where the host waits for the device.
        tally = self.step.tally
        with self.step.on_stream():
            losses = self.world.sum(tally.losses.clone(), mean=True)
            right = self.world.sum(tally.right.clone())
            return losses.cpu(), right.cpu()

    def _check(self, losses: Tensor) -> None:
        bad = (~losses[: self.at].isfinite()).nonzero().flatten().tolist()
        if bad:
            first = self.epoch * len(losses) + bad[0]
            saved, at = self._saved_at
            raise NonFinite(
                f"loss must be finite, got {float(losses[bad[0]])} in step {bad[0] + 1} of epoch "
                f"{self.epoch + 1} (steps {first + 1} to {self.epoch * len(losses) + self.at} of "
                f"the run); the checkpoint behind epoch {saved}, step {at} is kept"
            )
        # A loss may be finite where its gradient is not: the weights show it one step earlier.
        with self.step.on_stream():
            finite = [p.isfinite().all() for p in self.step.model.parameters()]
            if not bool(torch.stack(finite).all()):
                saved, at = self._saved_at
                raise NonFinite(
                    f"weights must be finite, behind step {self.at} of epoch {self.epoch + 1} they "
                    f"are not; the checkpoint behind epoch {saved}, step {at} is kept"
                )

    def _tick(self) -> None:
        now = time.perf_counter()
        elapsed = now - (self._since or now)  # stopped before the first step: no time
        self.seconds += elapsed / self.together
        self._since = now

    def _report(self, row: Row) -> None:
        if self.world.rank:
            return
        if "loss" in row:
            with (self.folder / LOG).open("a") as log:
                log.write(json.dumps(row) + "\n")
        if self.callback:
            self.callback(self.recipe, self.seed, row)

    def _save(self) -> None:
        if self.world.rank == 0:
            tally, shape = self.step.tally, _shape(self.data)
            with self.step.on_stream():
                losses, right = tally.losses.cpu(), tally.right.cpu()
            state = {
                **self.step.state(),
                "seed": self.seed, "epoch": self.epoch, "at": self.at,
                "losses": losses, "right": right,
                "n": list(shape.n), "channels": shape.channels, "size": list(shape.size),
                "rows": json.dumps(self.rows), "seconds": self.seconds,
            }  # fmt: skip
            checkpoint.save(self.folder / checkpoint.NAME, state, recipe=self.recipe)
            lines = "".join(json.dumps(row) + "\n" for row in self.rows)
            write_atomic({self.folder / LOG: lines.encode()})
        self._saved, self._saved_at = time.perf_counter(), (self.epoch, self.at)

    def _load(self, state: dict[str, Any]) -> None:
        if Shape(tuple(state["n"]), state["channels"], tuple(state["size"])) != _shape(self.data):
            raise ValueError(f"data must be that of the checkpoint, n={tuple(state['n'])}, "
                             f"got n={self.data.train.n}")  # fmt: skip
        self.step.load(state)
        self.epoch, self.at = state["epoch"], state["at"]
        self.rows, self.seconds = json.loads(state["rows"]), state["seconds"]
        self._resumed = state["losses"], state["right"]
        self._saved_at = self.epoch, self.at

    @cached_property
    def _labels(self) -> Tensor:
        return self.data.train.labels.cpu()


def _shape(data: ImageSet) -> Shape:
    return Shape(data.train.n, data.train.channels, data.train.size)
