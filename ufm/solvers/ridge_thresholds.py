r"""Thresholds of the ridge :math:`\lambda = \sqrt{\lambda_W\lambda_H}`, any profile. NumPy only.

Cross-entropy with :math:`\frac{\lambda_W}{2}\|W\|_F^2 + \frac{\lambda_H}{2}\sum_k D_k\|h_k\|^2` on
class means: ``D = n`` for the ridge per sample, ``D = 1`` for the ridge per class mean.
"""

from __future__ import annotations

import numpy as np

from ufm.solvers._roots import Numbers


def ridge_merging(pi: Numbers, D: Numbers) -> np.ndarray:
    r"""Ridge :math:`\lambda = \sqrt{\lambda_W\lambda_H}` from which on equal classes are merged.

    Cross-entropy with the penalty :math:`\frac{\lambda_W}{2}\|W\|_F^2 +
    \frac{\lambda_H}{2}\sum_k D_k\|h_k\|^2`: two or more classes with one :math:`\pi_k` and one
    :math:`D_k` have equal rows and features iff :math:`\lambda \ge \pi_k/\sqrt{D_k}`. That is
    :math:`\sqrt{n_k}/N` for the ridge per sample (``D = n``) without loss weights, and
    :math:`\pi_k` for the ridge per class mean (``D = 1``).

    Args:
        pi: Shares of the risk, ``(..., K)``.
        D: Samples that a class's feature penalty counts, ``(..., K)`` or 1.

    Returns:
        The threshold of each class.

    References:
        Hong and Ling (2024) [hong2024]_ for the ridge per sample.
    """
    return np.asarray(np.asarray(pi, dtype=np.float64) / np.sqrt(np.asarray(D, dtype=np.float64)))


def ridge_vanishing(pi: Numbers, D: Numbers, *, free_bias: bool = False) -> np.ndarray:
    r"""Ridge :math:`\lambda = \sqrt{\lambda_W\lambda_H}` from which on ``W = 0`` and ``H = 0``.

    Cross-entropy with the penalty of `ridge_merging`: the spectral norm of the gradient at zero
    features, :math:`\|(\bar\pi 1^\top - I)\,\Pi D^{-1/2}\|_2`, where :math:`\bar\pi = 1/K`
    without a free bias and :math:`\pi` with one. Balanced: :math:`1/(K\sqrt n)` per sample,
    :math:`1/K` per class mean.

    Args:
        pi: Shares of the risk ``(..., K)``, each sum one.
        D: Samples that a class's feature penalty counts, ``(..., K)`` or 1.
        free_bias: Whether the model has an unpenalised bias.

    Returns:
        The threshold ``(...)``.
    """
    pi = np.asarray(pi, dtype=np.float64)
    K = pi.shape[-1]
    prior = np.broadcast_to(pi if free_bias else 1 / K, pi.shape)
    gradient = (prior[..., :, None] - np.eye(K)) * ridge_merging(pi, D)[..., None, :]
    return np.asarray(np.linalg.norm(gradient, 2, axis=(-2, -1)))
