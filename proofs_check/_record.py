"""The recorded evidence: what is kept of a run, and when a record is stale.

Errors are kept as the power of ten above them and never below 1e-15, quantities with six digits,
and neither times nor dates. A run that confirms a record leaves it as it is: what is measured
differs from machine to machine in its rounding only.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ufm.claims import EVIDENCE_FILE, Evidence, as_expected, registry, status


EVIDENCE_PATH = Path(__file__).parents[1] / "ufm" / EVIDENCE_FILE
LIBRARIES = ("torch", "sympy", "numpy", "mpmath")
# Numbers up to SMALL are errors, which must only pass; below ROUNDING they are rounding.
SMALL, ROUNDING = 1e-4, 1e-15
# Relative agreement of a quantity with its record.
AGREEMENT = 1e-3


def rounded(value: float) -> float:
    """A number as it is recorded.

    Args:
        value: Measured number.

    Returns:
        An error as the next power of ten, at least 1e-15; a quantity to six digits.
    """
    if value == 0 or not math.isfinite(value):
        return value
    if abs(value) <= SMALL:
        return max(float(f"1e{math.ceil(math.log10(abs(value)))}"), ROUNDING)
    return float(f"{value:.6g}")


def as_data(evidence: Iterable[Evidence]) -> dict[str, Any]:
    """Evidence as JSON-able data.

    Args:
        evidence: Records.

    Returns:
        What `ufm.claims.parse_evidence` reads.
    """
    rows = []
    for e in evidence:
        numbers = {name: rounded(value) for name, value in e.numbers.items()}
        optional = {"steps": list(e.steps), "numbers": numbers, "note": e.note}
        rows.append(
            {
                "claim": e.claim,
                "check": e.check,
                "kind": e.kind.value,
                "domain": e.domain,
                "passed": e.passed,
                **{name: value for name, value in optional.items() if value},
            }
        )
    versions = {"python": platform.python_version()} | {lib: version(lib) for lib in LIBRARIES}
    return {"versions": versions, "evidence": rows}


def write(evidence: Sequence[Evidence], recorded: Sequence[Evidence], path: Path) -> None:
    """Write the records if they differ from those on disk, first under a temporary name.

    Args:
        evidence: All records, in order.
        recorded: The records on disk.
        path: The file.
    """
    if list(evidence) == list(recorded):
        return
    text = json.dumps(as_data(evidence), indent=1, ensure_ascii=False) + "\n"
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def ordered(evidence: Iterable[Evidence]) -> list[Evidence]:
    """Evidence in the order of the registry, then by check.

    Args:
        evidence: Records.

    Returns:
        Sorted records of registered claims.
    """
    position = {id: i for i, id in enumerate(registry())}
    known = [e for e in evidence if e.claim in position]
    return sorted(known, key=lambda e: (position[e.claim], e.check))


def agree(one: Evidence, other: Evidence) -> bool:
    """Whether two records of a check say the same.

    Args:
        one: A record.
        other: Another of the same check.

    Returns:
        True if outcome, kind, domain and steps are equal and quantities agree to 0.1 %.
    """
    if (one.kind, one.domain, one.passed, one.steps) != (
        other.kind,
        other.domain,
        other.passed,
        other.steps,
    ):
        return False
    if one.numbers.keys() != other.numbers.keys():
        return False
    pairs = ((one.numbers[name], other.numbers[name]) for name in one.numbers)
    return all(
        max(abs(x), abs(y)) <= SMALL or math.isclose(x, y, rel_tol=AGREEMENT) for x, y in pairs
    )


def merged(
    recorded: Iterable[Evidence], fresh: Sequence[Evidence], *, ids: Iterable[str]
) -> list[Evidence]:
    """Replace the records of the claims that were checked anew, keeping those confirmed.

    Args:
        recorded: Earlier records.
        fresh: Records of this run.
        ids: Claims that this run checked, also those that have no check any more: their old
            records must not outlive their checks.

    Returns:
        Records in order.
    """
    recorded = list(recorded)
    done = set(ids)
    old = {(e.claim, e.check): e for e in recorded}
    confirmed = [
        before if (before := old.get((e.claim, e.check))) and agree(before, e) else e for e in fresh
    ]
    return ordered([*(e for e in recorded if e.claim not in done), *confirmed])


def stale(recorded: Iterable[Evidence], fresh: Iterable[Evidence]) -> list[str]:
    """What of the records a fresh run of the same claims contradicts.

    Args:
        recorded: Records on disk.
        fresh: Records of this run.

    Returns:
        One line each, empty if the records are up to date.
    """
    old = {(e.claim, e.check): e for e in recorded}
    new = {(e.claim, e.check): e for e in fresh}
    lines = [f"{c}: {name} is not recorded" for c, name in new.keys() - old.keys()]
    lines += [f"{c}: {name} no longer exists" for c, name in old.keys() - new.keys()]
    lines += [
        f"{claim}: the record of {name} differs from this run"
        for claim, name in new.keys() & old.keys()
        if not agree(old[claim, name], new[claim, name])
    ]
    return sorted(lines)


def unexpected(evidence: Sequence[Evidence], ids: Iterable[str]) -> list[str]:
    """Claims whose status is not what the build demands.

    Args:
        evidence: All records.
        ids: Claims to look at.

    Returns:
        One line each.
    """
    claims = [registry()[id] for id in ids]
    return [
        f"{claim.id} must be {'refuted' if claim.fails else 'supported'}, "
        f"got {status(claim, evidence).value}"
        for claim in claims
        if not as_expected(claim, evidence)
    ]
