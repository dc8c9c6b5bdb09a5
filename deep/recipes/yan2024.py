"""Yan et al. (2024): collapse to multiple centers on long-tailed CIFAR, and its baselines.

Settings of appendix F: SGD, batch 128, 200 epochs, rate 0.1 with drops behind 160 and 180, weight
decay 2e-4, Mixup of Beta(1, 1), ResNet-50, f = 20 centers a class at the angle 0.2. On CIFAR-100
the frame needs (f + 1) K = 2100 dimensions and the network has 2048: features are widened.
Data as in `deep.recipes.yang2022`: both papers take it from MiSLAS.
"""

from __future__ import annotations

from deep.data.spec import Augment
from deep.methods import (
    ARB,
    CE,
    ETFDR,
    LDAMDRW,
    RBL,
    Centers,
    CentersMSE,
    Method,
)
from deep.models.spec import ResNet, ResNetImageNet
from deep.recipe import Network, Recipe
from deep.recipes.yang2022 import N_MAX, data
from deep.schedule import Steps


SOURCE = "NeurIPS 2024, OpenReview RJEC9fZ9Ma, Sections 3-4 and appendix F"
DIFFERS = (
    "5 epochs of warm-up, as in the code that it modifies; the text does not say",
    "a class keeps its first n_k images in file order",
    "the last incomplete batch of an epoch is dropped",
    "the norm term stands beside the mean over a batch; the text leaves that open",
    "the network runs in bfloat16 on CUDA",
)
COUNTS = (
    "centers left over go to the small classes, as in the text's example; its steps can be read "
    "the other way",
)
RIDGE = ("the ridge 1e-2 of a feature in P is ours; the text names 5e-4 and no normalisation",)
# The text trains its own methods with Mixup, shows cross-entropy with and without, and says of
# LDAM-DRW that it is below "Mixup-trained" ones; of ARB and RBL it says nothing.
MIXED: dict[type[Method], tuple[str, ...]] = {
    CE: ("CE with Mixup; the paper shows it with and without",),
    LDAMDRW: ("LDAM-DRW with Mixup as the paper's own methods; its row there seems to be without",),
    ARB: ("ARB with Mixup as the paper's own methods; the text does not say",),
    RBL: (
        "RBL with Mixup and this schedule as the paper's own methods, the text does not say; its "
        "own code has 600 epochs of batch 256, weight decay 5e-4, AutoAugment and Cutout",
    ),
}
WIDENED = ("features widened by a linear layer, which the frame makes necessary",)
SMALL = ("ResNet-32 instead of ResNet-50",)
RESNET50 = ResNetImageNet(50)
# Dimension that sum(f) + K = 21 K takes.
NEEDED = {"cifar10": 210, "cifar100": 2100}


def recipe(source: str, rho: int, name: str, method: Method, network: Network = RESNET50) -> Recipe:
    """A method on long-tailed CIFAR.

    Args:
        source: ``cifar10`` or ``cifar100``.
        rho: Imbalance.
        name: Of the method.
        method: The method.
        network: The backbone.

    Returns:
        The recipe.
    """
    mixed = not isinstance(method, CentersMSE)
    small = isinstance(network, ResNet)
    aware = getattr(method, "counts", "") == "aware"
    differs = DIFFERS + (COUNTS if aware else ()) + (() if mixed else RIDGE)
    differs += MIXED.get(type(method), ())
    return Recipe(
        f"yan2024-{source}-lt{rho}-{name}{'-resnet32' if small else ''}",
        data(source, rho),
        network, method, Augment(mixup=1.0 if mixed else 0.0),
        epochs=200, batch=128, lr=0.1, schedule=Steps((160, 180), warmup=5), weight_decay=2e-4,
        probe_every=20, source=SOURCE,
        differs=differs + (WIDENED if method.d else ()) + (SMALL if small else ()),
    )  # fmt: skip


def methods(source: str, width: int) -> dict[str, Method]:
    """The paper's methods and baselines, widened where the frame needs it.

    Args:
        source: Data set.
        width: Features of the network.

    Returns:
        Name to method.
    """
    d = NEEDED[source] if NEEDED[source] > width else 0
    return {
        "cal": Centers(d=d),
        "al": Centers(counts="equal", d=d),
        "p": CentersMSE(d=d),
        "ce": CE(),
        "etf-dr": ETFDR(),
        "ldam-drw": LDAMDRW(),
        "arb": ARB(),
        "rbl": RBL(),
    }


RECIPES = tuple(
    recipe(source, rho, name, method)
    for source in N_MAX
    for rho in (200, 100, 50)
    for name, method in methods(source, 2048).items()
    if rho == 200 or name in ("cal", "al", "ce", "etf-dr")
) + tuple(
    recipe(source, 100, name, method, ResNet(32, widths))
    for source, widths in (("cifar10", (16, 32, 64)), ("cifar100", (32, 64, 128)))
    for name, method in methods(source, widths[-1]).items()
    if name in ("cal", "al")
)
