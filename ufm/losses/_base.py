"""The interface of a loss on logits, primal and dual.

Only tensor *methods* are used in the implementations, so that a loss can be named on the command
line before torch is imported.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar


if TYPE_CHECKING:
    from torch import Tensor


class Loss(abc.ABC):
    r"""A loss :math:`\ell(z, y)` of one logit column ``z`` (K,) and its label ``y``.

    ``Z`` has shape ``(*b, K, M)`` and ``y`` shape ``(M,)``; results are per column and carry no
    weight. The dual side works with :math:`u` of the shape of ``Z`` and the convex conjugate
    :math:`\ell^*(u, y) = \sup_z \langle u, z\rangle - \ell(z, y)`.

    Attributes:
        attains_minimum: Whether the infimum over ``z`` is attained (false for cross-entropy).
        shift_invariant: Whether ``loss(z + c 1) = loss(z)``; then dual columns sum to zero.
        class_symmetric: Whether renaming the classes, of logits and labels alike, changes nothing.
    """

    attains_minimum: ClassVar[bool]
    shift_invariant: ClassVar[bool]
    class_symmetric: ClassVar[bool] = True

    def check(self, K: int) -> None:  # noqa: B027 - most losses fit any number of classes
        """Raise ``ValueError`` unless the loss fits K classes.

        Args:
            K: Number of classes.
        """

    @abc.abstractmethod
    def value_and_grad(self, Z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Loss ``(*b, M)`` of each column and its gradient ``(*b, K, M)`` in the logits.

        Args:
            Z: Logits ``(*b, K, M)``.
            y: Labels ``(M,)``.

        Returns:
            Losses and gradients.
        """

    def value(self, Z: Tensor, y: Tensor) -> Tensor:
        """Loss of each column, ``(*b, M)``.

        Args:
            Z: Logits ``(*b, K, M)``.
            y: Labels ``(M,)``.

        Returns:
            Losses.
        """
        return self.value_and_grad(Z, y)[0]

    def grad(self, Z: Tensor, y: Tensor) -> Tensor:
        """Gradient of each column's loss in its logits, ``(*b, K, M)``.

        Args:
            Z: Logits ``(*b, K, M)``.
            y: Labels ``(M,)``.

        Returns:
            Gradients.
        """
        return self.value_and_grad(Z, y)[1]

    @abc.abstractmethod
    def hvp(self, Z: Tensor, y: Tensor, V: Tensor) -> Tensor:
        """Hessian of each column's loss applied to the columns of ``V``, ``(*b, K, M)``.

        Args:
            Z: Logits ``(*b, K, M)``.
            y: Labels ``(M,)``.
            V: Directions ``(*b, K, M)``.

        Returns:
            Hessian products.
        """

    @abc.abstractmethod
    def conjugate(self, U: Tensor, y: Tensor) -> Tensor:
        """Convex conjugate of each column, ``(*b, M)``; meaningful where `slack` is >= 0.

        Args:
            U: Dual columns ``(*b, K, M)``.
            y: Labels ``(M,)``.

        Returns:
            Conjugate values.
        """

    @abc.abstractmethod
    def slack(self, U: Tensor, y: Tensor) -> Tensor:
        """Signed slack ``(*b, K, M)`` of the inequalities of the conjugate's domain.

        ``U`` is in the domain iff every entry is >= 0 (and, for a shift-invariant loss, its columns
        sum to zero). ``inf`` where there is no inequality.

        Args:
            U: Dual columns ``(*b, K, M)``.
            y: Labels ``(M,)``.

        Returns:
            Slack, affine in ``U``.
        """

    @abc.abstractmethod
    def fenchel_defect(self, U: Tensor, Z: Tensor, y: Tensor) -> Tensor:
        r"""Fenchel-Young defect :math:`\ell(z) + \ell^*(u) - \langle u,z\rangle \ge 0` a column.

        Evaluated without the cancellation of the three terms, so that it resolves values far
        below the rounding error of the loss.

        Args:
            U: Dual columns in the domain, ``(*b, K, M)``.
            Z: Logits ``(*b, K, M)``.
            y: Labels ``(M,)``.

        Returns:
            Defects.
        """


def check_entries(n: tuple[int, ...], K: int) -> None:
    """Refuse class sizes of another number of classes; the sizes themselves are known to be good.

    Args:
        n: Class sizes.
        K: Number of classes.

    Raises:
        ValueError: If there are not K of them.
    """
    if len(n) != K:
        raise ValueError(f"n must have K={K} entries, got {len(n)}")


def pick(Z: Tensor, y: Tensor) -> Tensor:
    """Entries ``Z[y_j, j]``, ``(*b, M)``.

    Args:
        Z: ``(*b, K, M)``.
        y: Labels ``(M,)``.

    Returns:
        The label's entry of each column.
    """
    index = y.expand(*Z.shape[:-2], 1, Z.shape[-1])
    return Z.gather(-2, index).squeeze(-2)


def add_at_label(Z: Tensor, y: Tensor, value: Any) -> Tensor:
    """``Z`` with ``value`` added to the label's entry of each column.

    Args:
        Z: ``(*b, K, M)``.
        y: Labels ``(M,)``.
        value: Number, or tensor ``(*b, M)``.

    Returns:
        A new tensor ``(*b, K, M)``.
    """
    index = y.expand(*Z.shape[:-2], 1, Z.shape[-1])
    source = Z.new_zeros(index.shape)
    source += value if isinstance(value, float) else value.unsqueeze(-2)
    return Z.scatter_add(-2, index, source)
