"""Networks: torch-free specs, and `build`, which makes a backbone with pooled features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deep.models.spec import MLP as MLP
from deep.models.spec import DenseNet as DenseNet
from deep.models.spec import LeNet as LeNet
from deep.models.spec import Network as Network
from deep.models.spec import ResNet as ResNet
from deep.models.spec import ResNetImageNet as ResNetImageNet
from deep.models.spec import WideResNet as WideResNet


if TYPE_CHECKING:
    from deep.models.builders import build as build


def __getattr__(name: str):
    if name != "build":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from deep.models.builders import build  # torch is loaded here, not for a list of recipes

    return build
