"""Result files: round trip, refusal of what is damaged or of another recipe, provenance."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from deep import results
from deep.recipes import find
from deep.run import Outcome, Result
from deep.train import train_many


RECIPE = find("digits-ce")


def result(seed: int = 0, **changes) -> Result:
    side = {"nc1_quot": 0.123456789, "gram_H": [[1.0, math.nan], [0.0, 1.0]], "accuracy": 0.9}
    rows = [
        {"epoch": e, "loss": 1 / e, "train": 0.5, "test": a, "test_adjusted": a / 2,
         "validation": v, **({"probe": {"train": side, "test": side}} if e in (2, 4) else {})}
        for e, a, v in ((1, 0.5, 0.5), (2, 0.9, 0.6), (3, 0.8, 0.9), (4, 0.7, 0.4))
    ]  # fmt: skip
    made = Result(RECIPE, seed, Outcome.FINISHED, rows, 1.5, None)  # pyright: ignore[reportArgumentType]
    return dataclasses.replace(made, **changes)


def test_round_trip_keeps_six_digits_and_the_matrices_of_the_end_only(tmp_path):
    path = results.write(result(3), device="cpu", root=tmp_path)
    assert path == tmp_path / "digits-ce" / "seed3.json"
    stored = results.read(RECIPE, 3, tmp_path)
    assert stored is not None
    assert stored.final["train"]["nc1_quot"] == 0.123457
    assert stored.final["train"]["gram_H"] == [[1.0, None], [0.0, 1.0]]
    assert "gram_H" not in stored.probes[0]["train"]
    assert [row["epoch"] for row in stored.probes] == [2, 4]
    assert stored.probes[1]["test"]["nc1_quot"] == 0.123457
    assert stored.content["curve"]["loss"][1] == 0.5
    assert [s.seed for s in results.read_all(RECIPE, tmp_path)] == [3]
    assert results.read(RECIPE, 4, tmp_path) is None


def test_last_best_and_chosen_epoch():
    found = results.accuracies(result().rows)
    assert found["test"] == {"last": 0.7, "best": 0.9, "best_epoch": 2, "chosen": 0.8}
    assert found["test_adjusted"] == {"last": 0.35, "best": 0.45, "best_epoch": 2}
    # With no validation set there is nothing to choose by.
    rows = [{k: v for k, v in row.items() if k != "validation"} for row in result().rows]
    assert "chosen" not in results.accuracies(rows)["test"]


DAMAGE = {
    "cut": lambda text: text[: len(text) // 2],
    "a digit": lambda text: text.replace("0.123457", "0.023457"),
    "no object": lambda text: "[]",
    "empty": lambda text: "",
    "another seed": lambda text: text.replace('"seed":0', '"seed":1'),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_refused_by_name(name: str, tmp_path):
    path = results.write(result(), device="cpu", root=tmp_path)
    path.write_text(DAMAGE[name](path.read_text()))
    with pytest.raises(results.DamagedResult, match=r"digits-ce.seed0\.json .* delete it"):
        results.read(RECIPE, 0, tmp_path)


def test_a_changed_recipe_has_no_result_and_a_renamed_source_keeps_it(tmp_path):
    results.write(result(), device="cpu", root=tmp_path)
    assert results.read(dataclasses.replace(RECIPE, lr=0.2), 0, tmp_path) is None
    assert results.read(dataclasses.replace(RECIPE, source="other"), 0, tmp_path) is not None


def test_only_finished_runs_are_kept(tmp_path):
    with pytest.raises(ValueError, match="ended NONFINITE"):
        results.write(result(outcome=Outcome.NONFINITE), device="cpu", root=tmp_path)
    with pytest.raises(ValueError, match="must hold a measurement"):
        results.write(result(rows=[]), device="cpu", root=tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_the_commit_comes_from_the_environment_where_there_is_no_git(tmp_path, monkeypatch):
    without = lambda device: {"commit": None, "dirty": None, "device": "cpu"}  # noqa: E731
    monkeypatch.setattr(results, "environment", without)
    monkeypatch.setenv("UFM_COMMIT", "abc123-dirty")
    path = results.write(result(), device="cpu", root=tmp_path)
    record = json.loads(path.read_text())["provenance"]
    assert (record["commit"], record["dirty"]) == ("abc123", True)
    monkeypatch.setenv("UFM_COMMIT", "abc123")
    assert results.provenance("cpu")["dirty"] is False
    monkeypatch.delenv("UFM_COMMIT")
    assert results.provenance("cpu")["commit"] is None


def test_interval_is_students_with_the_sample_deviation():
    mean, half = results.interval([1.0, 2.0, 3.0])
    assert (mean, half) == (2.0, pytest.approx(4.302653 / math.sqrt(3), rel=1e-6))
    assert results.interval([5.0])[0] == 5
    assert math.isnan(results.interval([5.0])[1])
    assert math.isnan(results.interval([])[0])


def test_time_stopped_before_the_first_step_is_no_time(tmp_path):
    found = train_many(RECIPE, (0, 1), out=tmp_path, limit=0.0)
    assert all(r.outcome is Outcome.INTERRUPTED and r.seconds < 1 for r in found)
