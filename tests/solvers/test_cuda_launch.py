"""What reaches a kernel: tiles, and arrays that belong together. No device is needed."""

from __future__ import annotations

import pytest
import torch

from ufm._triton.launch import Tile, aligned, can_launch, check_arrays, fits
from ufm.certificates.cuda.fused import bound_average
from ufm.methods import LBFGS
from ufm.solvers.cuda.fused import minimise


B, K, d = 3, 4, 5
FLOAT = torch.float64


def arrays(**changed) -> dict[str, torch.Tensor]:
    return {
        "x": torch.ones(B, 2 * K * d, dtype=FLOAT), "c": torch.ones(B, K, dtype=FLOAT),
        "radius2": torch.ones(B, dtype=FLOAT),
    } | changed  # fmt: skip


@pytest.mark.parametrize(
    ("K", "d", "tile"),
    [
        (10, 9, (16, 16, 256)),
        (2, 1, (16, 16, 16)),
        (16, 16, (16, 16, 512)),
        (16, 3, (16, 16, 128)),
    ],
)
def test_tiles_are_powers_of_two_that_hold_the_model(K: int, d: int, tile):
    assert Tile.of(K, d) == tile
    assert fits(K, d)
    assert 2 * K * d <= tile[2]


def test_larger_models_and_other_devices_are_left_to_tensors():
    assert not fits(17, 3)
    assert not fits(3, 17)
    assert not can_launch(torch.device("cpu"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"c": torch.ones(B, K)}, "c must be float64, got torch.float32"),
        ({"c": torch.ones(B, K, dtype=FLOAT, device="meta")}, "c must be on the device of x, cpu"),
        ({"radius2": torch.ones(B + 1, dtype=FLOAT)}, "x, c, radius2 must be"),
        ({"x": torch.ones(B, 2 * K * d + 1, dtype=FLOAT)}, "x, c, radius2 must be"),
        ({"x": torch.ones(B, 2 * K * 17, dtype=FLOAT)}, "K and d must be at most 16"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(changed, message: str):
    for call in (lambda a: minimise(**a, method=LBFGS()), lambda a: bound_average(**a)):
        with pytest.raises(ValueError, match=message):
            call(arrays(**changed))
    assert check_arrays(**arrays()) == d


def test_rows_of_an_odd_batch_are_moved_to_an_aligned_place():
    whole = torch.arange(9, dtype=FLOAT).reshape(3, 3)
    part = whole[1:]
    assert part.data_ptr() % 16
    assert aligned(part).data_ptr() % 16 == 0
    assert torch.equal(aligned(part), part)
    assert aligned(whole).data_ptr() == whole.data_ptr()
