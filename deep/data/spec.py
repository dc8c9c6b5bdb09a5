"""What to train on: data set, class-size profile and augmentation, as plain numbers. Torch-free."""

from __future__ import annotations

import math
from typing import Literal, get_args

from ufm._spec import spec
from ufm.counts import check_count, check_number


Source = Literal[
    "digits",
    "cifar10",
    "cifar100",
    "svhn",
    "svhn-extra",
    "stl10",
    "mnist",
    "fashion-mnist",
    "tiny-imagenet",
    "imagenet-lt",
    "inaturalist",
    "tieredimagenet-h",
    "fgvc-aircraft",
    "folder",
    "npz",
]
NEEDS_PATH = ("folder", "npz")


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


@spec
class Balanced:
    """The same number of images in every class.

    Attributes:
        n: Images a class; 0 keeps all that each class has (equal or not).
    """

    n: int = 0

    def __post_init__(self):
        check_count("n", self.n, 0)


@spec
class LongTail:
    r"""Exponential long tail, :math:`n_k = \lfloor n_{\max}\,\rho^{-k/(K-1)} \rfloor`.

    Attributes:
        rho: Imbalance ``n_max / n_min >= 1``; papers also write its inverse.
        n_max: Size of class 0; 0 is the largest for which no class falls short of its quota.
    """

    rho: float
    n_max: int = 0

    def __post_init__(self):
        check_number("rho", self.rho, 1.0)
        check_count("n_max", self.n_max, 0)


@spec
class StepTail:
    """The first ``K_A`` classes have ``n_max`` images, the others ``int(n_max / rho)``.

    Attributes:
        rho: Imbalance ``n_max / n_min >= 1``.
        K_A: Number of majority classes.
        n_max: Majority size; 0 is the largest for which no class falls short of its quota.
    """

    rho: float
    K_A: int
    n_max: int = 0

    def __post_init__(self):
        check_number("rho", self.rho, 1.0)
        check_count("K_A", self.K_A)
        check_count("n_max", self.n_max, 0)


@spec
class Sizes:
    """Class sizes given one by one.

    Attributes:
        n: Images of each class; 0 keeps all that the class has.
    """

    n: tuple[int, ...]

    def __post_init__(self):
        object.__setattr__(self, "n", tuple(self.n))
        for k, size in enumerate(self.n):
            check_count(f"n[{k}]", size, 0)


Profile = Balanced | LongTail | StepTail | Sizes


@spec
class Data:
    """A data set cut to a class-size profile.

    Attributes:
        source: Name of the data set; ``"digits"`` needs no file.
        path: File or folder; needed by ``"npz"`` and ``"folder"``, for named sets it replaces the
            place looked for by default.
        profile: Class sizes of the training set.
        choose: ``"file"`` keeps the first n_k images of each class in file order, as the
            long-tail literature does; ``"seed"`` draws them by the run's seed.
        holdout: Last images of each class (file order) kept out of training as validation.
        size: Side in pixels to which the images of folders are brought; 0 asks for equal images.
        fit: How folder images get there: ``"stretch"`` resizes both sides, ``"crop"`` resizes the
            shorter side to ``8/7`` of the size and keeps the centre.
        mean: Channel means the images are normalised with; empty takes those of the source.
        std: Channel standard deviations likewise. Papers differ here: the long-tail literature
            uses CIFAR-10's for CIFAR-100 too.
    """

    source: Source = "digits"
    path: str = ""
    profile: Balanced | LongTail | StepTail | Sizes = Balanced()
    choose: Literal["file", "seed"] = "file"
    holdout: int = 0
    size: int = 0
    fit: Literal["stretch", "crop"] = "stretch"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self):
        _one_of("source", self.source, get_args(Source))
        _one_of("choose", self.choose, ("file", "seed"))
        _one_of("fit", self.fit, ("stretch", "crop"))
        check_count("holdout", self.holdout, 0)
        check_count("size", self.size, 0)
        if self.source in NEEDS_PATH and not self.path:
            raise ValueError(f"path must be given for source {self.source!r}, got ''")
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean and std must be given together, got {len(self.mean)} and {len(self.std)}"
            )
        for c, std in enumerate(self.std):
            check_number(f"mean[{c}]", self.mean[c], -math.inf)
            check_number(f"std[{c}]", std, strict=True)
        if not isinstance(self.profile, Profile):
            raise ValueError(
                f"profile must be Balanced, LongTail, StepTail or Sizes, got {self.profile!r}"
            )


@spec
class Augment:
    """Per-sample augmentation, drawn by `deep.data.draw_epoch`, done by `deep.data.augmented`.

    Attributes:
        crop: Padding in pixels on each side of a random crop back to the image's size, offsets
            ``0 .. 2 crop`` with both ends (HAFrame's released code stops at ``2 crop - 1``).
        pad: ``"zero"`` (black) or ``"reflect"`` (mirrored without repeating the edge).
        flip: Horizontal flip with probability 1/2.
        cutout: Side of a square set to the mean colour, centred anywhere in the image and clipped
            at its borders; 0 for none.
        mixup: ``a`` of Mixup's Beta(a, a), one share a batch; 0 for none.
    """

    crop: int = 4
    pad: Literal["zero", "reflect"] = "zero"
    flip: bool = True
    cutout: int = 0
    mixup: float = 0.0

    def __post_init__(self):
        check_count("crop", self.crop, 0)
        check_count("cutout", self.cutout, 0)
        _one_of("pad", self.pad, ("zero", "reflect"))
        if not isinstance(self.flip, bool):
            raise ValueError(f"flip must be True or False, got {self.flip!r}")
        check_number("mixup", self.mixup)


NO_AUGMENT = Augment(crop=0, flip=False)
