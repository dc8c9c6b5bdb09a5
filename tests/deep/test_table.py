"""Tables: arithmetic over seeds, both protocols, what is missing, what published figures are."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest

from deep import results, table
from deep.published import TABLES, Figure, Row, Table, find
from deep.recipes import find as recipe_of
from deep.run import Outcome, Result


RECIPE = recipe_of("digits-ce")
SMALL = Table(
    "small",
    "A small table",
    ("accuracy", "hd@5"),
    (
        Row("CE", "digits-ce", "", {"accuracy": Figure(76.5, None, "stated", "somebody")}),
        Row("CE + CRM", "digits-ce", "crm"),
        Row("never run", "digits-rbl"),
    ),
    notes=("a note",),
)


def store(root, seed: int, *, last: float, best: float) -> None:
    side = {"accuracy": last, "hd@5": 1.0 + seed, "hd@5_crm": 0.5}
    rows = [
        {"epoch": 1, "loss": 1.0, "train": 0.5, "test": best, "test_crm": best},
        {"epoch": 2, "loss": 0.5, "train": 0.6, "test": last, "test_crm": last,
         "probe": {"train": side, "test": side}},
    ]  # fmt: skip
    done = Result(RECIPE, seed, Outcome.FINISHED, rows, 1.0, None)  # pyright: ignore[reportArgumentType]
    results.write(done, device="cpu", root=root)


@pytest.fixture
def root(tmp_path):
    for seed, last in ((0, 0.70), (1, 0.72), (2, 0.74)):
        store(tmp_path, seed, last=last, best=last + 0.01)
    return tmp_path


def test_last_and_best_epoch_are_both_shown_with_students_interval(root):
    line = table.lines(SMALL, root)[0]
    accuracy = line.measured["accuracy"]
    assert accuracy["last"].interval == pytest.approx((72.0, 4.302653 * 2 / 3**0.5), rel=1e-6)
    assert accuracy["best"].interval[0] == pytest.approx(73.0)
    assert line.measured["hd@5"]["last"].values == (1.0, 2.0, 3.0)
    assert table.cells(line, SMALL) == [
        "CE", "3", "72.00 ± 4.97", "73.00 ± 4.97", "76.5", "2.00 ± 2.48", "-",
    ]  # fmt: skip
    crm = table.lines(SMALL, root)[1]
    assert crm.measured["hd@5"]["last"].values == (0.5, 0.5, 0.5)


def test_what_was_not_run_says_so_and_is_never_a_number(root):
    line = table.lines(SMALL, root)[2]
    assert table.cells(line, SMALL) == ["never run", "not yet run", "", "", "-", "", "-"]
    row = json.loads(table.as_json(SMALL, table.lines(SMALL, root)))["rows"][2]
    assert row["measured"] == {"accuracy": "not yet run", "hd@5": "not yet run"}
    assert "| never run | not yet run |" in table.markdown(SMALL, table.lines(SMALL, root))


def test_each_recipe_is_missing_once_with_the_seeds_it_lacks(root):
    found = {recipe.name: seeds for recipe, seeds in table.missing(SMALL, 4, root)}
    assert found == {"digits-ce": [3], "digits-rbl": [0, 1, 2, 3]}
    assert [r.name for r, _ in table.missing(SMALL, 3, root)] == ["digits-rbl"]


def test_one_seed_has_no_interval(tmp_path):
    store(tmp_path, 0, last=0.5, best=0.5)
    cells = table.cells(table.lines(SMALL, tmp_path)[0], SMALL)
    assert cells[1:4] == ["1", "50.00", "50.00"]


@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_a_recipe_and_every_figure_says_where_it_stands(name: str):
    whole = TABLES[name]
    for row in whole.rows:
        recipe = recipe_of(row.recipe)
        for metric, figure in row.published.items():
            assert metric in whole.metrics
            assert figure.origin in ("text", "stated", "later", "recalled")
            assert figure.source
        assert recipe.source
    text = table.markdown(whole, table.lines(whole, table.results.ROOT))
    assert whole.title in text


def test_headline_figures():
    assert find("cifar10-lt").rows[0].published["accuracy"].value == pytest.approx(100 - 23.5)
    assert find("cifar100-lt").rows[0].published["accuracy"].value == pytest.approx(100 - 54.7)
    haframe = find("haframe").rows[0].published
    assert [haframe[m].value for m in ("accuracy", "mistake_severity", "hd@5")] == [
        77.71, 2.21, 1.11,
    ]  # fmt: skip
    # HD@1 = severity (1 - accuracy), to the two printed digits.
    for row in find("haframe").rows:
        if row.published:
            top1, severity, hd1 = (row.published[m].value for m in find("haframe").metrics[:3])
            assert hd1 == pytest.approx(severity * (1 - top1 / 100), abs=0.012)


def test_command_without_training(root, capsys, monkeypatch):
    monkeypatch.setattr(table, "lines", lambda found: [])
    arguments = SimpleNamespace(
        name="digits", no_train=True, seeds=None, device="cpu", folder=None, out=root,
        json=False, markdown=True,
    )  # fmt: skip
    assert table.run(arguments) == 0
    assert "accuracy %, last" in capsys.readouterr().out
    with pytest.raises(ValueError, match="table must be one of cifar10-lt"):
        table.run(SimpleNamespace(name="nope"))
    for seeds in (0, -2):
        with pytest.raises(
            ValueError, match=f"seeds must be an integer of at least 1, got {seeds}"
        ):
            table.run(SimpleNamespace(name="digits", seeds=seeds))


def test_command_trains_what_is_missing_and_reports_a_stop(root, monkeypatch, capsys):
    trained = []

    def train(recipe, seeds, **_):
        trained.append((recipe.name, list(seeds)))
        return [Result(recipe, k, Outcome.INTERRUPTED, [], 0.0, root, "time is up") for k in seeds]

    monkeypatch.setattr(table, "train_many", train)
    monkeypatch.setattr(table, "find", lambda name: dataclasses.replace(SMALL, seeds=4))
    monkeypatch.setattr(results, "ROOT", root)
    monkeypatch.setattr(table, "missing", lambda t, k, r=root: TRUE_MISSING(t, k, r))
    arguments = SimpleNamespace(
        name="small", no_train=False, seeds=None, device="cpu", folder=None, out=root, json=True,
        markdown=False,
    )  # fmt: skip
    assert table.run(arguments) == 3
    assert trained == [("digits-ce", [3])]
    assert "time is up" in capsys.readouterr().err


TRUE_MISSING = table.missing
