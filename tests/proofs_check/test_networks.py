"""Evidence from stored networks: the record is what the files say, a miss is a miss."""

from __future__ import annotations

import pytest
from network_results import write_results

from deep import results
from proofs_check import __main__ as cli
from proofs_check import _record, _table
from proofs_check._harness import MissingResult, run
from proofs_check.papers import registered
from ufm.claims import ClaimStatus, EvidenceKind, load_evidence, status
from ufm.theory.yang2022 import DR_MINIMISER


CHECKS = [c for c in registered() if c.kind is EvidenceKind.NETWORK]
BY_NAME = {c.name.partition(".")[2]: c for c in CHECKS}
DR = ("digits-etf-dr", "digits-etf-dr-paper", "digits-etf-dr-global", "digits-lt-etf-dr",
      "digits-lt-etf-dr-paper", "digits-lt-etf-dr-global")  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.name)
def test_the_record_is_what_the_tracked_files_say(check):
    recorded = [e for e in load_evidence() if (e.claim, e.check) == (check.claim, check.name)]
    try:
        fresh = run(check)
    except MissingResult as error:
        assert not recorded, "a record must not outlive its result files"
        pytest.skip(str(error))
    assert len(recorded) == 1, "python -m proofs_check records it"
    assert _record.agree(recorded[0], fresh)


def test_every_check_states_its_band_and_where():
    assert len(CHECKS) >= 12
    for check in CHECKS:
        assert "band stated" in check.domain
        assert "every seed" in check.domain
        assert "digits" in check.domain or "Fashion-MNIST" in check.domain


def test_frames_that_are_reached_pass_and_those_that_are_not_miss(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", write_results(tmp_path / "near", DR, degrees=1.0))
    near = run(BY_NAME["dr_minimiser_angles"])
    assert near.passed
    assert near.numbers["degrees, digits-etf-dr"] == pytest.approx(1.1, rel=1e-5)
    assert near.numbers["degrees, worst seed"] == pytest.approx(1.2, rel=1e-5)
    # One recipe of six far away is enough.
    far = write_results(tmp_path / "far", DR[1:])
    monkeypatch.setattr(results, "ROOT", write_results(far, DR[:1], degrees=8.0))
    record = run(BY_NAME["dr_minimiser_angles"])
    assert not record.passed
    assert record.numbers["degrees, worst seed"] == pytest.approx(9.6, rel=1e-5)
    assert "must be at most 5" in record.note


def test_variability_off_its_limit_misses(tmp_path, monkeypatch):
    names = ("digits-al", "digits-lt-al", "digits-cal", "digits-lt-cal")
    monkeypatch.setattr(results, "ROOT", write_results(tmp_path / "near", names))
    assert run(BY_NAME["sigma_near_its_limit"]).passed
    monkeypatch.setattr(results, "ROOT", write_results(tmp_path / "far", names, degrees=15.0))
    assert not run(BY_NAME["sigma_near_its_limit"]).passed


def test_classes_lost_by_the_network_alone_miss(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", write_results(tmp_path, ["digits-lt-ce"]))
    record = run(BY_NAME["lost_classes"])
    assert record.passed
    assert record.numbers["cosine of the two rarest class means"] == 0
    assert record.numbers["the same in the model"] < -0.1


def test_a_collapse_that_does_not_fall_misses(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", write_results(tmp_path, ["digits-ce"]))
    assert run(BY_NAME["ce_nc1"]).passed
    assert run(BY_NAME["ce_nc4"]).passed
    high = write_results(tmp_path / "high", ["digits-ce"], degrees=30.0)
    monkeypatch.setattr(results, "ROOT", high)
    assert not run(BY_NAME["ce_nc2"]).passed


def test_convolutional_networks_are_held_to_the_same_bands(tmp_path, monkeypatch):
    names = ["fashion-lt-etf-dr", "fashion-lt-cal"]
    checks = ("fashion_etf_angles", "fashion_etf_falls", "fashion_center_angles",
              "fashion_nc_falls", "fashion_sigma")  # fmt: skip
    monkeypatch.setattr(results, "ROOT", write_results(tmp_path / "near", names))
    assert [run(BY_NAME[name]).passed for name in checks] == [True] * 5
    monkeypatch.setattr(results, "ROOT", write_results(tmp_path / "far", names, degrees=15.0))
    assert [run(BY_NAME[name]).passed for name in checks] == [False, True, False, True, False]


def test_rows_that_do_not_approach_miss(tmp_path, monkeypatch):
    names = ["digits-ce", "digits-lt-ce", "fashion-lt-ce"]
    monkeypatch.setattr(results, "ROOT", write_results(tmp_path, names))
    record = run(BY_NAME["rare_rows_approach"])
    assert not record.passed
    assert record.numbers["rise of the mean cosine"] == 0
    assert record.numbers["rise in the model"] > 1e-3


def test_missing_and_damaged_results_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", write_results(tmp_path, ["digits-ce"], seeds=2))
    with pytest.raises(MissingResult, match=r"2 of 3 seeds of digits-ce .* table digits`"):
        run(BY_NAME["ce_nc1"])
    write_results(tmp_path, ["digits-ce"])
    path = results.path_of("digits-ce", 1)
    path = tmp_path / path.parent.name / path.name
    path.write_text(path.read_text().replace("0.9", "0.8", 1))
    with pytest.raises(MissingResult, match=r"seed1.json was changed"):
        run(BY_NAME["ce_nc1"])


def test_what_is_not_yet_run_is_said_and_fails_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_record, "EVIDENCE_PATH", tmp_path / "evidence.json")
    monkeypatch.setattr(_table, "TABLE_PATH", tmp_path / "CLAIMS.md")
    monkeypatch.setattr(results, "ROOT", tmp_path / "none")
    assert cli.main([DR_MINIMISER.id]) == 0
    err = capsys.readouterr().err
    assert "networks.dr_minimiser_angles not yet run: 0 of 3 seeds of digits-etf-dr" in err
    assert "`python -m deep table digits`" in err


def test_a_miss_is_said_recorded_and_shown_and_contradicts_no_theorem(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(_record, "EVIDENCE_PATH", tmp_path / "evidence.json")
    monkeypatch.setattr(_table, "TABLE_PATH", tmp_path / "CLAIMS.md")
    monkeypatch.setattr(results, "ROOT", write_results(tmp_path / "far", DR, degrees=8.0))
    assert cli.main([DR_MINIMISER.id]) == 0
    assert "missed its band" in capsys.readouterr().err
    text = (tmp_path / "CLAIMS.md").read_text()
    assert "**missed its band**: ProofFailure: degrees, worst seed must be at most 5" in text
    miss = run(BY_NAME["dr_minimiser_angles"])
    others = [e for e in load_evidence() if e.check != miss.check]
    assert status(DR_MINIMISER, [*others, miss]) is ClaimStatus.SYMBOLIC
