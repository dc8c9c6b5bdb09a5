"""Cross-entropy against soft targets calibrated to a hierarchy-aware frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from ufm._spec import spec
from ufm.counts import check_number
from ufm.geometry.specs import HAFrame
from ufm.losses._base import Loss
from ufm.losses._softmax import (
    covariance_product,
    divergence_and_grad,
    divergence_from_targets,
    divergence_of_change,
)


if TYPE_CHECKING:
    from torch import Tensor

# Blocks (lo, hi, cosine) of the leaves in the tree's order, and the place of each leaf there.
Blocks: TypeAlias = tuple[list[tuple[int, int, float]], list[int]]


@spec
class SoftTargets(Loss):
    r"""Cross-entropy against calibrated soft targets, less the entropy of the targets.

    Targets :math:`t_y = \mathrm{softmax}(\beta S_y)` with the target cosines S of a hierarchy-aware
    frame, and :math:`\ell(z, y) = \mathrm{KL}(t_y\,\|\,\mathrm{softmax}(z)) = \log\sum_j e^{z_j} -
    \langle t_y, z\rangle - \mathrm{Ent}(t_y)`, which is 0 exactly at
    :math:`z = \beta S_y + c\mathbf 1`. With W fixed to the frame (unit rows), :math:`h = \beta w_y`
    attains it: the frame is the optimum at a finite feature norm, for every tree and every class
    sizes. On a flat tree this is label smoothing.

    Gradient :math:`\mathrm{softmax}(z) - t_y`. Conjugate: for :math:`u = q' - t_y` with ``q'`` in
    the simplex, :math:`\ell^*(u) = \mathrm{Ent}(t_y) - \mathrm{Ent}(q')`; Fenchel defect
    :math:`\mathrm{KL}(q'\,\|\,\mathrm{softmax}(z))`.

    Attributes:
        frame: The frame whose cosines S are; the norm of its rows does not enter.
        beta: Feature norm aimed at, > 0.

    References:
        Soft labels over hierarchies: Bertinetto et al. (2020) [bertinetto2020]_. The calibration
        to the frame of Liang and Davis (2023) [liang2023]_, which makes it exact, is ours.

    >>> from ufm.geometry import Exponential
    >>> from ufm.hierarchy import Tree
    >>> import torch
    >>> frame = HAFrame(Tree.from_nested([[0, 1], 2]), Exponential(1.0))
    >>> loss = SoftTargets(frame, beta=3.0)
    >>> S = loss.cosines(torch.zeros(1, dtype=torch.float64)); S
    tensor([[ 1.0000, -0.0512, -0.6888],
            [-0.0512,  1.0000, -0.6888],
            [-0.6888, -0.6888,  1.0000]], dtype=torch.float64)
    >>> bool((loss.value(3 * S + 7, torch.tensor([0, 1, 2])) < 1e-15).all())
    True
    """

    frame: HAFrame
    beta: float
    # Set for each object; ClassVar keeps them out of the fields.
    _cosine_blocks: ClassVar[Blocks]
    _cache: ClassVar[dict[Any, Tensor]]
    attains_minimum: ClassVar[bool] = True
    shift_invariant: ClassVar[bool] = True
    class_symmetric: ClassVar[bool] = False

    def __post_init__(self):
        if not isinstance(self.frame, HAFrame):
            raise ValueError(f"frame must be a HAFrame, got {self.frame!r}")
        object.__setattr__(self, "beta", check_number("beta", self.beta, strict=True))
        object.__setattr__(self, "_cosine_blocks", _cosine_blocks(self.frame))
        object.__setattr__(self, "_cache", {})

    def check(self, K: int) -> None:
        if self.frame.tree.K != K:
            raise ValueError(f"frame must have K={K} leaves, got {self.frame.tree.K}")

    def cosines(self, like: Tensor) -> Tensor:
        """Target cosines S ``(K, K)``, written in blocks of the tree.

        Args:
            like: Any tensor of the wanted type and device.

        Returns:
            S.
        """
        return self._filled(like.new_empty(self.frame.tree.K, self.frame.tree.K))

    def _filled(self, S: Tensor) -> Tensor:
        blocks, position = self._cosine_blocks
        for lo, hi, cosine in blocks:
            S[lo:hi, lo:hi] = cosine
        return S[position][:, position]

    def log_targets(self, like: Tensor) -> Tensor:
        """Logarithms of the targets ``(K, K)``, column y of class y; computed once a device.

        Args:
            like: Any tensor of the wanted type and device.

        Returns:
            The log-probabilities.
        """
        import torch  # here because command lines name the loss without torch

        key = (like.dtype, like.device)
        if key not in self._cache:
            # What is kept must not belong to an inference mode or function transform around it.
            with torch.inference_mode(False):
                K = self.frame.tree.K
                S = self._filled(torch.empty(K, K, dtype=like.dtype, device=like.device))
                self._cache[key] = (self.beta * S).log_softmax(0)
        return self._cache[key]

    def value_and_grad(self, Z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return divergence_and_grad(Z, self.log_targets(Z).index_select(1, y))

    def value(self, Z: Tensor, y: Tensor) -> Tensor:
        return divergence_from_targets(Z, self.log_targets(Z).index_select(1, y))

    def hvp(self, Z: Tensor, y: Tensor, V: Tensor) -> Tensor:
        return covariance_product(Z, V)

    def conjugate(self, U: Tensor, y: Tensor) -> Tensor:
        log_T = self.log_targets(U).index_select(1, y)
        # Probabilities may be zero up to rounding, whose logarithm would be NaN.
        Q = (U + log_T.exp()).clamp(min=0)
        return (Q.xlogy(Q) - log_T.exp() * log_T).sum(-2)

    def slack(self, U: Tensor, y: Tensor) -> Tensor:
        return U + self.log_targets(U).index_select(1, y).exp()

    def fenchel_defect(self, U: Tensor, Z: Tensor, y: Tensor) -> Tensor:
        return divergence_of_change(Z, U - self.grad(Z, y))


def _cosine_blocks(frame: HAFrame) -> Blocks:
    # Plain numbers once, so that a compiler has nothing but slices to trace.
    tree, s = frame.tree, frame.asymptote
    labels, D = tree.labels(frame.convention), tree.d_max(frame.convention)
    blocks = [
        (*tree.spans[node], 1 - (1 - s) * frame.similarity.drop(0, min(labels[node], D), D))
        for node in tree.preorder
    ]
    position = [0] * tree.K
    for place, leaf in enumerate(tree.leaf_order):
        position[leaf] = place
    return blocks, position
