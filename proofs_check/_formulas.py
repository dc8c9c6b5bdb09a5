"""How steps of a proof are shown: formulas, order of symbols, both sides as they are written."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import sympy as sp


_LETTERS = re.compile(r"^[A-Za-z]{2,}")


def by_name(symbol: sp.Symbol) -> tuple[str, str]:
    """Key of a fixed order of symbols, also of those alike in name but not in assumptions.

    Args:
        symbol: The symbol.

    Returns:
        Its name and its assumptions.
    """
    return symbol.name, str(sorted(symbol.assumptions0.items()))


def latex(value: Any) -> str:
    """LaTeX in which a symbol of several letters cannot be read as a product.

    Args:
        value: Expression, relation, matrix, or element of an exact algebra.

    Returns:
        The formula.
    """
    entries = getattr(value, "entries", None)
    shown = value if entries is None else sp.Tuple(*entries)
    symbols = [x for x in getattr(shown, "free_symbols", ()) if isinstance(x, sp.Symbol)]
    names = {x: _LETTERS.sub(r"\\mathrm{\g<0>}", sp.latex(x)) for x in symbols}
    upright = {x: name for x, name in names.items() if name.startswith(r"\mathrm")}
    return sp.latex(shown, symbol_names=upright)


def equation(left: Any, right: Any) -> str:
    """Both sides of an identity; what sympy writes alike from the start is shown once.

    Args:
        left: One side.
        right: The other side.

    Returns:
        The formula.
    """
    shown = latex(left), latex(right)
    return shown[0] if shown[0] == shown[1] else " = ".join(shown)


def sample_text(symbols: Sequence[sp.Symbol], points: Sequence[tuple[int | Fraction, ...]]) -> str:
    """Where a tie was evaluated, for the reader.

    Args:
        symbols: Its variables.
        points: Its points.

    Returns:
        Their number and ranges.
    """
    ranges = [
        f"{latex(symbol)} \\in [{float(min(values)):.4g}, {float(max(values)):.4g}]"
        for symbol, values in zip(symbols, zip(*points, strict=True), strict=True)
    ]
    return f"{len(points)} points, ${', '.join(ranges)}$"


def written_sides(frame: FrameType) -> tuple[str, ...]:
    """The two sides of an equality as its caller's source has them.

    Args:
        frame: The frame that calls ``Proof.equal``.

    Returns:
        Two expressions; nothing where there is no source.
    """
    path, line = frame.f_code.co_filename, frame.f_lineno
    if not Path(path).is_file():
        return ()
    found = [c for c in _equalities(path) if c.lineno <= line <= (c.end_lineno or c.lineno)]
    return tuple(ast.unparse(side) for side in found[-1].args[:2]) if found else ()


@cache
def _equalities(path: str) -> tuple[ast.Call, ...]:
    tree = ast.parse(Path(path).read_text("utf-8"))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return tuple(c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "equal")
