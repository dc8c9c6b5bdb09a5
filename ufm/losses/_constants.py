"""Numbers of a loss as tensors, copied to a device once: a captured CUDA graph allows no copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from torch import Tensor

_KEPT: dict[Any, Tensor] = {}


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """A tensor of given numbers, made at the first call for a type and device.

    Args:
        values: The numbers.
        like: Any tensor of the wanted type and device.

    Returns:
        The tensor ``(K,)``; not to be changed.
    """
    import torch  # here because command lines name losses without torch

    key = (values, like.dtype, like.device)
    if key not in _KEPT:
        # What is kept must not belong to an inference mode around it.
        with torch.inference_mode(False):
            _KEPT[key] = torch.tensor(values, dtype=like.dtype, device=like.device)
    return _KEPT[key]
