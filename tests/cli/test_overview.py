"""`ufm` alone, `ufm doctor`, and completion: what a newcomer meets first."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import ufm
from ufm.cli import installed, main
from ufm.cli.overview import TOPICS, overview


COMMANDS = [
    line.partition(" #")[0]
    for topic in TOPICS
    for line in topic.commands
    if line.startswith("ufm ") and "COMMAND" not in line
]


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as exit_info:
        main(list(args))
    return int(exit_info.value.code or 0)


def test_without_arguments_it_says_what_there_is_to_do(capsys):
    assert run() == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out == overview(ufm.__version__)
    assert max(map(len, out.splitlines())) <= 100


def test_the_overview_needs_no_torch():
    code = "import sys; from ufm.cli import main\ntry: main([])\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_overview_works_as_it_stands(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    W, y = ufm.etf(4, 4).numpy(), np.repeat(np.arange(4), 3)
    np.savez("point.npz", W=W, H=W.T)
    np.savez("features.npz", W=W, H=W[y].T, y=y)
    (tmp_path / "runs").mkdir()  # as a first map leaves it
    monkeypatch.delenv("UFM_RUNS", raising=False)
    # The file's point is feasible, not optimal: solved but not certified.
    assert run(*shlex.split(command)[1:]) == (3 if "point.npz" in command else 0)


def test_doctor_names_what_is_missing_and_what_installs_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("UFM_RUNS", str(tmp_path / "none"))
    known = installed.importlib.util.find_spec
    monkeypatch.setattr(
        installed.importlib.util, "find_spec", lambda name: None if name == "flint" else known(name)
    )
    monkeypatch.setattr(installed.shutil, "which", lambda name: None)
    assert run("doctor", "--json") == 0
    out, err = capsys.readouterr()
    data = json.loads(out)
    rows = {row["feature"]: row for row in data["features"]}
    assert rows["proved brackets: --rigorous"]["missing"] == ["flint"]
    assert "pip install '.[rigorous]'" in rows["proved brackets: --rigorous"]["install"]
    assert "chromium" in rows["tests of the report in a browser"]["missing"]
    assert "none yet" in data["store"]
    assert "needs flint" in err
    assert "'.[rigorous]'" in err  # brackets survive the table
    assert all(bool(row["missing"]) == bool(row["install"]) for row in rows.values())


def test_every_extra_that_a_user_may_lack_is_a_feature():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    declared = project["project"]["optional-dependencies"]
    assert {feature.extra for feature in installed.FEATURES} == set(declared)


@pytest.mark.parametrize(("words", "found"), [
    ("ufm so", {"solve"}),
    ("ufm claims s", {"show"}),
    ("ufm doctor --js", {"--json"}),
])  # fmt: skip
def test_bash_completes_commands_and_flags(words, found, tmp_path):
    if not shutil.which("bash"):
        pytest.skip("needs bash; not installed")
    script = tmp_path / "completion.bash"
    done = subprocess.run(
        [sys.executable, "-c", "from ufm.cli import main; main(['completion', 'bash'])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    script.write_text(done.stdout)
    line = shlex.split(words)
    program = (
        f"source {script}; COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; COMP_LINE='{words}';"
        f"COMP_POINT={len(words)}; f=$(complete -p ufm | sed 's/.*-F \\([^ ]*\\).*/\\1/');"
        f' $f ufm {line[-1]} {line[-2]}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert found <= {word.strip() for word in done.stdout.split()}


def test_zsh_has_a_script_too(capsys):
    assert run("completion", "zsh") == 0
    assert capsys.readouterr().out.startswith("#compdef ufm")


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("solv --K 4", "did you mean solve?; see ufm --help"),
        ("solve --K 4 average-budgt", "did you mean average-budget?; see ufm solve --help"),
        ("solve --K 4 average-budget --EH 5", "did you mean --E-H?; see ufm solve --help"),
        ("claims shw x", "did you mean show?; see ufm claims --help"),
        ("claims zzzz", "there are graph, list, show; see ufm claims --help"),
        ("doctor --jsn", "did you mean --json?; see ufm doctor --help"),
        ("runs lst", "action must be one of list, verify, got 'lst'; see ufm runs --help"),
        ("map", "must be followed by one of phase, survival, angles"),
        ("certify", "see ufm certify --help"),
        ("claims show fang2021.r00", "close: fang2021.r0"),
        ("runs list --store /no/such/folder", "`make figures` and `ufm map` fill one"),
    ],
)
def test_what_is_wrong_is_a_line_that_says_what_to_do(command, advice, capsys):
    assert run(*shlex.split(command)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert advice in err
