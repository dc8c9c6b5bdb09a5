"""Memory planned ahead: how many instances of a batch a device can work on at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch


# Share of the free memory that a batch may take; allocators keep blocks of their own.
SHARE = 0.5
CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int | None:
    """Memory that is free on a device.

    Args:
        device: CUDA device or CPU.

    Returns:
        Bytes: on a card the driver's answer and what torch's allocator keeps unused, else free
        pages within the limit of a container; None where the system does not say.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    found = []
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        found.append(1024 * int(text.split("MemAvailable:")[1].split()[0]))
    except (OSError, ValueError, IndexError):
        if "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", {}):
            found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        limit, used = ((CGROUP / f"memory.{name}").read_text() for name in ("max", "current"))
        found.append(max(0, int(limit) - int(used)))
    except (OSError, ValueError):  # no container, or one without a limit
        pass
    return min(found, default=None)


def pieces(count: int, bytes_each: int, device: torch.device) -> Iterator[slice]:
    """Split a batch so that each piece fits into `SHARE` of what is free.

    Args:
        count: Instances.
        bytes_each: What one needs while it is worked on.
        device: Where.

    Yields:
        Slices of nearly equal size; a single one if the batch fits. At least one instance a piece.
    """
    free = free_bytes(device)
    fit = count if free is None else max(1, int(SHARE * free) // bytes_each)
    parts = -(-count // max(1, min(fit, count)))
    for part in range(parts):
        yield slice(part * count // parts, (part + 1) * count // parts)
