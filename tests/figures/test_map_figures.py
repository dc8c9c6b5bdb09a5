"""Figures of maps: drawn from a few pixels, each where its parameters are, in the size asked."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from drawing import check_drawn
from matplotlib.figure import Figure as Canvas
from tolerances import EXACT

from figures import _maps, angle_map, phase_map, survival_map
from figures._registry import registry
from ufm.maps import Axis, PhaseMap


MODULES = {"phase-map": phase_map, "survival-map": survival_map, "angle-map": angle_map}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setenv("UFM_MAP_SIZE", "7")


@pytest.mark.parametrize("id", MODULES)
def test_a_map_is_drawn_and_captioned_with_what_is_proved(id):
    jobs = registry()[id].runs()
    table = pl.concat([job.produce(job.spec).rows for job in jobs], how="diagonal_relaxed")
    assert table.height == 49 * (1 if id == "phase-map" else 2)
    assert table["certified"].all()
    assert table["agrees"].all()
    check_drawn(id, table)
    assert "--size 512" in MODULES[id].caption(table)
    if id != "angle-map":
        assert " 0 pixels contradict" in MODULES[id].caption(table)


def test_pixels_are_where_their_parameters_are():
    map = PhaseMap(x=Axis(1.0, 100.0, 3, "log"), y=Axis(0.0, 2.0, 2))
    x, y = (v.ravel() for v in np.meshgrid(map.x.values(), map.y.values()))
    rows = pl.DataFrame({"R": x, "s": y, "v": x + 1000 * y}).sample(
        fraction=1, shuffle=True, seed=1
    )
    values = _maps.image(rows, map.names, "v")
    assert values.shape == (2, 3)
    mesh = _maps.show(Canvas().subplots(), map, values)
    corners = mesh.get_coordinates()
    np.testing.assert_allclose(
        corners[0, :, 0], [1, 100 ** (1 / 3), 100 ** (2 / 3), 100], rtol=EXACT
    )
    np.testing.assert_allclose(corners[:, 0, 1], [0, 1, 2], rtol=EXACT)
    inside = np.sqrt(corners[:-1, :-1, 0] * corners[1:, 1:, 0])
    np.testing.assert_allclose(values - 1000 * np.array([[0.5], [1.5]]), inside, rtol=1e-9)


def test_a_bad_size_is_refused(monkeypatch):
    for value in ("", "1", "x", "-4"):
        monkeypatch.setenv("UFM_MAP_SIZE", value)
        with pytest.raises(ValueError, match="UFM_MAP_SIZE must be"):
            _maps.size()
