"""Images in memory: uint8 pixels and labels, checked once, ready for the device."""

from __future__ import annotations

import dataclasses

import torch

from ufm._typing import Int, Tensor


@dataclasses.dataclass(frozen=True)
class Images:
    """N images of K classes as uint8, whole in memory.

    Attributes:
        pixels: ``(N, C, H, W)`` uint8.
        labels: ``(N,)`` int64 in ``0 .. K-1``.
        K: Number of classes.

    Raises:
        ValueError: If type, shape or length is wrong or a label is out of range.
    """

    pixels: Tensor
    labels: Tensor
    K: int

    def __post_init__(self):
        _check_tensors(self.pixels, self.labels)
        if self.K < 1:
            raise ValueError(f"K must be at least 1, got {self.K}")
        low, high = (int(v) for v in self.labels.aminmax())
        if low < 0 or high >= self.K:
            raise ValueError(f"labels must be in 0..{self.K - 1}, got {low}..{high}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n(self) -> tuple[int, ...]:
        """Class sizes, a class without images included as 0."""
        return tuple(torch.bincount(self.labels, minlength=self.K).tolist())

    @property
    def channels(self) -> int:
        """Number of colour channels."""
        return self.pixels.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[2], self.pixels.shape[3]

    def to(self, device: torch.device | str) -> Images:
        """Copy to a device.

        Args:
            device: Where to.

        Returns:
            The images there.
        """
        # Checking again would make a CUDA device wait.
        new = object.__new__(Images)
        for name, value in (
            ("pixels", self.pixels.to(device)),
            ("labels", self.labels.to(device)),
            ("K", self.K),
        ):
            object.__setattr__(new, name, value)
        return new

    def subset(self, index: Int[Tensor, "M"]) -> Images:
        """Images at the given places, in that order.

        Args:
            index: Places.

        Returns:
            The M images; K stays.
        """
        index = index.to(self.labels.device)
        return Images(self.pixels[index], self.labels[index], self.K)


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """A data set cut to its profile.

    Attributes:
        name: Source name.
        train: Training images in file order.
        test: All test images in file order.
        validation: Images held out of training, None without `Data.holdout`.
        mean: Channel means of pixels / 255; published constants where papers use them, else those
            of the training images.
        std: Channel standard deviations likewise.
        classes: Class names.
    """

    name: str
    train: Images
    test: Images
    validation: Images | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]

    def __post_init__(self):
        K, shape = self.train.K, self.train.pixels.shape[1:]
        for role in ("test", "validation"):
            images = getattr(self, role)
            if images is not None and (images.K, images.pixels.shape[1:]) != (K, shape):
                raise ValueError(
                    f"{role} must have the training set's K={K} and shape {tuple(shape)}, "
                    f"got K={images.K} and {tuple(images.pixels.shape[1:])}"
                )
        if len(self.classes) != K:
            raise ValueError(f"classes must have K={K} names, got {len(self.classes)}")

    def to(self, device: torch.device | str) -> ImageSet:
        """Copy to a device.

        Args:
            device: Where to.

        Returns:
            The set there.
        """
        validation = None if self.validation is None else self.validation.to(device)
        return dataclasses.replace(
            self,
            train=self.train.to(device),
            test=self.test.to(device),
            validation=validation,
        )


def channel_statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of ``pixels / 255``.

    Args:
        images: The images.

    Returns:
        Means and (population) standard deviations, exact up to float64 rounding.
    """
    mean, std = [], []
    levels = torch.arange(256, dtype=torch.float64) / 255
    for c in range(images.channels):
        share = torch.bincount(images.pixels[:, c].reshape(-1), minlength=256).double().cpu()
        share = share / share.sum()
        centre = (share * levels).sum()
        mean.append(float(centre))
        std.append(float((share * (levels - centre) ** 2).sum().sqrt()))
    return tuple(mean), tuple(std)


def _check_tensors(pixels: Tensor, labels: Tensor) -> None:
    if pixels.dtype != torch.uint8:
        raise ValueError(f"pixels must be uint8, got {pixels.dtype}")
    if pixels.ndim != 4 or 0 in pixels.shape:
        raise ValueError(f"pixels must be non-empty (N, C, H, W), got {tuple(pixels.shape)}")
    if labels.dtype != torch.int64:
        raise ValueError(f"labels must be int64, got {labels.dtype}")
    if labels.shape != pixels.shape[:1]:
        raise ValueError(
            f"labels must have one entry for each of the {len(pixels)} images, "
            f"got shape {tuple(labels.shape)}"
        )
