"""What every loss on features must do: gradients, frames of any kind, degenerate features."""

from __future__ import annotations

import json

import pytest
import torch
from tolerances import EXACT
from torch.testing import assert_close

import ufm
from ufm._spec import canonical, decode
from ufm.geometry import Centers, multicenter_frame
from ufm.losses import (
    AttractionRepulsion,
    BatchDotRegression,
    CenterRegression,
    CosineAlignment,
    CosineRegression,
    FeatureLoss,
    FrameTargets,
    HAFrameMix,
    mixup,
)
from ufm.losses._features import unit_rows


LOSSES = [
    CosineAlignment(),
    HAFrameMix(0.4),
    FrameTargets(3.0),
    CosineRegression(),
    CosineRegression("one", lam=0.1),
    CenterRegression(mean_centers=2.0, lam=0.1),
    BatchDotRegression(),
    BatchDotRegression("paper", n=(4, 3, 2), norm_penalty=0.1),
    AttractionRepulsion(),
    AttractionRepulsion((4, 3, 2)),
]
PARTS = multicenter_frame(ufm.MultiCenter((1, 2, 3), 0.4))
Y = torch.tensor([0, 1, 2, 0, 0])


def features(size: float = 1.0, *, seed: int = 0) -> torch.Tensor:
    return size * torch.randn(
        5, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def in_type(frame: torch.Tensor | Centers, dtype: torch.dtype) -> torch.Tensor | Centers:
    if isinstance(frame, torch.Tensor):
        return frame.to(dtype)
    return Centers(frame.W.to(dtype), frame.centers.to(dtype), frame.owner)


@pytest.mark.parametrize("frame", [PARTS, PARTS.W], ids=["centers", "rows"])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
class TestEveryLoss:
    @pytest.mark.parametrize("label", [3, -1])
    def test_labels_absent_from_the_frame_are_refused(self, loss: FeatureLoss, frame, label):
        """Compared only, an unknown label would be a sample of no class, or NaN."""
        with pytest.raises((IndexError, RuntimeError), match=r"out of (range|bounds)"):
            loss.value(features(), frame, torch.tensor([0, 1, 2, 0, label]))

    def test_gradient(self, loss: FeatureLoss, frame):
        # Dot regression takes the length for a constant: only on unit features is it one.
        unit = isinstance(loss, BatchDotRegression)

        def value(x):
            x = torch.nn.functional.normalize(x, dim=-1) if unit else x
            return loss.value(x, frame, Y)

        torch.autograd.gradcheck(value, features().requires_grad_())

    def test_zero_and_huge_features_are_finite(self, loss: FeatureLoss, frame):
        for dtype in (torch.float32, torch.float64):
            x = torch.cat([torch.zeros(2, 9), features(1e4)[2:]]).to(dtype).requires_grad_()
            value = loss.value(x, in_type(frame, dtype), Y)
            (grad,) = torch.autograd.grad(value.sum(), x)
            assert value.shape == (5,)
            assert value.dtype == dtype
            assert value.isfinite().all()
            assert grad.isfinite().all()
            assert grad.abs().max() < 1e6

    def test_samples_of_a_batch_mix_through_its_counts_only(self, loss: FeatureLoss, frame):
        whole = loss.value(features(), frame, Y)
        one = torch.cat([loss.value(features()[[i]], frame, Y[[i]]) for i in range(5)])
        by_counts = loss in (BatchDotRegression(), AttractionRepulsion())
        assert bool((whole - one).abs().max() > 1e-3) == by_counts
        assert by_counts or bool((whole - one).abs().max() < EXACT)

    def test_is_a_spec(self, loss: FeatureLoss, frame):
        assert decode(json.loads(canonical(loss))) == loss

    def test_mixup_is_linear(self, loss: FeatureLoss, frame):
        other = torch.tensor([1, 0, 0, 2, 0])
        first, second = loss.value(features(), frame, Y), loss.value(features(), frame, other)
        mixed = mixup(loss, features(), frame, y=(Y, other), lam=0.25)
        assert_close(mixed, 0.25 * first + 0.75 * second, rtol=EXACT, atol=EXACT)


def test_rotations_change_nothing():
    gaussian = torch.randn(9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    R = torch.linalg.qr(gaussian)[0]
    turned = Centers(PARTS.W @ R, PARTS.centers @ R, PARTS.owner)
    for loss in LOSSES:
        expected = loss.value(features(), PARTS, Y)
        assert_close(loss.value(features() @ R, turned, Y), expected, rtol=1e-10, atol=1e-11)


def test_direction_losses_ignore_the_length():
    for loss in (CosineAlignment(), CosineRegression(lam=0.0)):
        assert_close(loss.value(features(3.0), PARTS, Y), loss.value(features(), PARTS, Y),
                     rtol=1e-11, atol=EXACT)  # fmt: skip


def test_unit_rows_of_rows_without_a_direction():
    H = torch.tensor([[0.0, 0.0], [3.0, 4.0], [1e-30, 0.0]], requires_grad=True)
    U = unit_rows(H)
    assert U.tolist() == [[0, 0], [pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
    (grad,) = torch.autograd.grad(U.sum(), H)
    assert grad.isfinite().all()
    assert (grad[[0, 2]] == 0).all()
