"""Devices and types of all CUDA steps, without a GPU: on tensors without data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deep.recipes import recipes


HERE = Path(__file__).parent
TORCH = Path(torch.__file__).parent
pytestmark = [
    pytest.mark.skipif(torch.version.cuda is not None, reason="has the real CUDA"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
    pytest.mark.skipif(sys.platform != "linux", reason="needs a library loaded before torch"),
]
# Each head and each kind of loss once, and one network with all that is drawn.
SOME = (
    *(f"digits-lt-{name}" for name in ("ce-residual", "ldam-drw", "rbl", "etf-dr", "nearest-etf",
                                       "haframe", "targets-learnable")),
    "yan2024-cifar10-lt100-cal-resnet32",
)  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The variables with which a process has the stand-in."""
    library = tmp_path_factory.mktemp("fake") / "fake_cuda.so"
    command = ["g++", "-std=c++20", "-O0", "-shared", "-fPIC", f"-I{TORCH / 'include'}",
               str(HERE / "fake_cuda.cpp"), "-o", str(library), f"-L{TORCH / 'lib'}", "-lc10",
               "-ltorch_cpu"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        pytest.skip(f"this torch's headers do not compile: {done.stderr.strip()[:200]}")
    root = HERE.parents[1]
    return os.environ | {
        "LD_PRELOAD": str(library), "LD_LIBRARY_PATH": str(TORCH / "lib"), "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (root, root / "tests"))),
    }  # fmt: skip


def run(environment, names) -> None:
    """Check recipes in a process of their own."""
    done = subprocess.run([sys.executable, str(HERE / "fake_cuda.py"), *names], env=environment,
                          capture_output=True, text=True, check=False, timeout=1800)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_steps_of_every_method_stay_on_the_device_in_the_right_types(environment):
    run(environment, SOME)


@pytest.mark.slow
def test_steps_of_every_recipe_stay_on_the_device_in_the_right_types(environment):
    run(environment, recipes())
