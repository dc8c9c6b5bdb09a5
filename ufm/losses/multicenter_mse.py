r"""Problem P: squared error against all centers of a multi-center frame.

.. math:: \min\ \tfrac{1}{2S}\|C H - Y\|_F^2 + \tfrac{\lambda_W}{2}\|W\|_F^2
    + \tfrac{\lambda_H}{2}\|H\|_F^2, \qquad S = \sum_k f_k n_k,

C the F = sum f centers, Y f_k-hot. C has more rows than classes, but P is a model of K logits: the
centers of class k act only through their unit mean e_k, :math:`\sum_j \langle w_j, h\rangle^2 =
g_k \langle e_k, h\rangle^2 + \cos^2\theta\,|h_\perp|^2`, and no minimiser has an
:math:`h_\perp`. With lengths :math:`\|w_k\|` in the rows of W that leaves `CenterSquaredError`, to
be used as

* fixed frame: ``Problem(K, d, n, loss=CenterSquaredError.of(f, n=n, theta=theta),
  reg=WeightDecay(0, lam_H), classifier=Fixed(OrthogonalFrame()))``,
* learnable frame: the same with ``reg=WeightDecay(lam_W, lam_H)`` and a learnable classifier. Its
  rows need no constraint: by the sign symmetry of a convex problem the optimal logits are diagonal,
  so the rows come out orthogonal by themselves.

The optima are `ufm.geometry.fixed_frame_optimum` and `ufm.geometry.learnable_frame_optimum`.
`CenterRegression` is the same data term on the features of a network, all centers at work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ufm._spec import spec
from ufm.center_counts import check_centers
from ufm.counts import check_number, check_sizes
from ufm.losses._base import Loss, pick
from ufm.losses._features import FeatureLoss, centers_and_owners, known


if TYPE_CHECKING:
    from torch import Tensor

    from ufm.losses._features import Rows


@spec
class CenterSquaredError(Loss):
    r"""Problem P on the logits of the mean directions.

    :math:`\ell(z, y) = \frac{1}{2\bar f}\sum_k g_k (z_k - \delta_{ky}/\cos\alpha_k)^2` with
    :math:`g_k = \cos^2\theta + f_k\sin^2\theta` and :math:`\cos^2\alpha_k = g_k/f_k`. Conjugate
    :math:`\sum_k \frac{\bar f}{2 g_k}u_k^2 + u_y/\cos\alpha_y`; Fenchel defect
    :math:`\sum_k \frac{\bar f}{2 g_k}(u_k - \partial_k\ell)^2`. Every ``u`` is in the domain.

    Attributes:
        f: Centers of each class.
        theta: Angle of the centers, in [0, pi/2].
        mean_centers: :math:`\bar f = S/N`, centers of the average sample; makes the mean over
            samples the 1/S of the published objective.

    References:
        Yan et al. (2024) [yan2024]_, problem (P); the reduction to K logits is ours.

    >>> CenterSquaredError.of((1, 3), n=(30, 10), theta=0.2).mean_centers
    1.5
    """

    f: tuple[int, ...]
    theta: float
    mean_centers: float = 1.0
    attains_minimum: ClassVar[bool] = True
    shift_invariant: ClassVar[bool] = False
    class_symmetric: ClassVar[bool] = False

    def __post_init__(self):
        object.__setattr__(self, "f", check_centers(self.f))
        theta = check_number("theta", self.theta, -math.inf)
        if not 0 <= theta <= math.pi / 2:
            raise ValueError(f"theta must be in [0, pi/2], got {theta!r}")
        object.__setattr__(self, "theta", theta)
        mean = check_number("mean_centers", self.mean_centers, strict=True)
        object.__setattr__(self, "mean_centers", mean)

    @classmethod
    def of(cls, f: Sequence[int], *, n: Sequence[int], theta: float) -> CenterSquaredError:
        r"""The loss for given class sizes, :math:`\bar f = \sum_k f_k n_k / N`.

        Args:
            f: Centers of each class.
            n: Class sizes.
            theta: Angle of the centers.

        Returns:
            The loss.
        """
        f = check_centers(f)
        n = check_sizes(n, len(f))
        return cls(f, theta, sum(a * b for a, b in zip(f, n, strict=True)) / sum(n))

    def check(self, K: int) -> None:
        if len(self.f) != K:
            raise ValueError(f"f must have K={K} entries, got {len(self.f)}")

    def _weight(self, like: Tensor) -> Tensor:
        f = like.new_tensor(self.f).unsqueeze(-1)
        return (math.cos(self.theta) ** 2 + math.sin(self.theta) ** 2 * f) / self.mean_centers

    def _target(self, like: Tensor) -> Tensor:
        # 1/cos(alpha_k) = sqrt(f_k / g_k).
        f = like.new_tensor(self.f)
        return (f / (math.cos(self.theta) ** 2 + math.sin(self.theta) ** 2 * f)).sqrt()

    def value_and_grad(self, Z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        weight, target = self._weight(Z), self._target(Z).diag().index_select(1, y)
        miss = Z - target
        return (weight * miss.square()).sum(-2) / 2, weight * miss

    def hvp(self, Z: Tensor, y: Tensor, V: Tensor) -> Tensor:
        return self._weight(V) * V

    def conjugate(self, U: Tensor, y: Tensor) -> Tensor:
        return (U.square() / self._weight(U)).sum(-2) / 2 + pick(U, y) * self._target(
            U
        ).index_select(0, y)

    def slack(self, U: Tensor, y: Tensor) -> Tensor:
        return U.new_full(U.shape, float("inf"))

    def fenchel_defect(self, U: Tensor, Z: Tensor, y: Tensor) -> Tensor:
        return ((U - self.grad(Z, y)).square() / self._weight(U)).sum(-2) / 2


@spec
class CenterRegression(FeatureLoss):
    r"""Problem P on the features of a network, all F centers at work.

    :math:`\frac{1}{2\bar f}\sum_{j \le F} (\langle w_j, h\rangle - [j \in y])^2 +
    \frac{\lambda}{2}\|h\|^2`; the mean over all N samples is P for :math:`\lambda = N\lambda_H`.

    Attributes:
        mean_centers: :math:`\bar f = S/N`, centers of the average sample of the data set.
        lam: Ridge on a sample's feature, >= 0, which weight decay does not reach.

    References:
        Yan et al. (2024) [yan2024]_, problem (P).
    """

    mean_centers: float = 1.0
    lam: float = 0.0

    def __post_init__(self):
        mean = check_number("mean_centers", self.mean_centers, strict=True)
        object.__setattr__(self, "mean_centers", mean)
        object.__setattr__(self, "lam", check_number("lam", self.lam))

    def value(self, features: Tensor, frame: Rows, y: Tensor) -> Tensor:
        centers, owner = centers_and_owners(frame)
        own = owner == known(y, frame).unsqueeze(-1)
        miss = features @ centers.mT - own.to(features.dtype)
        ridge = self.lam * features.square().sum(-1)
        return (miss.square().sum(-1) / self.mean_centers + ridge) / 2
