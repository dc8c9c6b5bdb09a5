"""What the speed figures are made of: counted operations, the plain loop, the record."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from deep import plain, stages, throughput
from deep.__main__ import main
from deep.methods import CE
from deep.models.spec import MLP
from deep.published import TABLES
from deep.recipes import find


CPU = torch.device("cpu")
DIGITS = find("digits-ce")


def test_operations_of_a_known_network():
    # Products of an MLP: forward 2 ab; backward twice that, but for the input of the first layer.
    recipe = dataclasses.replace(DIGITS, network=MLP((32, 16)), method=CE())
    sizes = [(64, 32), (32, 16), (16, 10)]
    forward = sum(2 * a * b for a, b in sizes)
    assert throughput.flops_per_image(recipe) == 3 * forward - 2 * 64 * 32


def test_operations_of_the_networks_of_the_tables():
    # Multiply-adds of one forward pass: ResNet-32 69 million, WRN-28-8 3.4 billion.
    small = throughput.flops_per_image(find("yang2022-cifar10-lt100-ce"), batch=1) / 6
    assert small == pytest.approx(69e6, rel=0.02)


def test_plain_loop_and_steps_run_and_have_a_speed():
    data = throughput.random_images(DIGITS, N=256)
    model, _ = throughput.assemble(DIGITS, throughput.shape_of(data), seed=0)
    speed = plain.images_per_second(model, data, batch=64, device=CPU, steps=3, workers=0)
    assert speed > 0
    assert throughput.step_speed(DIGITS, device=CPU, epochs=1, N=256) > 0
    assert throughput.matrix_rate(CPU, size=64, repeats=1) > 0


def test_bare_convolutions_have_a_time():
    tiny = find("fashion-lt-etf-dr")
    assert throughput.convolution_seconds(tiny, device=CPU, count=1) > 0


def test_a_record_is_current_for_its_kind_of_device_only(tmp_path):
    path = tmp_path / "throughput.json"
    assert not throughput.is_current(path, "cuda")
    rows = [{"recipe": name} for name in throughput.RECIPES["cpu"]]
    record = {"version": throughput.VERSION, "kind": "cpu", "rows": rows}
    path.write_text(json.dumps(record))
    assert throughput.is_current(path, "cpu")
    path.write_text(json.dumps(record | {"rows": []}))
    assert not throughput.is_current(path, "cpu")
    path.write_text(json.dumps(record | {"version": 0}))
    assert not throughput.is_current(path, "cpu")
    path.write_text(json.dumps(record))
    assert not throughput.is_current(path, "cuda")
    path.write_text("{")
    assert not throughput.is_current(path, "cpu")


def test_the_stages_cover_the_tests_the_speed_and_every_queued_row(tmp_path):
    found = stages.stages(python="py", root=tmp_path, out=tmp_path)
    names = [stage.name for stage in found]
    assert len(set(names)) == len(names)
    assert names[:3] == ["throughput", *stages.HEADLINE]
    assert names[3] == "solver"
    assert names[4].startswith("cuda-tests")
    trained = {stage.command[4] for stage in found if stage.command[3] == "train"}
    assert trained == {row.recipe for name in stages.QUEUED for row in TABLES[name].rows}
    for stage in found:
        assert stage.seconds <= stages.LIMIT, stage.name
    seeds = [name for name in names if name.startswith("liang2023-cifar100-haframe-seed")]
    assert [int(name[-1]) for name in seeds] == [0, 1]
    assert names.index(seeds[0]) < names.index("yang2022-cifar100-lt100-ce") < names.index(seeds[1])


def test_cuda_tests_count_only_if_some_ran_and_the_code_is_the_same(tmp_path, monkeypatch):
    found = stages.stages(python="py", root=tmp_path, out=tmp_path)
    stage = next(stage for stage in found if stage.name == "cuda-tests-1")
    assert not stage.done()
    assert not stage.finish("3 skipped in 1 s")
    assert not stage.done()
    assert stage.finish("5 passed, 3 skipped in 1 s")
    assert stage.done()
    monkeypatch.setattr(stages, "sources", lambda: "other")
    assert not stage.done()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "digits-ce", "--batch", "0"], "batch must be an integer of at least 1, got 0"),
        (["bench", "digits-ce", "--images", "3"], "images must be at least 64 for digits-ce"),
        (["gpu", "--list", "--only", "nothing"], "only must be parts of stages' names"),
        (["gpu", "--total", "-1"], "total must be positive seconds, got -1"),
        (["gpu", "--limit", "nan"], "limit must be between 60 and 600 seconds, got nan"),
    ],
)
def test_wrong_numbers_are_told(arguments, message, capsys):
    assert main([*arguments, "--device", "cpu"]) == 2
    assert message in capsys.readouterr().err


def test_a_network_without_convolutions_has_no_floor_of_them(capsys, monkeypatch):
    monkeypatch.setattr(throughput, "MATRIX", {"cpu": 32})
    monkeypatch.setattr(plain, "images_per_second", lambda *_, **__: 1.0)
    assert main(["bench", "digits-ce", "--device", "cpu", "--batch", "16", "--images", "32"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["images_per_second"]["1"] > 0
    assert "times_convolutions" not in row


def test_a_measurement_that_is_stopped_keeps_its_rows(tmp_path, monkeypatch, capsys):
    path, asked = tmp_path / "record.json", []

    def measure(recipe, *, device, rate, N):
        asked.append(recipe.name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return {"recipe": recipe.name, "rate": rate}

    here = {"device": "cpu", "torch": "2", "commit": "a", "dirty": False}
    monkeypatch.setattr(throughput, "provenance", lambda device: here)
    monkeypatch.setattr(throughput, "measure", measure)
    monkeypatch.setattr(throughput, "matrix_rate", lambda *_, **__: float(len(asked) + 1))
    command = ["bench", "digits-ce", "digits-p", "--device", "cpu", "--record", str(path)]
    with pytest.raises(KeyboardInterrupt):
        main(command)
    assert [row["recipe"] for row in json.loads(path.read_text())["rows"]] == ["digits-ce"]
    assert main(command) == 0
    assert asked == ["digits-ce", "digits-p", "digits-p"]
    assert {row["rate"] for row in json.loads(path.read_text())["rows"]} == {1.0}
    assert json.loads(capsys.readouterr().out) == json.loads(path.read_text())
    asked.clear()
    monkeypatch.setattr(throughput, "measure", lambda recipe, **_: {"recipe": recipe.name})
    assert main(command) == 0  # asked for again it is measured again
    assert "rate" not in json.loads(path.read_text())["rows"][0]
