"""``python -m proofs_check [ID...]``: run the evidence, record it, write ``CLAIMS.md``.

``python -m proofs_check pages [--check]`` writes the proofs of each paper to ``docs/proofs``.

Exit status 0 only if every check passed and every statement known to fail is refuted; 1 if not;
2 for a usage error. A network that misses its band is recorded and said, and contradicts no
theorem; one that was not trained yet is said with the command that trains it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from proofs_check import _pages, _record, _table
from proofs_check._harness import Check, MissingResult, run
from proofs_check.papers import registered
from ufm.claims import Evidence, EvidenceKind, get, load_evidence, registry, status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        Exit status.
    """
    options = _parser().parse_args(argv)
    console = Console(stderr=True)
    if options.ids == ["pages"]:
        return _write_pages(console, check=options.check)
    try:
        ids = [get(id).id for id in dict.fromkeys(options.ids)] or list(registry())
    except ValueError as error:
        console.print(f"proofs_check: {error}", style="red", highlight=False, soft_wrap=True)
        return 2
    fresh, missing, seconds = _run([c for c in registered() if c.claim in set(ids)], console)
    recorded = load_evidence()
    evidence = _record.merged(recorded, fresh, ids=ids)
    failed = [e for e in fresh if not e.passed]
    missed = [e for e in failed if e.kind is EvidenceKind.NETWORK]
    problems = [f"{e.claim}: {e.check} failed: {e.note}" for e in failed if e not in missed]
    problems += _record.unexpected(evidence, ids)
    if options.check:
        problems += _record.stale((e for e in recorded if e.claim in set(ids)), fresh)
        problems += _stale_table(recorded)
    else:
        _record.write(evidence, recorded, _record.EVIDENCE_PATH)
        _table.write(evidence, _table.TABLE_PATH)
    _show(console, ids, evidence, seconds)
    remarks = [f"{e.claim}: {e.check} missed its band: {e.note}" for e in missed]
    for remark in [*remarks, *missing]:
        console.print(remark, style="yellow", highlight=False, soft_wrap=True)
    for problem in problems:
        console.print(problem, style="red", highlight=False, soft_wrap=True)
    if options.json:
        statuses = {id: status(registry()[id], evidence).value for id in ids}
        result = {"status": statuses, "problems": problems, **_record.as_data(fresh)}
        sys.stdout.write(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return 1 if problems else 0


def _write_pages(console: Console, *, check: bool) -> int:
    try:
        with console.status("proving"):
            found = _pages.pages()
    except _pages.ProofsFailed as error:
        for problem in error.problems:
            console.print(problem, style="red", highlight=False, soft_wrap=True)
        return 1
    stale = _pages.stale(found)
    if not check:
        _pages.write(found)
        return 0
    for name in stale:
        problem = f"docs/proofs/{name} differs from what the proofs give"
        console.print(problem, style="red", highlight=False, soft_wrap=True)
    return 1 if stale else 0


def _stale_table(recorded: Sequence[Evidence]) -> list[str]:
    path = _table.TABLE_PATH
    if path.exists() and path.read_text("utf-8") == _table.claims_table(recorded):
        return []
    return [f"{path.name} differs from what the records give"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m proofs_check", description=__doc__)
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="claims to check, all by default; or pages"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if the recorded files are stale"
    )
    parser.add_argument("--json", action="store_true", help="the records on stdout")
    return parser


def _run(selected: Sequence[Check], console: Console) -> tuple[list[Evidence], list[str], float]:
    begin = time.perf_counter()
    records, missing = [], []
    with console.status("checking") as spinner:
        for check in selected:
            spinner.update(f"{check.claim}: {check.name}")
            try:
                records.append(run(check))
            except MissingResult as error:
                missing.append(f"{check.claim}: {check.name} not yet run: {error}")
    return _record.ordered(records), missing, time.perf_counter() - begin


def _show(
    console: Console, ids: Sequence[str], evidence: Sequence[Evidence], seconds: float
) -> None:
    table = Table(
        "claim", "kind", "status", "checks", title=f"{len(ids)} claims in {seconds:.0f} s"
    )
    for id in ids:
        own = [e for e in evidence if e.claim == id]
        found = status(registry()[id], evidence).value
        passed = sum(e.passed for e in own)
        table.add_row(id, registry()[id].kind.value, found, f"{passed}/{len(own)}")
    console.print(table)


def _with_fixed_hashes() -> int | None:
    # Sympy's choice between (a - b)/(c - d) and (b - a)/(d - c) follows the hash seed.
    if "pages" not in sys.argv[1:] or os.environ.get("PYTHONHASHSEED") == "0":
        return None
    command = [sys.executable, "-m", "proofs_check", *sys.argv[1:]]
    return subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False
    ).returncode


if __name__ == "__main__":
    again = _with_fixed_hashes()
    sys.exit(main() if again is None else again)
