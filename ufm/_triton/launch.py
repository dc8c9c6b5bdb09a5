"""What launching a kernel takes: whether it can run, tiles, aligned arguments. Without Triton."""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

import torch

from ufm._typing import Float, Tensor


# Largest K and d of a kernel: one tile of 16 x 16.
LARGEST = 16


class Tile(NamedTuple):
    """Padded sizes, powers of two.

    Attributes:
        KP: Classes.
        DP: Feature dimension.
        NP: Coordinates ``2 K d``.
    """

    KP: int
    DP: int
    NP: int

    @classmethod
    def of(cls, K: int, d: int) -> Tile:
        """The tile of a model.

        Args:
            K: Classes.
            d: Feature dimension.

        Returns:
            Sizes of at least 16, what the float64 matrix unit multiplies.
        """
        return cls(*(max(LARGEST, 1 << (size - 1).bit_length()) for size in (K, d, 2 * K * d)))


def can_launch(device: torch.device) -> bool:
    """Whether Triton kernels run on a device.

    Args:
        device: Where the tensors are.

    Returns:
        True on CUDA where Triton is installed (it comes with CUDA builds of torch).
    """
    is_nvidia = device.type == "cuda" and torch.version.cuda is not None
    return is_nvidia and importlib.util.find_spec("triton") is not None


def fits(K: int, d: int) -> bool:
    """Whether a model is small enough for a kernel.

    Args:
        K: Classes.
        d: Feature dimension.

    Returns:
        True up to 16 classes and dimensions.
    """
    return max(K, d) <= LARGEST


def aligned(t: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """A contiguous tensor that begins at a multiple of 16 bytes.

    Triton compiles another variant for other addresses, whose sums may round differently: an
    instance would not be the same alone and in a batch.

    Args:
        t: Any tensor.

    Returns:
        The tensor, or a copy.
    """
    t = t.contiguous()
    return t.clone() if t.data_ptr() % 16 else t
