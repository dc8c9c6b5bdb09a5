r"""Exact algebras of symmetric matrices of symbolic size.

`IJ` is :math:`aI + bJ` with :math:`J = 11^\top` of size K. `Block` is the commutant of
:math:`S_{K_A}\times S_{K_B}`, the matrices ``[[aI + bJ, cJ], [dJ, eI + fJ]]``. Products, traces and
spectra need only :math:`J_{mk}J_{kn} = k\,J_{mn}`, so identities hold for all sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import sympy as sp


@final
@dataclass(frozen=True)
class IJ:
    """``a I + b J`` of size K.

    Attributes:
        a: Coefficient of the identity; the eigenvalue on zero-sum vectors, K - 1 times.
        b: Coefficient of the all-ones matrix.
        K: Size.
    """

    a: Any
    b: Any
    K: Any

    @property
    def entries(self) -> tuple[Any, Any]:
        """Coefficients, all zero iff the matrix is."""
        return self.a, self.b

    def __add__(self, other: IJ) -> IJ:
        return IJ(self.a + other.a, self.b + other.b, self.K)

    def __sub__(self, other: IJ) -> IJ:
        return self + other * -1

    def __mul__(self, scale: Any) -> IJ:
        return IJ(self.a * scale, self.b * scale, self.K)

    def __matmul__(self, other: IJ) -> IJ:
        b = self.a * other.b + self.b * other.a + self.K * self.b * other.b
        return IJ(self.a * other.a, b, self.K)

    @property
    def trace(self) -> Any:
        """Sum of the diagonal."""
        return self.K * (self.a + self.b)

    @property
    def row_sum(self) -> Any:
        """Eigenvalue of the vector of ones."""
        return self.a + self.K * self.b


@final
@dataclass(frozen=True)
class Block:
    """``[[aI + bJ, cJ], [dJ, eI + fJ]]`` with K_A and K_B rows.

    Attributes:
        a: Identity coefficient of the first block.
        b: All-ones coefficient of the first block.
        c: Upper right.
        d: Lower left.
        e: Identity coefficient of the second block.
        f: All-ones coefficient of the second block.
        K_A: Size of the first block.
        K_B: Size of the second block.
    """

    a: Any
    b: Any
    c: Any
    d: Any
    e: Any
    f: Any
    K_A: Any
    K_B: Any

    @property
    def entries(self) -> tuple[Any, ...]:
        """Coefficients, all zero iff the matrix is."""
        return self.a, self.b, self.c, self.d, self.e, self.f

    def _like(self, *entries: Any) -> Block:
        a, b, c, d, e, f = entries
        return Block(a, b, c, d, e, f, self.K_A, self.K_B)

    def __add__(self, other: Block) -> Block:
        pairs = zip(self.entries, other.entries, strict=True)
        return self._like(*(x + y for x, y in pairs))

    def __sub__(self, other: Block) -> Block:
        return self + other * -1

    def __mul__(self, scale: Any) -> Block:
        return self._like(*(x * scale for x in self.entries))

    def __matmul__(self, other: Block) -> Block:
        A, B, s, o = self.K_A, self.K_B, self, other
        return self._like(
            s.a * o.a,
            s.a * o.b + s.b * o.a + A * s.b * o.b + B * s.c * o.d,
            s.a * o.c + A * s.b * o.c + s.c * o.e + B * s.c * o.f,
            s.d * o.a + A * s.d * o.b + s.e * o.d + B * s.f * o.d,
            s.e * o.e,
            s.e * o.f + s.f * o.e + B * s.f * o.f + A * s.d * o.c,
        )

    @property
    def T(self) -> Block:
        """Transpose."""
        return self._like(self.a, self.b, self.d, self.c, self.e, self.f)

    @property
    def column_sums(self) -> tuple[Any, Any]:
        """Column sums in the first and in the second block."""
        return (
            self.a + self.K_A * self.b + self.K_B * self.d,
            self.e + self.K_B * self.f + self.K_A * self.c,
        )

    @property
    def quotient(self) -> sp.Matrix:
        """The 2 x 2 matrix on (constant, constant) vectors; the rest of the spectrum is a, e."""
        return sp.Matrix(
            [
                [self.a + self.K_A * self.b, self.K_B * self.c],
                [self.K_A * self.d, self.e + self.K_B * self.f],
            ]
        )
