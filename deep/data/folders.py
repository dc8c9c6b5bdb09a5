"""Image folders with list files, and Tiny-ImageNet: decoded once, kept as uint8 in memory.

The limit: all images, training and test, are held in memory at ``3 size^2`` bytes each, since
the trainer gathers from the device. ImageNet-LT at 224 needs 24 GiB, iNaturalist-19 38 GiB,
tieredImageNet-H 64 GiB; a set that exceeds the machine's memory is refused before decoding.
"""

from __future__ import annotations

import dataclasses
import io
import os
import sys
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from deep.data.files import check_md5
from deep.data.formats import Pair, Pixels
from deep.data.sources import Layout
from deep.data.spec import Data


SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
TINY_SIZE = 64


@dataclasses.dataclass(frozen=True)
class Lists:
    """How a folder of images is described.

    Attributes:
        train: List files tried for training, relative to the root.
        test: List files tried for testing.
        size: Side in pixels where the recipe gives none.
        banner: Rows cut off at the bottom (FGVC-Aircraft prints its source there).
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    size: int = 224
    banner: int = 0


# Class folders train/CLASS/* and test/CLASS/* (or val/) serve where there is no list.
NAMED = {
    "folder": Lists(("train.txt",), ("test.txt", "val.txt"), size=0),
    "imagenet-lt": Lists(("ImageNet_LT_train.txt",), ("ImageNet_LT_test.txt",)),
    "inaturalist": Lists(
        ("iNaturalist18_train.txt", "train.txt"), ("iNaturalist18_val.txt", "test.txt", "val.txt")
    ),
    "tieredimagenet-h": Lists(("train.txt",), ("test.txt", "val.txt")),
    "fgvc-aircraft": Lists(("images_variant_train.txt",), ("images_variant_test.txt",), banner=20),
}
Listed = list[tuple[Path, str]]
Item = tuple[str, Path | bytes]


def read(data: Data, folder: Path) -> tuple[Pair, Pair, tuple[str, ...]]:
    """Read an image folder.

    Args:
        data: Source name, ``path`` of the root (default: the source's name in the data folder),
            ``size`` and ``fit``.
        folder: The data folder.

    Returns:
        Training pair, test pair and class names.

    Raises:
        FileNotFoundError: If there is neither a list nor class folders; says what is looked for.
        ValueError: If a list or image is damaged, or sizes differ and none is given.
        MemoryError: If the images do not fit.
    """
    lists = NAMED[data.source]
    root = Path(data.path) if data.path else folder / data.source
    train = _listed(root, lists.train, ("train",), data.source)
    test = _listed(root, lists.test, ("test", "val"), data.source)
    names = _class_names([label for _, label in train])
    place = {name: k for k, name in enumerate(names)}
    for path, label in test:
        if label not in place:
            raise ValueError(f"class of {path} must be one of the training set's, got {label!r}")
    size = data.size or lists.size
    _check_memory(len(train) + len(test), size)
    pairs = []
    for listed in (train, test):
        items: list[Item] = [(str(path), path) for path, _ in listed]
        pixels = decode(items, size=size, fit=data.fit, banner=lists.banner)
        pairs.append((pixels, np.array([place[label] for _, label in listed], np.int64)))
    return pairs[0], pairs[1], names


def tiny_imagenet(place: Path, layout: Layout, *, verify: bool = True) -> tuple[Pair, Pair]:
    """Read Tiny-ImageNet; its validation images are the test set, as everywhere.

    Args:
        place: The folder ``tiny-imagenet-200`` or the archive.
        layout: Its layout.
        verify: Whether the archive's checksum is compared.

    Returns:
        Training and test pair; classes are the sorted WordNet ids.

    Raises:
        ValueError: If the archive is damaged or an image has no class.
    """
    if place.is_dir():
        members = {p.relative_to(place).as_posix(): p for p in place.rglob("*") if p.is_file()}
        return _tiny(members, place)
    if verify and layout.archive is not None:
        check_md5(place, layout.archive)
    try:
        with zipfile.ZipFile(place) as archive:
            prefix = f"{layout.folder}/"
            return _tiny(
                {
                    name.removeprefix(prefix): archive.read(name)
                    for name in archive.namelist()
                    if name.startswith((f"{prefix}train/", f"{prefix}val/"))
                },
                place,
            )
    except zipfile.BadZipFile as error:
        raise ValueError(f"{place} must be a whole archive, got {error}") from error


def _tiny(members: dict[str, Any], place: Path) -> tuple[Pair, Pair]:
    train = sorted(m for m in members if m.startswith("train/") and m.endswith(".JPEG"))
    notes = members.get("val/val_annotations.txt")
    if not train or notes is None:
        raise ValueError(f"{place} must hold train/ and val/val_annotations.txt, got neither")
    text = notes.decode() if isinstance(notes, bytes) else Path(notes).read_text()
    rows = [line.split("\t")[:2] for line in text.splitlines() if line]
    ids = sorted({m.split("/")[1] for m in train})
    index = {name: k for k, name in enumerate(ids)}
    y = np.array([index[m.split("/")[1]] for m in train], np.int64)
    for image, label in rows:
        if label not in index or f"val/images/{image}" not in members:
            raise ValueError(f"{place} must hold {image} of a training class, got {label!r}")
    yt = np.array([index[label] for _, label in rows], np.int64)
    test = [f"val/images/{image}" for image, _ in rows]
    x = decode([(m, members[m]) for m in train], size=TINY_SIZE, fit="stretch")
    return (x, y), (decode([(m, members[m]) for m in test], size=TINY_SIZE, fit="stretch"), yt)


def decode(items: Sequence[Item], *, size: int, fit: str, banner: int = 0) -> Pixels:
    """Decode images to one array, on all cores, with progress on a terminal.

    Args:
        items: Names and files (or their bytes).
        size: Side in pixels; 0 keeps the images, which must be equal.
        fit: ``"stretch"`` or ``"crop"``, see `Data`.
        banner: Rows cut off at the bottom first.

    Returns:
        ``(N, 3, H, W)`` uint8.

    Raises:
        ValueError: If an image cannot be decoded or its size differs.
    """
    from rich.console import Console
    from rich.progress import track

    first = _decoded(items[0], size, fit, banner)
    pixels = np.empty((len(items), 3, *first.shape[:2]), np.uint8)

    def one(i: int) -> None:
        image = _decoded(items[i], size, fit, banner)
        if image.shape != first.shape:
            raise ValueError(
                f"{items[i][0]} must be {first.shape[1]} x {first.shape[0]} like the first image "
                f"(or give a size), got {image.shape[1]} x {image.shape[0]}"
            )
        pixels[i] = image.transpose(2, 0, 1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(one, range(len(items)))
        for _ in track(
            done,
            "decoding images",
            total=len(items),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        ):
            pass
    return pixels


def _decoded(item: Item, size: int, fit: str, banner: int) -> np.ndarray[Any, Any]:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("image folders need pillow: pip install 'ufm[vision]'") from error
    name, source = item
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            image = file.convert("RGB")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{name} must be there, since it is listed") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} must be a whole image, got {error}") from error
    W, H = image.width, image.height - banner
    if banner:
        image = image.crop((0, 0, W, H))
    if size and fit == "crop":
        scale = size * 8 / 7 / min(W, H)
        W, H = max(round(W * scale), size), max(round(H * scale), size)
        image = image.resize((W, H), Image.Resampling.BILINEAR)
        left, top = (W - size) // 2, (H - size) // 2
        image = image.crop((left, top, left + size, top + size))
    elif size and (size, size) != (W, H):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _listed(root: Path, lists: tuple[str, ...], folders: tuple[str, ...], source: str) -> Listed:
    for name in lists:
        if (root / name).is_file():
            return _read_list(root / name, root, named=source == "fgvc-aircraft")
    for name in folders:
        if (root / name).is_dir():
            classes = sorted(path for path in (root / name).iterdir() if path.is_dir())
            listed = [
                (path, folder.name)
                for folder in classes
                for path in sorted(folder.iterdir())
                if path.suffix.lower() in SUFFIXES
            ]
            for folder in classes:
                if not any(label == folder.name for _, label in listed):
                    raise ValueError(f"class {folder} must have images, got none")
            return listed
    raise FileNotFoundError(
        f"{source} must have a list {' or '.join(lists)} (lines 'path label') or class folders in "
        f"{' or '.join(folders)}/ under {root}, got neither"
    )


def _read_list(path: Path, root: Path, *, named: bool) -> Listed:
    # Lines "path label"; FGVC-Aircraft's are "image-id class name with spaces".
    listed: Listed = []
    for i, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        parts = line.strip().split(" ", 1) if named else line.strip().rsplit(None, 1)
        if len(parts) != 2:
            raise ValueError(f"{path} line {i} must be 'path label', got {line!r}")
        file = root / "images" / f"{parts[0]}.jpg" if named else root / parts[0]
        listed.append((file, parts[1]))
    if not listed:
        raise ValueError(f"{path} must list images, got an empty list")
    return listed


def _class_names(labels: list[str]) -> tuple[str, ...]:
    # Numbers 0 .. K-1 in order of value, names in alphabetical order.
    if all(label.isascii() and label.isdigit() for label in labels):
        found = sorted({int(label) for label in labels})
        for k, label in enumerate(found):
            if k != label:
                raise ValueError(f"class {k} must have images, got labels up to {found[-1]}")
        return tuple(map(str, found))
    return tuple(sorted(set(labels)))


def _check_memory(N: int, size: int) -> None:
    needed = N * 3 * size * size
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise MemoryError(
            f"size must let {N} images fit into {there / 2**30:.1f} GiB, got {size} "
            f"({needed / 2**30:.1f} GiB)"
        )
