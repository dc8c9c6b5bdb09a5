"""The page of networks: optima of models beside networks, and tables that agree with the files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from deep import geometry_table, results
from deep.frame_fit import predict_on_frame
from deep.methods import CentersMSE
from deep.optimum import final_loss, network_of, optimum_of
from deep.published import find as table
from deep.recipes import find
from ufm.losses import FeatureLoss


PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
MAKE = "python -m deep.geometry_table docs/networks.md"
# Seconds: directions found by descent.
SLOW = {"HAFrame"}


def first(name: str) -> results.Stored:
    stored = results.read(find(name), 0)
    assert stored is not None
    return stored


@pytest.mark.parametrize("name", ["digits-ce", "digits-lt-haframe", "fashion-lt-ce"])
def test_gram_matrices_give_back_what_the_probe_measured_on_the_means(name):
    stored = first(name)
    row, found = stored.final["train"], network_of(stored).as_row()
    for key in ("nc2_etf_err", "nc2_equinorm", "nc3_self_dual", "angle_mean", "angle_max"):
        assert found[key] == pytest.approx(row[key], rel=1e-3)


def test_on_a_fixed_etf_the_optimum_is_the_frame():
    found = optimum_of(first("digits-lt-etf-dr"))
    assert found is not None
    row = found.as_row()
    assert row["angle_max"] < 1e-6
    assert row["nc2_etf_err"] < 1e-4  # the file has six digits


def test_nearly_orthogonal_rows_are_not_what_cross_entropy_wants():
    # Rows with cosine -1/63: the optimum is the centred rows, by symmetry, and by descent.
    stored = first("digits-rbl")
    found = optimum_of(stored)
    assert found is not None
    descent = predict_on_frame(network_of(stored), final_loss(stored)).predicted
    assert float((descent - found.angles).abs().max()) < 1e-2
    mean = (1 - 9 / 63) / 10
    expected = math.degrees(math.acos(math.sqrt(1 - mean)))
    assert found.as_row()["angle_mean"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", ["digits-p", "digits-lt-p"])
def test_lengths_of_several_centers_are_stationary(name):
    stored = first(name)
    found, loss = optimum_of(stored), final_loss(stored)
    assert found is not None
    assert isinstance(find(name).method, CentersMSE)
    assert isinstance(loss, FeatureLoss)
    assert found.classifier.centers is not None
    H = found.moments.mean.clone().requires_grad_()
    loss.value(H, found.classifier.centers, torch.arange(len(H))).sum().backward()
    assert H.grad is not None
    assert float(H.grad.abs().max()) < 1e-12


def test_a_layer_peeled_optimum_under_a_long_tail_is_near_the_etf_and_not_it():
    found = optimum_of(first("digits-lt-ce"))
    assert found is not None
    assert 0.01 < found.as_row()["nc2_etf_err"] < 0.1


@pytest.mark.parametrize("name", ["digits", "digits-lt", "fashion-lt"])
def test_the_page_shows_the_networks_as_the_files_have_them(name):
    text = PAGE.read_text("utf-8")
    for row in table(name).rows:
        if row.label not in SLOW:
            cells = geometry_table.geometry_line(row)
            assert f"| {' | '.join(cells)} |\n" in text, MAKE


def test_the_page_shows_every_table_as_the_files_have_it():
    text = PAGE.read_text("utf-8")
    for name in ("digits", "digits-lt", "fashion-lt", "cifar10-lt", "cifar100-lt", "lt-other",
                 "centers10", "centers100", "haframe"):  # fmt: skip
        block = f"<!-- accuracy {name} -->\n\n{geometry_table.accuracy(name)}\n<!-- end -->"
        assert block in text, MAKE


def test_filling_keeps_the_text_and_is_idempotent(tmp_path):
    text = "# Page\n\n<!-- accuracy fashion-lt -->\nold\n<!-- end -->\n\nLast.\n"
    made = geometry_table.filled(text, tmp_path)
    assert made.startswith("# Page\n\n<!-- accuracy fashion-lt -->\n")
    assert made.endswith("<!-- end -->\n\nLast.\n")
    assert "old" not in made
    assert made.count("not yet run") == 3
    assert geometry_table.filled(made, tmp_path) == made


def test_what_has_no_results_has_no_numbers(tmp_path):
    cells = geometry_table.geometry_line(table("digits").rows[0], tmp_path)
    assert cells == ["CE", "not yet run", *["-"] * 9]
