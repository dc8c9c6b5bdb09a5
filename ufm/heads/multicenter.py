"""A classifier fixed to a multi-center frame."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from ufm._typing import Float, Int, Tensor
from ufm.counts import check_count
from ufm.geometry.haframe import embed
from ufm.geometry.multicenter import Centers, center_slots, multicenter_frame
from ufm.geometry.specs import MultiCenter
from ufm.heads._head import Head, refill, source, stored, widened
from ufm.heads.rules import Rule, class_scores
from ufm.heads.transform import normalised
from ufm.losses._features import unit_rows


class MultiCenterHead(Head):
    r"""Batch normalisation and a fixed multi-center frame.

    Logits are the scores of the unit feature under a decision rule, by default
    :math:`\langle w_k, h/\|h\|\rangle` on the class vectors, as published. Train on the features
    with `ufm.losses.CosineRegression` (AL, CAL) or `ufm.losses.CenterRegression` (P).

    Args:
        in_features: Width of the backbone's output.
        frame: The frame; its f are the numbers of centers
            (`ufm.class_aware_centers`, or equal ones).
        d: Feature dimension, at least sum(f) + K; another one than ``in_features`` puts a linear
            layer in front. By default ``in_features``.
        rule: Decision rule of the logits.
        transform: Replaces all layers in front of the frame; must give d features.
        generator: Source of the frame's random rotation; by default one source 0.
        device: Where parameters and frame go.
        dtype: Their type, the frame's float32 at least; torch's default if None.

    Attributes:
        centers: All centers ``(F, d)``, F = sum(f).
        owner: Class of each center ``(F,)``.
        slots: Places of each class's centers ``(K, max f)``.

    Raises:
        ValueError: If ``d`` is below sum(f) + K, or the rule is unknown.

    References:
        Yan et al. (2024) [yan2024]_.

    >>> head = MultiCenterHead(64, MultiCenter((1, 2, 4), theta=0.2))
    >>> head(torch.randn(8, 64)).shape, head.centers.shape
    (torch.Size([8, 3]), torch.Size([7, 64]))
    """

    centers: Tensor
    owner: Tensor
    slots: Tensor
    shown: ClassVar[tuple[str, ...]] = ("K", "d", "F", "rule")

    def __init__(
        self,
        in_features: int,
        frame: MultiCenter,
        *,
        d: int | None = None,
        rule: Rule = "regular",
        transform: nn.Module | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.in_features = in_features if transform is None else None
        if not isinstance(frame, MultiCenter):
            raise ValueError(f"frame must be a ufm.MultiCenter, got a {type(frame).__name__}")
        if rule not in ("regular", "mean", "general"):
            raise ValueError(f"rule must be 'regular', 'mean' or 'general', got {rule!r}")
        self.rule: Rule = rule
        d, first = widened(in_features, d, device=device, dtype=dtype)
        frame.check(len(frame.f), check_count("d", d))
        layers = first + normalised(d, radius=None, device=device, dtype=dtype)
        self.transform = nn.Sequential(*layers) if transform is None else transform
        with torch.device("cpu"):  # whatever the default device, as in `build_rows`
            natural = multicenter_frame(frame)
            rows = torch.cat([natural.W, natural.centers])
            rows = embed(rows, d, generator=source(generator))
        rows = stored(rows, device=device, dtype=dtype)
        self.register_buffer("frame", rows[: len(natural.W)].clone())
        self.register_buffer("centers", rows[len(natural.W) :].clone())
        self.register_buffer("owner", natural.owner.to(rows.device))
        slots = slots_of_owners(natural.owner).to(rows.device)
        self.register_buffer("slots", slots, persistent=False)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if not self.owner.is_meta:
            refill(self, "slots", slots_of_owners(self.owner))

    @property
    def F(self) -> int:
        """Number of centers."""
        return len(self.centers)

    @property
    def parts(self) -> Centers:
        """Class vectors and centers."""
        return Centers(self.frame, self.centers, self.owner, self.slots)

    def logits(self, features: Float[Tensor, "B d"]) -> Float[Tensor, "B K"]:
        """Scores of the unit features under the head's rule.

        Args:
            features: What `features` returned.

        Returns:
            Scores.
        """
        return self.scores(features, rule=self.rule)

    def scores(self, features: Float[Tensor, "B d"], *, rule: Rule) -> Float[Tensor, "B K"]:
        """Scores of the unit features under any rule.

        Args:
            features: What `features` returned.
            rule: Which rule.

        Returns:
            Scores.
        """
        return class_scores(unit_rows(features), self.parts, rule=rule)

    def predict_by(self, x: Float[Tensor, "B *input"], *, rule: Rule) -> Int[Tensor, "B"]:
        """The class of the largest score under any rule.

        Args:
            x: Output of the backbone.
            rule: Which rule.

        Returns:
            Classes.
        """
        return self.scores(self.features(x), rule=rule).argmax(-1)


def slots_of_owners(owner: Int[Tensor, "F"]) -> Int[Tensor, "K m"]:
    """Places of each class's centers from the class of each center.

    Args:
        owner: Classes, in blocks of a class.

    Returns:
        `ufm.geometry.multicenter.center_slots` of their counts, on the CPU.
    """
    return center_slots(tuple(torch.bincount(owner.cpu()).tolist()))
