"""Readers of the published binary formats: bytes in, ``(N, C, H, W)`` uint8 and labels out.

Each reader checks lengths before it looks at a pixel, so a truncated file is named and no label can
slip against its image.
"""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
Pair = tuple[Pixels, Labels]

IDX_BYTES = 0x08
NPZ_KEYS = (
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)


def cifar_pickle(data: bytes, name: str) -> Pair:
    """Read a batch of CIFAR's python version without running what a pickle could run.

    Args:
        data: The file.
        name: What to call it in errors.

    Returns:
        ``(N, 3, 32, 32)`` images and labels (fine ones for CIFAR-100).

    Raises:
        ValueError: If it is truncated, names anything but NumPy arrays, or has other contents.
    """
    try:
        batch = _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a whole CIFAR pickle, got {error}") from error
    if not isinstance(batch, dict):
        raise ValueError(f"{name} must hold a dictionary, got {type(batch).__name__}")
    batch = {k.decode() if isinstance(k, bytes) else k: v for k, v in batch.items()}
    labels = batch.get("labels", batch.get("fine_labels"))
    pixels = batch.get("data")
    if labels is None or not isinstance(pixels, np.ndarray):
        raise ValueError(f"{name} must hold data and labels, got {', '.join(map(str, batch))}")
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != 3072:
        raise ValueError(f"{name} must hold (N, 3072) uint8, got {pixels.shape} {pixels.dtype}")
    return _paired(pixels.reshape(-1, 3, 32, 32), np.asarray(labels), name)


def cifar_binary(data: bytes, name: str, *, label_bytes: int) -> Pair:
    """Read a file of CIFAR's binary version: label byte(s), then 3072 bytes R, G, B.

    Args:
        data: The file.
        name: What to call it in errors.
        label_bytes: 1 for CIFAR-10, 2 for CIFAR-100 (coarse, then fine).

    Returns:
        ``(N, 3, 32, 32)`` images and (fine) labels.

    Raises:
        ValueError: If the length is no multiple of a record's.
    """
    record = 3072 + label_bytes
    if not data or len(data) % record:
        raise ValueError(f"{name} must be records of {record} bytes, got {len(data)} bytes")
    rows = np.frombuffer(data, np.uint8).reshape(-1, record)
    return _paired(rows[:, label_bytes:].reshape(-1, 3, 32, 32), rows[:, label_bytes - 1], name)


def stl(images: bytes, labels: bytes, name: str) -> Pair:
    """Read STL-10's binary files: column-major 96 x 96 planes, labels 1 .. 10.

    Args:
        images: The ``*_X.bin`` file.
        labels: The ``*_y.bin`` file.
        name: What to call them in errors.

    Returns:
        ``(N, 3, 96, 96)`` images and labels 0 .. 9.

    Raises:
        ValueError: If the length is no multiple of an image's.
    """
    size = 3 * 96 * 96
    if not images or len(images) % size:
        raise ValueError(f"{name} must be images of {size} bytes, got {len(images)} bytes")
    pixels = np.frombuffer(images, np.uint8).reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)
    return _paired(pixels, np.frombuffer(labels, np.uint8).astype(np.int64) - 1, name)


def svhn(data: bytes, name: str) -> Pair:
    """Read SVHN's cropped digits, ``X (32, 32, 3, N)`` and ``y (N, 1)`` with 10 for digit 0.

    Args:
        data: The ``.mat`` file.
        name: What to call it in errors.

    Returns:
        ``(N, 3, 32, 32)`` images and labels 0 .. 9.

    Raises:
        ValueError: If it is no such file.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        mat = loadmat(io.BytesIO(data), variable_names=("X", "y"))
    except (MatReadError, ValueError, TypeError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{name} must be a whole MATLAB file, got {error}") from error
    if "X" not in mat or "y" not in mat:
        raise ValueError(f"{name} must hold X and y, got {', '.join(mat)}")
    pixels, labels = mat["X"], mat["y"].reshape(-1).astype(np.int64)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[2] != 3:
        raise ValueError(
            f"{name} must hold X (H, W, 3, N) uint8, got {pixels.shape} {pixels.dtype}"
        )
    return _paired(pixels.transpose(3, 2, 0, 1), np.where(labels == 10, 0, labels), name)


def idx(data: bytes, name: str) -> NDArray[np.uint8]:
    """Read one array of the idx format of MNIST, gzipped or not.

    Args:
        data: The file.
        name: What to call it in errors.

    Returns:
        The array of unsigned bytes.

    Raises:
        ValueError: If the header is another one or the length disagrees with it.
    """
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{name} must be a whole gzip file, got {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != IDX_BYTES or len(data) < 4 + 4 * data[3]:
        raise ValueError(f"{name} must start with an idx header of bytes, got {data[:4]!r}")
    ndim = data[3]
    shape = tuple(np.frombuffer(data, ">u4", ndim, 4).tolist())
    start = 4 + 4 * ndim
    if len(data) - start != int(np.prod(shape)):
        raise ValueError(
            f"{name} must hold {int(np.prod(shape))} bytes for {shape}, got {len(data) - start}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def idx_pair(images: bytes, labels: bytes, name: str) -> Pair:
    """Read an idx file of grey images and that of their labels.

    Args:
        images: The images file.
        labels: The labels file.
        name: What to call them in errors.

    Returns:
        ``(N, 1, H, W)`` images and labels.

    Raises:
        ValueError: If either is damaged or they disagree.
    """
    pixels, y = idx(images, name), idx(labels, name)
    if pixels.ndim != 3 or y.ndim != 1:
        raise ValueError(f"{name} must hold images and labels, got {pixels.shape} and {y.shape}")
    return _paired(pixels[:, None], y, name)


def npz(path: Path) -> tuple[Pair, Pair | None]:
    """Read an ``.npz`` of images and labels.

    Args:
        path: File with ``train_images, train_labels, test_images, test_labels``, or ``x_train,
            y_train, x_test, y_test``, or ``images, labels``. Images are uint8, ``(N, H, W)``,
            ``(N, H, W, C)`` or ``(N, C, H, W)`` with C = 1 or 3.

    Returns:
        Training and test pair; None for the test pair if the file is not split.

    Raises:
        ValueError: If it is no such file.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if "index" not in key}
    except (zipfile.BadZipFile, EOFError, OSError, TypeError, ValueError, zlib.error) as error:
        raise ValueError(f"{path} must be a whole .npz of plain arrays, got {error}") from error
    for x, y, xt, yt in NPZ_KEYS:
        if {x, y, xt, yt} <= arrays.keys():
            test = _paired(_channels_first(arrays[xt], path), arrays[yt], f"{path} (test)")
            return _paired(_channels_first(arrays[x], path), arrays[y], f"{path} (train)"), test
    if {"images", "labels"} <= arrays.keys():
        return _paired(_channels_first(arrays["images"], path), arrays["labels"], str(path)), None
    raise ValueError(
        f"{path} must hold {', '.join(NPZ_KEYS[0])} or images, labels, got {', '.join(arrays)}"
    )


def _channels_first(images: NDArray[Any], path: Path) -> Pixels:
    if images.dtype != np.uint8:
        raise ValueError(f"{path} must hold uint8 images, got {images.dtype}")
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    raise ValueError(f"{path} must hold images with 1 or 3 channels, got shape {images.shape}")


def _paired(pixels: NDArray[np.uint8], labels: NDArray[Any], name: str) -> Pair:
    # The one place where images meet labels: lengths agree before either is used.
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{name} must hold integer labels, got {labels.dtype}")
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != pixels.shape[:1]:
        raise ValueError(
            f"{name} must hold one label an image, got {len(pixels)} images and labels of shape "
            f"{labels.shape}"
        )
    return np.ascontiguousarray(pixels), labels.astype(np.int64)


def _latin1(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"encoding must be latin1, got {encoding!r}")
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles lists, dictionaries, strings and NumPy arrays; refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            if name == "_reconstruct":
                return np.empty(0).__reduce__()[0]
        elif module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        elif (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return _latin1
        raise pickle.UnpicklingError(f"{module}.{name}, which arrays do not need")
