"""Checkpoints: whole or not at all, data only, of one recipe."""

from __future__ import annotations

import dataclasses
import os
import pickle

import pytest
import torch
from training import SMALL

from deep import checkpoint
from deep.methods import ETFDR


STATE = {"seed": 3, "x": torch.arange(3.0), "rows": "[]"}


def test_round_trip(tmp_path):
    checkpoint.save(tmp_path / checkpoint.NAME, STATE, recipe=SMALL)
    state = checkpoint.load(tmp_path, recipe=SMALL, seed=3)
    assert torch.equal(state["x"], STATE["x"])
    renamed = dataclasses.replace(SMALL, name="other", source="there", probe_every=7)
    assert checkpoint.load(tmp_path, recipe=renamed)["seed"] == 3


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_kill_while_writing_leaves_the_previous_one(tmp_path, monkeypatch, moment):
    path = tmp_path / checkpoint.NAME
    checkpoint.save(path, STATE, recipe=SMALL)

    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    if moment == "fsync":
        monkeypatch.setattr(os, "fsync", kill)
    else:
        monkeypatch.setattr(type(path), "replace", kill)
    with pytest.raises(Killed):
        checkpoint.save(path, STATE | {"seed": 4}, recipe=SMALL)
    monkeypatch.undo()
    assert checkpoint.load(path)["seed"] == 3
    assert [file.name for file in tmp_path.iterdir()] == [checkpoint.NAME]


def test_another_recipe_is_refused_by_name(tmp_path):
    path = tmp_path / checkpoint.NAME
    checkpoint.save(path, STATE, recipe=SMALL)
    other = dataclasses.replace(SMALL, name="other", lr=0.2, method=ETFDR())
    with pytest.raises(ValueError, match=r"recipe 'other', .* is of 'small' \(method=.*lr differ"):
        checkpoint.load(path, recipe=other)
    with pytest.raises(ValueError, match=r"must be of seed 4, .* is of seed 3"):
        checkpoint.load(path, recipe=SMALL, seed=4)


@pytest.mark.parametrize("size", [0, 100, 400, -30])
def test_a_torn_file_is_named(tmp_path, size):
    path = tmp_path / checkpoint.NAME
    checkpoint.save(path, STATE, recipe=SMALL)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"checkpoint must be a whole file, got .*checkpoint\.pt"):
        checkpoint.load(path)


def test_a_changed_byte_is_noticed(tmp_path):
    path, weights = tmp_path / checkpoint.NAME, torch.arange(1000.0)
    checkpoint.save(path, {"model": weights, "seed": 3}, recipe=SMALL)
    data = bytearray(path.read_bytes())
    data[data.index(weights.numpy().tobytes()) + 2000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"whole file, got .*checkpoint\.pt .*delete it"):
        checkpoint.load(path, recipe=SMALL)
    with pytest.raises(ValueError, match=r"wrong checksum of .*\)$"):  # not what to do with others'
        checkpoint.load(path)


def test_a_missing_file_is_not_a_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*none\.pt"):
        checkpoint.load(tmp_path / "none.pt")
    with pytest.raises(FileNotFoundError, match=r"must be a run's and hold checkpoint\.pt"):
        checkpoint.load(tmp_path)


def test_nothing_but_data_is_unpickled(tmp_path):
    path = tmp_path / checkpoint.NAME

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    torch.save({"format": 1, "x": Evil()}, path)
    with pytest.raises(ValueError, match="checkpoint must be a whole file"):
        checkpoint.load(path)
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(ValueError, match="checkpoint"):
        checkpoint.load(path)
    assert not (tmp_path / "evil").exists()


def test_another_format_is_refused(tmp_path):
    for state, message in (
        ({"format": 0, "recipe": {}}, "format 1, .* has 0"),
        ({}, "must be one"),
    ):
        torch.save(state, tmp_path / "a.pt")
        with pytest.raises(ValueError, match=message):
            checkpoint.load(tmp_path / "a.pt")
