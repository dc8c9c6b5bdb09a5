"""Free features under a loss: L-BFGS on one feature a class, and angles to a frame."""

from __future__ import annotations

from collections.abc import Callable

import torch


def minimise(f: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, *, steps: int = 800):
    """A local minimiser of ``f`` near ``x`` (torch's L-BFGS, strong Wolfe)."""
    x = x.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [x], max_iter=steps, history_size=30, tolerance_grad=1e-13, tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = f(x)
        value.backward()
        return value

    optimiser.step(closure)
    return x.detach()


def near(W: torch.Tensor, *, seed: int = 0, spread: float = 0.3) -> torch.Tensor:
    """A random start around the rows of a frame."""
    return W + spread * torch.randn(
        W.shape, dtype=W.dtype, generator=torch.Generator().manual_seed(seed)
    )


def on_sphere(H: torch.Tensor, radius: float) -> torch.Tensor:
    return radius * H / H.norm(dim=-1, keepdim=True)


def degrees(H: torch.Tensor, W: torch.Tensor) -> float:
    """Largest angle of a feature to its row; by the chord, exact also for tiny angles."""
    chord = (on_sphere(H, 1.0) - on_sphere(W, 1.0)).norm(dim=-1)
    return float((2 * (chord / 2).clamp(max=1).asin()).rad2deg().max())
