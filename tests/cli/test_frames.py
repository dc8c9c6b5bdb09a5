"""Hierarchies and centers on the command line: models, metrics, counts, one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from test_cli import run
from tolerances import CERTIFIED

import ufm
from ufm.cli.model import read_tree
from ufm.geometry import Exponential, frame, multicenter_frame
from ufm.hierarchy import load


PATHS = "animal/mammal/cat\nanimal/mammal/dog\nanimal/owl\ncar\n"


@pytest.fixture
def tree(tmp_path: Path) -> str:
    file = tmp_path / "tree.txt"
    file.write_text(PATHS)
    return str(file)


def solved(capsys, *args: str) -> tuple[int, dict]:
    status, out, err = run(capsys, *args, "--json")
    assert status in (0, 3), err
    (row,) = json.loads(out)["instances"]
    return status, row


class TestSolve:
    def test_soft_targets_reach_the_frame(self, capsys, tree):
        """Features may be beta long, and so the loss is zero."""
        status, row = solved(
            capsys, "solve", "--frame", "haframe", "--tree", tree, "--gamma", "2",
            "soft-targets", "--beta", "2", "vector-budget", "--E-H", "4",
        )  # fmt: skip
        assert status == 0
        assert 0 <= row["value"] < CERTIFIED
        assert row["problem"]["K"] == 4
        similarity = row["problem"]["classifier"]["frame"]["similarity"]
        assert similarity == {"type": "Exponential", "gamma": 2.0}

    def test_cross_entropy_on_a_tree_given_by_json_or_name(self, capsys, tree, tmp_path: Path):
        file = tmp_path / "tree.json"
        file.write_text(json.dumps(read_tree(tree).to_json()))
        model = ("--frame", "haframe", "--gamma", "2", "average-budget", "--E-H", "2")
        rows = [solved(capsys, "solve", "--tree", str(f), *model)[1] for f in (tree, file)]
        assert rows[0]["certified"]
        assert rows[0]["value"] == rows[1]["value"]
        assert read_tree("cifar100") == load("cifar100_level5")

    def test_trees_in_other_encodings(self, tmp_path: Path):
        file = tmp_path / "tree.txt"
        file.write_text(PATHS, encoding="utf-8-sig")
        assert read_tree(str(file)).classes == ("cat", "dog", "owl", "car")
        file.write_text(PATHS, encoding="utf-16")
        with pytest.raises(ValueError, match="must be JSON or text in UTF-8, got"):
            read_tree(str(file))

    def test_the_asymptote_and_the_convention_count(self, capsys, tree):
        model = ("--frame", "haframe", "--tree", tree, "--gamma", "2", "vector-budget")
        rows = [
            solved(capsys, "solve", *more, *model)[1]
            for more in ((), ("--asymptote", "0"), ("--convention", "depth"))
        ]
        assert rows[0]["value"] < rows[1]["value"] - 0.1  # classes are farthest apart at s*
        frames = [row["problem"]["classifier"]["frame"] for row in rows]
        assert [f["s"] for f in frames] == [None, 0.0, None]
        assert [f["convention"] for f in frames] == ["height", "height", "depth"]

    def test_problem_P_has_its_closed_value(self, capsys):
        """Fixed frame: sum_k n_k f_k lam / (2 (g_k + lam S)), with S = sum of f_k n_k."""
        f, n, theta, lam = (1, 2, 3, 5), (40, 20, 8, 3), 0.2, 1e-3
        status, row = solved(
            capsys, "solve", "--n", *map(str, n), "--f", *map(str, f), "--theta", "0.2",
            "--frame", "orthogonal", "center-squared-error",
            "weight-decay", "--lam-W", "0", "--lam-H", str(lam),
        )  # fmt: skip
        assert status == 0
        assert row["value"] == pytest.approx(0.0510281643, abs=1e-10)
        g = [np.cos(theta) ** 2 + k * np.sin(theta) ** 2 for k in f]
        S = sum(a * b for a, b in zip(f, n, strict=True))
        closed = sum(a * b * lam / (2 * (c + lam * S)) for a, b, c in zip(n, f, g, strict=True))
        assert row["value"] == pytest.approx(closed, abs=1e-12)

    def test_class_vectors_of_a_multicenter_frame(self, capsys):
        """A mean number of centers is shared out; the dimension is what the frame needs."""
        _, row = solved(
            capsys, "solve", "--n", "3", "3", "1", "--f", "3", "--theta", "0.2",
            "--frame", "multicenter", "vector-budget",
        )  # fmt: skip
        assert row["problem"]["classifier"]["frame"]["f"] == [1, 4, 4]
        assert row["problem"]["d"] == 12

    def test_certify_and_predict_take_the_same_flags(self, capsys, tree, tmp_path: Path):
        spec = ufm.HAFrame(read_tree(tree), Exponential(2.0))
        W = frame(spec, 4, 4)
        np.savez(tmp_path / "point.npz", W=W, H=2 * W.mT)
        model = ("--frame", "haframe", "--tree", tree, "--gamma", "2", "soft-targets", "--beta",
                 "2", "vector-budget", "--E-H", "4")  # fmt: skip
        status, row = solved(capsys, "certify", str(tmp_path / "point.npz"), *model)
        assert (status, row["certified"]) == (0, True)
        status, out, _ = run(capsys, "predict", *model, "--json")
        assert status == 0
        assert "predictions" in json.loads(out)


class TestNc:
    @pytest.fixture
    def file(self, tmp_path: Path) -> str:
        parts = multicenter_frame(ufm.MultiCenter((1, 2, 3, 1), 0.3))
        y = np.repeat(np.arange(4), 5)
        H = parts.direction[y].mT.numpy()
        np.savez(tmp_path / "features.npz", W=parts.W, H=H, y=y, centers=parts.centers,
                 owner=parts.owner)  # fmt: skip
        return str(tmp_path / "features.npz")

    def test_multicenter_and_hierarchy_metrics(self, capsys, file, tree):
        status, out, _ = run(capsys, "nc", file, "--tree", tree, "--json")
        (row,) = json.loads(out)["metrics"]
        assert status == 0
        assert row["multicenter_nc_ave"] < 1e-25
        sigma = 1 - ufm.geometry.class_mean_cos(torch.tensor([1.0, 2, 3, 1]), 0.3).mean()
        assert row["multicenter_sigma"] == pytest.approx(float(sigma), abs=1e-7)
        assert (row["top1"], row["hd@1"], row["mistake_severity"]) == (1.0, 0.0, None)

    def test_k_and_mistakes(self, capsys, tree, tmp_path: Path):
        """Cats taken for dogs are at distance 1, owls for cars at 3; one of each among four."""
        W, y = np.eye(4), np.arange(4)
        H = np.eye(4)[[1, 1, 3, 3]].T + 1e-3 * np.eye(4)
        np.savez(tmp_path / "x.npz", W=W, H=H, y=y)
        args = ("nc", str(tmp_path / "x.npz"), "--tree", tree, "--k", "1", "4", "--json")
        row = json.loads(run(capsys, *args)[1])["metrics"][0]
        assert row["top1"] == 0.5
        assert row["mistake_severity"] == 2.0
        assert row["hd@4"] == pytest.approx(np.mean([6, 6, 7, 9]) / 4)

    def test_solution_files(self, capsys, tree, tmp_path: Path):
        out = str(tmp_path / "sol.safetensors")
        run(capsys, "solve", "--K", "4", "average-budget", "--out", out)
        row = json.loads(run(capsys, "nc", out, "--tree", tree, "--json")[1])["metrics"][0]
        assert row["top1"] == 1.0


def test_counts_of_the_worked_example(capsys):
    status, out, _ = run(capsys, "counts", "--n", "3", "3", "1", "--f", "3", "--json")
    data = json.loads(out)
    assert status == 0
    assert data["small end"] == [1, 4, 4]
    assert data["large end"] == [2, 4, 3]
    assert sum(data["in proportion"]) == 9
    assert data["d"] == 12
    long_tail = ("counts", "--K", "10", "--n-max", "5000", "--rho", "200", "--json")
    assert json.loads(run(capsys, *long_tail)[1])["small end"] == [1, 1, 2, 3, 5, 9, 16, 28, 49, 86]


HA = ("solve", "--frame", "haframe", "--tree", "cifar100_superclasses")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("solve", "--frame", "haframe"), "K must be given"),
        (("solve", "--K", "4", "--frame", "haframe"), "tree must be given as --tree"),
        (HA, "gamma must be given as --gamma with --frame haframe"),
        ((*HA, "--gamma", "0"), "gamma must be a finite number > 0, got 0.0"),
        ((*HA, "--gamma", "2", "--asymptote", "-0.9"), "s must be in [s*, 1) with s* = -0.181033"),
        ((*HA, "--gamma", "2", "--K", "10"), "tree must have K=10 leaves, got 100"),
        ((*HA, "--gamma", "2", "--d", "50"), "d must be at least 99"),
        ((*HA, "--gamma", "2", "--rigorous"), "frame must be one of SimplexETF, "),
        (("solve", "--tree", "no/such/tree"), "tree must be a file or one of cifar100,"),
        (("solve", "--K", "3", "--frame", "multicenter"), "f must be given as --f"),
        (("solve", "--f", "1", "2", "--frame", "multicenter"), "theta must be given as --theta"),
        (("solve", "--f", "1", "2", "--theta", "2", "--frame", "multicenter"), "pi/2], got 2.0"),
        (("solve", "--f", "1", "2", "--theta", "1", "--d", "4", "--frame", "multicenter"),
         "d must be at least sum(f)+K=5, got 4"),
        (("solve", "--K", "3", "--fixed-etf", "1", "--frame", "haframe"), "with --fixed-etf"),
        (("solve", "--K", "3", "soft-targets", "--beta", "2"), "tree must be given as --tree"),
        (("solve", "--tree", "cifar100", "--gamma", "2"), "gamma must be given with --frame"),
        (("solve", "--K", "3", "--theta", "1"), "theta must be given with --frame multicenter or"),
        (("solve", "--K", "3", "haframe-mix"), "loss must be one of logits"),
        (("solve", "--K", "3", "cosine-regression"), "loss must be one of logits"),
        (("counts",), "K must be given as --K, or the sizes as --n"),
        (("counts", "--n", "3", "1", "--f", "0.5"), "f must be a finite number >= 1, got 0.5"),
        (("counts", "--n", "3", "3", "1", "--f", "2.1"), "f must make f K an integer (K=3)"),
        (("counts", "--n", "3", "1", "--K", "3"), "n must have K=3 entries, got 2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_bad_input_is_one_line_and_status_two(capsys, args, words):
    status, out, err = run(capsys, *args)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"owner": None}, "file must hold centers and owner together, got centers alone"),
        ({"owner": np.array([0, 1, 2])}, "owner must give each of the F=4 centers its class"),
        ({"owner": np.array([0, 0, 1, 1])}, "owner must give each of the F=4 centers its class"),
        ({"centers": np.eye(4, 3)}, "centers must be F x d with d=4, got (4, 3)"),
    ],
)
def test_bad_centers_are_named(capsys, tmp_path: Path, change, words):
    eye = np.eye(4)
    arrays = {"W": eye, "H": eye, "y": np.arange(4), "centers": eye, "owner": np.arange(4)} | change
    arrays = {name: value for name, value in arrays.items() if value is not None}
    np.savez(tmp_path / "x.npz", **arrays)
    status, _, err = run(capsys, "nc", str(tmp_path / "x.npz"))
    assert status == 2
    assert words in err


def test_a_tree_of_another_size_is_named(capsys, tmp_path: Path):
    np.savez(tmp_path / "x.npz", W=np.eye(4), H=np.eye(4), y=np.arange(4))
    status, _, err = run(capsys, "nc", str(tmp_path / "x.npz"), "--tree", "cifar100")
    assert (status, err) == (2, "ufm: tree must have K=4 leaves, got 100\n")
