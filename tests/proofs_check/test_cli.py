"""``python -m proofs_check``: exit statuses, what it writes, what it says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import sympy as sp

from proofs_check import __main__ as cli
from proofs_check import _pages, _record, _table
from proofs_check._harness import Check
from ufm.claims import Evidence, EvidenceKind, load_evidence


x = sp.Symbol("x", positive=True)
K = sp.Symbol("K", positive=True, integer=True)


@pytest.fixture(autouse=True)
def paths(tmp_path, monkeypatch):
    monkeypatch.setattr(_record, "EVIDENCE_PATH", tmp_path / "evidence.json")
    monkeypatch.setattr(_table, "TABLE_PATH", tmp_path / "CLAIMS.md")
    return tmp_path


def test_unknown_id_is_a_one_line_error(capsys, paths):
    assert cli.main(["fang2021.nope"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "claim must be a registered id, got 'fang2021.nope'" in err
    assert not list(paths.iterdir())


def test_a_confirming_run_writes_the_table_only(paths, capsys):
    assert cli.main(["zhu2021.tangent", "--json"]) == 0
    assert [p.name for p in paths.iterdir()] == ["CLAIMS.md"]
    result = json.loads(capsys.readouterr().out)
    assert result["status"] == {"zhu2021.tangent": "symbolic"}
    assert result["problems"] == []


def test_check_writes_nothing_and_finds_a_stale_table(paths, capsys):
    assert cli.main(["zhu2021.tangent", "--check"]) == 1
    assert not list(paths.iterdir())
    assert "CLAIMS.md differs from what the records give" in capsys.readouterr().err
    (paths / "CLAIMS.md").write_text(_table.claims_table(load_evidence()), encoding="utf-8")
    assert cli.main(["zhu2021.tangent", "--check"]) == 0


def test_a_failing_check_fails_the_run_and_is_named(monkeypatch, capsys):
    def broken(check):
        return Evidence(
            check.claim, check.name, check.kind, check.domain, False, check.steps, {}, "why"
        )

    monkeypatch.setattr(cli, "run", broken)
    assert cli.main(["zhu2021.tangent", "zhu2021.two-factor"]) == 1
    err = capsys.readouterr().err
    assert "zhu2021.tangent: zhu2021.tangent_inequality failed: why" in err
    assert "zhu2021.two-factor must be supported, got unsupported" in err


def endless(proof):
    """Never ends."""
    proof.term("t", x)
    while True:
        pass


def outside(proof):
    """Compares with the code at one class."""
    proof.tie(proof.term("t", K), [K], float, [(1,)], "the code")


def wrong(proof):
    """Not an identity."""
    proof.equal(proof.term("t", x), x + 1, "wrong")


def _bad_checks():
    ids = ("papyan2020.etf-gram", "zhu2021.tangent", "zhu2021.two-factor")
    return [
        Check(id, f"bad.{f.__name__}", EvidenceKind.SYMBOLIC, "all", (), f, 0.05)
        for id, f in zip(ids, (endless, outside, wrong), strict=True)
    ]


FAILURES = (
    "papyan2020.etf-gram: bad.endless failed: TimeLimitExceeded: took more than its limit of "
    "0.05 s of processor time",
    "zhu2021.tangent: bad.outside failed: ValueError: the code: tie point must lie in the domain, "
    "got K=1",
    "zhu2021.two-factor: bad.wrong failed: ProofFailure: wrong: x is not identically x + 1",
)


def test_all_failures_are_reported_with_their_claims(paths, monkeypatch, capsys):
    monkeypatch.setattr(cli, "registered", _bad_checks)
    assert cli.main(["papyan2020.etf-gram", "zhu2021.tangent", "zhu2021.two-factor"]) == 1
    err = capsys.readouterr().err
    assert all(line in err for line in FAILURES)
    assert all(line in (paths / "CLAIMS.md").read_text("utf-8") for line in ("K=1", "0.05 s"))


def test_pages_of_failing_proofs_are_not_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_pages, "registered", _bad_checks)
    monkeypatch.setattr(_pages, "FOLDER", tmp_path / "proofs")
    assert cli.main(["pages"]) == 1
    err = capsys.readouterr().err
    assert all(line in err for line in FAILURES)
    assert not (tmp_path / "proofs").exists()


def test_the_process_exits_with_the_status(tmp_path):
    command = [sys.executable, "-m", "proofs_check", "fang2021.nope"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "got 'fang2021.nope'" in done.stderr
