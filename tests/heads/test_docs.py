"""The page on heads is executed as it stands, and its first example is as short as it says."""

from __future__ import annotations

import re
from pathlib import Path

import torch


PAGE = Path(__file__).parents[2] / "docs" / "heads.md"


def test_every_code_block_of_the_page_runs():
    blocks = re.findall(r"```\{code-cell\}\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert len(blocks) == 4
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["accuracy"] > 0.95
    W = names["W"].detach()
    assert torch.allclose(W @ W.mT, 10 / 9 * torch.eye(10) - 1 / 9, atol=1e-5)


def test_the_first_example_is_short():
    first = re.search(r"```\{code-cell\}\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert first is not None
    assert len([line for line in first[1].splitlines() if line.strip()]) <= 15
