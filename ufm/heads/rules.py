"""Decision rules of a multi-center frame as scores of each class; the answer is the largest.

The same rules as `ufm.geometry.regular_rule`, `mean_rule` and `general_rule`, in the rows of
networks, with scores instead of answers, and without data-dependent shapes.
"""

from __future__ import annotations

from typing import Literal

import torch

from ufm._typing import Float, Tensor
from ufm.geometry.multicenter import Centers
from ufm.heads._head import product


Rule = Literal["regular", "mean", "general"]


def class_scores(
    features: Float[Tensor, "B d"], parts: Centers, *, rule: Rule = "regular"
) -> Float[Tensor, "B K"]:
    r"""Scores of the classes under a decision rule.

    ``regular`` (RCR): :math:`\langle w_k, h\rangle`. At collapse that is the rule of the mean
    directions with class k's score times :math:`\cos\rho_k`, a fixed preference for classes of
    many centers. ``mean``: :math:`\langle \bar w_k/\|\bar w_k\|, h\rangle`. ``general`` (GCR):
    :math:`\max_j \langle w_j^{(k)}, h\rangle`.

    Args:
        features: Features.
        parts: The frame.
        rule: Which rule.

    Returns:
        Scores.

    Raises:
        ValueError: If the rule is unknown.

    References:
        Yan et al. (2024) [yan2024]_, Section 3.1; the mean rule is ours.
    """
    if rule == "regular":
        return product(features, parts.W)
    scores = product(features, parts.centers)
    owner = parts.owner.expand(scores.shape)
    zero = scores.new_zeros(scores.shape[0], parts.W.shape[0])
    if rule == "general":
        return torch.scatter_reduce(zero, -1, owner, scores, "amax", include_self=False)
    if rule == "mean":
        # The sum of a class's scores, over the length of the sum of its centers.
        return zero.scatter_add(-1, owner, scores) / sum_lengths(parts)
    raise ValueError(f"rule must be 'regular', 'mean' or 'general', got {rule!r}")


def sum_lengths(parts: Centers) -> Float[Tensor, "K"]:
    """Length of the sum of each class's centers.

    Args:
        parts: The frame.

    Returns:
        The lengths.
    """
    total = torch.zeros_like(parts.W).index_add(0, parts.owner, parts.centers)
    return torch.linalg.vector_norm(total, dim=-1)
