"""Anybody's saved features: round trip, and one clear line for what is wrong with a file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deep import saved
from deep.probe import probe_saved


GOOD = {
    "features": np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32),
    "labels": np.array([0, 1, 2, 0, 1, 2]),
    "W": np.random.default_rng(1).normal(size=(3, 4)),
}


def written(path, **changes):
    arrays = {name: array for name, array in (GOOD | changes).items() if array is not None}
    np.savez(path / "file.npz", **arrays)
    return path / "file.npz"


def test_round_trip(tmp_path):
    first = saved.read(written(tmp_path, bias=np.arange(3.0)))
    saved.write(tmp_path / "again.npz", first)
    second = saved.read(tmp_path / "again.npz")
    for name in ("features", "labels", "W", "bias"):
        assert bool((getattr(first, name) == getattr(second, name)).all())
    assert second.n == (2, 2, 2)
    assert second.has_bias
    assert not second.normalised


def test_normalised_features_have_length_one_where_they_are_measured(tmp_path):
    file = saved.read(written(tmp_path, normalised=np.bool_(True)))
    ((X, _),) = file.batches()
    torch.testing.assert_close(X.norm(dim=-1), torch.ones(6, dtype=torch.float64))
    assert probe_saved(file)["E_H"] == pytest.approx(1)


BAD = {
    "no W": ({"W": None}, "got no W"),
    "no labels": ({"labels": None}, "got no labels"),
    "shape": ({"features": np.ones(6)}, r"features must have shape \(N, d\)"),
    "rows": ({"W": np.ones((3, 5))}, "W must have shape"),
    "NaN": ({"features": np.full((6, 4), np.nan)}, "features must be finite"),
    "integers": ({"features": np.ones((6, 4), dtype=int)}, "floating-point"),
    "too few labels": ({"labels": np.arange(3)}, "labels must be 6 integers"),
    "float labels": ({"labels": np.zeros(6)}, "labels must be 6 integers"),
    "out of range": ({"labels": np.array([0, 1, 2, 3, 0, 0])}, r"0\.\.2, got 0\.\.3"),
    "empty class": ({"labels": np.array([0, 0, 1, 1, 0, 0])}, "class 2 has no sample"),
    "bias": ({"bias": np.ones(4)}, r"bias must have shape \(K,\)"),
    "flag": ({"normalised": np.array("yes")}, "normalised must be one true or false"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said(name: str, tmp_path):
    changes, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        saved.read(written(tmp_path, **changes))


def test_files_that_are_no_archive(tmp_path):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"complete \.npz file"):
        saved.read(path)
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"\.npz file of named arrays"):
        saved.read(tmp_path / "one.npy")
    np.savez(tmp_path / "objects.npz", features=np.array([{}], dtype=object), **{
        name: GOOD[name] for name in ("labels", "W")
    })  # fmt: skip
    with pytest.raises(ValueError, match="plain arrays"):
        saved.read(tmp_path / "objects.npz")
