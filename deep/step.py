"""One training step as a function of static tensors: eager on the CPU, a replayed graph on CUDA.

Nothing in a step waits for the device: losses are collected there and read once an epoch.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from deep.building import AnyLoss, Built
from deep.data.augment import augmented, mixed, normalised
from deep.data.images import ImageSet
from deep.data.plan import EpochPlan
from deep.device import captured
from deep.distributed import ALONE, World
from deep.model import Model, moving
from deep.objective import Objective, optimiser, sample_losses
from deep.recipe import Recipe
from ufm._typing import Float, Int, Tensor


# Runs before a capture, in which kernels are chosen and compiled and buffers get their places.
WARM_UP = 3
# Losses, modes and recipes of one process for which kernels are made before giving up on that.
RECOMPILE = 64
# What a machine without a working compiler answers to a first compiled step.
CANNOT_COMPILE = (RuntimeError, OSError, ImportError, subprocess.SubprocessError)
# Pixels of a data set that is kept normalised beside its bytes, on a CPU.
FEW = 2**26


@dataclass
class Tally:
    """What the steps of an epoch leave on the device.

    Attributes:
        losses: Mean loss of each step ``(S,)``.
        right: Correct training samples so far.
        cursor: Step that comes next, as the device counts.
    """

    losses: Float[Tensor, "S"]
    right: Float[Tensor, ""]
    cursor: Int[Tensor, "1"]


class Step:
    """The steps of one network in training.

    Args:
        model: The network, on its device.
        built: Its losses.
        recipe: The recipe.
        data: Images on the same device.
        world: Processes that share the batch.
        compiled: Whether ``torch.compile`` makes kernels of network and loss; by default on CUDA.
        graphs: Whether a step is captured and replayed; on CUDA, alone, where the method allows
            it, and never elsewhere.

    Attributes:
        tally: Losses of the epoch, on the device.
        average: Averaged weights and statistics of batch norms, by name; empty without averaging.
        refused: What the machine would not do, compile or capture, and why; or empty.
    """

    def __init__(
        self,
        model: Model,
        built: Built,
        recipe: Recipe,
        data: ImageSet,
        *,
        world: World = ALONE,
        compiled: bool | None = None,
        graphs: bool | None = None,
    ):
        self.device = data.train.pixels.device
        self.model, self.built = model, built.to(self.device)
        self.recipe, self.data = recipe, data
        self._mean = torch.tensor(data.mean, device=self.device)
        self._std = torch.tensor(data.std, device=self.device)
        on_cuda = self.device.type == "cuda"
        a, pixels = recipe.augment, data.train.pixels
        # Images that no epoch changes are normalised once, where they are few.
        self._ready: Tensor | None = None
        if not (on_cuda or a.crop or a.flip or a.cutout) and pixels.numel() < FEW:
            self._ready = normalised(pixels, self._mean, self._std)
        self.compiled = on_cuda if compiled is None else compiled
        # Collectives of other processes cannot be replayed at one's own pace.
        obstacle = built.uncapturable or ("several processes" if world.size > 1 else "")
        wanted = on_cuda and graphs is not False
        self.graphs = wanted and not obstacle
        self.refused = f"not captured: {obstacle}" if wanted and obstacle else ""
        self.stream = torch.cuda.Stream(self.device) if on_cuda else None
        self.world = world
        self.optimiser = optimiser(model, recipe, self.device)
        # Averaged weights need averaged statistics: those of the last weights are of another net.
        self._moving = moving(model) if recipe.ema else {}
        self.average = {name: t.clone() for name, t in self._moving.items()}
        self.objective = Objective(
            model, built.loss_at(0, recipe.epochs), mixing=recipe.augment.mixup > 0,
            narrow=on_cuda and recipe.precision == "bf16",
        )  # fmt: skip
        if self.stream is not None:  # gradients are exchanged on the stream of this moment
            self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with self.on_stream():
            self._shared = world.distributed(self.objective)
        self._call: Callable = self._shared
        self._augmented: Callable = augmented
        self._eager = self._call, self._augmented
        if self.compiled:
            dynamo: Any = torch._dynamo
            dynamo.config.recompile_limit = max(dynamo.config.recompile_limit, RECOMPILE)
            self._call, self._augmented = torch.compile(self._call), torch.compile(augmented)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._parts = world.parts(recipe.batch, recipe.accumulate)
        self.plan: tuple[Tensor, ...] = ()
        self.tally = Tally(*(torch.zeros(0, device=self.device) for _ in range(3)))

    def begin(self, plan: EpochPlan, *, epoch: int, at: int = 0) -> None:
        """Take an epoch's plan, rate and loss.

        Args:
            plan: The draw, on the CPU; copied to the device, into the same places every epoch.
            epoch: Epoch, from 0.
            at: First step to run.
        """
        rows = (plan.index, plan.corner, plan.flip, plan.hole, plan.share, plan.partner)
        if self.stream is not None:  # what was made or loaded on the default stream is there
            self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with self.on_stream():
            if not self.plan:
                self.plan = tuple(t.to(self.device) for t in rows)
                self.tally = Tally(
                    torch.zeros(len(plan.index), device=self.device),
                    torch.zeros((), device=self.device),
                    torch.zeros(1, dtype=torch.int64, device=self.device),
                )
            else:
                for mine, drawn in zip(self.plan, rows, strict=True):
                    mine.copy_(drawn)
            self.tally.losses.zero_()
            self.tally.right.zero_()
            self.tally.cursor.fill_(at)
            self._set_rate(self.recipe.rate(epoch))
            self._set_loss(self.built.loss_at(epoch, self.recipe.epochs))

    def prepare(self) -> None:
        """Compile and capture the step, where that is done, so that the first costs what all cost.

        A machine that cannot compile, or a device that refuses the capture, runs the same step
        without, and ``engine`` says why.

        Raises:
            OutOfMemoryError: If the device's memory does not hold it.
        """
        if self.compiled and self._graph is None and self.world.size == 1:
            try:
                with self._unchanged(), self.on_stream():
                    self._pass_of(self._call, self._parts[0])
            except torch.OutOfMemoryError:
                raise
            except CANNOT_COMPILE as error:
                self._refuse("compilation", error)
                self.compiled = False
                self._call, self._augmented = self._eager
        if self.graphs and self._graph is None and self.stream is not None:
            try:
                self._graph = self._capture(self.stream)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self._refuse("capture", error)
                self.graphs = False

    def _refuse(self, what: str, error: Exception) -> None:
        reason = f"{what} refused: {str(error).strip().partition(chr(10))[0]}"
        self.refused = f"{self.refused}, {reason}" if self.refused else reason

    @property
    def engine(self) -> str:
        """How steps are run, for the record."""
        kernels = "compiled" if self.compiled else "eager"
        return ", ".join(filter(None, (kernels, "captured" * self.graphs, self.refused)))

    def __call__(self, s: int) -> None:
        """Enqueue step ``s`` of the epoch; steps come in order.

        Args:
            s: Which one.
        """
        if not self.graphs:
            with self.on_stream():
                loss, right = self._update(tuple(t[s] for t in self.plan))
                self.tally.losses[s] = loss
                self.tally.right += right
            return
        if self._graph is None:
            self.prepare()
            self(s)
            return
        with self.on_stream():
            self._graph.replay()

    def try_batch(self, size: int) -> None:
        """Forward and backward pass of a part of the first batch, uncompiled, without an update.

        Args:
            size: How many samples.
        """
        with self.on_stream():
            self._pass_of(self.objective, slice(0, size))

    def _pass_of(self, call: Callable, part: slice | None) -> None:
        self.optimiser.zero_grad()
        loss, _, _ = call(*self._batch(tuple(t[0] for t in self.plan), part))
        loss.backward()
        self.optimiser.zero_grad()

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs of the network and its optimiser.

        Returns:
            Tensors on the CPU; ``average`` is None without averaging.
        """
        with self.on_stream():  # behind all that is enqueued there
            weights = {name: t.cpu() for name, t in self.model.state_dict().items()}
            mean = {name: t.cpu() for name, t in self.average.items()}
            momentum = [buffer.cpu() for buffer in self._momentum()]
        average = weights | mean if mean else None
        return {"model": weights, "average": average, "momentum": momentum}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned, into the same places.

        Args:
            state: The state.
        """
        self.model.load_state_dict(state["model"])
        for mine, kept in zip(self._momentum(), state["momentum"], strict=True):
            mine.copy_(kept)
        for name, mine in self.average.items():
            mine.copy_(state["average"][name])

    def _momentum(self) -> list[Tensor]:
        if not self.recipe.momentum:
            return []
        return [self.optimiser.state[p]["momentum_buffer"] for p in self.model.parameters()]

    def _set_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * group["factor"])
            else:
                group["lr"] = rate * group["factor"]

    def _set_loss(self, loss: AnyLoss) -> None:
        if loss != self.objective.loss:
            self.objective.loss = loss
            self._graph = None
        if self.compiled and self._graph is None:
            self._prime(loss)

    @torch.no_grad()
    def _prime(self, loss: AnyLoss) -> None:
        # Has a loss copy its constants to the device, which neither compiler nor capture may see.
        head = self.model.head
        h = torch.zeros(2, head.d, device=self.device)
        y = torch.zeros(2, dtype=torch.int64, device=self.device)
        sample_losses(head, loss, h, head.logits(h), y)

    def _batch(self, rows: tuple[Tensor, ...], part: slice | None) -> tuple[Tensor, ...]:
        # Images, labels, labels mixed in, share. A part may mix with samples outside of it.
        index, corner, flip, hole, share, partner = rows
        if part is None:
            x, y = self._images(index, corner, flip, hole)
            if not self.objective.mixing:
                return x, y, y, share
            return mixed(x, partner, share), y, y[partner], share
        x, y = self._images(*(t[part] for t in (index, corner, flip, hole)))
        if not self.objective.mixing:
            return x, y, y, share
        with_ = partner[part]
        z, other = self._images(*(t[with_] for t in (index, corner, flip, hole)))
        return torch.lerp(z, x, share), y, other, share

    def _images(
        self, index: Tensor, corner: Tensor, flip: Tensor, hole: Tensor
    ) -> tuple[Tensor, Tensor]:
        train = self.data.train
        if self._ready is not None:
            return self._ready[index], train.labels[index]
        x = self._augmented(
            train.pixels[index], corner, flip, hole,
            augment=self.recipe.augment, mean=self._mean, std=self._std,
        )  # fmt: skip
        return x.to(memory_format=torch.channels_last), train.labels[index]

    def _update(self, rows: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        self.optimiser.zero_grad()
        count = len(self._parts)
        losses, rights = [], []
        for i, part in enumerate(self._parts):
            batch = self._batch(rows, part)
            with self.world.last_part(self._shared, i + 1 == count):
                loss, right, features = self._call(*batch)
                (loss / count if count > 1 else loss).backward()
            if self.built.follows:
                self.model.head.follow(features, batch[1])  # pyright: ignore[reportCallIssue]
            losses.append(loss.detach())
            rights.append(right)
        self.optimiser.step()
        for name, mean in self.average.items():
            mean.lerp_(self._moving[name], 1 - self.recipe.ema)
        if count == 1:
            return losses[0], rights[0]
        return torch.stack(losses).mean(), torch.stack(rights).sum()

    def _next(self) -> None:
        # The step at the device's cursor: what is captured, the same launches every time.
        tally = self.tally
        loss, right = self._update(
            tuple(t.index_select(0, tally.cursor).squeeze(0) for t in self.plan)
        )
        tally.losses.index_copy_(0, tally.cursor, loss.unsqueeze(0))
        tally.right.add_(right)
        tally.cursor.add_(1).remainder_(len(tally.losses))

    def _capture(self, stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
        with self._unchanged():
            with self.on_stream():
                for _ in range(WARM_UP):
                    self._next()
            torch.cuda.synchronize(self.device)
            self.optimiser.zero_grad()
            return captured(self._next, stream=stream)

    @contextlib.contextmanager
    def _unchanged(self) -> Iterator[None]:
        # Everything that a step writes is what it was, in the same places.
        state = [*self.model.state_dict().values(), *self._momentum(), *self.average.values(),
                 self.tally.losses, self.tally.right, self.tally.cursor]  # fmt: skip
        with self.on_stream():
            before = [t.clone() for t in state]
        try:
            yield
        finally:
            with self.on_stream(), torch.no_grad():
                for t, old in zip(state, before, strict=True):
                    t.copy_(old)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in the place of the last ones, where the recipe averages.

        Yields:
            Nothing.
        """
        if not self.average:
            yield
            return
        with self.on_stream():
            last = {name: t.clone() for name, t in self._moving.items()}
            for name, mean in self.average.items():
                self._moving[name].copy_(mean)
        try:
            yield
        finally:
            with self.on_stream():
                for name, kept in last.items():
                    self._moving[name].copy_(kept)

    def on_stream(self) -> contextlib.AbstractContextManager:
        """Context of this network's CUDA stream.

        Returns:
            It; nothing on a CPU.
        """
        return contextlib.nullcontext() if self.stream is None else torch.cuda.stream(self.stream)
