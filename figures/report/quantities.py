"""Numbers for readers: errors as bounds, quantities with the digits that they have."""

from __future__ import annotations

import math
from typing import Any


SMALL = 1e-4
DIGITS = 4


def evidence_number(value: float) -> str:
    """A recorded number: errors are stored as the power of ten above them.

    Args:
        value: The number.

    Returns:
        Text such as ``≤ 10⁻¹⁰`` or ``0.6168``.
    """
    if 0 < value <= SMALL and math.isclose(exponent := math.log10(value), round(exponent)):
        return f"≤ {_power(round(exponent))}"
    return f"{value:.6g}"


def quantity(value: Any) -> str:
    """A number of a table.

    Args:
        value: Number, truth value, text or None.

    Returns:
        Text: integers with thin spaces between thousands, others with four digits.
    """
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}".replace(",", "\u202f")
    if not math.isfinite(value):
        return "∞" if value == math.inf else str(value)
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:.{DIGITS}g}"
    if abs(value) >= 1e4:
        return quantity(round(value))
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa} · {_power(int(exponent))}"


def _power(exponent: int) -> str:
    digits = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{digits}"
