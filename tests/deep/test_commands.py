"""The commands probe and fit on saved features."""

from __future__ import annotations

import argparse
import json

import pytest
import torch

import ufm
from deep import fit_command, probe_command, saved
from deep.saved import Saved


@pytest.fixture
def file(tmp_path):
    problem = ufm.Problem(K=3, d=3, n=(6, 6, 2), reg=ufm.WeightDecay(4e-3, 1e-3))
    sol = ufm.solve(problem)[0]
    y = torch.tensor(problem.labels(problem.N))
    saved.write(tmp_path / "features.npz", Saved(sol.H.mT[y], y, sol.W, torch.zeros(3)))
    return tmp_path / "features.npz"


def called(module, *words: str) -> int:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module.run(parser.parse_args(words))


def test_probe_writes_columns_and_json(file, capsys):
    assert called(probe_command, str(file)) == 0
    text = capsys.readouterr().out
    assert "nc1_quot" in text
    assert "gram_H" not in text
    assert called(probe_command, str(file), "--json") == 0
    row = json.loads(capsys.readouterr().out)["saved"]
    assert row["accuracy"] == 1
    assert len(row["gram_H"]) == 3


def test_fit_writes_prediction_beside_measurement_and_says_which_model_explains(file, capsys):
    assert called(fit_command, str(file), "--models", "decay", "class-decay") == 0
    text = capsys.readouterr().out
    assert "decay: WeightDecay(lam_W=0.004" in text
    assert "certified" in text
    assert "class-decay" in text
    assert "does NOT explain" in text
    assert "nc3_self_dual" in text
    assert called(fit_command, str(file), "--models", "decay", "--json") == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert models[0]["strengths"]["lam_H"] == pytest.approx(1e-3, rel=1e-5)  # unpolished


def test_fit_of_random_features_exits_with_one(tmp_path, capsys):
    X, W = torch.randn(30, 3), torch.randn(3, 3)
    saved.write(tmp_path / "r.npz", Saved(X, torch.arange(30) % 3, W, torch.zeros(3)))
    assert called(fit_command, str(tmp_path / "r.npz"), "--models", "budget") == 1
    assert "does NOT explain" in capsys.readouterr().out


def test_centred_features_have_the_same_logits_and_no_mean(file):
    before = saved.read(file)
    after = saved.centred(before)
    X = before.features.double() + 3
    moved = saved.centred(Saved(X, before.labels, before.W, before.bias))
    means = torch.stack([moved.features[moved.labels == k].mean(0) for k in range(3)])
    assert float(means.mean(0).norm()) < 1e-12
    torch.testing.assert_close(moved.scores(moved.features), before.scores(X))
    torch.testing.assert_close(after.features, moved.features)
