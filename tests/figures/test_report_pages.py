"""Pages that move: their data against the package, and their scripts in a browser."""

from __future__ import annotations

import itertools
import json
import math
import re

import numpy as np
import polars as pl
import pytest
from javascript import evaluate
from recorded_flow import recorded
from tolerances import EXACT

from figures.report import explore, turning
from figures.report.site import FOLDER
from ufm.geometry import Exponential, similarity_matrix
from ufm.hierarchy import Tree
from ufm.solvers import step_optimum


# Positions are written with four digits.
WRITTEN = 1e-4


def tips(position) -> np.ndarray:
    return np.array([tip for tip, _, _ in position.arrows])


def test_simplexes_have_their_cosine():
    for K, position in zip((2, 3, 4), turning.simplexes().positions, strict=True):
        gram = tips(position) @ tips(position).T
        np.testing.assert_allclose(gram, np.array(position.cosines), atol=4 * WRITTEN)
        assert position.cosines[0][1] == pytest.approx(-1 / (K - 1), abs=WRITTEN)


def test_minority_rows_turn_merge_and_vanish():
    family = turning.minority()
    found = step_optimum(2, 2, R=np.array(turning.RATIOS), tau=4 * turning.ENERGY)
    phases = found.phase.tolist()
    assert list(dict.fromkeys(phases)) == ["balanced", "full", "collapsed", "vanished"]
    for i, (position, phase) in enumerate(zip(family.positions, phases, strict=True)):
        rows = tips(position)
        square = (rows**2).sum(1)
        expected = [found.w_A[i], found.w_A[i], found.w_B[i], found.w_B[i]]
        np.testing.assert_allclose(square, np.array(expected), atol=4 * WRITTEN)
        if phase == "vanished":
            assert position.cosines[2][3] is None
        else:
            assert position.cosines[2][3] == pytest.approx(float(found.cos_W_B[i]), abs=WRITTEN)


@pytest.mark.parametrize("name", turning.TREES)
def test_hierarchical_frames_have_the_cosines_of_their_tree(name):
    tree = Tree.from_nested(turning.TREES[name])
    for gamma, position in zip(
        turning.RATES, turning.hierarchical(name, "").positions, strict=True
    ):
        expected = similarity_matrix(tree, Exponential(gamma))
        np.testing.assert_allclose(np.array(position.cosines), expected, atol=2 * WRITTEN)
        np.testing.assert_allclose(tips(position) @ tips(position).T, expected, atol=4 * WRITTEN)


def test_centers_lie_at_their_angle_and_the_mean_between_them():
    for theta, position in zip(turning.ANGLES, turning.centers().positions, strict=True):
        w, one, two, mean = tips(position)
        assert w @ one == pytest.approx(math.sin(theta), abs=4 * WRITTEN)
        assert np.cross(mean, one + two) == pytest.approx([0, 0, 0], abs=4 * WRITTEN)


@pytest.mark.parametrize("id", turning.frames())
def test_frames_move_without_jumps_and_are_json(id):
    family = turning.frames()[id]
    json.dumps(family, allow_nan=False)
    assert 0 <= family["start"] < len(family["positions"])
    moved = [
        np.abs(np.array([a[0] for a in p["arrows"]]) - np.array([a[0] for a in q["arrows"]])).max()
        for p, q in itertools.pairwise(family["positions"])
        if len(p["arrows"]) == len(q["arrows"])
    ]
    assert max(moved, default=0) < 0.45


def test_a_flow_is_read_in_order_whatever_the_order_of_its_rows(tmp_path):
    table = pl.read_parquet(recorded(tmp_path / "etf-3d.parquet"))
    flow = explore.flow(tmp_path / "etf-3d.parquet")["flow"]
    assert flow["times"] == [0.0, 1.0, 10.0, 1e4]
    assert flow["labels"] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    row = table.filter(part="feature", time=10.0, k=2, sample=1).select("x", "y", "z").row(0)
    assert flow["features"][2][7] == pytest.approx(row, abs=1e-3)
    value = flow["metrics"][0]
    assert value["values"][-1] == 0
    assert value["values"][0] == pytest.approx(2 - 2 / 10001, abs=1e-3)
    assert explore.flow(tmp_path / "none.parquet")["flow"] is None


def test_a_turn_is_a_rotation(tmp_path):
    basis = "[[1,0,0],[0,1,0],[0,0,1]].map(Scene.rotation(0.7, -0.4))"
    R = np.array(evaluate([FOLDER / "assets" / "scene.js"], basis, tmp_path))
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=EXACT)
    assert abs(np.linalg.det(R)) == pytest.approx(1, rel=EXACT)


def colours(dark: bool) -> dict[str, str]:
    css = (FOLDER / "assets" / "report.css").read_text("utf-8")
    blocks = re.findall(
        r"(@media \(prefers-color-scheme: dark\) \{ )?:root \{(.*?)\}", css, re.DOTALL
    )
    found: dict[str, str] = {}
    for media, block in blocks:
        if not media or dark:
            found |= dict(re.findall(r"--([\w-]+): (#\w{6})", block))
    return found


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_and_lines_stand_out_in_both_themes(dark):
    found = colours(dark)
    for paper in ("paper", "raised"):
        for ink in ("ink", "soft", "link", "accent", "good", "bad"):
            assert contrast(found[ink], found[paper]) >= 4.5, (ink, paper)
        for line in ("one", "two", "three", "four", "focus"):
            assert contrast(found[line], found[paper]) >= 3, (line, paper)
    css = (FOLDER / "assets" / "report.css").read_text("utf-8")
    chips = re.findall(r"\.chip\.([\w-]+) \{ color: (#\w+); background: (#\w+)", css)
    assert len(chips) == 12
    for name, ink, paper in chips:
        wide = (c if len(c) == 7 else "#" + "".join(2 * x for x in c[1:]) for c in (ink, paper))
        assert contrast(*wide) >= 4.5, name
