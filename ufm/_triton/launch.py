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


def check_arrays(x: Tensor, c: Tensor, radius2: Tensor) -> int:
    """Refuse arrays that do not belong together: a kernel would read beyond them.

    Args:
        x: Coordinates ``(B, 2 K d)``.
        c: Class weights ``(B, K)``.
        radius2: Squared radii ``(B,)``.

    Returns:
        The feature dimension d.

    Raises:
        ValueError: If shapes do not fit, a type is not float64, devices differ, or a kernel's tile
            is too small.
    """
    for name, t in (("x", x), ("c", c), ("radius2", radius2)):
        if t.dtype != torch.float64:
            raise ValueError(f"{name} must be float64, got {t.dtype}")
        if t.device != x.device:
            raise ValueError(f"{name} must be on the device of x, {x.device}, got {t.device}")
    (B, P), K = x.shape, c.shape[-1]
    if c.shape != (B, K) or radius2.shape != (B,) or P % (2 * K) or not P:
        shapes = f"{tuple(x.shape)}, {tuple(c.shape)}, {tuple(radius2.shape)}"
        raise ValueError(f"x, c, radius2 must be (B, 2 K d), (B, K), (B,), got {shapes}")
    d = P // (2 * K)
    if not fits(K, d):
        raise ValueError(f"K and d must be at most {LARGEST} for a kernel, got {K} and {d}")
    return d


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
