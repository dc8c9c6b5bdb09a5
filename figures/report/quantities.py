"""Numbers for readers: errors as bounds, quantities with the digits that they have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any


SMALL = 1e-4
DIGITS = 4
# What a number of a network is followed by, with the same name before: half of its interval.
SPREAD = " +-"
# The checks of predictions are one function for all claims, which names its numbers in a word.
PREDICTED = {
    "gap": "largest certified gap",
    "value": "error of the predicted value",
    "geometry": "error of the predicted geometry",
}


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


def readings(check: str, numbers: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """The numbers of a piece of evidence, each with its name and its interval.

    Args:
        check: Name of the check that measured them.
        numbers: As recorded.

    Yields:
        Name and text.
    """
    names = PREDICTED if check.startswith("predictions.") else {}
    for name, value in numbers.items():
        if name.endswith(SPREAD):
            continue
        text = evidence_number(value)
        if (half := numbers.get(name + SPREAD)) is not None:
            text = f"{value:.{DIGITS}g} ± {half:.2g}"
        yield names.get(name, name), signed(text)


def signed(text: str) -> str:
    """A number with a minus sign and a power of ten as they are printed.

    Args:
        text: As Python writes it.

    Returns:
        Such as ``−2.4 · 10⁻⁵``.
    """
    parts = text.split(" ± ")
    return " ± ".join(_written(part) for part in parts)


def _written(text: str) -> str:
    mantissa, _, exponent = text.partition("e")
    mantissa = mantissa.replace("-", "−", 1)
    return f"{mantissa} · {_power(int(exponent))}" if exponent else mantissa


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
