"""A classifier that follows the features: the simplex ETF nearest to their class means."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from ufm._typing import Bool, Float, Int, Tensor
from ufm.counts import check_count, check_number
from ufm.geometry.nearest import nearest_etf, nearest_rotation
from ufm.geometry.specs import SimplexETF
from ufm.heads._head import (
    Head,
    at_least_float32,
    build_rows,
    full_precision,
    product,
    stored,
    widened,
)
from ufm.heads.transform import UnitFeatures


class NearestETFHead(Head):
    r"""Unit features and the nearest simplex ETF, in closed form instead of a Riemannian solver.

    The head keeps moving averages :math:`\bar H` of the class means and c of their mean, and logits
    are :math:`\langle w_k, h - c\rangle`. W is the ETF nearest to :math:`\bar H`, held near the
    previous rotation :math:`U_0` by :math:`\frac\delta2\|U - U_0\|^2`: one polar factor
    (`ufm.geometry.nearest_rotation`). Two ways to move it:

    * **Deferred** (default): call `follow` once a step, after the forward pass. The new frame is
      used from the next step on, and ``forward`` is a plain product that `torch.compile` takes
      whole.
    * **At once**: ``W = head.nearest(features, y)`` is the frame that includes this batch,
      differentiable in its features, and ``head.logits_by(features, W)`` uses it. The gradient
      through W is what the published method has; it costs one d x K singular value decomposition.

    Args:
        in_features: Width of the backbone's output.
        K: Number of classes.
        d: Feature dimension, at least K (K - 1 with ``delta=0``); another one than ``in_features``
            puts a linear layer in front. By default ``in_features``.
        E_W: Squared norm of the rows.
        E_H: Squared norm of the features, the square of the published temperature.
        delta: Weight of staying near the previous rotation, >= 0. With 0 it is the plain Procrustes
            problem, whose answer is not unique before every class has been seen.
        least_rate: Smallest rate of the moving averages; the rate after t batches of a class is
            :math:`\max(2/(t+2), least)`.
        transform: Replaces the layers in front; must give d features.
        generator: Source of the first rotation; by default one seeded 0.
        device: Where parameters and frame go.
        dtype: Their type, the frame's float32 at least; torch's default if None.

    Attributes:
        rotation: Previous rotation :math:`U_0` ``(d, K)``.
        means: Moving averages of the class means, as columns ``(d, K)``.
        batches: Batches that held a class ``(K,)``.
        centre: Mean c of the class means seen so far ``(d,)``.

    Raises:
        ValueError: If ``d`` is too small.

    References:
        Markou, Ajanthan and Gould (2024) [markou2024]_ solve the problem by a trust region; moving
        averages and centring follow their released code.

    >>> head = NearestETFHead(16, 4)
    >>> x, y = torch.randn(32, 16), torch.arange(32) % 4
    >>> h = head.features(x)
    >>> loss = torch.nn.functional.cross_entropy(head.logits(h), y)
    >>> head.follow(h, y)
    """

    rotation: Tensor
    means: Tensor
    batches: Tensor
    centre: Tensor
    shown: ClassVar[tuple[str, ...]] = ("K", "d", "delta")

    def __init__(
        self,
        in_features: int,
        K: int,
        *,
        d: int | None = None,
        E_W: float = 1.0,
        E_H: float = 1.0,
        delta: float = 1e-3,
        least_rate: float = 1e-4,
        transform: nn.Module | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.in_features = in_features if transform is None else None
        spec = SimplexETF(E_W)
        self.E_W = spec.E_W
        self.delta = check_number("delta", delta)
        self.least_rate = check_number("least_rate", least_rate, strict=True)
        d, first = widened(in_features, d, device=device, dtype=dtype)
        if self.delta > 0 and d < check_count("K", K, 2):
            raise ValueError(f"d must be at least K={K} for a proximal rotation, got {d}")
        radius = check_number("E_H", E_H, strict=True) ** 0.5
        self.transform = (
            nn.Sequential(*first, UnitFeatures(radius)) if transform is None else transform
        )
        rows = build_rows(spec, K, rank=K - 1, d=d, generator=generator)
        self.register_buffer("frame", stored(rows, device=device, dtype=dtype))
        if self.delta > 0:
            self.register_buffer("rotation", stored(orthonormal(rows), device=device, dtype=dtype))
        self.register_buffer("means", torch.zeros_like(self.frame.mT))
        self.register_buffer("centre", torch.zeros_like(self.frame[0]))
        self.register_buffer("batches", torch.zeros(K, device=device, dtype=torch.long))

    @property
    def parts(self) -> Tensor:
        """The rows."""
        return self.frame

    def linear_rule(self) -> tuple[Float[Tensor, "K d"], Float[Tensor, "K"] | None]:
        """The rows, and the bias that the centring of the features is.

        Returns:
            W and ``-W c``.
        """
        return self.frame, -(self.frame @ self.centre)

    def logits(self, features: Float[Tensor, "B d"]) -> Float[Tensor, "B K"]:
        """Logits by the stored frame.

        Args:
            features: What `features` returned.

        Returns:
            Logits.
        """
        return self.logits_by(features, self.frame)

    def logits_by(
        self, features: Float[Tensor, "B d"], W: Float[Tensor, "K d"]
    ) -> Float[Tensor, "B K"]:
        """Logits by any frame, for what `nearest` returned.

        Args:
            features: What `features` returned.
            W: Rows.

        Returns:
            Logits.
        """
        return product(features - self.centre, W)

    def nearest(self, features: Float[Tensor, "B d"], y: Int[Tensor, "B"]) -> Float[Tensor, "K d"]:
        """The nearest ETF with this batch in the averages; changes nothing.

        Args:
            features: What `features` returned.
            y: Labels.

        Returns:
            Rows, differentiable in the features.

        Raises:
            ValueError: If ``delta`` is 0 and the means do not span K - 1 dimensions.
        """
        with full_precision(features):
            means, batches = self._average(features, y)
            return self._solve(means, batches > 0)[0]

    @torch.no_grad()
    def follow(self, features: Float[Tensor, "B d"], y: Int[Tensor, "B"]) -> None:
        """Take a batch into the averages and move the frame; used from the next forward pass on.

        Args:
            features: What `features` returned.
            y: Labels.

        Raises:
            ValueError: If ``delta`` is 0 and the means do not span K - 1 dimensions; nothing has
                changed then.
        """
        with full_precision(features):
            means, batches = self._average(features, y)
            W, U = self._solve(means, batches > 0)
        self.frame.copy_(W)
        if U is not None:
            self.rotation.copy_(U)
        self.means.copy_(means)
        self.batches.copy_(batches)
        self.centre.copy_(_centre(means, batches > 0))

    def _average(
        self, features: Float[Tensor, "B d"], y: Int[Tensor, "B"]
    ) -> tuple[Float[Tensor, "d K"], Int[Tensor, "K"]]:
        H = at_least_float32(features)
        member = nn.functional.one_hot(y, self.K).to(H.dtype)
        count = member.sum(0)
        mean = H.mT @ member / count.clamp(min=1)
        rate = (2 / (self.batches.to(H.dtype) + 2)).clamp(min=self.least_rate)
        moved = self.means.to(H.dtype) + rate * (mean - self.means)
        return torch.where(count > 0, moved, self.means), self.batches + (count > 0)

    def _solve(
        self, means: Float[Tensor, "d K"], seen: Bool[Tensor, "K"]
    ) -> tuple[Float[Tensor, "K d"], Float[Tensor, "d K"] | None]:
        # A class not seen yet stands at the centre of the others, where it pulls nowhere.
        centred = torch.where(seen, means - _centre(means, seen).unsqueeze(-1), 0.0)
        if self.delta == 0:
            return nearest_etf(centred, E_W=self.E_W, rtol=1e-6), None
        U = nearest_rotation(centred, self.rotation.to(means.dtype), delta=self.delta)
        scale = (self.E_W * self.K / (self.K - 1)) ** 0.5
        return scale * (U - U.mean(-1, keepdim=True)).mT, U


def _centre(means: Float[Tensor, "d K"], seen: Bool[Tensor, "K"]) -> Float[Tensor, "d"]:
    # Zero before any class has been seen, as after an empty first batch.
    member = seen.to(means.dtype)
    return means @ member / member.sum().clamp(min=1)


def orthonormal(rows: Float[Tensor, "K d"]) -> Float[Tensor, "d K"]:
    """A rotation U with rows proportional to ``P U'``: the ETF's own, completed by one direction.

    Args:
        rows: Simplex ETF, d >= K.

    Returns:
        Orthonormal columns.
    """
    K = len(rows)
    inside, _, _ = torch.linalg.svd(rows.mT)
    along = inside[:, K - 1 : K]
    part = rows.mT * ((K - 1) / (K * rows.square().sum(-1).mean())) ** 0.5
    return part + along @ along.new_full((1, K), K**-0.5)
