"""Learning-rate schedules of the papers: a factor for each epoch. Torch-free."""

from __future__ import annotations

import math
from itertools import pairwise

from ufm._spec import spec
from ufm.counts import check_count, check_number


@spec
class Steps:
    """Linear warm-up, then a product of drops.

    The first ``warmup`` epochs have the factors ``1/warmup, 2/warmup, ..., 1``.

    Attributes:
        milestones: Numbers of finished epochs after which the rate drops, rising.
        factor: What each drop multiplies with, in (0, 1].
        warmup: Epochs of warm-up.

    References:
        Yang et al. (2022) [yang2022]_: 5 epochs of warm-up, drops behind 160 and 180 of 200.

    >>> schedule = Steps((160, 180), warmup=5)
    >>> [round(schedule.at(epoch, 200), 6) for epoch in (0, 4, 159, 160, 180)]
    [0.2, 1.0, 1.0, 0.1, 0.01]
    """

    milestones: tuple[int, ...] = ()
    factor: float = 0.1
    warmup: int = 0

    def __post_init__(self):
        marks = tuple(check_count(f"milestones[{i}]", m) for i, m in enumerate(self.milestones))
        if any(b <= a for a, b in pairwise(marks)):
            raise ValueError(f"milestones must rise, got {marks}")
        object.__setattr__(self, "milestones", marks)
        factor = check_number("factor", self.factor, strict=True)
        if factor > 1:
            raise ValueError(f"factor must be at most 1, got {factor:g}")
        object.__setattr__(self, "factor", factor)
        check_count("warmup", self.warmup, 0)

    def at(self, epoch: int, epochs: int) -> float:
        """Factor of the learning rate.

        Args:
            epoch: Epoch, from 0.
            epochs: How many there are; not needed here.

        Returns:
            The factor.
        """
        if epoch < self.warmup:
            return (epoch + 1) / self.warmup
        return self.factor ** sum(epoch >= mark for mark in self.milestones)

    def stretched(self, share: float) -> Steps:
        """The schedule of a training of another length: drops and warm-up in proportion.

        Args:
            share: New length over old length.

        Returns:
            The schedule, in whole epochs; drops that would fall on one epoch are an epoch apart.

        >>> Steps((160, 180), warmup=5).stretched(0.1)
        Steps(milestones=(16, 18), factor=0.1, warmup=1)
        """
        marks: list[int] = []
        for mark in self.milestones:
            marks.append(max(_whole(mark * share), marks[-1] + 1 if marks else 1))
        return Steps(tuple(marks), factor=self.factor, warmup=_whole(self.warmup * share))

    def __str__(self) -> str:
        drops = " and ".join(map(str, self.milestones))
        return _with_warmup(f"drops behind {drops}" if drops else "no drop", self.warmup)


@spec
class Cosine:
    r"""Linear warm-up, then :math:`\tfrac12(1 + \cos(\pi t/T))`, t counted from its end.

    Attributes:
        warmup: Epochs of warm-up.

    References:
        Liang and Davis (2023) [liang2023]_: no warm-up, 100 epochs, one value an epoch.

    >>> [round(Cosine().at(epoch, 100), 6) for epoch in (0, 50, 99)]
    [1.0, 0.5, 0.000247]
    """

    warmup: int = 0

    def __post_init__(self):
        check_count("warmup", self.warmup, 0)

    def at(self, epoch: int, epochs: int) -> float:
        """Factor of the learning rate.

        Args:
            epoch: Epoch, from 0.
            epochs: How many there are.

        Returns:
            The factor.
        """
        if epoch < self.warmup:
            return (epoch + 1) / self.warmup
        return (1 + math.cos(math.pi * (epoch - self.warmup) / (epochs - self.warmup))) / 2

    def stretched(self, share: float) -> Cosine:
        """The schedule of a training of another length: the warm-up in proportion.

        Args:
            share: New length over old length.

        Returns:
            The schedule, in whole epochs.
        """
        return Cosine(warmup=_whole(self.warmup * share))

    def __str__(self) -> str:
        return _with_warmup("cosine", self.warmup)


def _whole(epochs: float) -> int:
    # To the nearest, halves up: Python's own rounding goes to even numbers.
    return math.floor(epochs + 0.5)


def _with_warmup(text: str, warmup: int) -> str:
    return f"{text}, warm-up of {warmup} epochs" if warmup else text


Schedule = Steps | Cosine
