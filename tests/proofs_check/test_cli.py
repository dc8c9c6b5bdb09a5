"""``python -m proofs_check``: exit statuses, what it writes, what it says."""

from __future__ import annotations

import json

import pytest

from proofs_check import __main__ as cli
from proofs_check import _record, _table
from ufm.claims import Evidence, load_evidence


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
