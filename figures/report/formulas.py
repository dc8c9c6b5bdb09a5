"""LaTeX formulas as MathML, at build time: no fonts, no scripts, no network for the reader.

The converter's output is put right where browsers would set it badly: relations that it takes for
identifiers, limits of maxima, spaces around functions, primes, and large closing delimiters.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from latex2mathml.converter import convert
from markupsafe import Markup


# The converter copies these commands verbatim behind \bigl and the like; it knows the characters.
_DELIMITERS = {r"\lfloor": "⌊", r"\rfloor": "⌋", r"\lceil": "⌈", r"\rceil": "⌉"}
_NORM = re.compile(r"(?<!\\)\\\|")
_ARG = re.compile(r"\\arg(?![a-z])")
_NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'
_RELATIONS = frozenset("⟺⟹⟸⪰⪯≽≼∼")
_FUNCTIONS = frozenset(("log", "ln", "cos", "sin"))
_LIMITS = frozenset(("max", "min"))
_PRIME = "′"
_SCRIPTS = ("msub", "msup", "msubsup")
_THIN = "0.17em"

_TOKEN = re.compile(
    r"\\qquad|\\quad|,\\ |\\begin|\\end|\\left(?![a-z])|\\right(?![a-z])|\\[{}]|[{}()\[\]]"
    r"|\\langle|\\rangle"
)
_BREAKS = {r"\quad": "", r"\qquad": "", r",\ ": ","}
_DEPTH: dict[str, int] = dict.fromkeys(("{", "(", "[", r"\{", r"\begin", r"\langle"), 1)
_DEPTH |= dict.fromkeys(("}", ")", "]", r"\}", r"\end", r"\rangle"), -1)


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
    # A browser knows the namespace of <math>; without it the names are plain.
    tree = ET.fromstring(convert(plain, display="block").replace(_NAMESPACE, ""))
    for element in tree.iter():
        _put_right(element)
    for row in [element for element in tree.iter() if element.tag in ("mrow", "mtd", "mstyle")]:
        row[:] = list(_spaced(list(row)))
    converted = ET.tostring(tree, encoding="unicode")
    if "\\" in converted:
        raise ValueError(f"formula must have a form in MathML, got {latex!r}")
    return converted


def _put_right(element: ET.Element) -> None:
    if element.tag == "mi" and element.text in _RELATIONS:
        element.tag = "mo"
    if element.tag not in _SCRIPTS:
        return
    base = element[0]
    if element.tag == "msub" and base.text in _LIMITS:
        element.tag = "munder"
        base.set("movablelimits", "true")
    elif element.tag == "msup" and element[1].text == _PRIME:
        # Raised by its own shape; as a superscript of a subscript it would be too small to see.
        element.tag = "mrow"
        element[1].tag = "mo"
        element[1].attrib = {"lspace": "0", "rspace": "0"}
    elif base.tag == "mo" and "minsize" in base.attrib:
        # As the base of a script a delimiter is not stretched.
        base.attrib = {"stretchy": "false", "style": f"font-size: {base.attrib['minsize']}"}


def _spaced(children: list[ET.Element]) -> Iterator[ET.Element]:
    # A thin space on both sides of a function's name; none before a parenthesis or after a sign.
    for k, child in enumerate(children):
        if _is_function(child) and k and not _keeps_apart(children[k - 1]):
            yield ET.Element("mspace", {"width": _THIN})
        yield child
        after = children[k + 1 : k + 2]
        if _is_function(child) and after and not (_keeps_apart(*after) or _is_function(*after)):
            yield ET.Element("mspace", {"width": _THIN})


def _keeps_apart(element: ET.Element) -> bool:
    return element.tag in ("mo", "mspace")


def _is_function(element: ET.Element) -> bool:
    base = element[0] if element.tag in _SCRIPTS else element
    return base.tag == "mi" and base.text in _FUNCTIONS
