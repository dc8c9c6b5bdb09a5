"""Running a compiled kernel over the rows of arrays: threads, pieces, the first compilation."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch


# Most rows a thread takes at a time, and least number of pieces a thread: no thread shall wait long
# for the last one, and an interrupt is heard between pieces.
PIECE, TURNS = 32, 4
# A kernel that is not ready after this time is being compiled; say so.
PATIENCE = 1.5


@cache
def available() -> bool:
    """Whether numba is installed; it is not imported for that.

    Returns:
        True if kernels can be used.
    """
    return importlib.util.find_spec("numba") is not None


@cache
def kernel(module: str, name: str) -> Callable[..., None]:
    """A compiled function, imported when first asked for.

    Args:
        module: Full name of the module, which imports numba.
        name: Function in it.

    Returns:
        The function, called as ``f(first, last, *arrays)``.
    """
    with _announced():
        return getattr(importlib.import_module(module), name)


def over_rows(function: Callable[..., None], count: int, *arrays: Any) -> None:
    """Call ``function(first, last, *arrays)`` for pieces of ``range(count)``.

    As many threads as torch uses (``torch.set_num_threads``, ``OMP_NUM_THREADS``). They are
    Python's own, since the kernels release the lock: numba's thread pools must not be entered by
    two threads at once, and one of them does not survive a fork.

    Args:
        function: Kernel that computes each row from that row alone.
        count: Number of rows.
        *arrays: Its further arguments.
    """
    with _announced():
        function(0, 0, *arrays)
    threads = torch.get_num_threads()
    size = max(1, min(PIECE, count // (TURNS * threads)))
    pieces = [(first, min(first + size, count)) for first in range(0, count, size)]
    threads = min(threads, len(pieces))
    if threads < 2:
        for piece in pieces:
            function(*piece, *arrays)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(function, *piece, *arrays) for piece in pieces]
        try:
            for each in waiting:
                each.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _announced() -> Iterator[None]:
    text = "ufm: compiling a kernel, once on this machine (about ten seconds)\n"
    timer = threading.Timer(PATIENCE, sys.stderr.write, (text,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
