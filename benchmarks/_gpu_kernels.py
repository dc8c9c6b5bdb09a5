"""Kernels that measure a card. Imported only where Triton is."""

from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def multiply_add(x_pointer, turns, SIZE: tl.constexpr):
    """Eight independent chains of float64 multiply-adds a number, on chip."""
    place = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    x = tl.load(x_pointer + place)
    a, b, c, d = x, x + 1.0, x + 2.0, x + 3.0
    e, f, g, h = x + 4.0, x + 5.0, x + 6.0, x + 7.0
    for _ in range(turns):
        a = a * x + 0.5
        b = b * x + 0.5
        c = c * x + 0.5
        d = d * x + 0.5
        e = e * x + 0.5
        f = f * x + 0.5
        g = g * x + 0.5
        h = h * x + 0.5
    tl.store(x_pointer + place, ((a + b) + (c + d)) + ((e + f) + (g + h)))
