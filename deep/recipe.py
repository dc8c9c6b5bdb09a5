"""Recipes: everything that decides a training run but its seed, as plain numbers. Torch-free."""

from __future__ import annotations

import dataclasses
from typing import Literal

from deep.data.spec import Augment, Data
from deep.methods import Method, NearestETF
from deep.models.spec import MLP, DenseNet, LeNet, Network, ResNet, ResNetImageNet, WideResNet
from deep.schedule import Cosine, Schedule, Steps
from ufm._spec import digest, spec
from ufm.counts import check_count, check_number


# What a trained network does not depend on.
LABELS = ("name", "source", "differs", "evaluate_every", "probe_every")
NETWORKS = (ResNet, WideResNet, DenseNet, ResNetImageNet, MLP, LeNet)


@spec
class Recipe:
    """How a network is trained: SGD with momentum, weight decay on all parameters.

    Attributes:
        name: The paper and what is trained; the folder of its runs and results.
        data: Data set and class sizes.
        network: Backbone.
        method: Head, loss and decision rules.
        augment: Augmentation.
        epochs: How many.
        batch: Samples a step, over all processes; the last incomplete batch is dropped.
        lr: Largest learning rate.
        schedule: Its factor an epoch.
        body: Factor of the learning rate outside of a learned classifier.
        momentum: Of SGD.
        nesterov: Whether it is Nesterov's.
        weight_decay: Of SGD.
        sampling: ``"instance"``, or ``"class-balanced"``: each sample of a uniform class.
        accumulate: Parts in which a batch is computed, for memory; batch normalisation and losses
            that count the classes of a batch see one part.
        ema: Decay of an average of the weights that is evaluated in place of the last ones; 0: off.
        precision: ``"bf16"`` autocast, on CUDA only, or ``"float32"``.
        evaluate_every: Epochs between test accuracies; the last epoch always has one.
        probe_every: Epochs between full measurements; 0: at the end only.
        source: The paper.
        differs: What differs from the paper's protocol, a sentence each.
    """

    name: str
    data: Data
    network: ResNet | WideResNet | DenseNet | ResNetImageNet | MLP | LeNet
    method: Method
    augment: Augment = Augment()
    epochs: int = 200
    batch: int = 128
    lr: float = 0.1
    schedule: Steps | Cosine = Steps((160, 180), warmup=5)
    body: float = 1.0
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 2e-4
    sampling: Literal["instance", "class-balanced"] = "instance"
    accumulate: int = 1
    ema: float = 0.0
    precision: Literal["bf16", "float32"] = "bf16"
    evaluate_every: int = 1
    probe_every: int = 0
    source: str = ""
    differs: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "differs", tuple(self.differs))
        for name, kind in (("data", Data), ("network", NETWORKS), ("method", Method),
                           ("augment", Augment), ("schedule", Schedule)):  # fmt: skip
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name} must be a spec of that kind, got {getattr(self, name)!r}")
        for name in ("epochs", "batch", "accumulate", "evaluate_every"):
            check_count(name, getattr(self, name))
        check_count("probe_every", self.probe_every, 0)
        for name in ("lr", "body"):
            object.__setattr__(self, name, check_number(name, getattr(self, name), strict=True))
        for name in ("momentum", "weight_decay", "ema"):
            object.__setattr__(self, name, check_number(name, getattr(self, name)))
        self._check_values()

    def _check_values(self) -> None:
        for name in ("momentum", "ema"):
            if getattr(self, name) >= 1:
                raise ValueError(f"{name} must be below 1, got {getattr(self, name):g}")
        if self.sampling not in ("instance", "class-balanced"):
            raise ValueError(f"sampling must be 'instance' or 'class-balanced', "
                             f"got {self.sampling!r}")  # fmt: skip
        if self.precision not in ("bf16", "float32"):
            raise ValueError(f"precision must be 'bf16' or 'float32', got {self.precision!r}")
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate must divide batch={self.batch}, got {self.accumulate}")
        if isinstance(self.method, NearestETF) and self.augment.mixup:
            raise ValueError("mixup must be 0 for NearestETF, whose class means are of unmixed "
                             f"samples, got {self.augment.mixup:g}")  # fmt: skip
        if not self.name or set(self.name) & set("/\\ "):
            raise ValueError(f"name must be a folder's name without spaces, got {self.name!r}")

    @property
    def digest(self) -> str:
        """Key of everything that changes the network: all but the fields in ``LABELS``."""
        fields = dataclasses.fields(self)
        default = {f.name: f.default for f in fields if f.name in LABELS and f.name != "name"}
        return digest(dataclasses.replace(self, name="recipe", **default))

    def rate(self, epoch: int) -> float:
        """Learning rate of the classifier in an epoch.

        Args:
            epoch: Epoch, from 0.

        Returns:
            The rate.
        """
        return self.lr * self.schedule.at(epoch, self.epochs)


__all__ = ["LABELS", "NETWORKS", "Network", "Recipe"]
