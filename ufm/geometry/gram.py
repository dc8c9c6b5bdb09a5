"""The rotation-free value type of a solution: its Gram triple."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ufm._typing import Float, Int, Tensor


@dataclass(frozen=True, eq=False)
class Geometry:
    r"""What of (W, H) is defined: :math:`W W^\top`, :math:`\bar H^\top \bar H`, :math:`W \bar H`.

    (W, H) is defined only up to ``(W R, R' H)`` with orthogonal ``R``; the triple is not, and it
    does not depend on d, so solutions of different dimension compare.

    Attributes:
        gram_W: Gram matrix of the classifier rows ``(*b, K, K)``.
        gram_H: Gram matrix of the class means ``(*b, K, K)``.
        Z: Class-mean logits without bias ``(*b, K, K)``, column k of class k.
        within: Share of the features' second moment that lies within classes,
            ``sum_k mean_i |h_ki - hbar_k|^2 / sum_k mean_i |h_ki|^2``, in [0, 1]; 0 where H = 0.
    """

    gram_W: Float[Tensor, "*b K K"]
    gram_H: Float[Tensor, "*b K K"]
    Z: Float[Tensor, "*b K K"]
    within: Float[Tensor, "*b"]

    @classmethod
    def of(
        cls, W: Float[Tensor, "*b K d"], H: Float[Tensor, "*b d M"], y: Int[Tensor, "M"]
    ) -> Geometry:
        """Gram triple of a classifier and features.

        Args:
            W: Classifier rows.
            H: Features as columns (samples, or class means).
            y: Label of each column; every class 0..K-1 must occur.

        Returns:
            The geometry.

        Raises:
            ValueError: If the labels do not fit, or a class has no column.
        """
        K = W.shape[-2]
        if len(y) != H.shape[-1]:
            raise ValueError(f"y must label all {H.shape[-1]} columns of H, got {len(y)} labels")
        if int(y.min()) < 0 or int(y.max()) >= K:
            raise ValueError(
                f"y must lie in 0..K-1 = 0..{K - 1}, got {int(y.min())}..{int(y.max())}"
            )
        count = torch.bincount(y, minlength=K)
        if int(count.min()) == 0:
            raise ValueError(f"y must contain every class, class {int(count.argmin())} has none")
        average = torch.nn.functional.one_hot(y, K).to(H.dtype) / count
        Hbar = H @ average
        total = (H.square() @ average).sum((-2, -1))
        scatter = ((H - Hbar[..., y]).square() @ average).sum((-2, -1))
        within = torch.where(total > 0, scatter / total.clamp(min=1e-300), 0.0)
        return cls(W @ W.mT, Hbar.mT @ Hbar, W @ Hbar, within)

    @property
    def joint(self) -> Float[Tensor, "*b J J"]:
        """Gram matrix of the 2K vectors (w_1..w_K, hbar_1..hbar_K)."""
        top = torch.cat([self.gram_W, self.Z], -1)
        bottom = torch.cat([self.Z.mT, self.gram_H], -1)
        return torch.cat([top, bottom], -2)

    def __getitem__(self, index) -> Geometry:
        return Geometry(self.gram_W[index], self.gram_H[index], self.Z[index], self.within[index])


def norms(gram: Float[Tensor, "*b K K"]) -> Float[Tensor, "*b K"]:
    """Vector norms from a Gram matrix.

    Args:
        gram: Gram matrix.

    Returns:
        Norms.
    """
    return gram.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()


def cosines(gram: Float[Tensor, "*b K K"]) -> Float[Tensor, "*b K K"]:
    """Cosines from a Gram matrix; NaN where a vector is zero (its angle is 0/0, not 0).

    A vector counts as zero when its norm is below 1e-6 of the largest: a vanished class leaves
    only the solver's rounding behind, whose direction means nothing.

    Args:
        gram: Gram matrix.

    Returns:
        Matrix of cosines with unit diagonal (NaN rows and columns for zero vectors).
    """
    norm = norms(gram)
    vanished = norm <= 1e-6 * norm.amax(-1, keepdim=True)
    norm = norm.masked_fill(vanished, float("nan"))
    return gram / (norm.unsqueeze(-1) * norm.unsqueeze(-2))
