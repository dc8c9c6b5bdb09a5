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


def test_a_model_without_theorems_is_told_what_to_do(capsys):
    model = ["--K", "3", "--n", "3", "2", "1", "squared-error", "weight-decay", "free-bias"]
    status, _, err = run(capsys, "predict", *model)
    assert status == 0
    assert "No theorem's hypotheses hold" in err
    assert "`ufm solve`" in err


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
    status, out, _ = run(capsys, "claims", "list", "Refuted", "fang2021", "--json")
    assert status == 0
    assert [c["id"] for c in json.loads(out)] == [
        c["id"] for c in claims if c["status"] == "refuted" and "fang2021" in str(c.values())
    ]
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
        (("solve", "--K", "3", "--fixed-etf", "-1"), "fixed_etf must be a finite number > 0"),
        (("solve", "--K", "3", "--n-max", "0"), "n_max must be an integer of at least 1, got 0"),
        (("solve", "--K", "2.5"), "--K must be an integer, got '2.5'"),
        (("solve", "--K", "3", "--n", "1.5", "2"), "--n must be integers, got '1.5', '2'"),
        (("solve", "--K", "3", "average-budget", "--E-W", "x"), "--E-W must be a number, got 'x'"),
        (("solve", "--K", "3", "--out", "/dev/null"), "out must name a file, got '/dev/null'"),
        (("solve", "--K", "3", "--out", "/tmp"), "out must name a file, got '/tmp'"),
        (("solve", "--K", "3", "--out", ""), "out must name a file, got '.'"),
        (("runs", "verify", "--store", "/no/such/folder"), "store must be an existing folder"),
        (("solve", "--K", "3", "no-reg"), "must have a minimiser"),
        (("claims", "show", "fang2021.thm55"), "fang2021"),
        (("certify", "absent.npz"), "absent.npz"),
        (("claims", "list", "collapse", "xyzzy"), "got collapse xyzzy"),
        (("runs",), "ufm runs must be followed by one of list, verify, got nothing"),
        (("completion",), "must be followed by one of bash, zsh, got nothing"),
        (("claims", "show"), "ufm claims show must be followed by what it is about, got nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_and_status_two(capsys, args, words):
    status, out, err = run(capsys, *args)
    assert status == 2
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


def test_messages_of_our_types_are_not_wrapped_in_the_parser_s(capsys):
    _, _, err = run(capsys, "solve", "--K", "3", "average-budget", "--E-W", "-1")
    assert err == "ufm: E_W must be a finite number > 0, got -1.0\n"


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "objects", "flipped"])
def test_a_damaged_npz_is_one_line_that_names_it(capsys, tmp_path: Path, damage):
    file = tmp_path / "point.npz"
    np.savez_compressed(file, W=np.eye(4, 3), H=np.eye(3, 4))
    whole = file.read_bytes()
    match damage:
        case "empty":
            file.write_bytes(b"")
        case "text":
            file.write_text("not an archive")
        case "cut":
            file.write_bytes(whole[: len(whole) // 2])
        case "objects":
            np.savez(file, W=np.array([{}], dtype=object), H=np.eye(3, 4))
        case "flipped":
            file.write_bytes(whole[:60] + bytes(255 - byte for byte in whole[60:90]) + whole[90:])
    status, out, err = run(capsys, "certify", str(file), *MODEL)
    assert (status, out) == (2, "")
    assert "file must be" in err
    assert str(file) in err
    assert err.count("\n") == 1


def test_a_point_s_arrays_give_K_and_d(capsys, tmp_path: Path):
    sol = ufm.solve(ufm.Problem(K=4, d=6, n=(1,) * 4, reg=ufm.AverageBudget(E_W=3, E_H=2)))[0]
    np.savez(tmp_path / "point.npz", W=sol.W, H=sol.H)
    assert run(capsys, "certify", str(tmp_path / "point.npz"), *MODEL[2:])[0] == 0


def test_a_given_point_s_report_names_the_model_and_its_own_advice(capsys, tmp_path: Path):
    """`ufm certify` has no --polish: what is advised must be there."""
    W = ufm.etf(4, 4).numpy().astype("float32")
    np.savez(tmp_path / "point.npz", W=W, H=W.T)
    args = [str(tmp_path / "point.npz"), "average-budget", "--E-H", "1", "free-bias"]
    status, _, err = run(capsys, "certify", *args)
    assert status == 3
    for words in ("K=4, d=4, N=4", "CrossEntropy", "E_H=1.0", "FreeBias", "ufm.polish"):
        assert words in err
    assert "--polish" not in err
    np.save(tmp_path / "point.npy", W)
    status, _, err = run(capsys, "certify", str(tmp_path / "point.npy"))
    assert (status, "numpy.savez" in err, err.count("\n")) == (2, True, 1)


def test_advice_is_given_only_where_something_is_not_certified(capsys):
    ridge = ["squared-error", "weight-decay", "--json"]
    status, out, _ = run(capsys, "solve", "--K", "3", *ridge)
    assert status == 0  # the default d does not cut the optimum's rank
    assert json.loads(out)["instances"][0]["advice"] == ""
    status, out, _ = run(capsys, "solve", "--K", "3", "--d", "2", *ridge)
    assert status == 3
    assert "larger --d" in json.loads(out)["instances"][0]["advice"]


@pytest.mark.parametrize("width", ["40", "80", "200"])
def test_narrow_screens_lose_no_column(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    status, _, err = run(capsys, "predict", "--K", "10", "--K-A", "5", "--R", "12.5")
    assert status == 0
    assert "0.228853775757" in err
    assert "collapsed phase" in err


def _shell(command: str) -> subprocess.CompletedProcess:
    program = f"{sys.executable} -c 'from ufm.cli import main; main()'"
    command = command.replace("ufm ", f"{program} ")
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_one_line():
    done = _shell("ufm claims list --json > /dev/full")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("ufm: ")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_reader_that_leaves_is_no_error():
    done = _shell("ufm claims list --json 2>&1 | true; echo ${PIPESTATUS[0]}")
    assert (done.stdout, done.stderr) == ("141\n", "")
    done = _shell("ufm --help | true; echo ${PIPESTATUS[0]}")
    assert (done.stdout, done.stderr) == ("141\n", "")


def test_an_interrupt_is_one_line_and_status_130(capsys, monkeypatch):
    def interrupted(command):
        raise KeyboardInterrupt

    monkeypatch.setattr("ufm.cli.commands.run", interrupted)
    assert run(capsys, "claims", "list") == (130, "", "ufm: interrupted\n")


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
