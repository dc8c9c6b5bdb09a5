"""Figures on hierarchy-aware frames: drawn from small tables, and what their numbers mean."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
import torch
from drawing import check_drawn
from tolerances import CERTIFIED, EXACT

import ufm
from figures import frame_angles, hierarchy_gram, similarity_limit
from figures._sphere_newton import ball_gap, minimise
from figures.frame_angles import AngleSweep, convex_gradient, rows_of
from ufm.geometry import similarity_matrix


RADII = (1.0, 4.0, 16.0)


def _table(jobs) -> pl.DataFrame:
    return pl.concat([job.produce(job.spec).rows for job in jobs], how="diagonal_relaxed")


def gram_table() -> pl.DataFrame:
    return _table(hierarchy_gram.runs())


def limit_table() -> pl.DataFrame:
    return _table(
        job._replace(
            spec=dataclasses.replace(
                job.spec, subject=dataclasses.replace(job.spec.subject, gammas=(0.5, 2.0, 5.0))
            )
        )
        for job in similarity_limit.runs()
    )


def angle_table() -> pl.DataFrame:
    return _table(
        job._replace(
            spec=dataclasses.replace(
                job.spec, subject=dataclasses.replace(job.spec.subject, radii=RADII)
            )
        )
        if job.spec.kind == "frame-angle"
        else job
        for job in frame_angles.runs()
    )


TABLES = {
    "frame-angles": angle_table,
    "hierarchy-gram": gram_table,
    "similarity-limit": limit_table,
}


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    return {id: make() for id, make in TABLES.items()}


@pytest.mark.parametrize("id", TABLES)
def test_a_figure_is_drawn_labelled_and_captioned_without_touching_its_table(id, tables):
    check_drawn(id, tables[id])


def test_the_cosines_drawn_are_those_of_the_tree_at_s_star(tables):
    rows, s = tables["hierarchy-gram"], -0.3057392
    expected = [(1 - s) * np.exp(-2 * d / 5) + s for d in range(6)]
    # s* is known to seven digits.
    np.testing.assert_allclose(hierarchy_gram.steps(rows), expected, atol=1e-7)
    np.testing.assert_allclose(hierarchy_gram.steps(rows, "etf"), [1, -1 / 99], atol=1e-9)


def test_the_classes_are_drawn_in_the_order_of_the_tree(tables):
    rows = tables["hierarchy-gram"].filter(part="cosine", frame="hierarchy").sort("i", "j")
    drawn = rows["value"].to_numpy().reshape(100, 100)
    order = list(ufm.hierarchy.load("cifar100_level5").leaf_order)
    S = similarity_matrix(ufm.hierarchy.load("cifar100_level5"), ufm.geometry.Exponential(2.0))
    np.testing.assert_allclose(drawn, S.numpy()[np.ix_(order, order)], atol=EXACT)
    # The negative control: in the order of the labels it is another matrix.
    assert np.abs(drawn - S.numpy()).max() > 0.5


def test_limits_and_grid_values_are_the_known_ones(tables):
    at = tables["similarity-limit"].filter(gamma=2.0)
    known = {
        "caterpillar, $K=16$": (-0.365643, -0.358923),
        "CIFAR-100, 20 superclasses": (-0.181033, -0.180084),
        "CIFAR-100, five levels": (-0.305739, -0.300071),
    }
    for name, values in known.items():
        for part, value in zip(("exact", "grid"), values, strict=True):
            # The known values have six decimals.
            assert at.filter(name=name, part=part)["s"][0] == pytest.approx(value, abs=1e-6)


def test_the_flat_tree_is_the_simplex_etf_at_every_rate_and_the_grid_misses_it(tables):
    flat = similarity_limit.lost(tables["similarity-limit"]).filter(name="flat, $K=10$")
    np.testing.assert_allclose(flat["best"], -1 / 9, rtol=EXACT)
    assert (flat["far"] > flat["best"] + 1e-4).all()


@pytest.mark.parametrize(
    ("tree", "loss", "angles"),
    [
        ("balanced", "ce", (3.98, 11.82, 19.76)),
        ("mixed", "ce", (12.24, 19.38, 25.98)),
        ("balanced", "mix", (1.39, 3.86, 0.0063)),
        ("mixed", "mix", (3.54, 5.76, 0.0095)),
    ],
)
def test_angles_are_the_known_ones(tables, tree, loss, angles):
    rows = tables["frame-angles"].filter(tree=tree, loss=loss).sort("radius")
    # Known to two digits after the point, below it to two digits.
    np.testing.assert_allclose(rows["angle"], angles, rtol=0.01, atol=0.006)
    assert rows["certified"].all()


@pytest.mark.parametrize(("tree", "angle"), [("flat", 0.0), ("balanced", 24.46), ("mixed", 30.24)])
def test_directions_of_largest_margin_are_the_known_ones(tables, tree, angle):
    row = tables["frame-angles"].filter(tree=tree, loss="margin")
    assert row["angle"][0] == pytest.approx(angle, abs=0.006)
    assert row["certified"][0]


def test_the_calibrated_targets_reach_the_frame_at_their_norm_and_not_below(tables):
    rows = tables["frame-angles"].filter(loss="targets").filter(pl.col("tree") != "flat")
    below, above = rows.filter(radius=1.0), rows.filter(radius=16.0)
    assert below["angle"].to_numpy().min() > 1
    assert above["angle"].to_numpy().max() < 1e-8
    np.testing.assert_allclose(above["norm"], frame_angles.BETA, rtol=CERTIFIED)


def test_newton_on_spheres_agrees_with_the_certified_solver():
    frame = ufm.HAFrame(frame_angles.TREES["mixed"], ufm.geometry.Exponential(2.0))
    method = ufm.LBFGS(gtol=1e-12)
    spec = ufm.runs.RunSpec("frame-angle", AngleSweep("mixed", frame, RADII), method)
    mix = AngleSweep("mixed", frame, RADII, "mix", alpha=0.0)
    certified = frame_angles.solved_angles(spec).rows
    newton = frame_angles.sphere_angles(ufm.runs.RunSpec("frame-angle", mix, ufm.Newton())).rows
    np.testing.assert_allclose(newton["angle"], certified["angle"], rtol=1e-6)


def test_the_convex_extension_has_the_gradient_of_the_loss_along_the_sphere():
    frame = ufm.HAFrame(frame_angles.TREES["mixed"], ufm.geometry.Exponential(2.0))
    W, y = rows_of(frame), torch.arange(8)
    H = 3 * torch.nn.functional.normalize(W + 0.3 * W.roll(2, 0), dim=-1)
    H.requires_grad_()
    (g,) = torch.autograd.grad(ufm.HAFrameMix(alpha=0.4).value(H, W, y).sum(), H)
    extended = convex_gradient(AngleSweep("mixed", frame, alpha=0.4), W, H.detach())
    unit = torch.nn.functional.normalize(H.detach(), dim=-1)
    for one in (g, extended):
        one -= (one * unit).sum(-1, keepdim=True) * unit
    torch.testing.assert_close(g, extended, rtol=1e-10, atol=1e-12)


def test_a_frank_wolfe_gap_is_zero_at_the_optimum_and_bounds_the_excess_elsewhere():
    target = torch.tensor([[3.0, 4.0], [3.0, 4.0]], dtype=torch.float64)
    H = torch.tensor([[0.6, 0.8], [1.0, 0.0]], dtype=torch.float64)
    gap = ball_gap(2 * (H - target), H)
    excess = (H - target).square().sum(-1) - 16
    assert gap[0] == pytest.approx(0, abs=EXACT)
    assert gap[1] >= excess[1] > 3


def test_newton_minimises_a_quadratic_on_the_sphere():
    A = torch.diag(torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64))
    b = torch.tensor([0.3, -1.0, 0.4], dtype=torch.float64)
    H = torch.nn.functional.normalize(torch.ones(1, 3, dtype=torch.float64)) * 2

    def value(H):
        return ((H @ A) * H).sum(-1) / 2 - H @ b

    h = minimise(value, H, steps=50, tol=1e-13)[0]
    slope = A @ h - b
    multiplier = (slope @ h) / 4
    torch.testing.assert_close(slope, multiplier * h, rtol=1e-10, atol=1e-10)
    # Global on the sphere iff A - multiplier I is positive semidefinite.
    assert multiplier <= 1
    assert h.norm() == pytest.approx(2, rel=EXACT)
