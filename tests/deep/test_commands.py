"""The command line: what it prints and how it exits."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from training import SMALL

from deep.__main__ import main
from deep.commands.train import adapted, exit_status
from deep.progress import Lines, TensorBoard, line
from deep.recipes import find
from deep.run import Outcome, Result
from deep.schedule import Steps


ROOT = Path(__file__).parents[2]
ROW = {"epoch": 2, "loss": 0.5, "train": 0.25, "test": 0.875, "images_per_second": 1234.5,
       "seconds": 8.0, "together": 1}  # fmt: skip


def test_list_and_data(capsys):
    assert main(["list", "digits-etf"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("digits-etf-dr ")
    assert lines[0].endswith("  MLP ETFDR, 300 epochs of batch 64; ours")
    assert main(["list", "--json", "digits-cal"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "digits-cal"
    assert main(["list", "nothing at all"]) == 1
    assert "no recipe has 'nothing at all' in its name" in capsys.readouterr().err
    assert main(["data", "digits-lt-cal"]) == 0
    assert "n = (143, 110, 85, 66, 51, 39, 30, 23, 18, 14)" in capsys.readouterr().out


def test_train_reaches_97_percent_of_digits_and_goes_on_from_there(tmp_path, capsys):
    command = ["train", "digits-etf-dr", "--epochs", "40", "--device", "cpu", "--out",
               str(tmp_path), "--quiet"]  # fmt: skip
    assert main([*command, "--limit", "0"]) == 3
    assert "interrupted: time is up" in capsys.readouterr().out
    assert main(command) == 0
    out = capsys.readouterr().out
    assert float(out.partition("test ")[2].partition(" %")[0]) > 97
    log = tmp_path / "digits-etf-dr-40epochs" / "seed0" / "log.jsonl"
    assert len(log.read_text().splitlines()) == 40


def test_errors_are_one_line_and_status_2(tmp_path, capsys):
    assert main(["train", "digits-etfdr", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("deep train: recipe must be one of")
    arguments = ["yang2022-cifar10-lt100-ce", "--folder", str(tmp_path), "--device", "cpu"]
    assert main(["train", *arguments, "--out", str(tmp_path)]) == 2
    assert "cifar10 must be in" in capsys.readouterr().err
    assert main(["train", "digits-ce", "--device", "xla", "--out", str(tmp_path)]) == 2
    assert "device must be cpu or cuda, got 'xla'" in capsys.readouterr().err
    assert main(["data", "nonsense"]) == 2
    assert "a source (digits, cifar10, cifar100, svhn" in capsys.readouterr().err
    assert main(["train", "digits-ce", "--limit", "-1", "--out", str(tmp_path)]) == 2
    assert "limit must be at least 0 seconds" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["sing"])


@pytest.mark.parametrize("command", ["probe", "fit"])
def test_a_file_that_is_neither_checkpoint_nor_features_is_told_what_is_expected(
    tmp_path, capsys, command
):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "cut.npz").write_bytes(b"PK")
    np.savez(tmp_path / "images.npz", images=np.zeros(3))
    (tmp_path / "archive.pt").write_bytes((tmp_path / "images.npz").read_bytes())
    for name, message in (
        ("none.npz", "an .npz of features (N, d), labels (N,), W (K, d)"),
        ("none.pt", "there is no"),
        ("notes.txt", "notes.txt is neither, or damaged"),
        ("cut.npz", "cut.npz is neither, or damaged"),
        ("images.npz", "file must hold arrays features, labels and W, got no features"),
        ("archive.pt", "checkpoint must be a whole file"),
        ("", "folder must be a run's and hold checkpoint.pt"),
    ):
        assert main([command, str(tmp_path / name)]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"deep {command}: ")
        assert message in said
        assert said.count("\n") == 1
        assert "delete" not in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("command", [["train", "digits-ce"], ["bench"], ["gpu"]])
def test_a_missing_gpu_is_said_at_once(tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--device", "cuda"]) == 2
    assert "device must be present" in capsys.readouterr().err


def test_hierarchy_and_features_that_do_not_fit_are_told(tmp_path, capsys):
    path, W = tmp_path / "good.npz", np.eye(4, 6)
    np.savez(path, features=np.tile(W, (3, 1)), labels=np.arange(12) % 4, W=W)
    np.savez(tmp_path / "zero.npz", features=np.zeros((4, 6)), labels=np.arange(4), W=W)
    for arguments, message in (
        (["probe", path, "--tree", "digits"], "a leaf for each of K=4 classes, digits has 10"),
        (["probe", path, "--tree", "none.json"], "or a .json file that exists, got 'none.json'"),
        (["probe", path, "--features", "x.npz"], "features must be left out"),
        (["fit", tmp_path / "zero.npz"], "features must not all be zero"),
    ):
        assert main([str(argument) for argument in arguments]) == 2
        assert message in capsys.readouterr().err


def test_another_length_is_another_run():
    recipe = find("digits-ce")
    short = adapted(recipe, epochs=5)
    assert (short.name, short.epochs) == ("digits-ce-5epochs", 5)
    assert short.differs[-1] == (
        "5 epochs instead of 300: drops behind 3 and 5, instead of drops behind 200 and 270, "
        "warm-up of 5 epochs"
    )
    assert short.schedule == Steps((3, 5))
    assert short.digest != dataclasses.replace(recipe, epochs=5).digest != recipe.digest
    with pytest.raises(ValueError, match="epochs must be"):
        adapted(recipe, epochs=0)
    assert adapted(recipe, epochs=None) is recipe is adapted(recipe, epochs=300)


@pytest.mark.parametrize(
    ("outcome", "signal", "status"),
    [
        (Outcome.FINISHED, 0, 0),
        (Outcome.NONFINITE, 0, 1),
        (Outcome.OUT_OF_MEMORY, 0, 1),
        (Outcome.INTERRUPTED, 15, 143),
        (Outcome.INTERRUPTED, 2, 130),
        (Outcome.INTERRUPTED, 0, 3),
    ],
)
def test_exit_status(tmp_path, outcome, signal, status):
    result = Result(SMALL, 0, outcome, [], 0.0, tmp_path, signal=signal)
    assert exit_status(result) == status


def test_lines_say_loss_accuracy_speed_and_time_left():
    text = line(SMALL, 7, ROW)
    assert text == (
        "small seed 7  epoch 2/3  loss 0.5  train 25.00 %  test 87.50 %  1,234 images/s  4 s left"
    )
    inside = line(SMALL, 7, {"epoch": 2, "step": 5, "steps": 9})
    assert inside == "small seed 7  epoch 3/3  step 5/9"
    file = io.StringIO()
    lines = Lines(file)
    lines(SMALL, 7, ROW)
    lines(SMALL, 7, ROW | {"epoch": 3})
    assert len(file.getvalue().splitlines()) == 1  # ten seconds apart, and the last


def test_tensorboard_is_optional_and_named(tmp_path):
    if importlib.util.find_spec("tensorboard"):
        TensorBoard(tmp_path)(SMALL, 7, ROW)
        assert list((tmp_path / "small" / "seed7").iterdir())
    else:
        with pytest.raises(ModuleNotFoundError, match="pip install tensorboard"):
            TensorBoard(tmp_path)


def test_a_reader_that_leaves_early_is_no_error():
    with subprocess.Popen(
        [sys.executable, "-m", "deep", "list", "--json"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, cwd=ROOT,
    ) as process:  # fmt: skip
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 128 + signal.SIGPIPE
