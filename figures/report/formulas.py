"""LaTeX formulas as MathML, at build time: no fonts, no scripts, no network for the reader."""

from __future__ import annotations

import re
from collections.abc import Iterator

from latex2mathml.converter import convert
from markupsafe import Markup


# The converter copies these commands verbatim behind \bigl and the like; it knows the characters.
_DELIMITERS = {r"\lfloor": "⌊", r"\rfloor": "⌋", r"\lceil": "⌈", r"\rceil": "⌉"}
_NORM = re.compile(r"(?<!\\)\\\|")
_ARG = re.compile(r"\\arg(?![a-z])")
# Arrows that it makes identifiers, which have no space around them.
_ARROW = re.compile(r"<mi>(&#x027F[9A];)</mi>")
# Functions want a thin space before an argument without parentheses; not as the base of a script.
_FUNCTION = re.compile(r"(?<!<msup>)(?<!<msub>)(<mi>(?:log|ln|cos|sin)</mi>)(?=<(?!/|mspace|mo))")
_TOKEN = re.compile(r"\\qquad|\\quad|,\\ |\\begin|\\end|\\left(?![a-z])|\\right(?![a-z])|\\.|[{}]")
_BREAKS = {r"\quad": "", r"\qquad": "", r",\ ": ","}
_DEPTH = {"{": 1, "}": -1, "\\begin": 1, "\\end": -1, "\\left": 1, "\\right": -1}


def mathml(latex: str) -> Markup:
    r"""A displayed formula; parts set apart by ``\quad`` may be broken into lines.

    Args:
        latex: The formula.

    Returns:
        One ``<math>`` element a part.

    Raises:
        ValueError: If something in it has no counterpart in MathML.
    """
    return Markup("\n").join(Markup(_part(part)) for part in parts(latex))


def parts(latex: str) -> Iterator[str]:
    r"""Split a formula at ``\quad``, ``\qquad`` and spaced commas outside of all groups.

    Args:
        latex: The formula.

    Yields:
        The parts, in order.
    """
    depth = start = 0
    for token in _TOKEN.finditer(latex):
        depth += _DEPTH.get(token[0], 0)
        if depth == 0 and token[0] in _BREAKS:
            yield latex[start : token.start()].strip() + _BREAKS[token[0]]
            start = token.end()
    yield latex[start:].strip()


def _part(latex: str) -> str:
    plain = _ARG.sub(r"\\operatorname{arg}", _NORM.sub("‖", latex))
    for command, character in _DELIMITERS.items():
        plain = plain.replace(command, character)
    converted = _ARROW.sub(r"<mo>\1</mo>", convert(plain, display="block"))
    converted = _FUNCTION.sub(r'\1<mspace width="0.17em"/>', converted)
    if "\\" in converted:
        raise ValueError(f"formula must have a form in MathML, got {latex!r}")
    return converted
