"""Geometry and decisions of a network, measured: features in its own precision, sums in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import nn

from deep.collapse import Batches, Classifier, collapse
from deep.decisions import Decisions, Distances
from deep.saved import Saved
from ufm._typing import Tensor
from ufm.geometry.multicenter import Centers
from ufm.heads._head import Head


Rule = Callable[[Tensor, Head], Tensor]
PUBLISHED = "published"
# Features up to this size are kept between the two passes; larger ones are computed again.
KEPT_BYTES = 2**31


class LabelledImages(Protocol):
    """What is probed: ``deep.data``'s images, or anything like them."""

    @property
    def pixels(self) -> Tensor:
        """Pixels ``(N, C, H, W)`` uint8."""
        ...

    @property
    def labels(self) -> Tensor:
        """Labels ``(N,)``."""
        ...


def probe(
    model: nn.Module,
    images: LabelledImages,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    rules: Mapping[str, Rule] | None = None,
    n: Sequence[int] | None = None,
    D: Distances | None = None,
    batch: int = 1000,
) -> dict[str, Any]:
    """Measure a network on labelled images, without augmentation, in evaluation mode.

    Args:
        model: Network with ``backbone`` and ``head`` (a `ufm` head); its modes are restored.
        images: ``pixels`` (N, C, H, W) uint8 and ``labels`` (N,).
        mean: Mean of each channel of pixels / 255.
        std: Their standard deviation.
        rules: Decision rules by name, scores of ``(features, head)``; the first one is the
            published one. By default the head's own logits.
        n: Training samples of each class, for accuracy by shot.
        D: Distances of the classes, for mistake severity and HD@k.
        batch: Images a forward pass.

    Returns:
        One row: the metrics of `ufm.metrics`, angles to the head's frame in degrees, Gram matrices
        of few classes, and decisions by the first rule; ``accuracy_<rule>`` for all of them.

    Raises:
        ValueError: If the network has no ``backbone`` and ``head``, sizes do not fit, or a class
            has no image.
    """
    head = head_of(model)
    rules = rules or {PUBLISHED: lambda features, head: head.logits(features)}
    passes = _passes(model, images, mean=mean, std=std, batch=batch)
    with evaluating(model), torch.no_grad():
        row = collapse(passes, linear_rule(head)).as_row()
        tallies = {name: Decisions(head.K, D=D) for name in rules}
        for features, y in passes():
            for name, rule in rules.items():
                tallies[name].update(rule(features, head), y)
    first = next(iter(rules))
    row |= tallies[first].as_row(n=n)
    for name, tally in tallies.items():
        row[f"accuracy_{name}"] = tally.accuracy
        if D is not None and name != first:
            other = tally.as_row()
            row |= {f"{k}_{name}": other[k] for k in other if k.startswith(("hd@", "mistake"))}
    return row


def probe_saved(
    saved: Saved, *, n: Sequence[int] | None = None, D: Distances | None = None
) -> dict[str, Any]:
    """Measure saved features against their linear classifier.

    Args:
        saved: Features, labels and classifier.
        n: Training samples of each class, for accuracy by shot.
        D: Distances of the classes, for mistake severity and HD@k.

    Returns:
        A row as `probe` makes it.
    """
    row = collapse(saved.batches, Classifier.of(saved.W, saved.bias)).as_row()
    tally = Decisions(saved.K, D=D)
    for X, y in saved.batches():
        tally.update(saved.scores(X), y)
    return row | tally.as_row(n=n)


def head_of(model: nn.Module) -> Head:
    """The head of a network.

    Args:
        model: The network.

    Returns:
        ``model.head``.

    Raises:
        ValueError: If there is no backbone, or no head of the package.
    """
    if not isinstance(getattr(model, "head", None), Head) or not hasattr(model, "backbone"):
        raise ValueError(
            f"model must have a backbone and a head of ufm.heads, got {type(model).__name__}"
        )
    return model.head  # pyright: ignore[reportReturnType]


def linear_rule(head: Head) -> Classifier:
    """Rows, bias and meant directions of a head, in float64.

    Args:
        head: Any head.

    Returns:
        The classifier: unit rows where logits are cosines, the bias ``-W c`` where features are
        centred first, and the mean directions of a multi-center frame.
    """
    W = head.frame.detach().to(torch.float64)
    if getattr(head, "unit", False):
        W = torch.nn.functional.normalize(W, dim=-1)
    bias, centre = getattr(head, "bias", None), getattr(head, "centre", None)
    b = -(W @ centre.to(W)) if centre is not None else bias
    classifier = Classifier.of(W, b)
    parts = head.parts
    if not isinstance(parts, Centers):
        return classifier
    wide = Centers(parts.W.to(W), parts.centers.to(W), parts.owner, parts.slots)
    return replace(classifier, direction=wide.direction, centers=wide)


def features_of(
    model: nn.Module,
    images: LabelledImages,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch: int = 1000,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Features of images without augmentation; the caller sets evaluation mode and no gradients.

    Args:
        model: Network with ``backbone`` and ``head``.
        images: Pixels and labels, on any device.
        mean: Mean of each channel.
        std: Standard deviation of each channel.
        batch: Images a forward pass.

    Yields:
        ``(features (B, d), labels (B,))`` on the network's device, at least float32.
    """
    head = head_of(model)
    device = head.frame.device
    shift, scale = (torch.tensor(x, device=device).view(-1, 1, 1) for x in (mean, std))
    for pixels, y in zip(images.pixels.split(batch), images.labels.split(batch), strict=True):
        x = (pixels.to(device).float() / 255 - shift) / scale
        x = x.to(memory_format=torch.channels_last)
        yield head.features(model.backbone(x)), y.to(device)  # pyright: ignore[reportCallIssue]


def save_features(
    model: nn.Module,
    images: LabelledImages,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch: int = 1000,
) -> Saved:
    """Features of a network with the linear rule of its head.

    Args:
        model: Network with ``backbone`` and ``head``.
        images: Pixels and labels.
        mean: Mean of each channel.
        std: Standard deviation of each channel.
        batch: Images a forward pass.

    Returns:
        What `deep.saved.write` writes.
    """
    rule = linear_rule(head_of(model))
    with evaluating(model), torch.no_grad():
        parts = list(features_of(model, images, mean=mean, std=std, batch=batch))
    features, labels = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    return Saved(features, labels, rule.W.cpu(), rule.b.cpu(), has_bias=bool((rule.b != 0).any()))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; every module's own mode is restored, also after an error.

    Args:
        model: The network.

    Yields:
        Nothing.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _passes(
    model: nn.Module,
    images: LabelledImages,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch: int,
) -> Batches:
    # The features of the first pass serve the later ones where they fit into memory.
    kept: list[tuple[Tensor, Tensor]] = []
    done = [False]
    fit = len(images.labels) * head_of(model).d * 4 <= KEPT_BYTES

    def passes() -> Iterator[tuple[Tensor, Tensor]]:
        if done[0]:
            yield from kept
            return
        kept.clear()
        for features, y in features_of(model, images, mean=mean, std=std, batch=batch):
            if fit:
                kept.append((features, y))
            yield features, y
        done[0] = fit

    return passes
