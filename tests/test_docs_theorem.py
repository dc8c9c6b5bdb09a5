"""A theorem added as `docs/howto/theorem.md` says shows up everywhere: followed to the letter."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
PARTS = ("ufm", "proofs_check", "figures", "deep", "docs", "benchmarks")
ID = "papyan2020.etf-distance"
LOOK = f"""
import sys
from pathlib import Path
sys.path.insert(0, "docs")
import generate
from figures.report import site
from ufm import claims
page = site.report([], Path("none"))["claims/{ID}.html"].decode()
assert "squared distance" in page and 'class="chip symbolic"' in page, page
assert "{ID}" in site.report([], Path("none"))["index.html"].decode()
assert "{ID}" in generate.theory_page("papyan2020")
assert claims.status(claims.get("{ID}"), claims.load_evidence()).value == "symbolic"
"""


@pytest.mark.slow
def test_a_theorem_of_the_page_shows_up_everywhere(tmp_path):
    for part in PARTS:
        shutil.copytree(
            ROOT / part, tmp_path / part,
            ignore=shutil.ignore_patterns("__pycache__", "out", "_build", "generated"),
        )  # fmt: skip
    for name in ("CLAIMS.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    page = (ROOT / "docs" / "howto" / "theorem.md").read_text("utf-8")
    statement, proof = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    name = "from ufm.theory.papyan2020 import ETF_DISTANCE"
    for file, code in (
        ("ufm/theory/papyan2020.py", statement),
        ("proofs_check/papyan2020.py", f"{name}\n{proof}"),
    ):
        with (tmp_path / file).open("a", encoding="utf-8") as stream:
            stream.write(f"\n\n{code}")

    def run(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    run("-m", "proofs_check", ID)
    assert ID in (tmp_path / "CLAIMS.md").read_text("utf-8")
    shown = run("-c", f"from ufm.cli import main; main(['claims', 'show', '{ID}', '--json'])")
    assert '"status": "symbolic"' in shown
    run("-c", LOOK)
