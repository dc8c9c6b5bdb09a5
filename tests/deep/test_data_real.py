"""Real images: published class counts and channel statistics, and one reading of every file."""

from __future__ import annotations

import pytest
import torch

from deep.data import load
from deep.data.images import channel_statistics
from deep.data.spec import Data, LongTail
from ufm.counts import cifar10_lt_sizes, cifar100_lt_sizes, exponential_sizes


# Published to three or four digits.
DIGITS = 6e-4


def close(images, mean, std, tolerance=DIGITS):
    got = channel_statistics(images)
    assert got[0] == pytest.approx(mean, abs=tolerance)
    assert got[1] == pytest.approx(std, abs=tolerance)


def test_cifar10_long_tails(real_data):
    folder = real_data("cifar10", "lt50")
    sets = {}
    for rho in (50, 100, 200):
        sets[rho] = load(Data("cifar10", profile=LongTail(rho)), folder=folder)
        assert sets[rho].train.n == cifar10_lt_sizes(rho)
        assert sets[rho].test.n == (1000,) * 10
    assert [len(s.train) for s in sets.values()] == [13996, 12406, 11203]
    # The published statistics are the balanced set's; the balanced test set has them too.
    close(sets[100].test, (0.4942, 0.4851, 0.4504), (0.2467, 0.2429, 0.2616))
    # Longer tails hold the shorter ones, each class from its first image on.
    for k in range(10):
        wide, narrow = (sets[rho].train.pixels[sets[rho].train.labels == k] for rho in (50, 200))
        assert torch.equal(wide[: len(narrow)], narrow)
    with pytest.raises(ValueError, match=r"class 1 must have 3871 images for LongTail\(rho=10"):
        load(Data("cifar10", profile=LongTail(10)), folder=folder)


def test_cifar100_and_fashion_long_tails(real_data):
    cifar = load(Data("cifar100", profile=LongTail(100)), folder=real_data("cifar100", "lt100"))
    assert cifar.train.n == cifar100_lt_sizes(100)
    assert cifar.test.n == (100,) * 100
    close(cifar.test, cifar.mean, cifar.std, 0.003)
    fashion = load(
        Data("fashion-mnist", profile=LongTail(100)), folder=real_data("fashion", "lt100")
    )
    assert fashion.train.n == exponential_sizes(K=10, n_max=6000, rho=100)
    assert fashion.train.pixels.shape[1:] == (1, 28, 28)
    close(fashion.test, fashion.mean, fashion.std, 0.002)


@pytest.mark.slow
def test_complete_sets_and_their_published_files(real_data, tmp_path):
    for source, name, files in (
        ("cifar100", "cifar100", ("train.bin", "test.bin")),
        ("fashion-mnist", "fashion", (
            "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
        )),
    ):  # fmt: skip
        folder = real_data(name, "full")
        (tmp_path / source).mkdir()
        for file in files:
            (tmp_path / source / file).symlink_to(folder / file)
        published = load(Data(source), folder=tmp_path)
        arrays = load(Data(source, path=str(folder / f"{name}-full.npz")))
        for part in ("train", "test"):
            a, b = getattr(published, part), getattr(arrays, part)
            assert torch.equal(a.pixels, b.pixels)
            assert torch.equal(a.labels, b.labels)
        close(published.train, published.mean, published.std)
    held = load(Data("cifar100", holdout=50), folder=real_data("cifar100", "full"))
    assert held.train.n == (450,) * 100
    assert held.validation is not None
    assert held.validation.n == (50,) * 100
