"""Axes, bands and the loop over them: interrupted maps continue, whole ones are only read."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
from tolerances import EXACT

from ufm.maps import AngleMap, Axis, PhaseMap, bands, compute, produce
from ufm.runs import Run, Store


SMALL = AngleMap(x=Axis(1.0, 4.0, 6, "log"), y=Axis(0.0, 1.0, 8))


def test_axis_values_are_the_middles_of_equal_pixels():
    assert Axis(0.0, 1.0, 2).values() == (0.25, 0.75)
    linear, log = Axis(-0.0, 3.0, 7).values(), Axis(0.01, 10.0, 5, "log").values()
    np.testing.assert_allclose(np.diff(linear), 3 / 7, rtol=10 * EXACT)
    np.testing.assert_allclose(np.diff(np.log(log)), np.log(1000) / 5, rtol=10 * EXACT)
    np.testing.assert_allclose(np.log(log[0] / 0.01), np.log(1000) / 10, rtol=10 * EXACT)


@pytest.mark.parametrize(
    ("low", "high", "size", "spacing"),
    [(0, 1, 4, "log"), (2, 1, 4, "linear"), (0, 1, 0, "linear")],
)
def test_bad_axes_are_refused(low, high, size, spacing):
    with pytest.raises(ValueError, match="must be"):
        Axis(low, high, size, spacing)


@pytest.mark.parametrize("pixels", [1, 6, 13, 48, 10_000])
def test_bands_cover_every_line_once_and_do_not_change_the_rows(pixels, tmp_path):
    specs = bands(SMALL, pixels)
    lines = [
        i for run in specs for i in range(run.subject.first, run.subject.first + run.subject.count)
    ]
    assert lines == list(range(8))
    assert len({run.key for run in specs}) == len(specs)
    rows = compute(SMALL, Store(tmp_path), pixels=pixels)
    whole = SMALL.solve(SMALL.y.values(), SMALL.method)
    assert rows["alpha"].to_list() == whole["alpha"].to_list()
    np.testing.assert_allclose(rows["angle"], whole["angle"], rtol=EXACT, atol=1e-9)


def test_keys_depend_on_the_map_and_on_nothing_else():
    first = bands(SMALL, 6)[0].key
    assert bands(AngleMap(x=SMALL.x, y=SMALL.y), 6)[0].key == first
    assert bands(AngleMap(x=Axis(1.0, 5.0, 6, "log"), y=SMALL.y), 6)[0].key != first
    assert bands(PhaseMap(), 512 * 8)[0].key != bands(PhaseMap(7, 3), 512 * 8)[0].key


def test_a_killed_map_continues_where_it_stopped(tmp_path):
    code = (
        "import sys; from pathlib import Path; from ufm.maps import *; from ufm.runs import Store\n"
        "map = AngleMap(x=Axis(1.0, 4.0, 6, 'log'), y=Axis(0.0, 1.0, 8))\n"
        "compute(map, Store(Path(sys.argv[1])), pixels=6,\n"
        "        progress=lambda run: (print(run.key, flush=True), sys.stdin.readline()))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    done = []
    for _ in range(3):
        done.append(process.stdout.readline().strip())
        process.stdin.write("\n")
        process.stdin.flush()
    done.append(process.stdout.readline().strip())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert done == [run.key for run in bands(SMALL, 6)[:4]]
    store, seen = Store(tmp_path), []
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.parquet")}
    rows = compute(SMALL, store, pixels=6, progress=seen.append)
    assert len(before) == 4
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert all(row["ok"] for row in store.verify())
    assert rows.equals(compute(SMALL, Store(tmp_path / "new"), pixels=6))
    assert all(isinstance(run, Run) for run in seen)


def test_a_damaged_band_alone_is_computed_again(tmp_path):
    store = Store(tmp_path)
    rows = compute(SMALL, store, pixels=24)
    victim = store.stem(bands(SMALL, 24)[1]).with_suffix(".parquet")
    kept = store.stem(bands(SMALL, 24)[0]).with_suffix(".parquet")
    time = kept.stat().st_mtime_ns
    victim.write_bytes(victim.read_bytes()[:-7])
    assert compute(SMALL, store, pixels=24).equals(rows)
    assert kept.stat().st_mtime_ns == time


def test_the_rows_of_a_band_are_those_of_its_lines():
    run = bands(SMALL, 12)[1]
    assert produce(run).rows["alpha"].unique().sort().to_list() == list(SMALL.y.values()[2:4])
