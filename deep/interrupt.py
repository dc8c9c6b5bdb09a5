"""Stopping on a signal or a time limit between two steps; which kernels a device may use."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch


SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """A context in which SIGINT and SIGTERM ask to stop; a second one stops at once.

    Args:
        limit: Seconds after which to stop as well.

    Attributes:
        signal: Number of the signal that came, or 0.
    """

    def __init__(self, limit: float):
        self.signal = 0
        self._until = time.monotonic() + limit
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupt:
        # Only the main thread may set handlers; elsewhere the time limit remains.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._came) for number in SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def due(self) -> bool:
        """Whether to stop.

        Returns:
            True behind a signal or the limit.
        """
        return self.signal != 0 or time.monotonic() > self._until

    @property
    def reason(self) -> str:
        """Why, in words."""
        return f"stopped by {signal.Signals(self.signal).name}" if self.signal else "time is up"

    def _came(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        self._before = {}


@contextlib.contextmanager
def kernels(device: torch.device, *, small: bool = False) -> Iterator[None]:
    """Kernels that give the same bits every time on a CPU; on CUDA the fastest convolutions.

    Torch's settings are restored.

    Args:
        device: Where the work is done.
        small: One thread: small layers lose by a second one, on a busy machine a hundredfold.

    Yields:
        Nothing.
    """
    if device.type != "cpu":
        before = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = True  # shapes never change: algorithms are tried once
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = before
        return
    kept = torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1 if small else threads)
    # New memory is written before it is read; filling it first is for finding where it is not.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(kept)
        torch.set_num_threads(threads)
        memory.fill_uninitialized_memory = fill
