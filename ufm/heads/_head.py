"""What all heads share: features, logits, losses, and a frame that keeps its precision.

A head is the last part of a network, a feature transformation and a classifier of known geometry.
Heads are for training networks: no solver, no certificate, no metric is imported here.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import nn

from ufm._typing import Float, Int, Tensor
from ufm.counts import check_count
from ufm.geometry.frames import FixedRows
from ufm.geometry.frames import frame as frame_rows
from ufm.geometry.haframe import embed
from ufm.geometry.multicenter import Centers
from ufm.geometry.specs import Frame
from ufm.heads._checks import check_features, check_input, check_loss, check_range, integer_labels
from ufm.losses import FeatureLoss, Loss


# Buffers with these names keep float32 when a network is cast to a narrower type: the geometry,
# and moving averages, whose steps would be lost in rounding.
KEPT = ("frame", "gram", "centers", "rotation", "base", "means", "centre")


class Head(nn.Module, abc.ABC):
    """A feature transformation and a classifier ``(K, d)`` whose geometry is known.

    ``forward`` gives logits. Under autocast, and in networks cast to half precision, the frame and
    the product with it stay in float32: rounding would take the exact geometry away.

    Attributes:
        transform: Feature transformation, input to features ``(B, d)``.
        frame: Rows of the classifier ``(K, d)``, a buffer where they are not learned.
        in_features: Channels of the input; None with a custom transformation, which takes what it
            likes.
        takes_maps: Whether the input may be maps ``(B, C, h, w)``.
        shown: Names of the attributes that ``print`` shows.
    """

    transform: nn.Module
    frame: Tensor
    in_features: int | None
    shown: ClassVar[tuple[str, ...]] = ("K", "d")
    takes_maps: ClassVar[bool] = False

    @abc.abstractmethod
    def logits(self, features: Float[Tensor, "B d"]) -> Float[Tensor, "B K"]:
        """Logits of transformed features.

        Args:
            features: What `features` returned.

        Returns:
            Logits.
        """

    @property
    @abc.abstractmethod
    def parts(self) -> Tensor | FixedRows | Centers:
        """The frame as a `ufm.losses.FeatureLoss` wants it."""

    def linear_rule(self) -> tuple[Float[Tensor, "K d"], Float[Tensor, "K"] | None]:
        """Rows and bias whose largest score on the features is the head's answer, for metrics.

        Returns:
            Rows, and the bias or None. Of a multi-center head those of the regular rule.
        """
        return self.frame, None

    @property
    def K(self) -> int:
        """Number of classes."""
        return self.frame.shape[0]

    @property
    def d(self) -> int:
        """Feature dimension."""
        return self.frame.shape[1]

    def features(self, x: Float[Tensor, "B *input"]) -> Float[Tensor, "B d"]:
        """Transformed features, at least float32.

        Args:
            x: Output of the backbone.

        Returns:
            Features.

        Raises:
            ValueError: If the input has other channels than ``in_features``, or a custom
                transformation gives anything else than ``(B, d)``.
        """
        check_input(x, self.in_features, maps=self.takes_maps)
        features = self.transform(x)
        check_features(features, self.d)
        return at_least_float32(features)

    def forward(self, x: Float[Tensor, "B *input"]) -> Float[Tensor, "B K"]:
        """Logits.

        Args:
            x: Output of the backbone.

        Returns:
            Logits.
        """
        return self.logits(self.features(x))

    def predict(self, x: Float[Tensor, "B *input"]) -> Int[Tensor, "B"]:
        """The class of the largest logit.

        Args:
            x: Output of the backbone.

        Returns:
            Classes.
        """
        return self(x).argmax(-1)

    def loss(
        self, x: Float[Tensor, "B *input"], y: Int[Tensor, "B"], loss: Loss | FeatureLoss
    ) -> Float[Tensor, "B"]:
        """Loss of each sample, in full precision also under autocast.

        Args:
            x: Output of the backbone.
            y: Labels, integers of any width.
            loss: Any loss of the package.

        Returns:
            Losses; train on their mean.

        Raises:
            ValueError: If the labels are not one integer a sample, or the loss is none of the
                package or for another number of classes. On the CPU also if a label is no class;
                on a GPU that is the device's error, for nothing here waits for it.
            IndexError: Torch's own, where the labels are not to blame.
            RuntimeError: The same.
        """
        check_loss(loss, self.K)
        features = self.features(x)
        labels = integer_labels(y, len(features))
        try:
            with full_precision(features):
                if isinstance(loss, FeatureLoss):
                    return loss.value(features, self.parts, labels)
                return loss.value(self.logits(features).mT, labels)
        except (IndexError, RuntimeError):
            check_range(labels, self.K)  # says in our words what torch found in the look-up
            raise

    def extra_repr(self) -> str:
        """Sizes and settings, for ``print``.

        Returns:
            The text.
        """
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.shown)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True):
        kept = {name: self._buffers[name] for name in KEPT if name in self._buffers}
        super()._apply(fn, recurse)
        for name, before in kept.items():
            after = self._buffers[name]
            if before is not None and after is not None and is_narrow(after):
                self._buffers[name] = before.to(after.device, torch.float32)
        return self


def full_precision(like: Tensor) -> contextlib.AbstractContextManager:
    """Context without autocast on the device of a tensor.

    Args:
        like: Tensor.

    Returns:
        The context; it does nothing where there is no autocast.
    """
    if torch.amp.is_autocast_available(like.device.type):
        return torch.autocast(like.device.type, enabled=False)
    return contextlib.nullcontext()


def is_narrow(tensor: Tensor) -> bool:
    """Whether a tensor's type has fewer digits than float32.

    Args:
        tensor: Floating-point tensor.

    Returns:
        True for half precision.
    """
    return tensor.dtype not in (torch.float32, torch.float64)


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor, in float32 if it was narrower.

    Args:
        tensor: Floating-point tensor.

    Returns:
        The tensor.
    """
    return tensor.float() if is_narrow(tensor) else tensor


def product(features: Float[Tensor, "B d"], rows: Float[Tensor, "R d"]) -> Float[Tensor, "B R"]:
    """Inner products of features and rows in the wider of their types, without autocast.

    Args:
        features: Features.
        rows: Rows of a frame.

    Returns:
        The products.
    """
    with full_precision(features):
        dtype = torch.promote_types(features.dtype, rows.dtype)
        return nn.functional.linear(features.to(dtype), rows.to(dtype))


def build_rows(
    spec: Frame, K: int, *, rank: int, d: int, generator: torch.Generator | None
) -> Float[Tensor, "K d"]:
    """Rows of a frame in d dimensions, turned at random so that all channels are used.

    Args:
        spec: The frame.
        K: Number of classes.
        rank: Dimension of its span.
        d: Feature dimension.
        generator: Source of the rotation; by default one seeded 0.

    Returns:
        Rows, float64 on the CPU.

    Raises:
        ValueError: If ``d`` is too small; the message says what is needed.
    """
    spec.check(K, check_count("d", d))
    with torch.device("cpu"):  # whatever the default device: some have no float64, meta no numbers
        return embed(frame_rows(spec, K, rank), d, generator=source(generator))


def stored(
    rows: Float[Tensor, "..."], *, device: torch.device | str | None, dtype: torch.dtype | None
) -> Float[Tensor, "..."]:
    """Rows of a frame as a buffer: where parameters go, in float32 at least.

    Args:
        rows: Rows on the CPU.
        device: Where they go; torch's default device if None.
        dtype: Type of the parameters; torch's default if None.

    Returns:
        The rows.
    """
    wide = torch.promote_types(dtype or torch.get_default_dtype(), torch.float32)
    return rows.to(wide).to(device=torch.get_default_device() if device is None else device)


def refill(head: Head, name: str, value: Tensor) -> None:
    """Renew a buffer that is no part of checkpoints after what it is made of has been loaded.

    In place where that is possible: a captured graph reads it where it was.

    Args:
        head: The head.
        name: Name of the buffer.
        value: What it holds from now on, on any device.
    """
    old, device = getattr(head, name), head.frame.device
    if old.device == device and old.shape == value.shape:
        old.copy_(value)
    else:
        setattr(head, name, value.to(device))


def source(generator: torch.Generator | None) -> torch.Generator:
    """The source of a head's rotation.

    Args:
        generator: What the caller gave.

    Returns:
        That, or a generator seeded 0.

    Raises:
        ValueError: If it is no generator.
    """
    if generator is None:
        return torch.Generator().manual_seed(0)
    if not isinstance(generator, torch.Generator):
        raise ValueError(
            f"generator must be a torch.Generator, such as torch.Generator().manual_seed(0), "
            f"got {generator!r}"
        )
    return generator


def widened(
    in_features: int, d: int | None, *, device: torch.device | str | None, dtype: torch.dtype | None
) -> tuple[int, list[nn.Module]]:
    """Feature dimension, and the linear layer that makes it where the backbone has another.

    Args:
        in_features: Width of the backbone's output.
        d: Feature dimension; None for that width.
        device: Where the layer goes.
        dtype: Its type.

    Returns:
        d and the layers.
    """
    check_count("in_features", in_features)
    if d is None or d == in_features:
        return in_features, []
    layer = nn.Linear(in_features, check_count("d", d), bias=False, device=device, dtype=dtype)
    return d, [layer]
