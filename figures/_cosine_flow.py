"""Gradient flow of the cosine regression loss on a multi-center frame, features being free."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.integrate import solve_ivp

from ufm._typing import Float, Int, Tensor
from ufm.geometry import Centers
from ufm.losses import CosineRegression


# A class whose gradient is smaller than this in every entry is left where it is.
STILL = 1e-10


def flow(
    loss: CosineRegression,
    parts: Centers,
    H: Float[Tensor, "B d"],
    *,
    y: Int[Tensor, "B"],
    times: Sequence[float],
) -> Float[Tensor, "T B d"]:
    r"""Features along :math:`\dot h_i = -\nabla\ell(h_i, y_i)`.

    The loss is a mean over samples of functions of one feature each, so the flow of the mean is
    this one at time t/N. A sample sees the centers of its own class only: each class is integrated
    by itself, with its own steps (Dormand and Prince's pair of order 8, relative error 1e-9).

    Args:
        loss: The loss.
        parts: The frame.
        H: Start, one row a sample.
        y: Classes.
        times: Rising times, the first being that of the start.

    Returns:
        Rows at each time.

    Raises:
        RuntimeError: If the integration fails.
    """
    path = H.new_empty(len(times), *H.shape)
    for k in y.unique().tolist():
        own = parts.owner == k
        alone = Centers(parts.W[k : k + 1], parts.centers[own], torch.zeros_like(parts.owner[own]))
        path[:, y == k] = _of_class(loss, alone, H[y == k], times)
    return path


def _of_class(
    loss: CosineRegression, alone: Centers, H: Float[Tensor, "B d"], times: Sequence[float]
) -> Float[Tensor, "T B d"]:
    y = torch.zeros(len(H), dtype=torch.long)

    def field(_: float, x: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(x).reshape(H.shape).requires_grad_()
        (g,) = torch.autograd.grad(loss.value(rows, alone, y).sum(), rows)
        return -g.flatten().numpy()

    def moving(t: float, x: np.ndarray) -> float:
        return float(np.abs(field(t, x)).max()) - STILL

    moving.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    found = solve_ivp(
        field, (times[0], times[-1]), H.flatten().numpy(), method="DOP853", t_eval=times,
        rtol=1e-9, atol=1e-11, events=moving,
    )  # fmt: skip
    if not found.success:
        raise RuntimeError(f"flow did not reach t = {times[-1]:g}: {found.message}")
    path = found.y.T
    end = path[-1] if not len(found.y_events[0]) else found.y_events[0][0]
    path = np.vstack([path, np.tile(end, (len(times) - len(path), 1))])
    return torch.from_numpy(path).reshape(len(times), *H.shape)
