"""Turning what callers pass into checked tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ufm._typing import Tensor


def as_float64(name: str, value: Any) -> Tensor:
    """A detached float64 copy of an array of finite real numbers.

    Args:
        name: Argument name for the error message.
        value: Tensor (kept on its device) or anything NumPy can make an array of.

    Returns:
        The copy; later changes of ``value`` do not reach it.

    Raises:
        ValueError: If it is no array of numbers, or holds NaN or infinity.
    """
    if isinstance(value, Tensor):
        tensor = value
    else:
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{name} must be an array of numbers, got a ragged one") from error
        if array.dtype.kind not in "biufc":
            raise ValueError(f"{name} must be an array of numbers, got {array.dtype} entries")
        tensor = torch.as_tensor(array)
    if tensor.is_complex():
        raise ValueError(f"{name} must be an array of real numbers, got {tensor.dtype}")
    tensor = tensor.detach().to(torch.float64, copy=True)
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return tensor
