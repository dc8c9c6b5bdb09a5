"""Devices: checked before anything is loaded or built; their streams behind a failed capture."""

from __future__ import annotations

import sys

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


def leave_capture(device: torch.device) -> None:
    """Go back to the default stream: a capture that fails to end leaves its own as the current one.

    Args:
        device: Where the capture was.
    """
    if device.type == "cuda":
        torch.cuda.set_stream(torch.cuda.default_stream(device))
