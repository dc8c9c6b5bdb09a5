"""Papers by key, from the one bibliography of the documentation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


BIBLIOGRAPHY = Path(__file__).parents[2] / "docs" / "references.bib"
_ENTRY = re.compile(r"@\w+\{([^,\s]+)\s*,(.*?)\}\s*(?=@|\Z)", re.DOTALL)
_FIELD = re.compile(r"(\w+)\s*=\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_ACCENT = re.compile(r"""\\(["'`^~])\s*\{?\\?([A-Za-z])\}?""")
_COMBINING = {'"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303"}
_LETTERS = {r"\o": "ø", r"\aa": "å", r"\ss": "ß", r"\l": "ł"}


@dataclass(frozen=True)
class Paper:
    """A paper as a reader names it.

    Attributes:
        key: Bibliography key.
        title: Title.
        authors: Family names, in order.
        year: Year, as printed.
        venue: Journal, conference or publisher; empty if none.
    """

    key: str
    title: str = ""
    authors: tuple[str, ...] = ()
    year: str = ""
    venue: str = ""

    @property
    def short(self) -> str:
        """Such as ``Fang et al. 2021``; the key if the bibliography does not have it."""
        if not self.authors:
            return self.key
        first, *others = self.authors
        names = f"{first} et al." if len(others) > 1 else " & ".join(self.authors)
        return f"{names} {self.year}".strip()


def papers(path: Path = BIBLIOGRAPHY) -> Mapping[str, Paper]:
    """All entries of a bibliography.

    Args:
        path: BibTeX file; one that is missing has no entries.

    Returns:
        Papers by key.
    """
    if not path.is_file():
        return {}
    entries = _ENTRY.findall(path.read_text("utf-8"))
    return {key: _paper(key, dict(_FIELD.findall(body))) for key, body in entries}


def _paper(key: str, fields: Mapping[str, str]) -> Paper:
    text = {name.lower(): _plain(value) for name, value in fields.items()}
    authors = tuple(name.split(",")[0].strip() for name in text.get("author", "").split(" and "))
    venue = next((text[f] for f in ("journal", "booktitle", "publisher") if f in text), "")
    return Paper(
        key, text.get("title", ""), tuple(filter(None, authors)), text.get("year", ""), venue
    )


def _plain(text: str) -> str:
    accented = _ACCENT.sub(lambda m: m[2] + _COMBINING[m[1]], text)
    for command, letter in _LETTERS.items():
        accented = re.sub(re.escape(command) + r"(?![A-Za-z])\s?", letter, accented)
    return unicodedata.normalize("NFC", accented.replace("{", "").replace("}", "")).replace(
        "--", "–"
    )
