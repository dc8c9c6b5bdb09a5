"""Real images for tests, where the machine has them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest


# The data folder beside the checkout keeps the sets packed; its script unpacks them.
PACKED = Path(__file__).resolve().parents[3] / "shared" / "data"


def _unpacked(name: str, profile: str, cache: Path) -> Path:
    target = cache / f"{name}-{profile}"
    if not target.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            command = [sys.executable, PACKED / "unpack.py", name, profile, scratch]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            try:
                Path(scratch).rename(target)
            except OSError:  # another worker was first
                assert target.is_dir()
            Path(scratch).mkdir(exist_ok=True)
    return target


@pytest.fixture(scope="session")
def real_data(pytestconfig):
    """``real_data("cifar10", "lt50")``: the folder with ``cifar10-lt50.npz``, else a skip."""

    def folder(name: str, profile: str) -> Path:
        given = os.environ.get("UFM_DATA")
        if given and (Path(given) / f"{name}-{profile}.npz").is_file():
            return Path(given)
        if not (PACKED / "unpack.py").is_file():
            pytest.skip(f"needs {name}-{profile}.npz in $UFM_DATA or the data folder beside us")
        return _unpacked(name, profile, pytestconfig.cache.mkdir("ufm-data"))

    return folder
