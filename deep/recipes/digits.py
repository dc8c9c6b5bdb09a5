"""Every method on scikit-learn's digits: seconds on a CPU, far into the terminal phase.

Not a published protocol: the witnesses of claims about networks that never wait for a GPU.
"""

from __future__ import annotations

import dataclasses

from deep.data.spec import NO_AUGMENT, Data, LongTail
from deep.methods import (
    ARB,
    CE,
    ETFCE,
    ETFDR,
    LDAMDRW,
    RBL,
    CalibratedTargets,
    Centers,
    CentersMSE,
    ClassWeightedCE,
    HierarchyMix,
    LogitAdjustedCE,
    Method,
    NearestETF,
)
from deep.models.spec import MLP
from deep.recipe import Recipe
from deep.schedule import Steps


TREE = "digits"
# A linear layer in front of every frame (d other than the network's 256): behind a ReLU and a batch
# norm alone, some 40 of the 256 units are dead, and the frame's entries there, 21 to 24 degrees of
# it, are out of reach whatever the weight decay.
D, D_CENTERS = 64, 224
METHODS: dict[str, Method] = {
    "ce": CE(tree=TREE, d=D),
    "ce-residual": CE(transform="residual", tree=TREE, d=D),
    "class-weighted": ClassWeightedCE(d=D),
    "logit-adjusted": LogitAdjustedCE(d=D),
    "arb": ARB(d=D),
    "ldam-drw": LDAMDRW(d=D),
    "rbl": RBL(d=D),
    "rbl-simplex": RBL(rows="simplex", d=D),
    "etf-dr": ETFDR(d=D),
    "etf-dr-paper": ETFDR(normalisation="paper", d=D),
    "etf-dr-global": ETFDR(lengths="global", d=D),
    "etf-ce": ETFCE(d=D),
    "nearest-etf": NearestETF(d=D),
    "haframe": HierarchyMix(tree=TREE),
    "targets": CalibratedTargets(tree=TREE, d=9),
    "targets-learnable": CalibratedTargets(tree=TREE, learnable=True, d=D),
    "al": Centers(counts="equal", d=D_CENTERS),
    "cal": Centers(d=D_CENTERS),
    "p": CentersMSE(d=D_CENTERS),
}


def recipe(name: str, method: Method, *, data: Data) -> Recipe:
    """A method on digits.

    Args:
        name: Of the recipe.
        method: The method.
        data: Digits, all or a long tail of them.

    Returns:
        The recipe.
    """
    return Recipe(
        name, data, MLP((256, 256)), method, NO_AUGMENT,
        epochs=300, batch=64, lr=0.1, schedule=Steps((200, 270), warmup=5), weight_decay=5e-4,
        precision="float32", probe_every=20, source="ours",
    )  # fmt: skip


ALL, TAIL = Data("digits"), Data("digits", profile=LongTail(rho=10.0))
RECIPES = (
    *(
        recipe(f"{prefix}-{name}", method, data=data)
        for prefix, data in (("digits", ALL), ("digits-lt", TAIL))
        for name, method in METHODS.items()
    ),
    dataclasses.replace(
        recipe("digits-lt-class-balanced", METHODS["ce"], data=TAIL), sampling="class-balanced"
    ),
)
