"""Device memory, planned ahead: how many instances of a batch fit at once. The rest waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch


# Share of the free memory that is planned with; allocators round up and keep blocks.
SHARE = 0.8
MEMINFO = Path("/proc/meminfo")


def free_bytes(device: torch.device) -> int | None:
    """Memory that tensors of this process can still take.

    Args:
        device: CUDA or CPU.

    Returns:
        Bytes: what the driver reports free, and what torch's allocator holds without using it. On a
        CPU what the kernel calls available, or None where it does not say.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


def pieces(count: int, bytes_each: int, device: torch.device) -> Iterator[tuple[int, int]]:
    """Split a batch into pieces that fit, as equal as possible.

    The number of pieces is the least for which ``bytes_each`` times a piece stays within `SHARE` of
    the free memory; a piece is never less than one instance.

    Args:
        count: Instances of the batch.
        bytes_each: Bytes that an instance takes at the peak.
        device: Where.

    Yields:
        First instance of each piece, and the one after its last.
    """
    free = free_bytes(device)
    fit = count if free is None else max(1, int(SHARE * free) // bytes_each)
    number = -(-count // fit) if count else 0
    size, longer = divmod(count, number) if number else (0, 0)
    first = 0
    for k in range(number):
        last = first + size + (k < longer)
        yield first, last
        first = last
