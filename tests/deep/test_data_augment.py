"""Augmentation against the plainest possible reference: pad, slice, flip, one image at a time."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given

from deep.data.augment import augmented, normalised
from deep.data.spec import NO_AUGMENT, Augment


MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def reference(pixels, corner, flip, hole, augment):
    out = []
    for x, (i, j), mirrored, (r, c) in zip(
        pixels, corner.tolist(), flip.tolist(), hole.tolist(), strict=True
    ):
        H, W = x.shape[1:]
        p = augment.crop
        mode = "constant" if augment.pad == "zero" else "reflect"
        y = (
            F.pad(x.float()[None], (p, p, p, p), mode)[0, :, i : i + H, j : j + W]
            if p
            else x.float()
        )
        y = y.flip(2) if augment.flip and mirrored else y
        y = (y / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        if augment.cutout:
            top, left = r - augment.cutout // 2, c - augment.cutout // 2
            bottom, right = top + augment.cutout, left + augment.cutout
            y[:, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 0
        out.append(y)
    return torch.stack(out)


def drawn(augment, B=40, H=8, W=10, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def integers(high, *shape):
        return torch.randint(0, high, shape, generator=generator)

    pixels = integers(256, B, 3, H, W).to(torch.uint8)
    hole = torch.stack([integers(H, B), integers(W, B)], dim=1)
    return pixels, integers(2 * augment.crop + 1, B, 2), integers(2, B) == 1, hole


@given(
    crop=st.integers(0, 7),
    pad=st.sampled_from(["zero", "reflect"]),
    flip=st.booleans(),
    cutout=st.integers(0, 12),
    seed=st.integers(0, 1000),
)
def test_augmentation_is_the_reference(crop, pad, flip, cutout, seed):
    augment = Augment(crop=crop, pad=pad, flip=flip, cutout=cutout)
    inputs = drawn(augment, seed=seed)
    got = augmented(*inputs, augment=augment, mean=MEAN, std=STD)
    # float32, values up to 3: the two orders of scaling round differently.
    torch.testing.assert_close(got, reference(*inputs, augment), rtol=1e-6, atol=2e-6)
    assert got.dtype == torch.float32


def test_the_middle_corner_is_the_image_and_the_ends_shift_by_the_padding():
    x = torch.arange(1, 17, dtype=torch.uint8).view(1, 1, 4, 4)

    def crop(i, j, **kwargs):
        augment = Augment(crop=2, flip=False, **kwargs)
        y = augmented(
            x, torch.tensor([[i, j]]), torch.tensor([True]), torch.zeros(1, 2, dtype=torch.int64),
            augment=augment, mean=(0.0,), std=(1 / 255,),
        )  # fmt: skip
        return y[0, 0].round().int().tolist()

    assert crop(2, 2) == x[0, 0].tolist()
    assert crop(0, 2) == [[0] * 4, [0] * 4, [1, 2, 3, 4], [5, 6, 7, 8]]
    assert crop(4, 4) == [[11, 12, 0, 0], [15, 16, 0, 0], [0] * 4, [0] * 4]
    # Reflection does not repeat the edge: row -1 is row 1.
    reflected = crop(0, 2, pad="reflect")
    assert reflected == [[9, 10, 11, 12], [5, 6, 7, 8], [1, 2, 3, 4], [5, 6, 7, 8]]


def test_padding_is_black_and_cutout_is_the_mean_colour():
    white = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
    args = {"mean": MEAN, "std": STD}
    one, no = torch.zeros(1, 2, dtype=torch.int64), torch.tensor([False])
    padded = augmented(white, one, no, one, augment=Augment(crop=4), **args)
    black = [-m / s for m, s in zip(MEAN, STD, strict=True)]
    assert padded[0, :, 0, 0].tolist() == pytest.approx(black, rel=1e-6)
    hole = torch.tensor([[0, 7]])  # a corner: a quarter of the square is inside
    cut = augmented(white, one, no, hole, augment=Augment(crop=0, cutout=4), **args)
    assert (cut == 0).all(dim=1).sum() == 2 * 3 - 0  # rows 0..1, columns 5..7
    assert (cut[0, :, :2, 5:] == 0).all()


def test_each_sample_has_its_own_crop_and_flip():
    x = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8).expand(30, 3, 8, 8)
    augment = Augment(crop=2)
    _, corner, flip, hole = drawn(augment, B=30, W=8)
    y = augmented(x, corner, flip, hole, augment=augment, mean=MEAN, std=STD)
    settings = torch.cat([corner, flip[:, None]], dim=1)
    assert len(torch.unique(y.flatten(1), dim=0)) == len(torch.unique(settings, dim=0)) > 15


def test_normalised_takes_tensors_and_numbers():
    x = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    want = (x / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    for constants in ((MEAN, STD), (torch.tensor(MEAN), torch.tensor(STD))):
        torch.testing.assert_close(normalised(x, *constants), want, rtol=1e-6, atol=1e-6)
    same = augmented(*drawn(NO_AUGMENT), augment=NO_AUGMENT, mean=MEAN, std=STD)
    assert torch.equal(same, normalised(drawn(NO_AUGMENT)[0], MEAN, STD))


def test_reflection_beyond_the_image_is_refused():
    augment = Augment(crop=8, pad="reflect")
    with pytest.raises(ValueError, match="crop must be below the image's 8 pixels, got 8"):
        augmented(*drawn(augment), augment=augment, mean=MEAN, std=STD)
    # Black padding may be wider than the image.
    wide = Augment(crop=12)
    inputs = drawn(wide)
    got = augmented(*inputs, augment=wide, mean=MEAN, std=STD)
    torch.testing.assert_close(got, reference(*inputs, wide), rtol=1e-6, atol=2e-6)


@pytest.mark.gpu
def test_the_device_gives_the_same_images_and_can_be_captured():
    augment = Augment(crop=4, pad="reflect", cutout=4)
    inputs = drawn(augment)
    want = augmented(*inputs, augment=augment, mean=MEAN, std=STD)
    there = [t.cuda() for t in inputs]
    torch.testing.assert_close(
        augmented(*there, augment=augment, mean=MEAN, std=STD).cpu(), want, rtol=1e-6, atol=1e-6
    )
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = augmented(*there, augment=augment, mean=MEAN, std=STD)
    graph.replay()
    torch.testing.assert_close(out.cpu(), want, rtol=1e-6, atol=1e-6)
