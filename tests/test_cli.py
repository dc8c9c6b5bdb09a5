"""The command line: exit status, JSON on stdout, one-line errors, no torch for --help."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tolerances import CERTIFIED

import ufm
from ufm.cli import main


MODEL = ["--K", "4", "average-budget", "--E-W", "3", "--E-H", "2"]


def run(capsys: pytest.CaptureFixture, *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_info:
        main(list(args))
    captured = capsys.readouterr()
    return int(exit_info.value.code or 0), captured.out, captured.err


def test_solve_certifies_and_exits_zero(capsys):
    status, out, _ = run(capsys, "solve", *MODEL, "--json")
    (row,) = json.loads(out)["instances"]
    assert status == 0
    assert row["certified"]
    assert row["value"] == pytest.approx(0.1083859879, abs=1e-10)
    assert row["problem"]["reg"] == {"type": "AverageBudget", "E_W": 3.0, "E_H": 2.0}


def test_uncertified_point_exits_three(capsys, tmp_path: Path):
    generator = np.random.default_rng(0)
    point = {"W": generator.standard_normal((4, 3)), "H": generator.standard_normal((3, 4))}
    np.savez(tmp_path / "point.npz", **point)
    status, out, _ = run(capsys, "certify", str(tmp_path / "point.npz"), *MODEL, "--json")
    assert status == 3
    assert not json.loads(out)["instances"][0]["certified"]


def test_solution_file_round_trip(capsys, tmp_path: Path):
    file = str(tmp_path / "solution.safetensors")
    assert run(capsys, "solve", *MODEL, "--out", file)[0] == 0
    status, out, _ = run(capsys, "certify", file, "--json")
    assert status == 0
    assert json.loads(out)["instances"][0]["gap"] < CERTIFIED
    status, out, _ = run(capsys, "nc", file, "--json")
    assert status == 0
    assert json.loads(out)["metrics"][0]["nc2_etf_err"] < 1e-5  # square root of the gap


def test_nc_of_saved_features(capsys, tmp_path: Path):
    generator = np.random.default_rng(1)
    y = np.repeat(np.arange(3), 5)
    M = ufm.etf(3, 4).numpy()
    H = M[y].T + 0.1 * generator.standard_normal((4, 15))
    np.savez(tmp_path / "features.npz", W=M, H=H, y=y)
    status, out, _ = run(capsys, "nc", str(tmp_path / "features.npz"), "--json")
    assert status == 0
    assert 0 < json.loads(out)["metrics"][0]["nc1_quot"] < 0.1


def test_predict_lists_the_theorems_that_hold(capsys):
    status, out, _ = run(capsys, "predict", *MODEL, "--json")
    predictions = json.loads(out)["predictions"]
    assert status == 0
    values = [p["value"] for p in predictions if p["value"] is not None]
    assert values
    assert all(value == pytest.approx(0.1083859879, abs=1e-10) for value in values)


def test_claims(capsys):
    status, out, _ = run(capsys, "claims", "list", "--json")
    claims = json.loads(out)
    assert status == 0
    assert len(claims) > 10
    status, out, _ = run(capsys, "claims", "show", claims[0]["id"], "--json")
    assert status == 0
    assert json.loads(out)["statement"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("solve",), "K must be given"),
        (("solve", "--K", "1"), "K must be an integer of at least 2, got 1"),
        (("solve", "--K", "3", "--n", "5", "5"), "n must have K=3 entries, got 2"),
        (("solve", "--K", "3", "--n", "5", "0", "5"), "n[1] must be an integer of at least 1"),
        (("solve", "--K", "3", "--d", "1", "--fixed-etf", "1"), "d must be at least K-1=2"),
        (("solve", "--K", "3", "average-budget", "--E-W", "-1"), "E_W must be a finite number > 0"),
        (("solve", "--K", "3", "average-budget", "--E-W", "nan"), "E_W must be a finite number"),
        (("solve", "--K", "3", "--device", "cuda:99"), "device must be"),
        (("solve", "--K", "3", "--out", "/no/such/folder/x"), "out must be in an existing folder"),
        (("solve", "--K", "3", "--seeds", "0"), "seeds must be"),
        (("solve", "--K", "3", "no-reg"), "must have a minimiser"),
        (("claims", "show", "fang2021.thm55"), "fang2021"),
        (("certify", "absent.npz"), "absent.npz"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_and_status_two(capsys, args, words):
    status, out, err = run(capsys, *args)
    assert status == 2
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("args", [("solve", "--K", "three"), ("sovle",), ("solve", "--rate", "1")])
def test_unparsable_arguments_are_one_line_and_status_two(capsys, args):
    status, out, err = run(capsys, *args)
    assert (status, out) == (2, "")
    assert err.startswith("ufm: ")
    assert err.count("\n") == 1


def test_non_finite_features_are_refused(capsys, tmp_path: Path):
    np.savez(tmp_path / "nan.npz", W=np.full((4, 3), np.nan), H=np.zeros((3, 4)))
    status, _, err = run(capsys, "certify", str(tmp_path / "nan.npz"), *MODEL)
    assert status == 2
    assert "W must be finite, got NaN or infinity" in err


def test_help_and_import_do_not_load_torch():
    code = (
        "import sys, ufm, ufm.cli; ufm.Problem; ufm.LBFGS\n"
        "try: ufm.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'scipy', 'cvxpy', 'polars'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
