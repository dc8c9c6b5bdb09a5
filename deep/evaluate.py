"""Accuracy of every decision rule once an epoch, counted on the device."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch

from deep.data.augment import normalised
from deep.data.images import Images
from deep.device import captured
from deep.probe import evaluating
from deep.step import Step
from ufm._typing import Float, Int, Tensor


BATCH = 1000


class Evaluation:
    """Correct decisions on the test images, and on the validation images if there are some.

    Args:
        step: The network in training, with its data, recipe and stream.
        batch: Images a forward pass.

    Attributes:
        names: What is counted, ``<set>_<rule>``, in the order of the counts.
        sizes: Images behind each.
    """

    def __init__(self, step: Step, *, batch: int = BATCH):
        self.step = step
        sets = {"validation": step.data.validation, "test": step.data.test}
        self._sets = {name: _padded(images, batch) for name, images in sets.items() if images}
        self.names = [f"{name}_{rule}" for name in self._sets for rule in step.built.rules]
        self.sizes = [
            len(images) for images in sets.values() if images for _ in step.built.rules
        ]  # fmt: skip
        self._graph: torch.cuda.CUDAGraph | None = None
        self._refused = False
        self._out = torch.zeros(len(self.names), device=step.device)

    @torch.no_grad()
    def __call__(self) -> Float[Tensor, "R"]:
        """Count, without waiting for the device.

        Returns:
            Correct decisions, parallel to ``names``; the same tensor every time.
        """
        with self.step.averaged(), evaluating(self.step.model):
            stream = self.step.stream
            if self.step.graphs and stream and self._graph is None and not self._refused:
                self._capture(stream)
            with self.step.on_stream():
                if self._graph is None:
                    self._pass()
                else:
                    self._graph.replay()
        return self._out

    def shares(self, counts: Float[Tensor, "R"]) -> dict[str, float]:
        """Accuracies by name; waits for the device.

        Args:
            counts: What the call returned.

        Returns:
            ``<set>_<rule>`` for all rules, and ``<set>`` for the published one.
        """
        shares = [count / size for count, size in zip(counts.tolist(), self.sizes, strict=True)]
        row = dict(zip(self.names, shares, strict=True))
        first = next(iter(self.step.built.rules))
        return {name: row[f"{name}_{first}"] for name in self._sets} | row

    def _pass(self) -> None:
        count = self._compiled if self.step.compiled else self._batch
        counts = []
        for batches in self._sets.values():
            parts = [count(pixels, y) for pixels, y in batches]
            counts.append(torch.stack(parts).sum(0))
        self._out.copy_(torch.cat(counts))

    @cached_property
    def _compiled(self) -> Callable:
        # Made late: whether a machine compiles is known behind the first step.
        return torch.compile(self._batch)

    def _batch(
        self, pixels: Int[Tensor, "B C H W"], y: Int[Tensor, "B"]
    ) -> Float[Tensor, "R"]:  # fmt: skip
        step = self.step
        x = normalised(pixels, step.data.mean, step.data.std)
        x = x.to(memory_format=torch.channels_last)
        with step.objective.precision(x):
            features = step.model.features(x)
        with step.objective.full(x):
            scores = [rule(features, step.model.head) for rule in step.built.rules.values()]
            return torch.stack([(z.argmax(-1) == y).sum() for z in scores]).float()

    def _capture(self, stream: torch.cuda.Stream) -> None:
        with self.step.on_stream():
            self._pass()
        torch.cuda.synchronize(self.step.device)
        try:
            self._graph = captured(self._pass, stream=stream)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            self._refused = True  # uncaptured it takes some launches more, once an epoch


def _padded(images: Images, batch: int) -> list[tuple[Tensor, Tensor]]:
    # Batches of one size, so that one set of kernels serves all: labels -1 are never right.
    pixels, labels = images.pixels, images.labels
    batch = min(batch, len(labels))
    missing = -len(labels) % batch
    if missing:
        pixels = torch.cat([pixels, pixels[:missing]])
        labels = torch.cat([labels, labels.new_full((missing,), -1)])
    return list(zip(pixels.split(batch), labels.split(batch), strict=True))
