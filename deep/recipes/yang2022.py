"""Yang et al. (2022): fixed simplex ETF and dot regression on long-tailed CIFAR, and baselines.

Settings of the released code: SGD, batch 128, 200 epochs, rate 0.1 with 5 epochs of warm-up and
drops behind 160 and 180, weight decay 2e-4, Mixup of Beta(1, 1), ResNet-32; widened on CIFAR-100.
Its loaders are those of MiSLAS, which normalise CIFAR-100 with the constants of CIFAR-10.
"""

from __future__ import annotations

from deep.data.sources import PUBLISHED
from deep.data.spec import Augment, Data, LongTail
from deep.methods import (
    ARB,
    CE,
    ETFCE,
    ETFDR,
    LDAMDRW,
    RBL,
    LogitAdjustedCE,
    Method,
    NearestETF,
)
from deep.models.spec import ResNet
from deep.recipe import Recipe
from deep.schedule import Steps


SOURCE = "arXiv:2203.09081 and its released code"
DIFFERS = (
    "the published figure is the best test epoch of one unseeded training; both protocols are kept",
    "a class keeps its first n_k images in file order; the released code draws them, seeded 0",
    "the last incomplete batch of an epoch is dropped; the released code takes it",
    "convolutions start with the variance 2 / fan-out; in the released code it is 2 / fan-in",
    "the network runs in bfloat16 on CUDA",
)
LEARNS = ("the released code never updates its 'learnable' classifier; this one learns",)
# Losses of other papers, whose own protocols are others.
ADOPTED = (LogitAdjustedCE, ARB, LDAMDRW, RBL)
AS_OURS = (
    "logit adjustment, ARB, LDAM-DRW and RBL are trained as ETF + DR is, with Mixup: no published "
    "figure is of that",
)
NETWORKS = {"cifar10": ResNet(32), "cifar100": ResNet(32, widths=(32, 64, 128))}
N_MAX = {"cifar10": 5000, "cifar100": 500}
MEAN, STD = PUBLISHED["cifar10"].mean, PUBLISHED["cifar10"].std
MAIN: dict[str, Method] = {"etf-dr": ETFDR(), "ce": CE()}
BESIDE: dict[str, Method] = {
    "etf-dr-paper": ETFDR(normalisation="paper"),
    "etf-dr-global": ETFDR(lengths="global"),
    "etf-ce": ETFCE(),
    "nearest-etf": NearestETF(),
    "logit-adjusted": LogitAdjustedCE(),
    "arb": ARB(),
    "ldam-drw": LDAMDRW(),
    "rbl": RBL(),
}


def data(source: str, rho: int) -> Data:
    """Long-tailed CIFAR, normalised as the literature does.

    Args:
        source: ``cifar10`` or ``cifar100``.
        rho: Imbalance.

    Returns:
        The data.
    """
    profile = LongTail(rho=float(rho), n_max=N_MAX[source])
    constants = {} if source == "cifar10" else {"mean": MEAN, "std": STD}
    return Data(source, profile=profile, **constants)  # pyright: ignore[reportArgumentType]


def recipe(source: str, rho: int, name: str, method: Method) -> Recipe:
    """A method on long-tailed CIFAR.

    Args:
        source: ``cifar10`` or ``cifar100``.
        rho: Imbalance.
        name: Of the method.
        method: The method.

    Returns:
        The recipe.
    """
    mixup = 0.0 if isinstance(method, NearestETF) else 1.0
    unmixed = () if mixup else ("without Mixup, which the class means do not allow",)
    return Recipe(
        f"yang2022-{source}-lt{rho}-{name}",
        data(source, rho),
        NETWORKS[source], method, Augment(mixup=mixup),
        epochs=200, batch=128, lr=0.1, schedule=Steps((160, 180), warmup=5), weight_decay=2e-4,
        probe_every=20, source=SOURCE,
        differs=DIFFERS + (LEARNS if isinstance(method, CE) else ()) + unmixed
        + (AS_OURS if isinstance(method, ADOPTED) else ()),
    )  # fmt: skip


RECIPES = tuple(
    recipe(source, rho, name, method)
    for source in NETWORKS
    for rho in (100, 50, 200)
    for name, method in (MAIN | BESIDE if rho == 100 else MAIN).items()
)
