"""A queue of stages that ends where it must and goes on where it was. Stdlib only.

Each stage is a process of its own with a time limit: at the limit, or when this process is asked to
stop, it gets SIGTERM and time to save. What is finished is known from files that the stages leave,
so the queue has no memory of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from ufm.runs.files import naming_folder


# Seconds that a stage has to save after SIGTERM before it is killed.
GRACE = 45.0
# Exit status of a stage that stopped at its time limit, saved, and goes on next time.
NOT_YET = 3
# A stage that does not finish in so many goes is left for the next time; one that was ended at the
# limit without a word, which keeps nothing but what its compilers cached, in two.
GOES, SILENT_GOES = 8, 2
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Stage:
    """A piece of work.

    Attributes:
        name: Its name; also of its log.
        title: What it does.
        command: Arguments of the process, the interpreter first; ``{limit}`` in one of them becomes
            the seconds it has.
        seconds: Estimate of its time.
        done: Whether its result is there.
        finish: Called with its output when it exits 0; keeps a record where the stage itself keeps
            none, and says whether the output counts as success.
    """

    name: str
    title: str
    command: tuple[str, ...]
    seconds: float
    done: Callable[[], bool]
    finish: Callable[[str], bool] = field(default=lambda output: True)


@dataclass(frozen=True)
class Went:
    """How one go of a stage went.

    Attributes:
        status: Exit status; negative for a signal.
        seconds: Time it took.
        output: Its output, both streams.
        stopped: Whether the queue was asked to stop.
    """

    status: int
    seconds: float
    output: str
    stopped: bool = False


class Stop:
    """A context in which SIGINT and SIGTERM ask the queue to stop."""

    def __init__(self):
        self.event = threading.Event()
        self._before: dict[int, object] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._came)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def _came(self, number: int, frame: FrameType | None) -> None:
        self.event.set()


def left(stages: Sequence[Stage]) -> list[Stage]:
    """Stages whose result is not there.

    Args:
        stages: All stages.

    Returns:
        Those to be done, in order.
    """
    return [stage for stage in stages if not stage.done()]


def go(stage: Stage, *, limit: float, log: Path, stop: threading.Event) -> Went:
    """Run a stage once, within its time.

    Args:
        stage: The stage.
        limit: Seconds after which it is asked to save and end.
        log: File that takes its output.
        stop: Set from outside to end it early.

    Returns:
        How it went.

    Raises:
        OSError: If the log cannot be written or the interpreter does not start.
    """
    with naming_folder(log.parent, "log"):
        log.parent.mkdir(parents=True, exist_ok=True)
    # The stage stops by itself before it would be stopped.
    own = max(limit - GRACE, limit / 2)
    command = [part.replace("{limit}", f"{own:.0f}") for part in stage.command]
    begin = time.monotonic()
    with log.open("w") as output:
        # In a session of its own: a Ctrl-C at the terminal reaches it once, through the queue.
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=_end_with_parent(),
        )  # fmt: skip
        with _ended(process):
            while process.poll() is None and not stop.is_set():
                if time.monotonic() - begin > limit:
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
    text = log.read_text(errors="replace")
    return Went(process.returncode, time.monotonic() - begin, text, stop.is_set())


def _end_with_parent() -> Callable[[], None] | None:
    # A queue that is killed cannot tell its stage, and the next queue's would train the same
    # network beside it: Linux tells. Elsewhere nobody does.
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was killed meanwhile
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


@contextlib.contextmanager
def _ended(process: subprocess.Popen) -> Iterator[None]:
    # Whatever happens inside, the process has ended behind it.
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def work(
    stages: Sequence[Stage],
    *,
    limit: float,
    total: float,
    logs: Path,
    say: Callable[[str], None],
) -> int:
    """Do what is left, in order.

    Args:
        stages: All stages; those done are skipped.
        limit: Most seconds of one go.
        total: Most seconds of all.
        logs: Folder of the logs.
        say: Takes each line of news.

    Returns:
        0 if all are done, 1 if one failed, 3 if some are left.
    """
    begin, failed = time.monotonic(), False
    with Stop() as stop:
        for stage in left(stages):
            silent = 0
            for _ in range(GOES):
                remaining = total - (time.monotonic() - begin)
                if stop.event.is_set() or remaining < min(limit, 2 * GRACE):
                    break
                say(f"{stage.name}: {stage.title} (about {clock(stage.seconds)})")
                went = go(stage, limit=min(limit, remaining), log=logs / f"{stage.name}.log",
                          stop=stop.event)  # fmt: skip
                if went.status == 0 and stage.finish(went.output) and stage.done():
                    say(f"{stage.name}: done in {clock(went.seconds)}")
                    break
                if went.status != NOT_YET and not went.stopped and went.seconds < limit:
                    failed = True
                    say(f"{stage.name}: failed with status {went.status}; {_last(went.output)}")
                    break
                say(f"{stage.name}: not finished in {clock(went.seconds)}, goes on next time")
                silent += went.status != NOT_YET
                if silent == SILENT_GOES:
                    break
    if failed:
        return 1
    return NOT_YET if left(stages) else 0


def clock(seconds: float) -> str:
    """Seconds in words.

    Args:
        seconds: Duration.

    Returns:
        ``"50 s"`` or ``"3.5 min"``.
    """
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _last(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"
