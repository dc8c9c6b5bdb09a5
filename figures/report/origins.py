"""Where a record came from: the commit that recorded it, the check that made it, its source."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


ROOT = Path(__file__).parents[2]
TRACKED = ("proofs_check", "ufm/theory", "ufm/evidence.json", "benchmarks/results", "deep/results")
EVIDENCE = "ufm/evidence.json"
_RECORD = "  {"
_UNCOMMITTED = "0" * 40


@dataclass(frozen=True)
class Check:
    """The code of a check.

    Attributes:
        path: File, from the root of the checkout.
        line: Line of the function; 0 if the check is generated and only its module is known.
        about: First paragraph of its documentation.
    """

    path: str
    line: int
    about: str


@functools.cache
def commits() -> Mapping[str, str]:
    """The last commit of each tracked file that pages refer to.

    Returns:
        Short hash by path; empty where there is no git or no checkout.
    """
    log = _git("log", "--format=%x00%h", "--name-only", "--", *TRACKED)
    latest: dict[str, str] = {}
    for block in log.split("\0")[1:]:
        head, *paths = block.split()
        for path in paths:
            latest.setdefault(path, head)
    return latest


@functools.cache
def recorded() -> tuple[str, ...]:
    """The commit that recorded each piece of evidence: the newest that touched its lines.

    Returns:
        Short hashes in the order of the file, empty for what is not committed yet; nothing where
        there is no git.
    """
    times: dict[str, int] = {}
    found: list[str] = []
    head = ""
    for line in _git("blame", "--porcelain", "--", EVIDENCE).splitlines():
        if line.startswith("\t"):
            if line[1:] == _RECORD:
                found.append(head)
            elif found and times[head] > times[found[-1]]:
                found[-1] = head
        elif line.startswith("committer-time "):
            times[head] = int(line.split()[1])
        elif len(word := line.split(" ")[0]) == 40:
            head = word
    return tuple("" if head == _UNCOMMITTED else head[:7] for head in found)


def check(name: str) -> Check:
    """The code behind the name of a check.

    Args:
        name: ``<module>.<function>``; what follows the module may also be a claim's id, for the
            checks that one function makes for all claims.

    Returns:
        Its place and what it says it does; empty if the module is not in this checkout.
    """
    module, _, function = name.partition(".")
    path = f"proofs_check/{module}.py"
    functions, about = _functions(path)
    if function in functions:
        return Check(path, *functions[function])
    generic = "check_reference_values" if function.startswith("reference.") else "check_prediction"
    return Check(path, *functions.get(generic, (0, about)))


@functools.cache
def _functions(path: str) -> tuple[dict[str, tuple[int, str]], str]:
    file = ROOT / path
    if not file.is_file():
        return {}, ""
    tree = ast.parse(file.read_text("utf-8"))
    functions = {
        node.name: (node.lineno, _first_paragraph(node))
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }
    return functions, _first_paragraph(tree)


def _first_paragraph(node: ast.Module | ast.FunctionDef) -> str:
    documentation = ast.get_docstring(node) or ""
    return " ".join(documentation.split("\n\n")[0].split())


def _git(*arguments: str) -> str:
    if not (ROOT / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
