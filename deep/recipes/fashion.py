"""A long-tailed Fashion-MNIST at CPU scale: ResNet-20, three methods.

Not a published protocol: what shows on a CPU that the machinery and the geometry hold in a
convolutional network on real images.
"""

from __future__ import annotations

from deep.data.spec import Augment, Data, LongTail
from deep.methods import CE, ETFDR, Centers
from deep.models.spec import ResNet
from deep.recipe import Recipe
from deep.schedule import Steps


METHODS = {"ce": CE(tree="fashion"), "etf-dr": ETFDR(), "cal": Centers(d=210)}
RECIPES = tuple(
    Recipe(
        f"fashion-lt-{name}",
        Data("fashion-mnist", profile=LongTail(rho=50.0, n_max=500)),
        ResNet(20),
        method,
        Augment(crop=2, flip=True),
        epochs=60,
        batch=64,
        lr=0.1,
        schedule=Steps((40, 54), warmup=3),
        weight_decay=5e-4,
        evaluate_every=10,
        probe_every=20,
        source="ours",
    )
    for name, method in METHODS.items()
)
