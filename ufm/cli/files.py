"""Files that commands read and write; what is wrong with one is a line that names it."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np


def read_arrays(file: Path, *, required: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays of an .npz archive.

    Args:
        file: The archive.
        required: Names it must hold.

    Returns:
        All its arrays.

    Raises:
        ValueError: If it is damaged, no archive, or lacks one of the names.
    """
    check_file(file)
    if not zipfile.is_zipfile(file):
        raise ValueError(f"file must be an .npz archive as numpy.savez writes, got {file}")
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"file must be an undamaged .npz of numbers, got {file}: {error}"
        ) from error
    for name in required:
        if name not in arrays:
            raise ValueError(f"file must hold {', '.join(required)}, got {sorted(arrays)}")
    return arrays


def check_file(file: Path) -> None:
    """Refuse what is no file.

    Args:
        file: Path to read.

    Raises:
        ValueError: If there is none.
    """
    if not file.is_file():
        raise ValueError(f"file must be an existing file, got {file}")


def check_writable(out: Path | None) -> None:
    """Refuse what cannot be written, before the work is done.

    Args:
        out: Path to write, or None.

    Raises:
        ValueError: If it cannot be.
    """
    if out is None:
        return
    if not out.name or (out.exists() and not out.is_file()):
        raise ValueError(f"out must name a file, got {str(out)!r}")
    if not out.parent.is_dir():
        raise ValueError(f"out must be in an existing folder, got {out}")
    if not os.access(out.parent, os.W_OK):
        raise ValueError(f"out must be in a writable folder, got {out}")
