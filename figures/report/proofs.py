"""Proofs equation by equation, as the documentation's generated pages have them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from figures.report import origins
from figures.report.formulas import mathml
from figures.report.prose import prose


FOLDER = origins.ROOT / "docs" / "proofs"
# Longer formulas are polynomials that a computer algebra system expands and nobody reads.
LONG = 420
_PROOF = re.compile(r"^### Proof `([^`]+)`\n(.*?)(?=^Altered, |^##|\Z)", re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"^\d+\. (.*?)(?=^\d+\. |\Z)", re.MULTILINE | re.DOTALL)
_DISPLAY = re.compile(r"^\s*\$\$\n(.*?)\n\s*\$\$\s*$", re.MULTILINE | re.DOTALL)
_SYMBOLS = re.compile(r"^Symbols: (.*)$", re.MULTILINE)
_ESCAPED = re.compile(r"\\([^a-zA-Z0-9\s])")
_ALIGNED = re.compile(r"\\(?:begin|end)\{aligned\}")


@dataclass(frozen=True)
class Equation:
    """A step of a derivation.

    Attributes:
        text: What it says.
        notes: How it was compared.
        latex: The formula; empty if the difference vanished as written.
        long: Whether the formula is too long to be shown.
    """

    text: Markup
    notes: tuple[Markup, ...]
    latex: str
    long: bool


@dataclass(frozen=True)
class Proof:
    """A derivation as it was checked.

    Attributes:
        symbols: Which symbols there are, and what is assumed of them.
        equations: Its steps.
        page: File that has all of it, from the root of the checkout.
    """

    symbols: Markup
    equations: tuple[Equation, ...]
    page: str


@functools.cache
def proofs() -> Mapping[str, Proof]:
    """Every proof by the name of its check.

    Returns:
        Empty where the pages are not there.
    """
    return {
        name: proof
        for path in sorted(FOLDER.glob("*.md"))
        for name, proof in parse(path.read_text("utf-8"), f"docs/proofs/{path.name}").items()
    }


def parse(text: str, page: str) -> dict[str, Proof]:
    """The proofs of a page.

    Args:
        text: The page, as ``python -m proofs_check pages`` writes it.
        page: Its path.

    Returns:
        Proofs by the name of the check.
    """
    found = {}
    for name, body in _PROOF.findall(text):
        symbols = _SYMBOLS.search(body)
        equations = tuple(_equation(step) for step in _STEP.findall(body))
        found[name] = Proof(_said(symbols[1] if symbols else ""), equations, page)
    return found


def _equation(step: str) -> Equation:
    display = _DISPLAY.search(step)
    head, *notes = (part for part in _DISPLAY.sub("", step).split("\n\n") if part.strip())
    latex = _plain(display[1]) if display else ""
    # How the sides are written in the code is on the page; here it would hide the formula.
    shown = ("both sides are" if "the same once" in note else note for note in notes)
    shown = tuple(_said(note) for note in shown if not note.strip().startswith("From "))
    return Equation(_said(head), shown, latex, len(latex) > LONG)


def _plain(latex: str) -> str:
    # Rows aligned at their signs become parts, which break where the screen ends.
    rows = _ALIGNED.sub("", latex).replace(r"\\ &=", r"\quad =").replace("&=", "=")
    return " ".join(rows.split())


def _said(text: str) -> Markup:
    return Markup("").join(_parts(" ".join(text.split())))


def _parts(text: str) -> Iterator[Markup]:
    for i, part in enumerate(text.split("$")):
        if i % 2:
            # Commas between what is set in a line are places to break it.
            part = part.replace("], ", r"],\ ")
            yield Markup(mathml(part).replace('display="block"', 'display="inline"'))
        else:
            yield prose(_ESCAPED.sub(r"\1", part))
