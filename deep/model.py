"""A network with its head, made from a recipe and a seed, or from a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from deep import checkpoint
from deep.building import Built, build
from deep.device import checked
from deep.models import build as build_network
from deep.recipe import Recipe
from ufm._spec import decode
from ufm._typing import Float, Tensor
from ufm.heads import Head


class Model(nn.Module):
    """Backbone and head.

    Args:
        backbone: Images to pooled features.
        head: A head of `ufm.heads`.
    """

    backbone: nn.Module
    head: Head

    def __init__(self, backbone: nn.Module, head: Head):
        super().__init__()
        self.backbone = backbone
        self.head = head

    def features(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B d"]:
        """Features in front of the classifier.

        Args:
            x: Normalised images.

        Returns:
            Features.
        """
        return self.head.features(self.backbone(x))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Logits.

        Args:
            x: Normalised images.

        Returns:
            Logits.
        """
        return self.head.logits(self.features(x))


def moving(model: nn.Module) -> dict[str, Tensor]:
    """What training moves: parameters, and the running statistics of batch norms.

    Args:
        model: The network.

    Returns:
        Tensors in the network's own places, by name, without gradient.
    """
    learned = {name for name, _ in model.named_parameters()}
    return {
        name: t
        for name, t in model.state_dict().items()
        if name in learned or name.endswith((".running_mean", ".running_var"))
    }


@dataclass(frozen=True)
class Shape:
    """What of the data a network depends on.

    Attributes:
        n: Class sizes of the training set.
        channels: Channels of an image.
        size: Height and width of an image.
    """

    n: tuple[int, ...]
    channels: int
    size: tuple[int, int]


def assemble(recipe: Recipe, shape: Shape, *, seed: int) -> tuple[Model, Built]:
    """Draw a network from a seed: the same numbers for every device.

    Args:
        recipe: Network and method.
        shape: Sizes of the data.
        seed: Seed of weights and frame; the global generator is left as it was.

    Returns:
        The network on the CPU, and what its method built.

    Raises:
        ValueError: If the frame does not fit the network; the recipe is named.
    """
    side = shape.size[0]
    if shape.size != (side, side):
        raise ValueError(f"size must be square, got {shape.size[0]} x {shape.size[1]}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = build_network(recipe.network, channels=shape.channels, size=side)
        generator = torch.Generator().manual_seed(seed)
        try:
            built = build(recipe.method, width=recipe.network.width, n=shape.n, generator=generator)
        except ValueError as error:
            raise ValueError(f"recipe {recipe.name}: {error}") from error
    return Model(backbone, built.head), built


@dataclass(frozen=True, eq=False)
class Restored:
    """A trained network and what it was trained by.

    Attributes:
        recipe: The recipe.
        seed: Seed of the run.
        shape: Sizes of its data.
        epoch: Finished epochs.
        model: The network (the averaged one where the recipe averages), in evaluation mode.
        built: Head, losses and rules; the head is the model's.
    """

    recipe: Recipe
    seed: int
    shape: Shape
    epoch: int
    model: Model
    built: Built


def restore(path: Path | str, *, device: torch.device | str = "cpu") -> Restored:
    """Network of a checkpoint.

    Args:
        path: File, or the run's folder.
        device: Where the network goes.

    Returns:
        The network with its recipe.

    Raises:
        ValueError: If the file is not a checkpoint.
    """
    device = checked(device)
    state = checkpoint.load(Path(path))
    recipe = decode(state["recipe"])
    shape = Shape(tuple(state["n"]), state["channels"], tuple(state["size"]))
    model, built = assemble(recipe, shape, seed=state["seed"])
    model.load_state_dict(state["average"] or state["model"])
    model = model.to(device).eval()
    return Restored(recipe, state["seed"], shape, state["epoch"], model, built.to(device))
