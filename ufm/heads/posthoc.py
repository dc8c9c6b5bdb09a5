"""Decision rules on the scores of any trained classifier: corrected for the prior, or for cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ufm._shapes import Real
from ufm._typing import Float, Int, Tensor
from ufm.counts import check_number, check_sizes


def adjusted_scores(
    scores: Float[Tensor, "B K"], n: Sequence[int], *, tau: float = 1.0
) -> Float[Tensor, "B K"]:
    r"""Post-hoc logit adjustment, :math:`z - \tau\log\pi` with :math:`\pi_k = n_k/N`.

    Logits of a model of P(y | x) under the class sizes n become, with :math:`\tau = 1`, those of
    one under equal sizes. A model trained with `ufm.losses.LogitAdjusted` has the correction in
    its loss already.

    Args:
        scores: Logits.
        n: Class sizes of the training set.
        tau: Strength, >= 0.

    Returns:
        Scores; the answer is the largest.

    Raises:
        ValueError: If there are not K sizes.

    References:
        Menon et al. (2021) [menon2021]_.

    >>> adjusted_scores(torch.tensor([[1.0, 0.0]]), (900, 100)).argmax(-1)
    tensor([1])
    """
    sizes = scores.new_tensor(check_sizes(n, scores.shape[-1]))
    return scores - check_number("tau", tau) * (sizes / sizes.sum()).log()


def least_cost_scores(
    scores: Float[Tensor, "B K"],
    D: Float[Tensor, "K K"] | Int[Tensor, "K K"] | Real[np.ndarray, "K K"],
) -> Float[Tensor, "B K"]:
    r"""Conditional risk minimisation, minus the expected cost: :math:`-P D`, P the softmax rows.

    The largest score is the class of least expected distance to the true one. With
    :math:`D = 11' - I` the order is that of the probabilities.

    Args:
        scores: Logits; probabilities are their softmax.
        D: Cost of answering the column's class where the row's is true, a distance as a rule
            (`ufm.hierarchy.distance_matrix`).

    Returns:
        Scores; the answer is the largest, and so on down for a ranking.

    Raises:
        ValueError: If D is not K x K.

    References:
        Karthik et al. (2021) [karthik2021]_.
    """
    K, D = scores.shape[-1], torch.as_tensor(D)
    if D.shape != (K, K):
        raise ValueError(f"D must be K x K = {K} x {K}, got {tuple(D.shape)}")
    return -(scores.softmax(-1) @ D.to(scores))
