"""Where a result came from: versions, commit, machine."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ufm


@functools.cache
def commit() -> tuple[str | None, bool | None]:
    """Commit of the checkout this package runs from, and whether it has uncommitted changes.

    Returns:
        Hash and flag; both None where there is no git or no checkout (an installed wheel).
    """
    folder = Path(ufm.__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return None, None
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None, None
    return head.strip(), bool(changed.strip())


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True, text=True, check=True, timeout=10,
    ).stdout  # fmt: skip


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def device_name(device: torch.device | str = "cpu") -> str:
    """Name of a device for a record.

    Args:
        device: Torch device.

    Returns:
        ``"cpu"`` with the machine's architecture, or the card's name.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.machine()})"


def environment(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Versions, commit, device, threads and time, for a run's record.

    Args:
        device: Where the run was computed.

    Returns:
        JSON-able data.
    """
    head, dirty = commit()
    return {
        "ufm": ufm.__version__,
        "commit": head,
        "dirty": dirty,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "numba": _version("numba"),  # without it, tensors computed what kernels would have
        "system": platform.system(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }
