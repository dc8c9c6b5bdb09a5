"""Every shell command that the documentation names: it parses, and what is quick is executed."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

import ufm
from benchmarks.__main__ import BENCHMARKS
from deep.__main__ import COMMANDS
from deep.__main__ import main as deep
from figures.__main__ import Command as FiguresCommand
from figures._registry import chosen
from proofs_check import __main__ as proofs_check
from ufm import claims, cli
from ufm.cli.shell import parse


ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
PAGES += sorted({*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "howto").glob("*.md")})
PROGRAMS = ("ufm ", "python -m ", "make ", 'eval "$(ufm ')
PLACES = {
    "ID": "phase-diagram", "RECIPE": "digits-ce", "NAME": "digits", "INDEX": "https://x", "N": "20",
}  # fmt: skip
NEW = "papyan2020.etf-distance"  # the claim that a page adds; tests/test_docs.py proves it
# What solves for more than a second, or would compute for minutes.
SLOW = ("cifar100", "ufm map", "ufm runs")


def commands(page: Path) -> list[str]:
    text = re.sub(r"```[\w{][^\n]*\n.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    blocks = re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = [re.split(r"\s{2,}#", entry)[0].strip() for entry in [*lines, *spans]]
    return [entry for entry in dict.fromkeys(found) if entry.startswith(PROGRAMS)]


NAMED = list(dict.fromkeys(command for page in PAGES for command in commands(page)))


def filled(command: str) -> list[str]:
    words = shlex.split(command)
    if words[:3] == ["ufm", "claims", "show"]:
        return [PLACES.get(word, word) if word != "ID" else "fang2021.r0" for word in words]
    return [PLACES.get(word, word) for word in words]


def test_pages_name_commands():
    assert len(NAMED) > 30
    assert {command.split()[0] for command in NAMED} >= {"ufm", "python", "make"}


@pytest.mark.parametrize(
    "command", [c for c in NAMED if c.startswith("ufm ") and not c.endswith(NEW)]
)
def test_commands_of_ufm(command, tmp_path, monkeypatch, capsys):
    words = filled(command)[1:]
    if words == ["solve"] or words == ["predict"]:  # names the command, in a sentence
        words.append("--help")
    monkeypatch.chdir(tmp_path)
    K, d = (5, 5) if "tree" in command else (4, 4)
    W, y = ufm.etf(K, d).numpy(), np.repeat(np.arange(K), 3)
    K_of_point = re.search(r"point.*--K (\d+)", command)
    P = ufm.etf(int(K_of_point[1]), int(K_of_point[1])).numpy() if K_of_point else W
    np.savez("point.npz", W=P, H=P.T)
    np.savez("features.npz", W=W, H=W[y].T, y=y)
    (tmp_path / "tree.json").write_text('{"tree": [[0, 1], [2, [3, 4]]]}')
    if any(word in command for word in SLOW):
        assert cli._parsed(words)
        return
    with pytest.raises(SystemExit) as done:
        cli.main(words)
    assert done.value.code in (0, 3), capsys.readouterr().err


@pytest.mark.parametrize("command", [c for c in NAMED if c.startswith("python -m ")])
def test_commands_of_modules(command, monkeypatch, capsys):
    _, _, module, *words = filled(command)
    if "|" in module:
        return
    match module:
        case "figures":
            parsed = parse(FiguresCommand, words, prog="python -m figures")
            assert chosen(getattr(parsed, "ids", ()))
        case "deep":
            monkeypatch.setattr(importlib.import_module(COMMANDS[words[0]][0]), "run", lambda _: 0)
            if len(words) > 1:
                assert deep(words) == 0
            else:  # the name of a command, in a sentence
                with pytest.raises(SystemExit, match=r"^0$"):
                    deep([*words, "--help"])
        case "proofs_check":
            ids = proofs_check._parser().parse_args(words).ids
            assert all(claims.get(id) for id in ids if id != "pages")
        case "benchmarks":
            assert set(words) <= set(BENCHMARKS)
        case _:
            assert importlib.util.find_spec(module), command


@pytest.mark.parametrize("command", [c for c in NAMED if c.startswith("make ")])
def test_targets_of_make(command):
    words = filled(command)
    done = subprocess.run([*words, "-n"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_flag_that_does_not_exist_would_be_noticed():
    with pytest.raises(SystemExit) as done:
        cli._parsed(["solve", "--no-such-flag", "1"])
    assert done.value.code == 2
