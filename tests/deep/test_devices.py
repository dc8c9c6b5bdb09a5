"""A convolutional network trained side by side, stopped and resumed, on each kind of device."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from training import FULL

from deep.data import load
from deep.model import restore
from deep.models.spec import ResNet
from deep.probe import probe
from deep.run import Outcome
from deep.train import train_many


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.filterwarnings("default")]),
]
CONVOLUTIONS = dataclasses.replace(
    FULL, name="convolutions", network=ResNet(8, widths=(8, 16, 32)), precision="bf16", epochs=2,
    lr=0.1,
)  # fmt: skip


@pytest.mark.parametrize("device", DEVICES)
def test_seeds_side_by_side_stop_and_go_on(tmp_path, device):
    whole = train_many(CONVOLUTIONS, (0, 1), device=device, out=tmp_path / "whole")
    stopped = train_many(CONVOLUTIONS, (0, 1), device=device, out=tmp_path / "parts", limit=0.0)
    parts = train_many(CONVOLUTIONS, (0, 1), device=device, out=tmp_path / "parts")
    assert {result.outcome for result in stopped} == {Outcome.INTERRUPTED}
    data = load(CONVOLUTIONS.data)
    for a, b in zip(whole, parts, strict=True):
        assert a.outcome is b.outcome is Outcome.FINISHED
        engine = "compiled, captured" if device == "cuda" else "eager"
        assert {row["engine"] for row in a.rows + b.rows} == {engine}
        row = a.rows[-1]
        assert row["test"] > 0.3  # chance is 0.1
        # On CUDA sums have no fixed order: numbers drift apart, and stay in the same place.
        drift = 0.1 if device == "cuda" else 0.0
        assert abs(row["test"] - b.rows[-1]["test"]) <= drift
        assert abs(row["loss"] - b.rows[-1]["loss"]) <= drift * row["loss"]
        # What was counted on the device, in its precision, is what the checkpoint decides.
        found = restore(a.folder)
        with torch.no_grad():
            seen = probe(found.model, data.test, mean=data.mean, std=data.std)
        assert abs(seen["accuracy"] - row["test"]) <= (0.03 if device == "cuda" else 1e-9)
        assert row["together"] == (2 if device == "cuda" else 1)
