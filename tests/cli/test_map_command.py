"""`ufm map`: computes, records, continues, sums up; bad sizes are one line."""

from __future__ import annotations

import json

import pytest
from test_cli import run

from ufm.runs import Store


@pytest.mark.parametrize(
    "flags",
    [("phase", "--K-A", "3", "--K-B", "2"), ("survival", "--counts", "class-aware"),
     ("angles", "--tree", "mixed", "--norm", "8")],
    ids=lambda flags: flags[0],
)  # fmt: skip
def test_a_map_is_computed_once_and_then_read(capsys, tmp_path, flags):
    command = ("map", *flags, "--size", "4", "--store", str(tmp_path), "--json")
    status, out, err = run(capsys, *command)
    first = json.loads(out)
    assert status == 0, err
    assert first["pixels"] == first["certified"] == 16
    assert first["contradict the closed form"] == 0
    assert first["bands already there"] == 0
    recorded = Store(tmp_path).list()
    assert [row["rows"] for row in recorded] == [16]
    status, out, err = run(capsys, *command)
    assert json.loads(out) == first | {"bands already there": 1}
    assert Store(tmp_path).list() == recorded
    assert "map" in err


@pytest.mark.parametrize(
    ("flags", "words"),
    [(("phase", "--size", "0"), "size must be"), (("phase", "--K-B", "1"), "K_B must be"),
     (("survival", "--K", "1"), "K must be"), (("angles", "--tree", "no-such"), "tree must be")],
)  # fmt: skip
def test_bad_maps_are_one_line_and_status_two(capsys, tmp_path, flags, words):
    status, _, err = run(capsys, "map", *flags, "--store", str(tmp_path))
    assert status == 2
    assert words in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())
