"""What maps prove about their pixels, against closed forms and other algorithms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tolerances import CERTIFIED, EXACT

import ufm
from figures._sphere_newton import minimise as other_minimise
from ufm.geometry import Exponential, learnable_frame_optimum
from ufm.maps import AngleMap, Axis, PhaseMap, SurvivalMap
from ufm.maps._ball_newton import MixRows, angle_bound, ball_gap, minimise
from ufm.maps.survival import survivors
from ufm.solvers import R0


MIXED = ufm.Tree.from_nested([[0, 1, 2, 3], [4, [5, 6]], 7])


class TestPhase:
    @pytest.mark.parametrize(("K_A", "K_B"), [(5, 5), (7, 3), (1, 2), (3, 2)])
    def test_every_pixel_is_certified_and_in_the_phase_of_the_closed_form(self, K_A, K_B):
        map = PhaseMap(K_A, K_B, Axis(1.0, 1e4, 9, "log"), Axis(0.0, 4.0, 8))
        rows = map.solve(map.y.values(), map.method)
        assert rows["certified"].all()
        assert rows["agrees"].all()
        assert rows["decided"].mean() > 0.95
        value = map.optimum(rows["R"].to_numpy(), rows["s"].to_numpy())
        np.testing.assert_allclose(rows["value"], value, rtol=0, atol=CERTIFIED)

    def test_the_phase_changes_at_R0(self):
        edge = float(R0(5, 5, tau=20.0))
        map = PhaseMap(x=Axis(edge * 0.99, edge * 1.01, 2), y=Axis(1.999, 2.001, 1))
        rows = map.solve(map.y.values(), map.method)
        assert rows["phase"].to_list() == ["full", "collapsed"]
        np.testing.assert_allclose(rows["cos_W_B"][1], 1.0, rtol=CERTIFIED)
        assert rows["cos_W_B"][0] < 1 - 1e-4

    def test_contradictions_would_be_seen(self):
        map = PhaseMap(x=Axis(1.0, 1e4, 5, "log"), y=Axis(0.0, 4.0, 4))
        wrong = PhaseMap(7, 3)
        R, s = (v.ravel() for v in np.meshgrid(map.x.values(), map.y.values()))
        assert (map.exact(R, s) != wrong.exact(R, s)).any()

    def test_bad_maps_are_refused(self):
        for arguments in ({"K_B": 1}, {"x": Axis(0.1, 2.0, 4)}):
            with pytest.raises(ValueError, match="must"):
                PhaseMap(**arguments)
        with pytest.raises(ValueError, match="method must be LBFGS"):
            PhaseMap().solve((1.0,), ufm.Newton())


class TestSurvival:
    @pytest.mark.parametrize("counts", ["equal", "class-aware"])
    def test_the_number_of_survivors_is_proved_and_that_of_the_closed_form(self, counts):
        map = SurvivalMap(counts=counts, x=Axis(2e-4, 2e-2, 8, "log"), y=Axis(1, 1e3, 4, "log"))
        rows = map.solve(map.y.values(), map.method)
        assert rows["certified"].all()
        assert rows["decided"].all()
        assert rows["agrees"].all()
        assert rows["rho"].is_sorted()
        assert rows["exact"].n_unique() >= 4

    def test_values_are_those_of_problem_P(self):
        map = SurvivalMap(counts="class-aware", x=Axis(1e-3, 1e-2, 5), y=Axis(20.0, 30.0, 1))
        rows = map.solve(map.y.values(), map.method)
        n, f = (torch.tensor(v, dtype=torch.float64) for v in map.classes(map.y.values()[0]))
        ridge = torch.tensor(map.x.values(), dtype=torch.float64)
        best = learnable_frame_optimum(
            f, n, theta=map.theta, lam_W=ridge * 10**0.5, lam_H=ridge / 10**0.5
        )
        np.testing.assert_allclose(rows["value"], best.value, rtol=CERTIFIED)

    def test_bounds_hold_at_any_accuracy(self):
        """Points far from the optimum prove less, never something wrong."""
        map = SurvivalMap(x=Axis(2e-4, 2e-2, 16, "log"))
        rho, wide = 10.0, 0
        truth = (map.thresholds(rho) > np.array(map.x.values())[:, None]).sum(-1)
        for gtol in (1e-1, 1e-3, 1e-5):
            sol = ufm.solve(map.problems(rho), ufm.LBFGS(gtol=gtol), throw=False)
            least, most = (v.numpy() for v in survivors(sol, ufm.certify(sol)))
            assert (least <= truth).all()
            assert (truth <= most).all()
            wide = max(wide, int((most - least).max()))
        assert wide > 0

    def test_other_problems_are_refused(self):
        sol = ufm.solve(ufm.Problem(K=3, d=2, n=(2, 2, 2)))
        with pytest.raises(ValueError, match="problem must be problem P"):
            survivors(sol, ufm.certify(sol))


class TestAngles:
    @pytest.mark.parametrize("tree", [None, MIXED])
    def test_every_angle_is_proved(self, tree):
        frame = AngleMap().frame if tree is None else ufm.HAFrame(tree, Exponential(2.0))
        map = AngleMap(frame, Axis(0.5, 32.0, 7, "log"), Axis(0.0, 1.0, 7))
        rows = map.solve(map.y.values(), map.method)
        assert rows["certified"].all()
        assert rows["angle"].max() > 5

    def test_angles_are_those_of_another_newton_method_on_the_library_s_loss(self):
        map = AngleMap(
            ufm.HAFrame(MIXED, Exponential(2.0)), Axis(1.0, 8.0, 3, "log"), Axis(0, 1, 3)
        )
        rows, W = map.solve(map.y.values(), map.method), map.rows()
        y, start = torch.arange(len(W)), torch.nn.functional.normalize(W + 0.01, dim=-1)
        for radius, alpha, angle in rows.select("radius", "alpha", "angle").iter_rows():
            loss = ufm.HAFrameMix(alpha=alpha)
            H = other_minimise(
                lambda H, loss=loss: loss.value(H, W, y), radius * start, steps=60, tol=1e-13
            )
            chord = (H / H.norm(dim=-1, keepdim=True) - W).norm(dim=-1).amax()
            assert abs(float(torch.rad2deg(2 * torch.asin(chord / 2))) - angle) < 1e-7

    def test_the_alignment_alone_and_the_flat_tree_have_the_frame(self):
        flat = ufm.HAFrame(ufm.Tree.from_nested(list(range(5))), Exponential(1.0))
        for map in (AngleMap(y=Axis(0.9999999, 1.0, 1)), AngleMap(flat, y=Axis(0, 1, 3))):
            small = AngleMap(map.frame, Axis(0.5, 8.0, 4, "log"), map.y)
            assert small.solve(small.y.values(), small.method)["angle"].max() < 1e-4

    def test_slopes_are_derivatives(self):
        generator = torch.Generator().manual_seed(0)
        W = AngleMap(ufm.HAFrame(MIXED, Exponential(2.0))).rows()
        y, alpha = torch.tensor([0, 3, 7]), torch.tensor([0.0, 0.3, 1.0]).double()
        losses = MixRows.of(W, y, radius=torch.tensor([1.0, 2.0, 3.0]).double(), alpha=alpha)
        H = torch.randn(3, W.shape[1], generator=generator, dtype=torch.float64)
        g, hessian = losses.slopes(H)
        x = H.clone().requires_grad_()
        (auto,) = torch.autograd.grad(losses.value(x).sum(), x)
        torch.testing.assert_close(g, auto, rtol=EXACT, atol=EXACT)
        second = torch.autograd.functional.hessian(lambda x: losses.value(x).sum(), H)
        torch.testing.assert_close(
            hessian, torch.stack([second[i, :, i] for i in range(3)]), rtol=EXACT, atol=EXACT
        )

    def test_bounds_hold_far_from_the_optimum(self):
        """At points off by a known angle the bound is at least that; at the optimum it is tiny."""
        W = AngleMap(ufm.HAFrame(MIXED, Exponential(2.0))).rows()
        y = torch.arange(8)
        radius, alpha = torch.full((8,), 3.0).double(), torch.linspace(0, 1, 8).double()
        losses = MixRows.of(W, y, radius=radius, alpha=alpha)
        best = minimise(losses, W[y], steps=50, tol=1e-13)
        assert float(angle_bound(losses, best).max()) < 1e-12
        generator = torch.Generator().manual_seed(1)
        for size in (1e-6, 1e-3, 0.1):
            off = best + size * torch.randn(best.shape, generator=generator, dtype=torch.float64)
            off = 3 * torch.nn.functional.normalize(off, dim=-1)
            angle = 2 * torch.asin((off - best).norm(dim=-1) / 6)
            assert (angle_bound(losses, off) >= angle).all()
            excess = losses.value(off) - losses.value(best)
            assert (ball_gap(losses.slopes(off)[0], off) >= excess - 1e-14).all()

    def test_bad_maps_are_refused(self):
        with pytest.raises(ValueError, match="y must have weights"):
            AngleMap(y=Axis(0, 2, 4))
        with pytest.raises(ValueError, match="frame must be"):
            AngleMap(ufm.HAFrame(MIXED, Exponential(2.0), E_W=2.0))


@pytest.mark.gpu
@pytest.mark.parametrize("map", [PhaseMap, SurvivalMap, AngleMap])
def test_maps_on_a_card_are_those_of_the_processor(map):
    small = map(x=Axis(1.0, 8.0, 16) if map is not SurvivalMap else Axis(1e-3, 1e-2, 16),
                y=Axis(0.1, 1.0, 8) if map is not SurvivalMap else Axis(1.0, 50.0, 8))  # fmt: skip
    here = small.solve(small.y.values(), small.method)
    there = small.solve(small.y.values(), small.method, device="cuda")
    assert here.columns == there.columns
    assert there["certified"].all()
    assert there["agrees"].all()
    value = "angle" if map is AngleMap else "value"
    np.testing.assert_allclose(there[value], here[value], rtol=CERTIFIED, atol=1e-9)
