"""Tables of benchmarks and networks: every recorded number, its origin, and what was not run."""

from __future__ import annotations

import dataclasses
import json

import pytest

from deep import results
from deep.published import TABLES
from deep.recipes import find
from deep.run import Outcome, Result
from figures.report import site, tables


RECIPE = find("digits-ce")


def store(root, seed: int, accuracy: float) -> None:
    rows = [{"epoch": 1, "test": accuracy, "probe": {"train": {}, "test": {}}}]
    made = Result(RECIPE, seed, Outcome.FINISHED, rows, 12.5, None)  # pyright: ignore[reportArgumentType]
    results.write(made, device="cpu", root=root)


def render(name: str, **values) -> str:
    shared = {"entries": {}, "figures": (), "commit": ""}
    given = {"geometries": (), **values}
    return site.render(site.environment(shared), name, page=name, **given).decode()


def test_benchmarks_keep_every_number_and_say_what_is_missing(tmp_path):
    rows = [{"what": "ours", "s": 0.5, "certified": True}, {"what": "a <peer>", "ratio": 12345.0}]
    data = {"benchmark": "some_race", "about": "One.\n\n  Two\n  lines. ", "machine": {"cores": 2},
            "rows": rows}  # fmt: skip
    (tmp_path / "some_race.json").write_text(json.dumps(data))
    (table,) = tables.benchmarks(tmp_path)
    assert table.columns == ("what", "s", "certified", "ratio")
    assert table.rows == (("ours", 0.5, True, None), ("a <peer>", None, None, 12345.0))
    assert table.about == ("One.", "Two lines.")
    text = render("benchmarks.html", benchmarks=[table])
    assert "a &lt;peer&gt;" in text
    assert "12\u202f345" in text
    assert text.count("—") == 3
    assert "python -m benchmarks some_race" in text
    assert "cores 2" in text


def test_every_recorded_benchmark_is_shown():
    recorded = {path.stem for path in tables.BENCHMARKS.glob("*.json")}
    assert recorded
    assert {table.name for table in tables.benchmarks()} == recorded


def test_what_was_not_run_says_so(tmp_path):
    found = tables.networks(tmp_path)
    assert [table.name for table in found] == list(TABLES)
    assert not any(any(table.ran) or table.runs for table in found)
    text = render("networks.html", networks=found)
    assert text.count("not yet run") == sum(len(t.rows) + 1 for t in found)
    assert "python -m deep table cifar10-lt" in text


def test_a_measured_row_names_its_runs(tmp_path):
    store(tmp_path, 0, 0.9)
    store(tmp_path, 1, 0.92)
    table = next(table for table in tables.networks(tmp_path) if table.name == "digits")
    assert table.ran.count(True) == 1
    measured = table.rows[table.ran.index(True)]
    assert measured[1] == "2"
    assert measured[2].startswith("91.00 ± 12.7")
    assert [(run.recipe, run.seed, run.seconds) for run in table.runs] == [
        (RECIPE.name, 0, 12.5), (RECIPE.name, 1, 12.5),
    ]  # fmt: skip
    assert f"<code>{RECIPE.name}</code> seed 1" in render("networks.html", networks=[table])


def test_geometry_is_that_of_the_documentation(tmp_path):
    found = tables.geometries()
    assert [table.name for table in found] == ["digits", "digits-lt", "fashion-lt"]
    assert all(len(row) == len(t.header) for t in found for row in t.rows)
    assert [len(t.rows) for t in found] == [len(TABLES[t.name].rows) for t in found]
    text = render("networks.html", networks=[], geometries=found)
    assert text.count("<tr>") == sum(len(t.rows) + 1 for t in found)
    assert tables.geometries(tmp_path / "absent.md") == []


def test_a_damaged_result_is_named_and_the_page_still_made(tmp_path):
    store(tmp_path, 0, 0.9)
    (path,) = tmp_path.rglob("*.json")
    path.write_text(path.read_text().replace("0.9", "0.95"))
    table = next(table for table in tables.networks(tmp_path) if table.name == "digits")
    assert str(path) in table.problem
    assert "Not shown" in render("networks.html", networks=[table])
    assert dataclasses.replace(table, problem="").rows == ()


@pytest.mark.parametrize("name", ["networks.html", "benchmarks.html"])
def test_empty_pages_are_pages(name):
    assert "<h1>" in render(name, networks=[], benchmarks=[])


def test_the_recorded_benchmarks_all_have_cells_that_the_page_can_show():
    recorded = tables.benchmarks()
    assert recorded
    for table in recorded:
        for cell in (cell for row in table.rows for cell in row):
            assert cell is None or isinstance(cell, str | int | float), (table.name, cell)
    assert "</table>" in render("benchmarks.html", benchmarks=recorded)
