r"""The multi-center frame of neural collapse to multiple centers, its angles and decision rules.

Class k has a vector w_k and f_k centers :math:`\cos\theta\,v_j^{(k)} + \sin\theta\,w_k`, all w and
v orthonormal; :math:`\bar w_k` is the mean of its centers and :math:`g_k = \cos^2\theta +
f_k\sin^2\theta`. Features collapse to :math:`\bar w_k`, one point a class, not to single centers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ufm._typing import Float, Int, Tensor
from ufm.geometry.frames import frame
from ufm.geometry.specs import MultiCenter


@dataclass(frozen=True, eq=False)
class Centers:
    """A multi-center frame as tensors.

    Attributes:
        W: Class vectors w_k ``(K, d)``, the classifier that the papers keep for inference.
        centers: All centers ``(F, d)``, F = sum of f, in blocks of a class.
        owner: Class of each center ``(F,)``.
        slots: Places of each class's centers ``(K, max f)``, F where a class has fewer; None for
            losses to compare all owners instead.
    """

    W: Float[Tensor, "K d"]
    centers: Float[Tensor, "F d"]
    owner: Int[Tensor, "F"]
    slots: Int[Tensor, "K m"] | None = None

    @property
    def mean(self) -> Float[Tensor, "K d"]:
        """Mean of each class's centers."""
        total = torch.zeros_like(self.W).index_add_(0, self.owner, self.centers)
        return total / torch.bincount(self.owner, minlength=len(self.W)).unsqueeze(-1).to(total)

    @property
    def direction(self) -> Float[Tensor, "K d"]:
        """Unit mean of each class's centers, where its features collapse to."""
        return torch.nn.functional.normalize(self.mean, dim=-1)


def multicenter_frame(spec: MultiCenter, d: int | None = None) -> Centers:
    """Build the class vectors and centers.

    Args:
        spec: The frame.
        d: Ambient dimension, at least ``spec.d_min``, which is the default.

    Returns:
        The frame: w_k on the first K axes, the v on the next F.

    Raises:
        ValueError: If ``d`` is too small.

    References:
        Yan et al. (2024) [yan2024]_, Definition 3.2.

    >>> parts = multicenter_frame(MultiCenter((1, 2), theta=math.pi / 6))
    >>> (parts.centers @ parts.centers.mT)[2, 1]  # sin^2(theta) within a class
    tensor(0.2500, dtype=torch.float64)
    """
    K, F, d = len(spec.f), sum(spec.f), spec.d_min if d is None else d
    W = frame(spec, K, d)
    owner = torch.repeat_interleave(torch.arange(K), torch.tensor(spec.f))
    V = torch.zeros(F, d, dtype=torch.float64)
    V[:, K : K + F].fill_diagonal_(spec.E_W**0.5)
    centers = math.cos(spec.theta) * V + math.sin(spec.theta) * W[owner]
    return Centers(W, centers, owner, center_slots(spec.f))


def center_slots(f: tuple[int, ...]) -> Int[Tensor, "K m"]:
    """Places of each class's centers when they are stored in blocks of a class.

    Args:
        f: Centers of each class.

    Returns:
        Row k holds the f_k places of class k, then sum(f), which is no place.

    >>> center_slots((1, 3))
    tensor([[0, 4, 4],
            [1, 2, 3]])
    """
    count, step = torch.tensor(f), torch.arange(max(f))
    first = count.cumsum(0) - count
    places = first.unsqueeze(-1) + step
    return places.where(step < count.unsqueeze(-1), sum(f))


def center_gain(f: Float[Tensor, "*b K"], theta: float) -> Float[Tensor, "*b K"]:
    r"""Largest eigenvalue of the Gram matrix of a class's centers.

    :math:`g_k = \cos^2\theta + f_k\sin^2\theta`. It belongs to the mean direction; the other
    f_k - 1 eigenvalues are :math:`\cos^2\theta`.

    Args:
        f: Centers of each class.
        theta: Angle of the centers, in [0, pi/2].

    Returns:
        The eigenvalues.
    """
    return math.cos(theta) ** 2 + math.sin(theta) ** 2 * f


def center_mean_cos(f: Float[Tensor, "*b K"], theta: float) -> Float[Tensor, "*b K"]:
    r"""Cosine of a center to its class's mean direction, :math:`\cos\alpha_k=\sqrt{g_k/f_k}`.

    It is also the length of the mean center of a unit frame.

    Args:
        f: Centers of each class.
        theta: Angle of the centers, in [0, pi/2].

    Returns:
        The cosines.
    """
    return (center_gain(f, theta) / f).sqrt()


def class_mean_cos(f: Float[Tensor, "*b K"], theta: float) -> Float[Tensor, "*b K"]:
    r"""Cosine of w_k to the mean direction, :math:`\cos\rho_k=\sqrt{f_k}\,\sin\theta/\sqrt{g_k}`.

    With collapsed features the regular rule on the w_k scores class k by this cosine: a fixed
    factor on its logit, larger for classes of more centers.

    Args:
        f: Centers of each class.
        theta: Angle of the centers, in [0, pi/2].

    Returns:
        The cosines.
    """
    return math.sin(theta) * (f / center_gain(f, theta)).sqrt()


def regular_rule(H: Float[Tensor, "*b d M"], parts: Centers) -> Int[Tensor, "*b M"]:
    r"""Regular classification rule (RCR), :math:`\arg\max_k \langle w_k, h\rangle`.

    Args:
        H: Features as columns.
        parts: The frame.

    Returns:
        Class of each column.
    """
    return (parts.W @ H).argmax(-2)


def mean_rule(H: Float[Tensor, "*b d M"], parts: Centers) -> Int[Tensor, "*b M"]:
    r"""Rule of the mean directions, :math:`\arg\max_k \langle \bar w_k/\|\bar w_k\|, h\rangle`.

    Args:
        H: Features as columns.
        parts: The frame.

    Returns:
        Class of each column.
    """
    return (parts.direction @ H).argmax(-2)


def general_rule(H: Float[Tensor, "*b d M"], parts: Centers) -> Int[Tensor, "*b M"]:
    r"""Generalised rule (GCR), :math:`\arg\max_k \max_j \langle w_j^{(k)}, h\rangle`.

    Args:
        H: Features as columns.
        parts: The frame.

    Returns:
        Class of each column, that of the best center.
    """
    return parts.owner[(parts.centers @ H).argmax(-2)]
