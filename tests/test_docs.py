"""Every Python block of the documentation runs, page by page, in the order of the page."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ufm import claims


DOCS = Path(__file__).parents[1] / "docs"
# heads.md is executed with assertions of its own, in tests/heads/test_docs.py.
PAGES = sorted({*(DOCS / "howto").glob("*.md")} - {DOCS / "howto" / "theorem.md"})


def blocks(page: Path) -> list[str]:
    return re.findall(
        r"```(?:python|\{code-cell\})\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL
    )


def execute(page: Path) -> dict:
    torch.manual_seed(0)
    names: dict = {"__name__": "page"}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_code_block_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    execute(page)


def test_the_tutorial_reaches_what_it_says():
    names = execute(DOCS / "tutorial.md")
    cert, sharp, step = (names[name] for name in ("cert", "sharp", "step"))
    assert bool(cert.passed.all())
    assert abs(sharp.value.min().item() - step.value) < 1e-12


def test_the_theorem_of_the_page_is_proved():
    # In a process of its own: registering a claim changes the registry for good.
    checks = """
from ufm import claims
assert claims.get("papyan2020.etf-distance") is ETF_DISTANCE
etf_distance(Proof())
"""
    code = "\n".join([*blocks(DOCS / "howto" / "theorem.md"), checks])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=DOCS.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_no_theorem_about_a_model_is_missing_from_the_decision_page(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    page = importlib.import_module("generate").decision_page()
    known = [c for c in claims.registry().values() if c.assumptions]
    assert not [c.id for c in known if not c.fails and f"[{c.id}]" not in page]
    assert not [c.id for c in known if c.fails and f"[{c.id}]" in page]
