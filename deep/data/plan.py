"""All randomness of an epoch, drawn on the CPU before it starts.

A plan is a function of the labels, the batch, the seed and the epoch alone. The same numbers reach
every device, every number of processes, and a run resumed at any step.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from deep.data.spec import Augment
from ufm._typing import Bool, Float, Int, Tensor
from ufm.counts import check_count


Sampling = Literal["instance", "class-balanced"]
# One stream for each choice, so that switching one off leaves the others' numbers alone.
ORDER, CORNER, FLIP, HOLE, SHARE, PARTNER = range(6)


@dataclasses.dataclass(frozen=True)
class EpochPlan:
    """S steps of B images: which, how augmented, with what mixed.

    Attributes:
        index: ``(S, B)`` places in the training set.
        corner: ``(S, B, 2)`` top-left corner of each crop in the padded image, row then column.
        flip: ``(S, B)`` whether an image is mirrored.
        hole: ``(S, B, 2)`` centre of the Cutout square, row then column.
        share: ``(S,)`` Mixup's share of an image itself, 1 without Mixup.
        partner: ``(S, B)`` row of the batch with which each image is mixed; itself without Mixup.
    """

    index: Int[Tensor, "S B"]
    corner: Int[Tensor, "S B 2"]
    flip: Bool[Tensor, "S B"]
    hole: Int[Tensor, "S B 2"]
    share: Float[Tensor, "S"]
    partner: Int[Tensor, "S B"]

    def __len__(self) -> int:
        return len(self.share)


def draw_epoch(
    labels: Int[Tensor, "N"],
    *,
    batch: int,
    augment: Augment,
    sampling: Sampling = "instance",
    seed: int,
    epoch: int,
    size: tuple[int, int] | None = None,
) -> EpochPlan:
    """Draw the plan of an epoch of ``N // batch`` steps.

    ``"instance"`` sampling is a permutation of the images without the last incomplete batch.
    ``"class-balanced"`` goes through the classes in random order again and again, and through each
    class's images likewise: any K consecutive draws of a cycle hold each class once, and no image
    returns before its class is through.

    Args:
        labels: Training labels, on any device.
        batch: Images a step, over all processes.
        augment: What is drawn for each image.
        sampling: How images are chosen.
        seed: Seed of the run.
        epoch: Number of the epoch.
        size: Height and width in pixels; needed by Cutout.

    Returns:
        The plan, on the CPU.

    Raises:
        ValueError: If the batch exceeds the data, a class has no image, or Cutout lacks a size.
    """
    batch, seed = check_count("batch", batch), check_count("seed", seed, 0)
    epoch, N = check_count("epoch", epoch, 0), len(labels)
    if batch > N:
        raise ValueError(f"batch must be at most the {N} training images, got {batch}")
    if augment.cutout and size is None:
        raise ValueError("size must be given with cutout, got None")
    S, B = N // batch, batch

    def rng(stream: int) -> np.random.Generator:
        return np.random.default_rng([seed, epoch, stream])

    if sampling == "instance":
        index = rng(ORDER).permutation(N)[: S * B]
    elif sampling == "class-balanced":
        index = _balanced(labels.cpu().numpy(), S * B, rng(ORDER))
    else:
        raise ValueError(f"sampling must be instance or class-balanced, got {sampling!r}")
    flip = rng(FLIP).random((S, B)) < 0.5 if augment.flip else np.zeros((S, B), bool)
    hole = rng(HOLE).integers(0, size if augment.cutout else (1, 1), (S, B, 2))
    share, partner = np.ones(S), np.tile(np.arange(B), (S, 1))
    if augment.mixup:
        share = rng(SHARE).beta(augment.mixup, augment.mixup, S)
        partner = rng(PARTNER).permuted(partner, axis=1)
    return EpochPlan(
        index=torch.from_numpy(index.reshape(S, B).astype(np.int64)),
        corner=torch.from_numpy(rng(CORNER).integers(0, 2 * augment.crop + 1, (S, B, 2))),
        flip=torch.from_numpy(flip),
        hole=torch.from_numpy(hole),
        share=torch.from_numpy(share.astype(np.float32)),
        partner=torch.from_numpy(partner),
    )


def _balanced(labels: NDArray[np.int64], M: int, rng: np.random.Generator) -> NDArray[np.int64]:
    n = np.bincount(labels)
    K = len(n)
    for k in range(K):
        if n[k] == 0:
            raise ValueError(f"class {k} must have images, got none of {len(labels)}")
    classes = rng.permuted(np.tile(np.arange(K), (-(-M // K), 1)), axis=1).ravel()[:M]
    index = np.empty(M, np.int64)
    order = np.argsort(labels, kind="stable")
    for k, places in enumerate(np.split(order, np.cumsum(n)[:-1])):
        turns = np.flatnonzero(classes == k)
        rounds = np.tile(places, (-(-len(turns) // len(places)), 1))
        index[turns] = rng.permuted(rounds, axis=1).ravel()[: len(turns)]
    return index
