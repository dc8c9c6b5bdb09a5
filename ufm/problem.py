"""The statement of a model as plain numbers: what is minimised, over what, subject to what.

Torch-free. A problem never solves itself; `objective.Objective` turns it into tensors.
"""

from __future__ import annotations

import abc
import math
import sys
from functools import cached_property

from ufm._spec import spec
from ufm.counts import check_count, check_number, check_sizes
from ufm.geometry.specs import Frame
from ufm.losses import CrossEntropy, Loss


class Regulariser(abc.ABC):  # noqa: B024 - a closed set of types, told apart by match statements
    """What keeps (W, H) bounded: a penalty, a budget, spheres, or nothing."""


def _positive(owner: object, *names: str) -> None:
    for name in names:
        object.__setattr__(owner, name, check_number(name, getattr(owner, name), strict=True))


@spec
class WeightDecay(Regulariser):
    r"""Ridge on the classifier and every sample's feature.

    :math:`\frac{\lambda_W}{2}\|W\|_F^2 + \frac{\lambda_H}{2}\sum_{k,i}\|h_{k,i}\|^2`.
    """

    lam_W: float = 5e-4
    lam_H: float = 5e-4

    def __post_init__(self):
        for name in ("lam_W", "lam_H"):
            object.__setattr__(self, name, check_number(name, getattr(self, name)))


@spec
class ClassMeanDecay(Regulariser):
    r"""Ridge on the classifier and the class means; each class counts once.

    :math:`\frac{\lambda_W}{2}\|W\|_F^2 + \frac{\lambda_H}{2}\sum_k\frac1{n_k}\sum_i\|h_{k,i}\|^2`.
    Each class counts once, whatever its size; with collapsed classes the second term is
    :math:`\frac{\lambda_H}{2}\|\bar H\|_F^2`.
    """

    lam_W: float = 5e-3
    lam_H: float = 5e-3

    def __post_init__(self):
        for name in ("lam_W", "lam_H"):
            object.__setattr__(self, name, check_number(name, getattr(self, name)))


@spec
class AverageBudget(Regulariser):
    r"""Layer-peeled budgets on average norms.

    :math:`\frac1K\sum_k \|w_k\|^2 \le E_W` and
    :math:`\frac1K\sum_k\frac1{n_k}\sum_i\|h_{k,i}\|^2 \le E_H`.

    References:
        Fang, He, Long and Su (2021) [fang2021]_, eq. (3).
    """

    E_W: float = 1.0
    E_H: float = 1.0

    def __post_init__(self):
        _positive(self, "E_W", "E_H")


@spec
class VectorBudget(Regulariser):
    r"""Budgets on the norm of every single vector.

    :math:`\|w_k\|^2 \le E_W` and :math:`\|h_{k,i}\|^2 \le E_H`.

    References:
        Yang et al. (2022) [yang2022]_.
    """

    E_W: float = 1.0
    E_H: float = 1.0

    def __post_init__(self):
        _positive(self, "E_W", "E_H")


@spec
class Sphere(Regulariser):
    r"""Every vector on its sphere.

    :math:`\|w_k\|^2 = E_W` and :math:`\|h_{k,i}\|^2 = E_H`.

    References:
        Yaras et al. (2022) [yaras2022]_.
    """

    E_W: float = 1.0
    E_H: float = 1.0

    def __post_init__(self):
        _positive(self, "E_W", "E_H")


@spec
class NoReg(Regulariser):
    """No regulariser; for the dynamics of an unregularised loss."""


class Bias(abc.ABC):  # noqa: B024 - a closed set of types
    """Whether the logits are ``W H`` or ``W H + b 1'``."""


@spec
class NoBias(Bias):
    """Logits ``W H``."""


@spec
class FreeBias(Bias):
    """Logits ``W H + b 1'`` with free ``b``."""


@spec
class PenalisedBias(Bias):
    r"""Logits ``W H + b 1'`` with penalised ``b``, by :math:`\frac{\lambda_b}{2}\|b\|^2`."""

    lam_b: float = 5e-4

    def __post_init__(self):
        _positive(self, "lam_b")


class Classifier(abc.ABC):  # noqa: B024 - a closed set of types
    """Whether the classifier is optimised or fixed."""


@spec
class Learnable(Classifier):
    """W is a variable."""


@spec
class Fixed(Classifier):
    """W is a given frame and only the features are variables."""

    frame: Frame

    def __post_init__(self):
        if not isinstance(self.frame, Frame):
            raise ValueError(f"frame must be a Frame, got {self.frame!r}")


BUDGETS = (AverageBudget, VectorBudget, Sphere)
RIDGES = (WeightDecay, ClassMeanDecay)


@spec
class Problem:
    r"""A layer-peeled or unconstrained-feature model.

    .. math:: \min_{W, H, b}\ \sum_k \sum_{i \le n_k} \frac{\omega_k}{\sum_j \omega_j n_j}\,
        \ell(W h_{k,i} + b,\ k) \;+\; \text{regulariser}

    so class k has the share :math:`\pi_k = \omega_k n_k / \sum_j \omega_j n_j` of the risk; with
    the default weights that is :math:`n_k/N` and the risk is the mean loss.

    Attributes:
        K: Number of classes, >= 2.
        d: Feature dimension, >= 1.
        n: Class sizes (K,), positive integers.
        loss: Loss on the logits.
        reg: Penalty or constraint on (W, H).
        bias: None, free or penalised.
        classifier: Learnable, or fixed to a frame.
        weights: Loss weight of a sample of each class (K,), > 0; all ones by default. They weigh
            the loss only: penalties and budgets see the samples as they are. Only their ratios
            count; equal weights are stored as None.

    Raises:
        ValueError: If a number is out of its range, or a loss or fixed frame does not fit K and d.

    >>> p = Problem(K=3, d=2, n=(4, 4, 2), reg=AverageBudget(E_W=1, E_H=4))
    >>> p.pi, p.radius
    ((0.4, 0.4, 0.2), 6.0)
    """

    K: int
    d: int
    n: tuple[int, ...]
    loss: Loss = CrossEntropy()
    reg: Regulariser = WeightDecay()
    bias: Bias = NoBias()
    classifier: Classifier = Learnable()
    weights: tuple[float, ...] | None = None

    def __post_init__(self):
        object.__setattr__(self, "K", check_count("K", self.K, 2))
        object.__setattr__(self, "d", check_count("d", self.d))
        object.__setattr__(self, "n", check_sizes(self.n, self.K))
        for name, kind, example in (
            ("loss", Loss, "CrossEntropy()"),
            ("reg", Regulariser, "WeightDecay(lam_W=5e-4, lam_H=5e-4)"),
            ("bias", Bias, "FreeBias()"),
            ("classifier", Classifier, "Fixed(ufm.SimplexETF())"),
        ):
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise ValueError(
                    f"{name} must be a {kind.__name__}, got {value!r}; for example ufm.{example}"
                )
        if self.weights is not None:
            object.__setattr__(self, "weights", self._checked_weights(self.weights))
            if min(self.pi) < sys.float_info.min:
                raise ValueError(
                    "weights must leave each class a share of the risk within float64, "
                    f"got a share of {min(self.pi):g}"
                )
        self.loss.check(self.K)
        if isinstance(self.classifier, Fixed):
            self.classifier.frame.check(self.K, self.d)

    def _checked_weights(self, weights: tuple[float, ...]) -> tuple[float, ...] | None:
        if isinstance(weights, str) or not hasattr(weights, "__len__"):
            raise ValueError(f"weights must be a sequence of K={self.K} numbers, got {weights!r}")
        if len(weights) != self.K:
            raise ValueError(f"weights must have K={self.K} entries, got {len(weights)}")
        checked = tuple(
            check_number(f"weights[{k}]", weight, strict=True) for k, weight in enumerate(weights)
        )
        return None if len(set(checked)) == 1 else checked

    @property
    def N(self) -> int:
        """Number of samples."""
        return sum(self.n)

    @cached_property
    def pi(self) -> tuple[float, ...]:
        """Share of each class in the risk; sums to one."""
        weights = self.weights or (1.0,) * self.K
        # Only ratios count: an exact power of two keeps sums of weights near the limits in range.
        exponent = math.frexp(max(weights))[1]
        weights = tuple(math.ldexp(w, -exponent) for w in weights)
        total = math.fsum(w * n for w, n in zip(weights, self.n, strict=True))
        return tuple(w * n / total for w, n in zip(weights, self.n, strict=True))

    @property
    def is_balanced(self) -> bool:
        """Whether all classes have the same size and the same share of the risk."""
        return len(set(self.n)) == 1 and self.weights is None

    @property
    def has_bias(self) -> bool:
        """Whether the logits have a bias."""
        return not isinstance(self.bias, NoBias)

    @property
    def is_learnable(self) -> bool:
        """Whether W is a variable."""
        return isinstance(self.classifier, Learnable)

    @property
    def is_budgeted(self) -> bool:
        """Whether norms are constrained (budgets or spheres) rather than penalised."""
        return isinstance(self.reg, BUDGETS)

    @property
    def radius(self) -> float:
        """Nuclear-norm radius ``tau = K sqrt(E_W E_H)`` of a budgeted model.

        Raises:
            ValueError: If the model has no budgets.
        """
        if not isinstance(self.reg, BUDGETS):
            raise ValueError(f"reg must have budgets E_W and E_H, got {self.reg!r}")
        return self.K * math.sqrt(self.reg.E_W * self.reg.E_H)

    @property
    def has_minimiser(self) -> bool:
        """Whether the infimum is attained.

        Cross-entropy alone is not (its logits want to be infinite), nor is a ridge that leaves one
        factor free: shrinking the penalised factor while the free one grows costs nothing.
        """
        match self.reg:
            case WeightDecay(lam_W=lam_W, lam_H=lam_H) | ClassMeanDecay(lam_W=lam_W, lam_H=lam_H):
                if not self.is_learnable:
                    return lam_H > 0 or self.loss.attains_minimum
                if lam_W == 0 and lam_H == 0:
                    return self.loss.attains_minimum
                return lam_W > 0 and lam_H > 0
            case NoReg():
                return self.loss.attains_minimum
            case _:
                return True

    def labels(self, M: int) -> tuple[int, ...]:
        """Label of each of ``M`` feature columns: class means (M = K) or samples (M = N).

        Args:
            M: Number of columns.

        Returns:
            Labels, classes in blocks.

        Raises:
            ValueError: If ``M`` is neither K nor N.
        """
        if M == self.K:
            return tuple(range(self.K))
        if M == self.N:
            return tuple(k for k, size in enumerate(self.n) for _ in range(size))
        raise ValueError(
            f"H must have K={self.K} columns (class means) or N={self.N} (samples), got {M}"
        )
