"""One run of a symbolic derivation: exact checks, their steps, and the terms that may be altered.

Exact arithmetic only: a float in an expression is a failure, and nothing is proved by sampling.
"""

from __future__ import annotations

import enum
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import mpmath
import sympy as sp

from proofs_check._formulas import by_name, equation, latex, sample_text, written_sides


DIGITS = 40
EXACT = 1e-12
# Numbers of classes by name: at least two in all, one in a group.
LEAST = {"K": 2, "K_A": 1, "K_B": 1}


class ProofFailure(AssertionError):
    """A step of a proof or a numeric check did not come out."""


class Relation(enum.Enum):
    """How a step was checked."""

    IDENTITY = "identity"
    SIGN = "sign from the assumptions on the symbols"
    LIMIT = "limit"
    TIE = "comparison with the code"


@final
@dataclass(frozen=True)
class Step:
    """What was checked, for the reader of the proof.

    Attributes:
        text: The step in words.
        latex: The checked relation; for a tie the expression that the package must reproduce.
        relation: How it was checked.
        symbols: The symbols in it, whose assumptions carry its domain.
        sample: Where a tie was evaluated.
        written: For an identity, the two sides as the derivation writes them.
    """

    text: str
    latex: str
    relation: Relation = Relation.IDENTITY
    symbols: tuple[sp.Symbol, ...] = ()
    sample: str = ""
    written: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Term:
    """A term that the mutation check alters.

    Attributes:
        latex: As the proof has it.
        altered: What it is replaced with.
    """

    latex: str
    altered: str


@final
class Proof:
    """Records the steps of one derivation, and can alter one named term of it.

    Altering a term must make the derivation fail; a proof that survives it does not depend on the
    term that it names.

    Attributes:
        steps: What was checked so far.
        assumptions: Bounds that the symbols' own assumptions cannot carry, such as ``q < 1/K``.
        terms: The alterable terms that the derivation used so far, by name.
    """

    def __init__(self, altered: str | None = None):
        self.altered = altered
        self.steps: list[Step] = []
        self.assumptions: list[Any] = []
        self.terms: dict[str, Term] = {}

    def assume(self, *bounds: Any) -> None:
        """Bounds of the domain beside the symbols' own assumptions; tie points must satisfy them.

        Args:
            bounds: Relations such as ``K >= 2`` or ``q < 1/K``.
        """
        self.assumptions += [bound for bound in bounds if bound not in self.assumptions]

    def term(self, name: str, value: Any, altered: Any = None) -> Any:
        """A term of the derivation, or its altered form where this run alters it.

        Args:
            name: Name of the term.
            value: Expression, matrix, or element of an exact algebra.
            altered: What to use instead; 8/7 of the value by default.

        Returns:
            The term to go on with.
        """
        other = value * sp.Rational(8, 7) if altered is None else altered
        self.terms.setdefault(name, Term(latex(value), latex(other)))
        return other if name == self.altered else value

    def zero(self, value: Any, text: str) -> None:
        """Check that an expression, matrix or algebra element is identically zero.

        Args:
            value: What must vanish.
            text: The step in words.

        Raises:
            ProofFailure: If it cannot be reduced to zero exactly.
        """
        for entry in _entries(value):
            if not _vanishes(entry):
                raise ProofFailure(f"{text}: {sp.sstr(entry)} is not identically zero")
        self._record(text, f"{latex(value)} = 0", value)

    def equal(self, left: Any, right: Any, text: str) -> None:
        """Check that two expressions are identical.

        Args:
            left: One side.
            right: The other side.
            text: The step in words.

        Raises:
            ProofFailure: If their difference cannot be reduced to zero exactly.
        """
        pairs = list(zip(_entries(left), _entries(right), strict=True))
        for one, other in pairs:
            # Each side alone: a float can cancel in the difference.
            _refuse_floats(one, text)
            _refuse_floats(other, text)
            if not _vanishes(one - other):
                raise ProofFailure(f"{text}: {sp.sstr(one)} is not identically {sp.sstr(other)}")
        written = written_sides(sys._getframe(1))
        self._record(text, equation(left, right), left, right, written=written)

    def positive(self, value: Any, text: str, *, strict: bool = True) -> None:
        """Check a sign from the assumptions on the symbols alone, after factoring.

        Args:
            value: Expression in symbols whose assumptions carry the domain.
            text: The step in words.
            strict: Whether zero is refused.

        Raises:
            ProofFailure: If the sign does not follow.
        """
        value = sp.sympify(value)
        _refuse_floats(value, text)
        forms = (lambda e: e, sp.factor, sp.expand, lambda e: sp.factor(sp.expand(sp.together(e))))
        for form in forms:
            shaped = form(value)
            if shaped.is_positive or (not strict and shaped.is_nonnegative):
                chain = equation(value, shaped) + (" > 0" if strict else r" \ge 0")
                self._record(text, chain, value, relation=Relation.SIGN)
                return
        raise ProofFailure(f"{text}: the sign of {sp.sstr(value)} does not follow")

    def limit(self, value: Any, symbol: Any, point: Any, target: Any, text: str) -> None:
        """Check a limit from above.

        Args:
            value: Expression.
            symbol: Variable.
            point: Where to.
            target: What the limit must be.
            text: The step in words.

        Raises:
            ProofFailure: If it is something else.
        """
        self.equal(sp.limit(value, symbol, point, "+"), target, text)
        del self.steps[-1]
        shown = f"{latex(sp.Limit(value, symbol, point, '+'))} = {latex(target)}"
        self._record(text, shown, value, target, relation=Relation.LIMIT)

    def tie(
        self,
        expression: Any,
        symbols: Sequence[sp.Symbol],
        function: Callable[..., Any],
        points: Sequence[tuple[int | Fraction, ...]],
        text: str,
    ) -> None:
        """Compare an expression with the package's implementation at exact points.

        The expression is evaluated with 40 digits, the implementation in float64.

        Args:
            expression: Scalar expression in ``symbols``.
            symbols: Its variables, in the order of a point's entries.
            function: Implementation; takes the entries as floats (integers stay integers).
            points: Exact points, rational and inside the domain.
            text: The step in words.

        Raises:
            ProofFailure: If they differ by more than EXACT, relatively, somewhere.
            ValueError: If a point lies outside the domain.
        """
        exact = sp.lambdify(list(symbols), expression, "mpmath")
        for point in points:
            _check_domain(symbols, point, text, self.assumptions)
            with mpmath.workdps(DIGITS):
                expected = float(exact(*(mpmath.mpf(x.numerator) / x.denominator for x in point)))
            found = float(function(*(x if isinstance(x, int) else float(x) for x in point)))
            if not abs(found - expected) <= EXACT * abs(expected):
                raise ProofFailure(
                    f"{text}: at ({', '.join(map(str, point))}) the proof has {expected:.17g}, "
                    f"the package {found:.17g}"
                )
        self._record(
            text,
            latex(expression),
            expression,
            relation=Relation.TIE,
            sample=sample_text(symbols, points),
        )

    def _record(
        self,
        text: str,
        latex: str,
        *values: Any,
        relation: Relation = Relation.IDENTITY,
        sample: str = "",
        written: tuple[str, ...] = (),
    ) -> None:
        entries = [entry for value in values for entry in _entries(value)]
        symbols = {x for entry in entries for x in entry.free_symbols if isinstance(x, sp.Symbol)}
        ordered = tuple(sorted(symbols, key=by_name))
        self.steps.append(Step(text, latex, relation, ordered, sample, written))


def points(seed: int, count: int, *ranges: tuple[float, float]) -> list[tuple[int | Fraction, ...]]:
    """Random exact points: integers for ranges of ints, dyadic fractions for ranges of floats.

    Args:
        seed: Seed.
        count: Number of points.
        ranges: Closed range of each coordinate.

    Returns:
        Points whose entries are exact in float64 too.
    """
    generator = random.Random(seed)

    def draw(low: float, high: float) -> int | Fraction:
        if isinstance(low, int) and isinstance(high, int):
            return generator.randint(low, high)
        return Fraction(generator.randint(round(low * 4096), round(high * 4096)), 4096)

    return [tuple(draw(low, high) for low, high in ranges) for _ in range(count)]


def _check_domain(
    symbols: Sequence[sp.Symbol],
    point: tuple[int | Fraction, ...],
    text: str,
    assumptions: Sequence[Any],
) -> None:
    values = {
        symbol: sp.Rational(x.numerator, x.denominator)
        for symbol, x in zip(symbols, point, strict=True)
    }
    shown = ", ".join(f"{symbol}={x}" for symbol, x in values.items())
    for symbol, x in values.items():
        outside = (
            (symbol.is_positive and x <= 0)
            or (symbol.is_nonnegative and x < 0)
            or (symbol.is_integer and not x.is_integer)
            or x < LEAST.get(symbol.name, x)
        )
        if outside:
            raise ValueError(f"{text}: tie point must lie in the domain, got {symbol}={x}")
    for bound in assumptions:
        if bound.free_symbols <= values.keys() and bound.subs(values) != sp.true:
            raise ValueError(f"{text}: tie point must satisfy {sp.sstr(bound)}, got {shown}")


def _entries(value: Any) -> list[Any]:
    entries = getattr(value, "entries", None)
    if entries is not None:
        return [sp.sympify(entry) for entry in entries]
    if isinstance(value, sp.MatrixBase):
        return value.flat()
    return [sp.sympify(value)]


def _refuse_floats(value: Any, text: str) -> None:
    if value.has(sp.Float):
        raise ProofFailure(f"{text}: {sp.sstr(value)} holds a float, which proves nothing")


def _vanishes(value: Any) -> bool:
    _refuse_floats(value, "exactness")
    if isinstance(value, sp.MatrixExpr):
        return sp.expand(value).doit() == sp.ZeroMatrix(*value.shape)
    if any(form(value) == 0 for form in CHEAP_FORMS):
        return True
    # A value away from zero somewhere settles the matter, before the slow forms are tried.
    return not _differs_somewhere(value) and any(form(value) == 0 for form in SLOW_FORMS)


CHEAP_FORMS = (lambda e: e, sp.expand, lambda e: sp.numer(sp.together(e)).expand())
SLOW_FORMS = (
    lambda e: sp.expand(sp.expand_log(e)),
    lambda e: sp.expand(sp.powsimp(sp.expand(e))),
    sp.simplify,
    lambda e: sp.simplify(sp.radsimp(sp.expand(e))),
)


def _differs_somewhere(value: Any) -> bool:
    symbols = sorted(value.free_symbols, key=str)
    for offset in (0, 1):
        point = {
            symbol: sp.Integer(k + 2 + offset)
            if symbol.is_integer
            else sp.Rational(2 * k + 3 + offset, 2 * len(symbols) + 5)
            for k, symbol in enumerate(symbols)
        }
        number = value.subs(point).evalf(DIGITS)
        if number.is_real and abs(number) > sp.Rational(1, 10**20):
            return True
    return False
