"""Every method on scikit-learn's digits: seconds on a CPU, far into the terminal phase.

Not a published protocol: the witnesses of claims about networks that never wait for a GPU.
"""

from __future__ import annotations

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
METHODS: dict[str, Method] = {
    "ce": CE(tree=TREE),
    "ce-residual": CE(transform="residual", tree=TREE),
    "class-weighted": ClassWeightedCE(),
    "logit-adjusted": LogitAdjustedCE(),
    "arb": ARB(),
    "ldam-drw": LDAMDRW(),
    "rbl": RBL(),
    "rbl-simplex": RBL(rows="simplex"),
    "etf-dr": ETFDR(),
    "etf-dr-paper": ETFDR(normalisation="paper"),
    "etf-dr-global": ETFDR(lengths="global"),
    "etf-ce": ETFCE(),
    "nearest-etf": NearestETF(),
    "haframe": HierarchyMix(tree=TREE),
    "targets": CalibratedTargets(tree=TREE, d=9),
    "targets-learnable": CalibratedTargets(tree=TREE, learnable=True),
    "al": Centers(counts="equal"),
    "cal": Centers(),
    "p": CentersMSE(),
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


RECIPES = tuple(
    recipe(f"{prefix}-{name}", method, data=data)
    for prefix, data in (
        ("digits", Data("digits")),
        ("digits-lt", Data("digits", profile=LongTail(rho=10.0))),
    )
    for name, method in METHODS.items()
)
