"""Small recipes and data for the tests of training."""

from __future__ import annotations

import dataclasses

import torch

from deep.data.images import Images, ImageSet
from deep.data.spec import NO_AUGMENT, Augment, Data
from deep.methods import CE, ETFDR
from deep.model import Shape, assemble
from deep.models.spec import MLP
from deep.recipe import Recipe
from deep.schedule import Steps
from deep.step import Step


SMALL = Recipe(
    "small", Data("digits"), MLP((32,)), CE(), NO_AUGMENT,
    epochs=3, batch=64, lr=0.05, schedule=Steps((2,)), weight_decay=1e-3, precision="float32",
)  # fmt: skip
# Batch normalisation in the head, augmentation, Mixup: everything that is drawn or kept.
FULL = dataclasses.replace(
    SMALL, name="full", method=ETFDR(), augment=Augment(crop=1, flip=True, cutout=2, mixup=1.0),
    ema=0.9,
)  # fmt: skip


def images(*, K: int = 3, n: int = 8, seed: int = 0) -> ImageSet:
    """Random images of K classes, 2 channels, 4 x 4 pixels; n a class to train on."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(K).repeat(n)
    pixels = torch.randint(0, 256, (K * n, 2, 4, 4), generator=draw, dtype=torch.uint8)
    train = Images(pixels, y, K)
    names = tuple(str(k) for k in range(K))
    return ImageSet("npz", train, train, None, (0.5, 0.5), (0.25, 0.25), names)


def step_of(recipe: Recipe, data: ImageSet, *, seed: int = 0, **options) -> Step:
    """The steps of a network on the CPU."""
    model, built = assemble(recipe, Shape(data.train.n, 2, (4, 4)), seed=seed)
    return Step(model, built, recipe, data, **options)
