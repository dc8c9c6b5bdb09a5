"""What a claim predicts, on the first problem of the catalogue that it applies to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from proofs_check.catalogue import CASES
from ufm.claims import Claim


# More numbers than this are a list of one kind, of which the first few show the pattern.
SHOWN = 8


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
        numbers: Further numbers, at most `SHOWN`.
    """

    case: str
    cases: int
    problem: str
    note: str
    value: float | None
    unique: bool
    numbers: Mapping[str, float]


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
        numbers=dict(list(prediction.numbers.items())[:SHOWN]),
    )


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
