"""Building: incremental, reproducible, whole files or none, one-line errors."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import matplotlib as mpl
import polars as pl
import pytest

from figures import _build, _style
from figures.__main__ import main
from figures._build import MissingRun, Target, build
from figures._registry import Figure, Job
from ufm.runs import Chunk, RunSpec, Store, files


ROOT = Path(__file__).parents[2]
WHOLE = {".parquet", ".safetensors", ".json"}  # the files of a run


@pytest.fixture
def produced() -> list[str]:
    return []


@pytest.fixture
def small(produced) -> Figure:
    def produce(run: RunSpec) -> Chunk:
        produced.append(run.key)
        x = [float(i) for i in range(5)]
        return Chunk(pl.DataFrame({"x": x, "y": [run.subject * v for v in x]}))

    def draw(rows, axes):
        produced.append("drawn")
        axes["a"].plot(rows["x"], rows["y"], "o", label=r"$x^2$")
        axes["a"].set_xlabel("x")

    return Figure(
        id="small",
        title="A small figure",
        claims=("fang2021.thm5",),
        panels=(("a",),),
        runs=lambda: [Job(RunSpec("lines", slope), produce) for slope in (1.0, 2.0)],
        caption=lambda rows: f"{rows.height} points & lines",
        draw=draw,
        width="half",
        code=b"first version",
    )


@pytest.fixture
def target(tmp_path) -> Target:
    return Target(Store(tmp_path / "runs"), tmp_path / "out")


def test_a_build_writes_pictures_data_and_record(small, target):
    assert build(small, target)
    names = sorted(path.name for path in target.out.iterdir())
    assert names == ["small.json", "small.parquet", "small.pdf", "small.png"]
    assert pl.read_parquet(target.out / "small.parquet").height == 10
    record = json.loads((target.out / "small.json").read_text())
    assert record["claims"] == ["fang2021.thm5"]
    assert record["runs"] == [f"lines/{job.spec.key}" for job in small.runs()]
    assert record["caption"] == "10 points & lines"


def test_a_second_build_computes_and_draws_nothing(small, target, produced):
    build(small, target)
    times = {path: path.stat().st_mtime_ns for path in target.out.iterdir()}
    produced.clear()
    assert not build(small, target)
    assert produced == []
    assert {path: path.stat().st_mtime_ns for path in target.out.iterdir()} == times


def test_a_damaged_or_missing_file_is_drawn_again_from_the_store(small, target, produced):
    build(small, target)
    produced.clear()
    paths = [target.out / f"small.{suffix}" for suffix in ("pdf", "png", "parquet", "json")]
    whole = [path.read_bytes() for path in paths]
    for path in paths[:3]:
        path.write_bytes(path.read_bytes()[:100])
        assert build(small, target)
    for damage in ("{", "5", "[]", '{"stamp": 1, "files": 3}'):
        paths[3].write_text(damage)
        assert _build.read_record(paths[3]) is None
    paths[3].unlink()
    assert build(small, target)
    assert [path.read_bytes() for path in paths] == whole
    assert produced == ["drawn"] * 4


def test_a_change_of_source_bundle_or_claims_redraws(small, target, produced):
    build(small, target)
    produced.clear()
    assert build(small, dataclasses.replace(target, bundle="neurips2024"))
    assert build(dataclasses.replace(small, code=b"second version"), target)
    assert build(dataclasses.replace(small, claims=("fang2021.r0",)), target)
    assert produced == ["drawn"] * 3


def test_bytes_are_reproducible_whatever_the_user_s_settings(small, target, tmp_path):
    build(small, target)
    again = dataclasses.replace(target, out=tmp_path / "again")
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "savefig.dpi": 10}):
        build(small, again)
    for suffix in ("pdf", "png", "parquet"):
        first, second = (folder / f"small.{suffix}" for folder in (target.out, again.out))
        assert first.read_bytes() == second.read_bytes()
    pdf = (target.out / "small.pdf").read_bytes()
    assert b"CreationDate" not in pdf
    assert b"/Type3" not in pdf


def test_an_interrupted_build_continues(small, target, produced):
    first, second = small.runs()

    def interrupted(run: RunSpec) -> Chunk:
        raise KeyboardInterrupt

    broken = dataclasses.replace(small, runs=lambda: [first, second._replace(produce=interrupted)])
    with pytest.raises(KeyboardInterrupt):
        build(broken, target)
    assert not target.out.exists()
    produced.clear()
    build(small, target)
    assert produced == [second.spec.key, "drawn"]


def test_a_folder_that_fills_up_keeps_what_it_had(small, target, monkeypatch):
    def full(path, data):
        if path.name == "small.parquet":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_partial(path, data)

    write_partial = files.write_partial
    monkeypatch.setattr(files, "write_partial", full)
    with pytest.raises(OSError, match=r"out must be a writable folder.*No space left on device"):
        build(small, target)
    assert list(target.out.iterdir()) == []


def test_offline_and_foreign_runs_name_the_command_that_makes_them(small, target):
    with pytest.raises(MissingRun, match="`python -m figures build` makes it"):
        build(small, dataclasses.replace(target, offline=True))
    job = Job(RunSpec("network", 1.0), None, "python -m deep train cifar10")
    with pytest.raises(MissingRun, match=r"run network/\w+ must be in .*`python -m deep train"):
        build(dataclasses.replace(small, runs=lambda: [job]), target)
    assert not target.out.exists()


def test_the_command_line_refuses_unknown_names_in_one_line(capsys, tmp_path):
    assert main(["build", "no-such", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("figures: figure must be a registered id, got 'no-such'")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("args", [["bogus"], [], ["build", "--bundle", "vogue"]])
def test_arguments_that_do_not_parse_are_one_line_and_status_two(capsys, args):
    with pytest.raises(SystemExit, match="2"):
        main(args)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("figures: ")
    assert captured.err.count("\n") == 1


def test_the_output_folder_is_tried_before_anything_is_computed(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = ["--out", str(tmp_path / "file"), "--store", str(tmp_path / "runs")]
    assert main(["build", "rank-loss", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("figures: out must be a writable folder")
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_the_command_line_names_a_folder_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = ["--store", str(tmp_path / "file"), "--out", str(tmp_path / "out")]
    assert main(["build", "rank-loss", *arguments]) == 2
    assert "store must be a writable folder" in capsys.readouterr().err.splitlines()[-1]


def test_the_command_line_lists_figures_and_their_runs(capsys, tmp_path):
    assert main(["list"]) == 0
    assert "phase-diagram" in capsys.readouterr().out
    assert main(["needs", "rank-loss", "--store", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rank-loss"
    assert lines[1].endswith("to be computed")


def test_offline_says_which_figures_are_incomplete(capsys, tmp_path):
    arguments = ["--store", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--offline"]
    assert main(["build", "rank-loss", *arguments]) == 3
    assert "figures: rank-loss: run long-tail/" in capsys.readouterr().err
    assert (tmp_path / "out" / "index.html").exists()


@pytest.mark.parametrize("bundle", _style.BUNDLES)
@pytest.mark.parametrize("width", ["half", "full"])
def test_no_text_is_smaller_than_seven_points_in_any_venue(bundle, width):
    settings = _style.rc(bundle, width, 0.5)
    sizes = [v for k, v in settings.items() if k.endswith("size") and isinstance(v, float)]
    fonts = [settings[k] for k in settings if k.endswith(("labelsize", "fontsize", "font.size"))]
    assert 7 <= min(fonts) <= max(fonts) <= 8
    assert sizes
    wide = _style.rc("icml2024", width, 0.5)["figure.figsize"]
    assert settings["figure.figsize"] == (settings["figure.figsize"][0], wide[0] / 2)
    assert settings["figure.figsize"][0] <= wide[0]


def test_an_unknown_venue_is_refused():
    with pytest.raises(ValueError, match="bundle must be one of"):
        _style.rc("vogue", "full", 0.5)  # pyright: ignore[reportArgumentType]


def _lightness(color: str) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in mpl.colors.to_rgb(color)
    ]
    Y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * Y ** (1 / 3) - 16


def test_the_palette_survives_a_grey_printer():
    lightness = [_lightness(color) for color in _style.SERIES]
    assert all(b - a >= 15 for a, b in itertools.pairwise(lightness))
    assert max(lightness) < 80  # still visible on white


def test_every_series_has_a_marker_and_a_line_of_its_own():
    assert len(set(_style.MARKERS)) == len(set(_style.LINES)) == len(_style.SERIES)


@pytest.mark.slow
def test_a_build_that_is_killed_goes_on_where_it_stopped(tmp_path, capsys):
    store, out = tmp_path / "runs", tmp_path / "out"
    arguments = ["build", "center-counts", "rank-loss", "--store", str(store), "--out", str(out)]
    command = [sys.executable, "-m", "figures", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        while not (out / "center-counts.json").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    assert not (out / "rank-loss.json").exists()
    before = {path: path.stat().st_mtime_ns for path in (*out.iterdir(), *store.rglob("*.json"))}
    assert main(arguments) == 0
    assert (out / "rank-loss.pdf").exists()
    assert (out / "index.html").exists()
    assert {path: path.stat().st_mtime_ns for path in before if path.exists()} == before
    assert {path.suffix for path in store.rglob("*") if path.is_file()} <= WHOLE
