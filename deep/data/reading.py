"""`load`: from a `Data` spec to images in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from deep.data import files, folders, formats
from deep.data.formats import Labels, Pair
from deep.data.images import Images, ImageSet, channel_statistics
from deep.data.select import chosen
from deep.data.sources import PUBLISHED, Layout, Published
from deep.data.spec import Data


TEST_EVERY = 5


def load(data: Data, *, folder: Path | None = None, seed: int = 0, verify: bool = True) -> ImageSet:
    """Read a data set and cut it to its profile.

    Args:
        data: What to read.
        folder: Where archives are; default the environment variable ``UFM_DATA``, else ``./data``.
        seed: Seed of ``choose="seed"``.
        verify: Whether the checksums of published archives are compared.

    Returns:
        Images on the CPU.

    Raises:
        FileNotFoundError: If a file is missing; says what to fetch and where to put it.
        ValueError: If a file is damaged, images or labels do not fit, or a class has too few.

    >>> load(Data()).train.n  # doctest: +SKIP
    (143, 146, 142, 147, 145, 146, 145, 144, 140, 144)
    """
    if data.source in PUBLISHED:
        source = PUBLISHED[data.source]
        train, test = _published(data, files.data_folder(folder), verify)
        names, available = source.names, source.n
    elif data.source in ("digits", "npz"):
        source = None
        train, test = _digits() if data.source == "digits" else _npz(Path(data.path))
        names = _numbered(train[1], data.path or data.source)
        available = np.bincount(train[1], minlength=len(names)).tolist()
    else:
        source = None
        train, test, names = folders.read(data, files.data_folder(folder))
        available = np.bincount(train[1], minlength=len(names)).tolist()
    title, K = data.path or data.source, len(names)
    whole, tested = _images(train, K, f"{title} (train)"), _images(test, K, f"{title} (test)")
    try:
        index, held = chosen(whole.labels, data, available=available, seed=seed)
    except ValueError as error:
        raise ValueError(f"{title}: {error}") from error
    kept = whole if len(index) == len(whole) else whole.subset(index)
    mean, std = _normalisation(data, source, kept)
    return ImageSet(
        name=data.source,
        train=kept,
        test=tested,
        validation=whole.subset(held) if len(held) else None,
        mean=mean,
        std=std,
        classes=names,
    )


def _images(pair: Pair, K: int, title: str) -> Images:
    pixels, labels = pair
    # Views of a file's bytes are read-only; decoded images, which may be large, are not copied.
    pixels = pixels if pixels.flags.writeable else pixels.copy()
    try:
        return Images(torch.from_numpy(pixels), torch.from_numpy(labels), K)
    except ValueError as error:
        raise ValueError(f"{title}: {error}") from error


def _numbered(labels: Labels, title: str) -> tuple[str, ...]:
    # Names of classes 0 .. K-1 where a file says nothing but labels: each class needs an image.
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high > max(len(labels) - 1, 0):
        raise ValueError(
            f"{title}: labels must be 0 .. K-1, each with images, got {low}..{high} on "
            f"{len(labels)} images"
        )
    return tuple(str(k) for k in range(high + 1))


def _normalisation(
    data: Data, source: Published | None, train: Images
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if data.mean:
        mean, std = data.mean, data.std
    elif source is not None and source.mean:
        mean, std = source.mean, source.std
    else:
        mean, std = channel_statistics(train)
    if len(mean) != train.channels:
        raise ValueError(f"mean must have {train.channels} channels, got {len(mean)}")
    return mean, std


def _published(data: Data, folder: Path, verify: bool) -> tuple[Pair, Pair]:
    source = PUBLISHED[data.source]
    folder = Path(data.path) if data.path else folder
    found = next(iter(files.candidates(data.source, folder, own=bool(data.path))), None)
    if found is None:
        raise FileNotFoundError(files.missing(data.source, folder))
    layout, place = found
    if layout is None:
        train, test = _npz(place)
    elif layout.format == "tiny-imagenet":
        train, test = folders.tiny_imagenet(place, layout, verify=verify)
    else:
        train = _members(place, layout, layout.train, verify)
        test = _members(place, layout, layout.test, verify)
    total = sum(source.n)
    if len(train[1]) > total or (layout is not None and len(train[1]) != total):
        raise ValueError(f"{place} must hold {total} training images, got {len(train[1])}")
    if train[0].shape[1:] != source.shape:
        raise ValueError(f"{place} must hold {source.shape} images, got {train[0].shape[1:]}")
    return train, test


def _members(place: Path, layout: Layout, names: tuple[str, ...], verify: bool) -> Pair:
    # Several files of one split follow one another in the published order.
    data = files.read_members(place, layout, names, verify=verify)
    title = [f"{place}: {name}" for name in names]
    if layout.format == "idx":
        return formats.idx_pair(data[0], data[1], title[0])
    if layout.format == "stl":
        return formats.stl(data[0], data[1], title[0])
    if layout.format == "svhn":
        parts = [formats.svhn(raw, name) for raw, name in zip(data, title, strict=True)]
    elif layout.format == "cifar-pickle":
        parts = [formats.cifar_pickle(raw, name) for raw, name in zip(data, title, strict=True)]
    else:
        # One label byte in CIFAR-10, coarse and fine in CIFAR-100.
        label_bytes = 2 if layout.folder.startswith("cifar-100") else 1
        parts = [
            formats.cifar_binary(raw, name, label_bytes=label_bytes)
            for raw, name in zip(data, title, strict=True)
        ]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def _npz(path: Path) -> tuple[Pair, Pair]:
    if not path.is_file():
        raise FileNotFoundError(f"path must be an .npz of images and labels, got {path}")
    train, test = formats.npz(path)
    return (train, test) if test is not None else split(train)


def split(pair: Pair) -> tuple[Pair, Pair]:
    """Split images without a published test set: every fifth of each class, in order, tests.

    Args:
        pair: Images and labels.

    Returns:
        Training and test pair, both in the order given.
    """
    pixels, labels = pair
    rank = np.empty(len(labels), np.int64)
    for k in np.unique(labels):
        places = np.flatnonzero(labels == k)
        rank[places] = np.arange(len(places))
    test = rank % TEST_EVERY == TEST_EVERY - 1
    return (pixels[~test], labels[~test]), (pixels[test], labels[test])


def _digits() -> tuple[Pair, Pair]:
    # 1797 handwritten digits, 8 x 8, levels 0 .. 16 stretched to 0 .. 255.
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("digits need scikit-learn: pip install 'ufm[deep]'") from error
    images, labels = load_digits(return_X_y=True)
    pixels = np.rint(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    return split((pixels, labels.astype(np.int64)))
