"""Features of anybody's network: hook a layer, run a loader, accumulate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import nn

from ufm._typing import Tensor
from ufm.metrics.moments import Weighting
from ufm.metrics.nc4 import Agreement
from ufm.metrics.record import NCRecord, measure
from ufm.metrics.stats import FeatureStats


Side = Literal["input", "output"]


@runtime_checkable
class FramedHead(Protocol):
    """What a head of `ufm.heads` shows of itself, or anybody's that decides by a linear rule.

    Attributes:
        transform: Gives the features; runs once a call.
    """

    transform: nn.Module

    def linear_rule(self) -> tuple[Tensor, Tensor | None]:
        """Rows ``(K, d)`` and bias ``(K,)``, or None, of the rule on those features."""
        ...


def collect(
    model: nn.Module,
    layer: nn.Module,
    loader: Iterable,
    *,
    K: int,
    side: Side = "input",
    pooled: bool = False,
) -> FeatureStats:
    """Class statistics of what goes into (or comes out of) a layer, in one pass.

    The model is run in evaluation mode without gradients; every module's own mode is restored,
    also after an error.

    Args:
        model: The network, called as ``model(x)``.
        layer: A module of it that runs once a call; its features are flattened to ``(B, d)``.
        loader: Batches ``(x, y, ...)``.
        K: Number of classes.
        side: ``"input"`` of the layer (the classifier, as a rule) or its ``"output"``.
        pooled: Keep one scatter matrix instead of K.

    Returns:
        The statistics, on the features' device.

    Raises:
        ValueError: If the loader is empty, or the layer did not run exactly once a call.
    """
    stats: list[FeatureStats] = []

    def add(X: Tensor, y: Tensor) -> None:
        if not stats:
            empty = FeatureStats.empty(K=K, d=X.shape[-1], pooled=pooled, device=X.device)
            stats.append(empty)
        stats[0].update(X, y)

    _visit(model, layer, loader, side=side, visit=add)
    if not stats:
        raise ValueError("loader must yield at least one batch, got none")
    return stats[0]


def nc_network(
    model: nn.Module,
    head: nn.Linear | FramedHead,
    loader: Iterable,
    *,
    weighting: Weighting = Weighting.CLASSES,
    pooled: bool = False,
) -> NCRecord:
    """All metrics of a network with a linear head or one of `ufm.heads`, in two passes.

    The second pass is for NC4, which needs the samples once the class means are known; the loader
    must yield the same samples again, in any order.

    Args:
        model: The network.
        head: Its last layer; the input is the feature, the rows of the weight are the classes. Of
            a head of `ufm.heads` features are those behind its transformation.
        loader: Batches ``(x, y, ...)``.
        weighting: How classes of unequal size are averaged.
        pooled: Keep one scatter matrix instead of K.

    Returns:
        The record.

    Raises:
        ValueError: If the head is neither, or as `collect` does.
    """
    side: Side = "input"
    if isinstance(head, nn.Linear):
        layer, W, b = head, head.weight, head.bias
    elif isinstance(head, FramedHead):
        layer, side = head.transform, "output"
        W, b = head.linear_rule()
    else:
        raise ValueError(
            f"head must be a torch.nn.Linear or a head of ufm.heads, got a {type(head).__name__}"
        )
    stats = collect(model, layer, loader, K=len(W), side=side, pooled=pooled)
    moments = stats.moments(weighting)
    agreement = Agreement.empty(W, stats.mean, b=b)
    _visit(model, layer, loader, side=side, visit=agreement.update)
    return measure(moments, W, agreement=agreement.rate(weighting))


def _visit(
    model: nn.Module,
    layer: nn.Module,
    loader: Iterable,
    *,
    side: Side,
    visit: Callable[[Tensor, Tensor], None],
) -> None:
    # Calls ``visit(features, y)`` for each batch.
    seen: list[Tensor] = []

    def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(inputs[0] if side == "input" else output)

    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    handle = layer.register_forward_hook(hook)
    try:
        with _evaluating(model), torch.no_grad():
            for x, y, *_ in loader:
                seen.clear()
                model(x.to(device))
                if len(seen) != 1:
                    raise ValueError(
                        f"layer must run once a call of the model, got {len(seen)} runs"
                    )
                visit(seen[0].flatten(1), y)
    finally:
        handle.remove()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
