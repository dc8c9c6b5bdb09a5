"""Roots of many scalar equations at once, by a bracketing method. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


# What the vectorised functions take: numbers, or anything that makes an array of them.
Numbers = int | float | Sequence | np.ndarray | np.generic
# Elements per pass of a vectorised kernel: its temporaries stay in the cache.
BLOCK = 8192
MAX_STEPS = 200
EPS = float(np.finfo(np.float64).eps)


def bracketed_roots(
    f: Callable[..., np.ndarray], low: np.ndarray, high: np.ndarray, *args: np.ndarray
) -> np.ndarray:
    """Root of ``f(x, *args)`` in each bracket ``[low, high]``, to rounding of ``x``.

    Chandrupatla's method: inverse quadratic interpolation where it is safe, bisection elsewhere.
    Stops after 200 steps, which reach a root up to 60 orders of magnitude below its bracket.

    Args:
        f: Elementwise function of arrays of one shape ``(m,)``; infinite values are allowed.
        low: One end of each bracket ``(m,)``.
        high: The other end ``(m,)``.
        args: Parameters of ``f`` ``(m,)``.

    Returns:
        Roots ``(m,)``; an end of the bracket where ``f`` has one sign on both, where it is
        smaller in size.

    References:
        Chandrupatla (1997), A new hybrid quadratic/bisection algorithm [chandrupatla1997]_.
    """
    root = np.array(low, dtype=np.float64)
    index = np.arange(root.size)
    a, b = np.array(high, dtype=np.float64), np.array(low, dtype=np.float64)
    with np.errstate(all="ignore"):
        fa, fb = f(a, *args), f(b, *args)
        # A bracket without a change of sign is closed at its better end.
        better = np.where(np.abs(fa) < np.abs(fb), a, b)
        same = np.sign(fa) == np.sign(fb)
        a, b = np.where(same, better, a), np.where(same, better, b)
        c, fc = b, fb
        t = np.full(root.size, 0.5)
        for _ in range(MAX_STEPS):
            x = a + t * (b - a)
            fx = f(x, *args)
            keep = np.sign(fx) == np.sign(fa)
            c, fc = np.where(keep, a, b), np.where(keep, fa, fb)
            b, fb = np.where(keep, b, a), np.where(keep, fb, fa)
            a, fa = x, fx
            best = np.where(np.abs(fa) < np.abs(fb), a, b)
            root[index] = best
            limit = (EPS * np.abs(best) + 1e-300) / np.abs(b - a)
            going = (limit < 0.5) & (fa != 0) & (fb != 0)
            t = _interpolated(a, b, c, fa, fb, fc)
            t = np.clip(t, limit, 1 - limit)
            if not going.all():
                index, a, b, c, fa, fb, fc, t = (v[going] for v in (index, a, b, c, fa, fb, fc, t))
                args = tuple(arg[going] for arg in args)
            if not index.size:
                break
    return root


def _interpolated(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, fa: np.ndarray, fb: np.ndarray, fc: np.ndarray
) -> np.ndarray:
    xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
    safe = (1 - np.sqrt(1 - xi) < phi) & (phi < np.sqrt(xi))
    alpha = (c - a) / (b - a)
    t = fa / (fb - fa) * fc / (fb - fc) + alpha * fa / (fc - fa) * fb / (fc - fb)
    return np.where(safe & np.isfinite(t), t, 0.5)


def elementwise(kernel: Callable[..., tuple[np.ndarray, ...]], *args: Numbers):
    """Broadcast the arguments, run a kernel on flat blocks of them, restore the shape.

    Args:
        kernel: Function of flat float64 arrays ``(m,)`` returning a tuple of such arrays.
        args: Arrays that broadcast.

    Returns:
        The kernel's results in the broadcast shape.
    """
    arrays = np.broadcast_arrays(*(np.asarray(arg, dtype=np.float64) for arg in args))
    shape, size = arrays[0].shape, arrays[0].size
    flat = [array.reshape(-1) for array in arrays]
    blocks = [
        kernel(*(array[i : i + BLOCK] for array in flat)) for i in range(0, max(size, 1), BLOCK)
    ]
    return tuple(np.concatenate(parts).reshape(shape) for parts in zip(*blocks, strict=True))
