"""The interface of a loss on features and a frame. Torch-free: tensor methods only.

Layout is that of networks: one *row* a sample, unlike the columns of the models.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, TypeAlias


if TYPE_CHECKING:
    from torch import Tensor

    from ufm.geometry.frames import FixedRows
    from ufm.geometry.multicenter import Centers

    Rows: TypeAlias = Tensor | FixedRows | Centers

# Features shorter than this have no direction: their cosines count as 0, with gradient 0.
NO_DIRECTION = 1e-12


class FeatureLoss(abc.ABC):
    r"""A loss of features h, a frame and labels that is no function of one logit column.

    For what needs the length of h, several vectors a class, or the labels of the whole batch.
    Implementations are frozen dataclasses of plain numbers; everything is vectorised over samples
    and classes, and works in the type and on the device of its arguments. Any frame fits any loss:
    of a multi-center frame, losses on one row a class take the class vectors, and plain rows are a
    multi-center frame of one center a class.
    """

    @abc.abstractmethod
    def value(self, features: Tensor, frame: Rows, y: Tensor) -> Tensor:
        """Loss of each sample.

        Args:
            features: One row a sample ``(B, d)``.
            frame: Rows ``(K, d)``, the same with their Gram matrix (`ufm.geometry.FixedRows`), or
                the `ufm.geometry.Centers` of a multi-center frame.
            y: Labels ``(B,)``.

        Returns:
            Losses ``(B,)``; their mean is the loss of the batch.
        """


def mixup(
    loss: FeatureLoss, features: Tensor, frame: Rows, *, y: tuple[Tensor, Tensor], lam: float
) -> Tensor:
    r"""Loss of mixed samples, :math:`\lambda\,\ell(h, y_a) + (1-\lambda)\,\ell(h, y_b)`.

    For `BatchDotRegression` this is the released code: with ``y_b`` a permutation of ``y_a`` both
    terms see the class counts of the unmixed batch.

    Args:
        loss: The loss.
        features: Features of the mixed inputs ``(B, d)``.
        frame: The frame.
        y: Labels of the two inputs that each sample mixes.
        lam: Share of the first, in [0, 1].

    Returns:
        Losses ``(B,)``.

    References:
        Yang et al. (2022) [yang2022]_, released code.
    """
    first, second = (loss.value(features, frame, labels) for labels in y)
    return lam * first + (1 - lam) * second


def unit_rows(H: Tensor) -> Tensor:
    """Rows divided by their lengths; rows without a direction become 0, with gradient 0.

    Args:
        H: Rows ``(*b, d)``.

    Returns:
        Unit or zero rows.
    """
    return H / lengths_or_inf(H).unsqueeze(-1)


def lengths_or_inf(H: Tensor) -> Tensor:
    """Lengths of rows, infinite for rows without a direction: what divides a row to its cosines.

    Args:
        H: Rows ``(*b, d)``.

    Returns:
        Lengths ``(*b,)``, with gradient 0 where infinite.
    """
    length = H.norm(dim=-1)
    return length.where(length > NO_DIRECTION, float("inf"))


def class_counts(y: Tensor, frame: Tensor) -> Tensor:
    """Samples of each class in a batch.

    Args:
        y: Labels ``(B,)``.
        frame: Rows ``(K, d)``, for K, type and device.

    Returns:
        Counts ``(K,)``.
    """
    return frame.new_zeros(len(frame)).scatter_add(0, y, frame.new_ones(y.shape))


def known(y: Tensor, frame: Rows) -> Tensor:
    """The labels, looked up: a class that the frame has not is an error of torch, not a class.

    For losses that only compare labels. Nothing waits for the device.

    Args:
        y: Labels ``(B,)``.
        frame: The frame.

    Returns:
        The labels.
    """
    rows = class_rows(frame)
    return y + y.new_zeros(len(rows)).index_select(0, y)


def class_rows(frame: Rows) -> Tensor:
    """One row a class: the frame itself, or the class vectors of a multi-center frame.

    Args:
        frame: The frame.

    Returns:
        Rows ``(K, d)``.
    """
    rows: Any = frame
    return getattr(rows, "W", rows)


def inner_products(frame: Rows, y: Tensor) -> Tensor:
    """Inner products of all rows with those of some classes, looked up where they are known.

    Args:
        frame: The frame.
        y: Labels ``(B,)``.

    Returns:
        One column a label ``(K, B)``.
    """
    parts: Any = frame
    W = class_rows(frame)
    # index_select, for indexing would take the label -1 for the last class.
    if hasattr(parts, "gram"):
        return parts.gram.index_select(0, y).mT
    return W @ W.index_select(0, y).mT


def centers_and_owners(frame: Rows) -> tuple[Tensor, Tensor]:
    """All centers and the class of each; plain rows are one center a class.

    Args:
        frame: The frame.

    Returns:
        Centers ``(F, d)`` and classes ``(F,)``.
    """
    parts: Any = frame
    if hasattr(parts, "owner"):
        return parts.centers, parts.owner
    rows = class_rows(frame)
    return rows, rows.new_ones(len(rows)).cumsum(0).long() - 1


def slots_of(frame: Rows) -> Tensor | None:
    """Places of each class's centers; plain rows are one center a class.

    Args:
        frame: The frame.

    Returns:
        Places ``(K, m)``, as in `ufm.geometry.Centers`, or None where they are not known.
    """
    parts: Any = frame
    if hasattr(parts, "owner"):
        return parts.slots
    return centers_and_owners(frame)[1].unsqueeze(-1)
