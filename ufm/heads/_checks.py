"""What heads refuse, in one line. Shapes and types cost nothing; no device is waited for."""

from __future__ import annotations

import torch

from ufm._typing import Int, Tensor
from ufm.losses import FeatureLoss, Loss


def traced() -> bool:
    """Whether this is a trace, in which sizes are tensors and comparing them is a warning.

    Returns:
        True while `torch.jit.trace` runs.
    """
    return torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def check_input(x: Tensor, C: int | None, *, maps: bool) -> None:
    """Refuse what the head's own layers do not take.

    Args:
        x: Output of the backbone.
        C: Its channels; None for a custom transformation, which knows itself.
        maps: Whether it may be maps.

    Raises:
        ValueError: If axes or channels differ.
    """
    if C is None or traced() or (x.ndim in ((2, 4) if maps else (2,)) and x.shape[1] == C):
        return
    others = f" or maps (B, {C}, h, w)" if maps else ""
    raise ValueError(f"x must be vectors (B, in_features={C}){others}, got {tuple(x.shape)}")


def check_features(features: Tensor, d: int) -> None:
    """Refuse what a custom transformation should not give.

    Args:
        features: Its output.
        d: Feature dimension.

    Raises:
        ValueError: If they are not ``(B, d)``.
    """
    if traced() or (features.ndim == 2 and features.shape[1] == d):
        return
    raise ValueError(f"transform must give features (B, d={d}), got {tuple(features.shape)}")


def check_loss(loss: Loss | FeatureLoss, K: int) -> None:
    """Refuse what is no loss of the package, or one for another number of classes.

    Args:
        loss: The loss.
        K: Number of classes.

    Raises:
        ValueError: If it is.
    """
    if isinstance(loss, Loss):
        loss.check(K)
    elif not isinstance(loss, FeatureLoss):
        raise ValueError(
            f"loss must be one of ufm, such as ufm.CrossEntropy(), got {loss!r}; "
            "losses of PyTorch take the logits, head(x)"
        )


def integer_labels(y: Tensor, B: int) -> Tensor:
    """Labels as torch looks them up, from integers of any width.

    Args:
        y: Labels.
        B: Number of samples.

    Returns:
        The labels, int64.

    Raises:
        ValueError: If they are not one integer a sample.
    """
    if y.shape != (B,):
        raise ValueError(f"y must be one label a sample, shape ({B},), got {tuple(y.shape)}")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"y must be integers, got {y.dtype}")
    return y.long()


def check_range(y: Int[Tensor, "B"], K: int) -> None:
    """Say which labels are no classes.

    Args:
        y: Labels.
        K: Number of classes.

    Raises:
        ValueError: If there are any, on the CPU; the state of a device that met one is lost.
    """
    if y.device.type == "cpu" and len(y) and not 0 <= int(y.min()) <= int(y.max()) < K:
        raise ValueError(f"y must be classes 0..{K - 1}, got {int(y.min())}..{int(y.max())}")
