"""Devices: checked before anything is loaded or built; captures that leave nothing behind."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import torch


def checked(device: torch.device | str) -> torch.device:
    """A device that is there.

    Args:
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Returns:
        The device.

    Raises:
        ValueError: If it is none of these, or this torch sees no such GPU.
    """
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be cpu or cuda, got {str(device)!r}")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device must be present, {sys.executable} sees no CUDA through torch")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device must be one of {torch.cuda.device_count()} GPUs, got {str(device)!r}"
        )
    return found


def captured(work: Callable[[], object], *, stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
    """Record what a call launches, for replays.

    A capture that is refused leaves its stream the current one, and an allocator that takes it as
    going on: it frees nothing any more, and every later capture of the process fails on that. Both
    are put right.

    Args:
        work: The call; run three times before, on the same stream.
        stream: Where.

    Returns:
        The graph.

    Raises:
        RuntimeError: If the device refuses: what the call was told.
        OutOfMemoryError: If its memory does not hold what is captured.
    """
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    try:
        with torch.cuda.graph(graph, pool=pool, stream=stream):
            work()
    except RuntimeError as error:
        torch.cuda.set_stream(torch.cuda.default_stream(stream.device))
        allocator: Any = torch.cuda.memory
        with contextlib.suppress(RuntimeError):  # it knows already
            allocator._cuda_endAllocateToPool(stream.device.index, pool)
        # The end of an invalid capture is an error too, and says less than the one before it.
        before = error.__context__
        raise (before if isinstance(before, RuntimeError) else error) from error
    return graph
