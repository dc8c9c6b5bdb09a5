"""Writing files so that a reader sees all of one or none: temporary name, sync, rename."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


PARTIAL = ".partial"


@contextlib.contextmanager
def naming_folder(folder: Path, role: str) -> Iterator[None]:
    """Turn any operating-system failure inside into one line that names the folder.

    Args:
        folder: The folder written to.
        role: What it is called in the message (``"store"``).

    Raises:
        OSError: With the folder, the requirement and the system's reason.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            f"{role} must be a writable folder with space, got {folder} ({reason})"
        ) from error


def write_partial(path: Path, data: bytes) -> Path:
    """Write ``data`` beside ``path`` under a temporary name of its own, synced to the disk.

    Args:
        path: Where the data is to go in the end.
        data: What.

    Returns:
        The temporary file; nothing is left behind if writing it fails.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return partial


def publish(files: Mapping[Path, bytes]) -> None:
    """Write several files of one folder; the last one named appears last.

    All are written in full before the first is renamed, so a full disk leaves nothing new.

    Args:
        files: Path to content, in the order in which they are to appear.
    """
    partials: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            partials[path] = write_partial(path, data)
        for path, partial in partials.items():
            partial.replace(path)
            _sync_folder(path.parent)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time rename files in a folder; released if the process dies.

    Without such locks (Windows) two writers of one key can mix their files. A reader then sees a
    damaged chunk, which is recomputed: slower, never wrong.

    Args:
        folder: An existing folder.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_atomic(files: Mapping[Path, bytes], *, role: str = "out") -> None:
    """Write files of one folder, all or none; the folder is made if it is not there.

    Args:
        files: Path to content; the last one named appears last.
        role: What the folder is called in an error message.

    Raises:
        OSError: One line naming the folder, if it cannot be written.
    """
    folder = next(iter(files)).parent
    with naming_folder(folder, role):
        folder.mkdir(parents=True, exist_ok=True)
        publish(files)


def check_writable(folder: Path, *, role: str) -> None:
    """Make a folder and try to write in it, before computing for it.

    Args:
        folder: The folder.
        role: What it is called in an error message.

    Raises:
        OSError: One line naming the folder, if it cannot be written.
    """
    with naming_folder(folder, role):
        folder.mkdir(parents=True, exist_ok=True)
        write_partial(folder / "probe", b"probe").unlink()


def _sync_folder(folder: Path) -> None:
    # Makes the rename itself durable; file systems without it refuse, and lose nothing else.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
