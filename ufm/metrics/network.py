"""Features of anybody's network: hook a layer, run a loader, accumulate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from ufm._typing import Tensor
from ufm.metrics.moments import Weighting
from ufm.metrics.nc4 import Agreement
from ufm.metrics.record import NCRecord, measure
from ufm.metrics.stats import FeatureStats


Side = Literal["input", "output"]


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
    head: nn.Linear,
    loader: Iterable,
    *,
    weighting: Weighting = Weighting.CLASSES,
    pooled: bool = False,
) -> NCRecord:
    """All metrics of a network with a linear head, in two passes over the loader.

    The second pass is for NC4, which needs the samples once the class means are known; the loader
    must yield the same samples again, in any order.

    Args:
        model: The network.
        head: Its last layer; the input is the feature, the rows of the weight are the classes.
        loader: Batches ``(x, y, ...)``.
        weighting: How classes of unequal size are averaged.
        pooled: Keep one scatter matrix instead of K.

    Returns:
        The record.
    """
    stats = collect(model, head, loader, K=head.out_features, pooled=pooled)
    moments = stats.moments(weighting)
    agreement = Agreement.empty(head.weight, stats.mean, b=head.bias)
    _visit(model, head, loader, side="input", visit=agreement.update)
    return measure(moments, head.weight, agreement=agreement.rate(weighting))


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
