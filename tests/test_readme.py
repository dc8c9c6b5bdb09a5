"""The examples of the README are executed as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch


pytest.importorskip("flint", reason="one example needs python-flint, the extra `rigorous`")
README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)


def execute(*blocks: str) -> dict:
    torch.manual_seed(0)
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    return names


def test_the_certified_answer_and_a_point_of_one_s_own():
    names = execute(*BLOCKS[:2])
    lower, upper = names["cert"].bracket[0]
    assert 0 <= upper - lower < 1e-10


def test_a_head_in_a_plain_network():
    example = BLOCKS[2]
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    names = execute(example)
    assert names["accuracy"] > 0.95
    # The features have come close to the frame.
    x, y, head, backbone = (names[name] for name in ("x", "y", "head", "backbone"))
    h = torch.nn.functional.normalize(head.features(backbone(x)), dim=-1)
    assert (h * head.frame[y]).sum(-1).mean() > 0.95
