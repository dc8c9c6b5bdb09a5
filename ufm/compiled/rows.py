"""Running a compiled kernel over the rows of arrays: threads, pieces, the first compilation."""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import pickle
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch


# Most rows a thread takes at a time, and least number of pieces a thread: no thread shall wait long
# for the last one, and an interrupt is heard between pieces.
PIECE, TURNS = 32, 4
# What a stored kernel that is not whole can raise, from pickle on; and a disk too full to store it.
DAMAGE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError,
    ImportError, MemoryError, RuntimeError, OSError,
)  # fmt: skip
# A function compiled by numba.
Kernel = Any


@cache
def available() -> bool:
    """Whether numba is installed and can be imported, which costs a second: ask last.

    Returns:
        True if kernels can be used. An installation that fails, for example since NumPy is too new
        for it, is told on stderr.
    """
    if importlib.util.find_spec("numba") is None:
        return False
    try:
        importlib.import_module("numba")
    except ImportError as error:
        reason = str(error).partition("\n")[0]
        sys.stderr.write(f"ufm: no compiled kernels, numba cannot be imported: {reason}\n")
        return False
    return True


@cache
def kernel(module: str, name: str) -> Kernel:
    """A compiled function, imported when first asked for.

    Args:
        module: Full name of the module, which imports numba.
        name: Function in it.

    Returns:
        The function, called as ``f(first, last, *arrays)``.

    Raises:
        RuntimeError: If numba fails for another reason than having no folder to write to.
    """
    try:
        function = getattr(importlib.import_module(module), name)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        # No folder that may be written to beside the source or at home.
        _keep_for_this_process()
        return getattr(importlib.import_module(module), name)
    _drop_outdated(function)
    return function


def over_rows(function: Kernel, count: int, *arrays: Any) -> None:
    """Call ``function(first, last, *arrays)`` for pieces of ``range(count)``.

    As many threads as torch uses (``torch.set_num_threads``, ``OMP_NUM_THREADS``). They are
    Python's own, since the kernels release the lock: numba's thread pools must not be entered by
    two threads at once, and one of them does not survive a fork. Nor do torch's own: a process that
    has used them forks workers that hang in torch, so those must be spawned.

    Args:
        function: Kernel that computes each row from that row alone.
        count: Number of rows.
        *arrays: Its further arguments.
    """
    _announce(function)
    _prepare(function, *arrays)
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


def _prepare(function: Kernel, *arrays: Any) -> None:
    # Compiled or loaded, before the threads start. What is stored damaged is compiled anew; what
    # cannot be stored is compiled already.
    try:
        function(0, 0, *arrays)
    except DAMAGE as error:
        sys.stderr.write(f"ufm: the store of kernels fails, compiling without it: {error!r}\n")
        _drop(function, _stored(function))
        function(0, 0, *arrays)


def _keep_for_this_process() -> None:
    folder = tempfile.mkdtemp(prefix="ufm-kernels-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    importlib.import_module("numba").config.CACHE_DIR = folder


def _drop_outdated(function: Kernel) -> None:
    # Numba compares a stored kernel with the file of the kernel alone, not with what it calls.
    newest = max(file.stat().st_mtime for file in Path(__file__).parent.glob("_*.py"))
    _drop(function, [file for file in _stored(function) if file.stat().st_mtime < newest])


def _drop(function: Kernel, files: list[Path]) -> None:
    # Where they may not be removed, another folder has none of them.
    try:
        for file in files:
            file.unlink(missing_ok=True)
    except OSError:
        _keep_for_this_process()
        function.enable_caching()


def _stored(function: Kernel) -> list[Path]:
    # Files of numba's, the index first.
    stem = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    folder = function.stats.cache_path
    return sorted(Path(folder).glob(f"{stem}-*.nb[ic]"), reverse=True) if folder else []


def _announce(function: Kernel) -> None:
    # On stderr if this process has not compiled the function and no earlier one has stored it.
    if function.signatures:
        return
    if not any(file.suffix == ".nbi" for file in _stored(function)):
        sys.stderr.write("ufm: compiling a kernel, once on this machine: about ten seconds\n")
