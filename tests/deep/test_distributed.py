"""Two processes on one batch, by torchrun and gloo, against one process."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training import FULL, SMALL

from deep import checkpoint
from deep.data.spec import Augment
from deep.recipe import Recipe
from deep.train import train
from ufm._spec import canonical


WORKER = """
import json, sys
from pathlib import Path
import torch
from deep.distributed import joined
from deep.train import train
from ufm._spec import decode
torch.set_num_threads(1)
with joined("cpu") as world:
    result = train(decode(json.loads(sys.argv[1])), out=Path(sys.argv[2]), world=world)
    assert world.size == 2
    (Path(sys.argv[2]) / f"rank{world.rank}").write_text(result.outcome.name)
"""
MIXED = Augment(crop=1, flip=True, mixup=1.0)


def two_processes(recipe: Recipe, out: Path) -> None:
    """Train in two processes; raises with their output if that fails."""
    worker = out / "worker.py"
    out.mkdir(parents=True, exist_ok=True)
    worker.write_text(WORKER)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(worker), canonical(recipe), str(out),
    ]  # fmt: skip
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[:3000]
    assert {(out / f"rank{rank}").read_text() for rank in range(2)} == {"FINISHED"}


# Runs the command line with one process failing in its step, the fifth.
FAILING = """
import runpy, sys
import torch
from deep.step import Step
kind, rank = sys.argv[1], int(__import__("os").environ["RANK"])
update, count = Step._update, [0]
def failing(self, rows):
    count[0] += 1
    if rank == 1 and count[0] == 5:
        if kind == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        loss, right = update(self, rows)
        return loss * float("nan"), right
    return update(self, rows)
Step._update = failing
sys.argv[1:] = ["train", "digits-ce", "--device", "cpu", "--epochs", "3", "--out", sys.argv[2]]
runpy.run_module("deep", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("memory", "process 1: batch 64 in 1 parts does not fit"),
        pytest.param(
            "nan",
            "digits-ce-3epochs seed 0: nonfinite: loss must be finite, got nan in step 5",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_one_process_that_fails_ends_all(tmp_path, kind, message):
    (tmp_path / "failing.py").write_text(FAILING)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(tmp_path / "failing.py"), kind, str(tmp_path / "out"),
    ]  # fmt: skip
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90,
                          check=False)  # fmt: skip
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    said = (done.stdout + done.stderr).splitlines()
    ours = [line for line in said if line.startswith("deep train:")]
    assert all("process" in line for line in ours)
    assert not [line for line in said if "RuntimeError" in line]
    # What was saved before is whole.
    assert checkpoint.load(tmp_path / "out" / "digits-ce-3epochs" / "seed0")["epoch"] == 0


def test_two_processes_are_one_without_batch_norm(tmp_path):
    recipe = dataclasses.replace(SMALL, name="two", augment=MIXED, accumulate=2, ema=0.5)
    two_processes(recipe, tmp_path / "two")
    alone = dataclasses.replace(recipe, accumulate=1)
    one = train(alone, out=tmp_path / "one")
    a, b = (
        checkpoint.load(folder / "two" / "seed0") for folder in (tmp_path / "one", tmp_path / "two")
    )
    for key in ("model", "average"):
        for name in a[key]:
            # float32, sums in another order along 66 steps
            torch.testing.assert_close(a[key][name], b[key][name], rtol=1e-3, atol=1e-5)
    rows = json.loads(b["rows"])
    assert [row["train"] for row in rows] == pytest.approx(
        [row["train"] for row in one.rows], abs=2e-3
    )
    assert [row["loss"] for row in rows] == pytest.approx([r["loss"] for r in one.rows], rel=1e-4)


@pytest.mark.slow
def test_two_processes_run_with_batch_norm(tmp_path):
    recipe = dataclasses.replace(FULL, name="two")
    two_processes(recipe, tmp_path)
    rows = json.loads(checkpoint.load(tmp_path / "two" / "seed0")["rows"])
    assert rows[-1]["test"] > 0.5
