"""Every Python block of the documentation runs, page by page, in the order of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch


DOCS = Path(__file__).parents[1] / "docs"
# heads.md is executed with assertions of its own, in tests/heads/test_docs.py.
PAGES = [DOCS / "tutorial.md", *sorted((DOCS / "howto").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)


def execute(page: Path) -> dict:
    torch.manual_seed(0)
    names: dict = {"__name__": "page"}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)
    return names


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.stem)
def test_every_code_block_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    execute(page)


def test_the_tutorial_reaches_what_it_says():
    names = execute(DOCS / "tutorial.md")
    cert, sharp, step = (names[name] for name in ("cert", "sharp", "step"))
    assert bool(cert.passed.all())
    assert abs(sharp.value.min().item() - step.value) < 1e-12
    assert {page.stem for page in PAGES} >= {"tutorial"}
