"""Submodules are reachable after a bare import, whatever else was imported before."""

import subprocess
import sys


def test_submodules_are_attributes_and_nothing_else_is():
    program = (
        "import ufm\n"
        "assert ufm.geometry.Exponential(2.0).gamma == 2.0\n"
        "assert ufm.problem.Problem is ufm.Problem\n"
        "assert not hasattr(ufm, 'nothing') and not hasattr(ufm, '_nothing')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
