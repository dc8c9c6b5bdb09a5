"""Features that anybody saved: an ``.npz`` of features, labels and a classifier."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ufm._typing import Float, Int, Tensor


ARRAYS = ("features", "labels", "W", "bias", "normalised")
EXPECTED = (
    "a checkpoint, a run's folder, or an .npz of features (N, d), labels (N,), W (K, d) and, where "
    "there are any, bias (K,) and normalised"
)
BATCH = 8192


@dataclass(frozen=True, eq=False)
class Saved:
    """Features of a network with its last layer, on the CPU in the type they were saved in.

    Attributes:
        features: One row a sample ``(N, d)``.
        labels: Class of each row ``(N,)``.
        W: Classifier rows ``(K, d)``.
        bias: Bias ``(K,)``; zero where the classifier has none.
        has_bias: Whether the classifier has a bias.
        normalised: Whether the network divides features by their norm before the classifier.
    """

    features: Float[Tensor, "N d"]
    labels: Int[Tensor, "N"]
    W: Float[Tensor, "K d"]
    bias: Float[Tensor, "K"]
    has_bias: bool = False
    normalised: bool = False

    @property
    def K(self) -> int:
        """Number of classes."""
        return len(self.W)

    @property
    def n(self) -> tuple[int, ...]:
        """Samples of each class."""
        return tuple(torch.bincount(self.labels, minlength=self.K).tolist())

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Features and labels in float64, batch by batch.

        Yields:
            ``(features, labels)``; features have length 1 where the network normalises them.
        """
        for X, y in zip(self.features.split(BATCH), self.labels.split(BATCH), strict=True):
            rows = X.to(torch.float64)
            if self.normalised:
                rows = torch.nn.functional.normalize(rows, dim=-1)
            yield rows, y

    def scores(self, X: Float[Tensor, "B d"]) -> Float[Tensor, "B K"]:
        """Logits of features.

        Args:
            X: Features as rows.

        Returns:
            Logits.
        """
        return X @ self.W.to(X).mT + self.bias.to(X)


def read(path: str | Path) -> Saved:
    """Read an ``.npz`` with features, labels, W and, where there are any, bias and normalised.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        ValueError: If it is no such file, or an array is missing, of a wrong shape or type, not
            finite, or a class has no sample.
    """
    arrays = _arrays(Path(path))
    features, W = _numbers("features", arrays), _numbers("W", arrays)
    if features.ndim != 2 or not len(features):
        raise ValueError(f"features must have shape (N, d) with N >= 1, got {features.shape}")
    if W.ndim != 2 or len(W) < 2 or W.shape[1] != features.shape[1]:
        raise ValueError(f"W must have shape (K, d={features.shape[1]}) with K >= 2, got {W.shape}")
    labels = _labels(arrays, len(features), len(W))
    has_bias = "bias" in arrays
    bias = _numbers("bias", arrays) if has_bias else np.zeros(len(W))
    if bias.shape != (len(W),):
        raise ValueError(f"bias must have shape (K,) = ({len(W)},), got {bias.shape}")
    flag = arrays.get("normalised", np.bool_(False))
    if flag.size != 1 or flag.dtype.kind not in "bi" or int(flag.reshape(())) not in (0, 1):
        raise ValueError(f"normalised must be one true or false, got {flag.tolist()!r}")
    tensors = (torch.as_tensor(array) for array in (features, labels, W, bias))
    return Saved(*tensors, has_bias=has_bias, normalised=bool(flag.reshape(())))


def expected(path: Path) -> Path:
    """A file that `deep probe` and `deep fit` can take, by its name alone.

    Args:
        path: The file, or a run's folder.

    Returns:
        It.

    Raises:
        FileNotFoundError: If there is none, or the folder is no run's.
        ValueError: If it is neither a checkpoint nor an ``.npz``, and what is expected.
    """
    if not path.exists():
        raise FileNotFoundError(f"file must be {EXPECTED}; there is no {path}")
    if path.is_file() and not zipfile.is_zipfile(path):
        raise ValueError(f"file must be {EXPECTED}; {path} is neither, or damaged")
    return path


def write(path: str | Path, saved: Saved) -> None:
    """Write what `read` reads.

    Args:
        path: The file, with the suffix ``.npz``.
        saved: Features and classifier.
    """
    arrays = {name: getattr(saved, name).cpu().numpy() for name in ("features", "labels", "W")}
    if saved.has_bias:
        arrays["bias"] = saved.bias.cpu().numpy()
    np.savez(path, **arrays, normalised=np.bool_(saved.normalised))


def centred(saved: Saved) -> Saved:
    """The same logits with features about the mean of their class means; the rest is bias.

    A network's features share a large mean that no model of W and H alone has: its product with W
    is a bias. Normalised features are taken as they are classified.

    Args:
        saved: Features and classifier.

    Returns:
        Centred features in float64, with a bias.
    """
    parts = list(saved.batches())
    X, y = (torch.cat(column) for column in zip(*parts, strict=True))
    centre = torch.stack([X[y == k].mean(0) for k in range(saved.K)]).mean(0)
    bias = saved.bias.to(X) + saved.W.to(X) @ centre
    return Saved(X - centre, y, saved.W, bias, has_bias=True)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError(f"path must name an .npz file of named arrays, got {path}")
            return {name: file[name] for name in ARRAYS if name in file.files}
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"path must name a complete .npz file, got {path}: {error}") from error
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise ValueError(
                f"path must hold plain arrays, no Python objects, got {path}"
            ) from None
        raise


def _numbers(name: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"file must hold arrays features, labels and W, got no {name}")
    array = arrays[name]
    if array.dtype.kind != "f":
        raise ValueError(f"{name} must be an array of floating-point numbers, got {array.dtype}")
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return array


def _labels(arrays: dict[str, np.ndarray], N: int, K: int) -> np.ndarray:
    if "labels" not in arrays:
        raise ValueError("file must hold arrays features, labels and W, got no labels")
    labels = arrays["labels"]
    if labels.shape != (N,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be {N} integers, one a feature, got {labels.dtype} {labels.shape}"
        )
    if int(labels.min()) < 0 or int(labels.max()) >= K:
        raise ValueError(
            f"labels must lie in 0..K-1 = 0..{K - 1}, got {int(labels.min())}..{int(labels.max())}"
        )
    empty = np.flatnonzero(np.bincount(labels.astype(np.int64), minlength=K) == 0)
    if len(empty):
        raise ValueError(f"labels must contain every class, class {int(empty[0])} has no sample")
    return labels.astype(np.int64)
