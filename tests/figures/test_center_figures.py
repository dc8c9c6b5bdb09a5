"""Figures on several centers a class: drawn from small tables, and what their numbers mean."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import polars as pl
import pytest
import torch
from drawing import check_drawn
from scipy.special import ndtr
from tolerances import CERTIFIED, EXACT, SOLVED

import ufm
from figures import (
    center_collapse,
    center_counts,
    center_survival,
    decision_rules,
    multicenter_3d,
)
from figures._cosine_flow import flow
from ufm.geometry import multicenter_frame
from ufm.losses import CosineRegression


def _table(runs, change=lambda subject: subject) -> pl.DataFrame:
    specs = [(job, dataclasses.replace(job.spec, subject=change(job.spec.subject))) for job in runs]
    return pl.concat([job.produce(spec).rows for job, spec in specs], how="diagonal_relaxed")


def collapse_table() -> pl.DataFrame:
    times = (0.0, 1e-3, 0.1, 1.0, 10.0, 100.0)

    def fewer(subject):
        frame = dataclasses.replace(subject.frame, f=subject.frame.f[::4])
        return dataclasses.replace(subject, frame=frame, n=(3, 3, 3), times=times)

    return _table(center_collapse.runs(), fewer)


def survival_table() -> pl.DataFrame:
    return _table(
        center_survival.runs(),
        lambda sweep: dataclasses.replace(sweep, ridges=(0.01, math.sqrt(1e-3), 0.06)),
    )


def rules_table() -> pl.DataFrame:
    def fewer(recipe):
        noise = (3e-3, 0.05, 10.0) if recipe.noise else ()
        return dataclasses.replace(recipe, noise=noise, draws=2000 * (recipe.draws > 0))

    return _table(decision_rules.runs(), fewer)


def block_table() -> pl.DataFrame:
    def shorter(subject):
        if isinstance(subject, multicenter_3d.CenterAngles):
            return subject
        return dataclasses.replace(subject, starts=4, times=(0.0, 1.0, 30.0))

    return _table(multicenter_3d.runs(), shorter)


TABLES = {
    "center-collapse": collapse_table,
    "center-counts": lambda: _table(center_counts.runs()),
    "center-survival": survival_table,
    "decision-rules": rules_table,
    "multicenter-3d": block_table,
}


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    return {id: make() for id, make in TABLES.items()}


@pytest.mark.parametrize("id", TABLES)
def test_a_figure_is_drawn_labelled_and_captioned_without_touching_its_table(id, tables):
    check_drawn(id, tables[id])


def test_the_counts_drawn_are_the_known_ones(tables):
    rows = tables["center-counts"].filter(data="CIFAR-10-LT", rho=100.0).sort("k")
    known = {
        "small": [1, 2, 3, 4, 7, 11, 18, 29, 47, 78],
        "large": [2, 3, 4, 5, 7, 11, 17, 28, 46, 77],
    }
    for rule, f in known.items():
        assert rows.filter(rule=rule)["f"].to_list() == f
    assert (tables["center-counts"].group_by("data", "rho", "rule").agg(pl.col("f").mean())["f"]
            == center_counts.CENTERS).all()  # fmt: skip


def test_counts_topped_up_at_the_large_end_fall_somewhere_and_the_others_nowhere(tables):
    found = center_counts.evenness(tables["center-counts"])
    broken = found.filter(~pl.col("monotone"))
    assert broken.select("data", "rho", "rule").rows() == [
        ("CIFAR-100-LT", 50.0, "large"),
        ("CIFAR-100-LT", 200.0, "large"),
    ]


def test_the_flow_of_a_class_by_itself_is_that_of_the_whole_loss():
    parts = multicenter_frame(ufm.MultiCenter((1, 3), 0.4))
    generator = torch.Generator().manual_seed(0)
    H = torch.randn(4, parts.W.shape[1], generator=generator, dtype=torch.float64)
    y, loss = torch.tensor([0, 1, 1, 0]), CosineRegression()
    path = flow(loss, parts, H, y=y, times=(0.0, 0.5))

    def slope(x):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(loss.value(x, parts, y).sum(), x)[0]

    x, step = H, 0.5 / 200
    for _ in range(200):  # Heun's method, second order
        first = slope(x)
        x = x - step / 2 * (first + slope(x - step * first))
    # Heun's error at this step.
    torch.testing.assert_close(path[-1], x, rtol=1e-5, atol=1e-5)


def test_collapse_ends_where_it_is_predicted_to(tables):
    rows = tables["center-collapse"]
    assert rows["length"].to_numpy().max() < 1e-7  # unit features keep their length
    al, cal = (rows.filter(loss=name).sort("time") for name in ("AL", "CAL"))
    assert al["sigma"][-1] == pytest.approx(al["limit"][-1], abs=1e-8)
    assert al["nc_ave"][-1] < 1e-15
    # The first correction of the quartic tail is of order log(t)/t.
    assert cal["nc_ave"][-1] * 100 == pytest.approx(cal["tail"][-1], rel=0.05)
    assert al["tail"][-1] == 0


def test_solved_shares_are_on_the_lines_and_classes_go_one_by_one(tables):
    rows = tables["center-survival"]
    assert rows.filter(part="solved")["certified"].all()
    assert center_survival.disagreement(rows) < SOLVED
    # lam_W = .1, lam_H = .01: equal counts lose two classes, class-aware ones none.
    at = rows.filter(part="exact", ridge=math.sqrt(1e-3))
    alive = {name: own.filter(pl.col("share") > 0).height for (name,), own in at.group_by("counts")}
    assert alive == {"equal": 2, "class-aware": 4, "proportional": 4}


def test_the_probabilities_of_a_rule_sum_to_one_and_hold_in_the_draws(tables):
    rows = tables["decision-rules"]
    total = rows.group_by("part", "rule", "noise").agg(pl.col("probability").sum())
    # The quadrature's error.
    np.testing.assert_allclose(total["probability"], 1, atol=1e-5)
    held, count = decision_rules.covered(rows)
    assert held >= count - 5
    line = rows.filter(part="exact").select("noise", "rule", "k", right="probability")
    both = rows.filter(pl.col("noise").is_not_nan(), part="drawn").join(
        line, on=["noise", "rule", "k"]
    )
    far = (both["probability"] - both["right"]).to_numpy()
    assert np.abs(far).max() < 5 * math.sqrt(0.25 / 2000)


def test_at_small_noise_only_the_class_of_fewest_centers_is_picked(tables):
    low = tables["decision-rules"].filter(part="exact", noise=3e-3, k=1)
    found = dict(low.select("rule", "probability").iter_rows())
    assert found["gcr"] > 0.999
    assert found["mean"] > 0.999
    assert found["rcr"] == 0.1


def test_the_distribution_of_the_best_center_in_known_cases():
    score, f = np.linspace(-4, 4, 81), np.array([1.0, 7.0])
    flat = decision_rules.best_center(score, f, 0.0)
    np.testing.assert_allclose(flat, [ndtr(score), ndtr(score) ** 7], atol=EXACT)
    np.testing.assert_allclose(
        decision_rules.best_center(score, f, 0.6)[0], ndtr(score), atol=CERTIFIED
    )


def test_the_winner_in_known_cases():
    score = np.linspace(-9, 9, 8001)
    f = np.array([1.0, 3.0, 6.0])
    best = decision_rules.best_center(score, f, 0.0)
    # f_k / F without an offset: the formula of the toy model, by another way.
    np.testing.assert_allclose(decision_rules.winner(score, best, np.zeros(3)), f / 10, atol=SOLVED)
    normal = np.tile(ndtr(score), (2, 1))
    np.testing.assert_allclose(
        decision_rules.winner(score, normal, np.array([1.0, 0.0])),
        [ndtr(1 / math.sqrt(2)), ndtr(-1 / math.sqrt(2))], atol=SOLVED,
    )  # fmt: skip


def test_the_preference_turns_at_the_known_noise():
    # theta = .2, K = 4, f = 5 against 2 at equal scores of w: variance .0154.
    score, f = np.linspace(-9, 9, 8001), np.array([5.0, 2.0])
    best = decision_rules.best_center(score, f, 0.0)
    far = math.cos(0.2) / (f * 4)
    for noise, wins in ((0.0154, 0.5), (0.01, None), (0.02, None)):
        found = decision_rules.winner(score, best, far / math.sqrt(noise))[0]
        if wins is None:
            assert (found > 0.5) == (noise > 0.0154)
        else:
            assert found == pytest.approx(wins, abs=2e-3)  # .0154 is rounded


def test_the_angles_of_the_mean_are_those_of_the_formulas(tables):
    rows = tables["multicenter-3d"].filter(part="angle")
    np.testing.assert_allclose(rows["degrees"], rows["formula"], atol=1e-6)
    at = dict(rows.filter(f=20, theta=0.2).select("name", "degrees").iter_rows())
    assert math.cos(math.radians(at["to_class"])) == pytest.approx(0.6716, abs=5e-5)
    assert math.cos(math.radians(at["to_center"])) == pytest.approx(0.2958, abs=5e-5)


def test_features_of_a_class_go_to_the_mean_and_to_no_center(tables):
    rows = tables["multicenter-3d"]
    assert multicenter_3d.distance(rows) < 1e-4
    centers = rows.filter(part="center", theta=0.2).select("x", "y", "z").to_numpy()
    mean = rows.filter(part="mean", theta=0.2).select("x", "y", "z").to_numpy()
    assert np.degrees(np.arccos(centers @ mean.T)).min() > 40
