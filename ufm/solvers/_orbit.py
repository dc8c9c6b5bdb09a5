"""The rotations (W R, R' H) that leave a model alone, taken out of directions."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ufm._typing import Float, Tensor
from ufm.solvers._charts import Chart


# Pairs of axes that hold less than this share of the factors are not rotated: the orbit there is
# shorter than the distance to the optimum, and the Hessian along it is not small.
EMPTY = 1e-10


def horizontal(
    chart: Chart, x: Float[Tensor, "B P"]
) -> Callable[[Float[Tensor, "B P"]], Float[Tensor, "B P"]]:
    r"""Projector onto the directions orthogonal to the rotation orbit of a point.

    The nearest :math:`(\tilde W\Omega, \tilde V\Omega)` with skew :math:`\Omega` to a direction
    (A, B) solves :math:`C\Omega + \Omega C = S - S^\top`, where
    :math:`C = \tilde W^\top\tilde W + \tilde V^\top\tilde V` and
    :math:`S = \tilde W^\top A + \tilde V^\top B`: one eigendecomposition a point.

    Args:
        chart: Manifold; with a fixed classifier there is no orbit and nothing is removed.
        x: Point.

    Returns:
        The projector.
    """
    if not chart.factors.rotates:
        return lambda v: v
    # An empty axis more keeps odd sizes aligned (see `_factors`).
    odd = chart.d % 2
    X = torch.nn.functional.pad(chart.split(x).X, (0, odd))
    values, U = torch.linalg.eigh(X.mT @ X)
    pairs = values.unsqueeze(-1) + values.unsqueeze(-2)
    inverse = torch.where(pairs > EMPTY * values.amax(-1)[:, None, None], 1 / pairs, 0.0)

    def project(v: Float[Tensor, "B P"]) -> Float[Tensor, "B P"]:
        S = X.mT @ torch.nn.functional.pad(chart.split(v).X, (0, odd))
        rotation = U @ (inverse * (U.mT @ (S - S.mT) @ U)) @ U.mT
        vertical = torch.nn.functional.pad(
            (X @ rotation)[..., : chart.d], (0, chart.width - chart.d)
        )
        vertical = vertical.flatten(1)
        return v - torch.nn.functional.pad(vertical, (0, v.shape[-1] - vertical.shape[-1]))

    return project
