"""What a claim predicts, on the first problem of the catalogue that it applies to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from figures.report.quantities import signed
from proofs_check.catalogue import CASES
from ufm.claims import Claim


# More numbers than this are a list of one kind, of which the first few show the pattern.
SHOWN = 8
_NUMBERED = re.compile(r"([a-z]{3,})_(\d+)")
# inner_product and bound_2 are words; R_0 and norm2_W are symbols.
_WORDS = re.compile(r"(?<=[a-z]{2})_(?=[a-z\d])")


@dataclass(frozen=True)
class Example:
    """A prediction on one problem.

    Attributes:
        case: Name of the problem in the catalogue.
        cases: Number of problems in the catalogue that the claim applies to.
        problem: The problem, as code.
        note: What is predicted, in words.
        value: Optimal value, or None.
        unique: Whether every global minimiser has the predicted geometry.
        numbers: Further numbers, at most `SHOWN`, with their names, as text.
    """

    case: str
    cases: int
    problem: str
    note: str
    value: float | None
    unique: bool
    numbers: Mapping[str, str]


def example(claim: Claim) -> Example | None:
    """A worked prediction.

    Args:
        claim: The claim.

    Returns:
        The prediction, or None if it makes none or no problem of the catalogue satisfies it.
    """
    cases = [case for case in CASES if claim.applies(case.problem)]
    if claim.rule is None or not cases:
        return None
    prediction = claim.predict(cases[0].problem)
    return Example(
        case=cases[0].name,
        cases=len(cases),
        problem=code(cases[0].problem),
        note=prediction.note,
        value=prediction.value,
        unique=prediction.unique,
        numbers=listed(prediction.numbers),
    )


def listed(numbers: Mapping[str, float]) -> dict[str, str]:
    """Numbers as a reader wants them: names in words, and once what is the same for all of a list.

    Args:
        numbers: By name; ``bound_0``, ``bound_1`` are members of a list.

    Returns:
        Text by name, at most `SHOWN` of them.
    """
    lists: dict[str, dict[str, str]] = {}
    for name, value in numbers.items():
        stem = match[1] if (match := _NUMBERED.fullmatch(name)) else name
        lists.setdefault(stem, {})[name] = signed(f"{value:.10g}")
    found: dict[str, str] = {}
    for stem, members in lists.items():
        same = set(members.values())
        if len(members) > 1 and len(same) == 1:
            found[stem] = f"{same.pop()} for each of {len(members)}"
        else:
            found |= members
    return {_WORDS.sub(" ", name): text for name, text in list(found.items())[:SHOWN]}


def code(value: Any) -> str:
    """A specification as the code that makes it, without what has its default value.

    Args:
        value: A frozen dataclass of plain numbers, or one of its fields.

    Returns:
        Python source.
    """
    if not is_dataclass(value) or isinstance(value, type):
        return repr(value)
    given = [
        f"{f.name}={code(getattr(value, f.name))}"
        for f in fields(value)
        if f.init and getattr(value, f.name) != f.default
    ]
    return f"{type(value).__name__}({', '.join(given)})"
