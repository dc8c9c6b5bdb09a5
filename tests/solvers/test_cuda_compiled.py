"""The CUDA kernels compile for a card that is not there."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed (extra `triton`)"
)
def test_kernels_compile_and_multiply_in_the_float64_matrix_unit(tmp_path):
    script = Path(__file__).with_name("compiled_for_cuda.py")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True,
        env={**os.environ, "TRITON_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # Three products of 16 x 16 a turn, two instructions each.
    assert found["minimise"]["matrix products"] == 6
    assert found["prove"]["matrix products"] > found["bound"]["matrix products"] > 6
    for kernel in found.values():
        assert kernel["binary"] > 0
        assert kernel["f32 products"] == 0
        assert kernel["shared"] <= 16 * 1024  # a dozen programs share a multiprocessor
