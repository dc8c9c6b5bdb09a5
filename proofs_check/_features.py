"""Free features under a fixed classifier: a minimiser for losses that no `Problem` states."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ufm._typing import Float, Tensor


def minimised(
    f: Callable[[Tensor], Tensor], H: Float[Tensor, "K d"], *, steps: int = 800
) -> Float[Tensor, "K d"]:
    """A local minimiser by torch's L-BFGS with strong Wolfe line search.

    Args:
        f: Objective of the features.
        H: Start, one feature a row.
        steps: Step limit.

    Returns:
        The features reached.
    """
    x = H.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [x], max_iter=steps, history_size=30, tolerance_grad=1e-13, tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = f(x)
        value.backward()
        return value

    optimiser.step(closure)
    return x.detach()


def started_near(W: Float[Tensor, "K d"], *, seed: int = 0) -> Float[Tensor, "K d"]:
    """Rows with Gaussian noise of standard deviation 0.3.

    Args:
        W: Rows.
        seed: Seed.

    Returns:
        A start.
    """
    generator = torch.Generator().manual_seed(seed)
    return W + 0.3 * torch.randn(W.shape, dtype=W.dtype, generator=generator)


def unit(H: Float[Tensor, "K d"]) -> Float[Tensor, "K d"]:
    """Rows of norm one.

    Args:
        H: Rows.

    Returns:
        Directions.
    """
    return H / H.norm(dim=-1, keepdim=True)


def degrees(H: Float[Tensor, "K d"], W: Float[Tensor, "K d"]) -> float:
    """Largest angle between corresponding rows; from the chord, exact for tiny angles too.

    Args:
        H: Rows.
        W: Rows.

    Returns:
        The angle.
    """
    chord = (unit(H) - unit(W)).norm(dim=-1)
    return float((2 * (chord / 2).clamp(max=1).asin()).rad2deg().max())
