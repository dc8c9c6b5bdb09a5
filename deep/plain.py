"""The loop that a user would write, to measure against: DataLoader with workers, float32, eager."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from deep.data.images import ImageSet
from ufm._typing import Tensor


class Augmented(Dataset):
    """Images with the usual random crop and flip, one at a time on the CPU.

    Args:
        data: Images on the CPU.
        crop: Padding of the crop.
    """

    def __init__(self, data: ImageSet, *, crop: int = 4):
        self.images, self.crop = data.train, crop
        self.mean, self.std = (torch.tensor(x).view(-1, 1, 1) for x in (data.mean, data.std))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        x = self.images.pixels[i].float() / 255
        height, width = x.shape[-2:]
        x = nn.functional.pad(x, (self.crop,) * 4)
        top, side = (int(torch.randint(2 * self.crop + 1, ())) for _ in range(2))
        x = x[:, top : top + height, side : side + width]
        if torch.rand(()) < 0.5:
            x = x.flip(-1)
        return (x - self.mean) / self.std, int(self.images.labels[i])


def images_per_second(
    model: nn.Module,
    data: ImageSet,
    *,
    batch: int,
    device: torch.device,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    steps: int = 100,
    workers: int | None = None,
) -> float:
    """Speed of the plain loop, its loss read every step as progress bars do.

    Args:
        model: Network with its head, called for logits; trained in place.
        data: Images on the CPU.
        batch: Samples a step.
        device: Where the network is.
        loss: Mean loss of logits and labels.
        steps: Steps that are timed, behind some that are not.
        workers: Processes that load; by default one a core, at most 8: each holds batches in shared
            memory, of which containers have little.

    Returns:
        Images a second.
    """
    workers = min(os.cpu_count() or 1, 8) if workers is None else workers
    loader = DataLoader(
        Augmented(data), batch_size=batch, shuffle=True, drop_last=True, num_workers=workers,
        pin_memory=device.type == "cuda", persistent_workers=workers > 0,
    )  # fmt: skip
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4)
    model.train()
    first = max(steps // 10, 2)
    endless = itertools.chain.from_iterable(itertools.repeat(loader))
    begin = time.perf_counter()
    for s, (x, y) in enumerate(itertools.islice(endless, first + steps)):
        if s == first:
            begin = time.perf_counter()
        x, y = x.to(device), y.to(device)
        optimiser.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimiser.step()
        value.item()
    return steps * batch / (time.perf_counter() - begin)
