"""Several processes on one batch: started by ``torchrun``, gloo on CPUs, NCCL on GPUs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from deep.device import checked


# Steps between two agreements on stopping; torchrun gives 30 seconds after its signal.
AGREE_EVERY = 16


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        rank: Number of this process.
        size: How many there are.
        device: Device of this process, or None without processes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device | None = None

    def parts(self, batch: int, accumulate: int) -> list[slice | None]:
        """Rows of the global batch that this process computes, one after another.

        Args:
            batch: Size of the global batch.
            accumulate: Parts a process.

        Returns:
            The slices; a single None for the whole batch.

        Raises:
            ValueError: If the batch does not divide.
        """
        pieces = self.size * accumulate
        if batch % pieces:
            raise ValueError(
                f"batch must divide into {self.size} processes x {accumulate} parts, got {batch}"
            )
        if pieces == 1:
            return [None]
        length = batch // pieces
        first = self.rank * accumulate
        return [slice(i * length, (i + 1) * length) for i in range(first, first + accumulate)]

    def distributed(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the processes.

        Args:
            module: The module.

        Returns:
            It, wrapped if there are several processes.
        """
        if self.size == 1:
            return module
        ids = [self.device] if self.device is not None and self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=ids)

    def last_part(self, module: Callable, last: bool) -> contextlib.AbstractContextManager:
        """Context of one part of an accumulated batch: gradients are exchanged in the last.

        Args:
            module: What `distributed` returned.
            last: Whether it is the last part.

        Returns:
            The context.
        """
        if last or not isinstance(module, DistributedDataParallel):
            return contextlib.nullcontext()
        return module.no_sync()

    def any(self, flag: bool, *, step: int = 0) -> bool:
        """Whether a flag is up in any process, the same answer everywhere.

        Args:
            flag: This process's flag.
            step: Steps between agreements answer no without asking.

        Returns:
            The answer.
        """
        if self.size == 1:
            return flag
        if step % AGREE_EVERY:
            return False
        word = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(word, op=dist.ReduceOp.MAX)
        return bool(word)

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        """Context of all that waits for the other processes.

        Yields:
            Nothing.

        Raises:
            ConnectionError: If another process has ended; it says why itself.
            RuntimeError: What else there was.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size > 1 and _is_of_the_connection(error):
                reason = str(error).strip().partition("\n")[0]
                raise ConnectionError(
                    f"process {self.rank} stops, another of the {self.size} has ended ({reason})"
                ) from error
            raise

    def sum(self, values: torch.Tensor, *, mean: bool = False) -> torch.Tensor:
        """Sum of a tensor over the processes.

        Args:
            values: The tensor; changed in place.
            mean: The mean instead.

        Returns:
            It.
        """
        if self.size > 1:
            dist.all_reduce(values)
            if mean:
                values /= self.size
        return values


def _is_of_the_connection(error: RuntimeError) -> bool:
    # Gloo has no type of its own for it.
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()


ALONE = World()


@contextlib.contextmanager
def joined(device: str) -> Iterator[World]:
    """The world that ``torchrun`` describes in the environment, or this process alone.

    A process that fails leaves at once, without the others' consent: torchrun then ends them. An
    orderly end would wait for the collectives in which they wait for this one.

    Args:
        device: ``"cpu"`` or ``"cuda"``; processes take one GPU each.

    Yields:
        The world.

    Raises:
        ValueError: If there are more processes than GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if checked(device).type == "cuda":
        own = checked(f"cuda:{local}")
        torch.cuda.set_device(own)
        dist.init_process_group("nccl", rank=rank, world_size=size, device_id=own)
    else:
        own = torch.device("cpu")
        dist.init_process_group("gloo", rank=rank, world_size=size)
    yield World(rank, size, own)
    dist.destroy_process_group()
