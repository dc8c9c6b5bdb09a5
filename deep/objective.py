"""Mean loss of a batch of images, mixed or not, and the optimiser of its parameters."""

from __future__ import annotations

import contextlib

import torch
from torch import nn

from deep.building import AnyLoss
from deep.model import Model
from deep.recipe import Recipe
from ufm._typing import Float, Int, Tensor
from ufm.heads import Head
from ufm.losses import FeatureLoss


class Objective(nn.Module):
    """Mean loss of a batch, mixed or not; the one module that is compiled and distributed.

    Args:
        model: Network with its head.
        loss: Loss of the epoch; set the attribute to change it.
        mixing: Whether samples are mixed in pairs.
        narrow: Whether the network runs in bfloat16 where that is safe.
    """

    def __init__(self, model: Model, loss: AnyLoss, *, mixing: bool, narrow: bool):
        super().__init__()
        self.model = model
        self.loss = loss
        self.mixing = mixing
        self.narrow = narrow

    def precision(self, x: Tensor) -> contextlib.AbstractContextManager:
        """Context of the network: bfloat16 where the objective is narrow.

        Args:
            x: Any tensor on the device.

        Returns:
            The context.
        """
        if not self.narrow:
            return contextlib.nullcontext()
        # A cache of narrow weights would tie a captured step to the weights of its capture.
        return torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False)

    def full(self, x: Tensor) -> contextlib.AbstractContextManager:
        """Context of the loss: without autocast.

        Args:
            x: Any tensor on the device.

        Returns:
            The context.
        """
        return (
            torch.autocast(x.device.type, enabled=False)
            if self.narrow
            else (contextlib.nullcontext())
        )

    def forward(
        self,
        x: Float[Tensor, "B C H W"],
        y: Int[Tensor, "B"],
        other: Int[Tensor, "B"],
        share: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""Mean of :math:`\lambda\ell(h, y) + (1 - \lambda)\ell(h, y')`.

        Args:
            x: Normalised images, mixed already.
            y: Labels.
            other: Labels of the images mixed in.
            share: Share of the first, a number on the device.

        Returns:
            The mean loss, the number of correct samples (by shares), and the features without
            gradient.
        """
        head = self.model.head
        with self.precision(x):
            features = self.model.features(x)
        with self.full(x):
            Z = head.logits(features)
            first = sample_losses(head, self.loss, features, Z, y)
            decided = Z.detach().argmax(-1)
            right = (decided == y).float()
            if self.mixing:
                second = sample_losses(head, self.loss, features, Z, other)
                first = share * first + (1 - share) * second
                right = share * right + (1 - share) * (decided == other).float()
            return first.mean(), right.sum(), features.detach()


def sample_losses(
    head: Head, loss: AnyLoss, features: Float[Tensor, "B d"], Z: Float[Tensor, "B K"],
    y: Int[Tensor, "B"],
) -> Float[Tensor, "B"]:  # fmt: skip
    """Loss of each sample, whichever interface the loss has.

    Args:
        head: The head.
        loss: The loss.
        features: Features.
        Z: Their logits.
        y: Labels.

    Returns:
        Losses.
    """
    if isinstance(loss, FeatureLoss):
        return loss.value(features, head.parts, y)
    return loss.value(Z.mT, y)


def optimiser(model: Model, recipe: Recipe, device: torch.device) -> torch.optim.SGD:
    """SGD in two groups, the learned classifier and everything else.

    Momentum starts at zero buffers, which is where the optimiser's own lazy start leads. On CUDA
    the rates are tensors, so that a captured step sees them change.

    Args:
        model: The network.
        recipe: Rates, momentum, weight decay.
        device: Where the network is.

    Returns:
        The optimiser; the first group has the factor 1, the second ``recipe.body``.
    """
    body = {id(p) for p in (*model.backbone.parameters(), *model.head.transform.parameters())}
    groups = [
        {"params": [p for p in model.parameters() if (id(p) in body) == inside], "factor": factor}
        for inside, factor in ((False, 1.0), (True, recipe.body))
    ]
    sgd = torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=torch.tensor(recipe.lr, device=device) if device.type == "cuda" else recipe.lr,
        momentum=recipe.momentum, weight_decay=recipe.weight_decay, nesterov=recipe.nesterov,
        fused=True,
    )  # fmt: skip
    for group in sgd.param_groups:
        if device.type == "cuda":
            group["lr"] = group["lr"].clone()
        for p in group["params"]:
            if recipe.momentum:
                sgd.state[p]["momentum_buffer"] = torch.zeros_like(p)
    return sgd
