"""Limited-memory BFGS directions of a batch, from inner products alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ufm._typing import Bool, Float, Int, Tensor


# A pair (s, y) is used if <s, y> exceeds this times <y, y>.
CURVATURE = 1e-12


@dataclass(frozen=True, eq=False)
class Memory:
    r"""The last m pairs (s, y) in a ring that all instances share.

    In the compact form of Byrd, Nocedal and Schnabel (1994) [byrd1994]_ the inverse Hessian is

    .. math:: \gamma I + [S\ \gamma Y] \begin{bmatrix} R^{-\top}(D + \gamma Y^\top Y)R^{-1}
        & -R^{-\top} \\ -R^{-1} & 0 \end{bmatrix} [S\ \gamma Y]^\top

    with :math:`R` the upper triangle of :math:`S^\top Y` in order of age and ``D`` its diagonal.
    Dropping the oldest pair drops a row and column of :math:`R^{-1}`, and a new one appends a
    column, so :math:`R^{-1}` is kept, in ring order. The pairs are read twice a step instead of
    4m times. An unusable pair has a zero row and column in :math:`R^{-1}`.

    Attributes:
        pairs: ``(B, m, 2, P)``, s and y of each slot; filled from the first slot on and updated
            in place.
        R_inverse: ``(B, m, m)``, in place too.
        D: ``<s_i, y_i>`` ``(B, m)``.
        YY: ``<y_i, y_j>`` ``(B, m, m)``.
        gamma: Scale of the initial inverse Hessian ``(B,)``.
    """

    pairs: Float[Tensor, "B m 2 P"]
    R_inverse: Float[Tensor, "B m m"]
    D: Float[Tensor, "B m"]
    YY: Float[Tensor, "B m m"]
    gamma: Float[Tensor, "B"]

    @classmethod
    def empty(cls, x: Float[Tensor, "B P"], m: int) -> Memory:
        """No pairs yet.

        Args:
            x: Coordinates, for shape, type and device.
            m: Number of pairs to keep.

        Returns:
            The memory.
        """
        (B, P), zeros = x.shape, x.new_zeros
        pairs = x.new_empty(B, m, 2, P)
        return cls(pairs, zeros(B, m, m), zeros(B, m), zeros(B, m, m), zeros(B) + 1)

    def select(self, index: Int[Tensor, "S"]) -> Memory:
        """The sub-batch at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            A smaller memory. Where the loop only fills gaps from the end, the pairs of this one
            are moved in place and are not to be used any more.
        """
        here = torch.arange(len(index), device=index.device)
        moved = (index != here).nonzero().squeeze(-1)
        pairs = self.pairs
        if bool((index[moved] >= len(index)).all()):
            pairs[moved] = pairs[index[moved]]
            pairs = pairs[: len(index)]
        else:
            pairs = pairs[index]
        return Memory(
            pairs, self.R_inverse[index], self.D[index], self.YY[index], self.gamma[index]
        )

    def forget(self, where: Bool[Tensor, "B"]) -> Memory:
        """Drop all pairs of some instances.

        Args:
            where: Which.

        Returns:
            The memory.
        """
        return replace(self, R_inverse=self.R_inverse.masked_fill(where[:, None, None], 0.0))

    def update(
        self,
        x: tuple[Float[Tensor, "B P"], Float[Tensor, "B P"]],
        grad: tuple[Float[Tensor, "B P"], Float[Tensor, "B P"]],
        *,
        count: int,
        usable: Bool[Tensor, "B"],
    ) -> tuple[Memory, Float[Tensor, "B P"]]:
        """Replace the oldest pair, and give the next direction.

        Args:
            x: Coordinates before and after a step.
            grad: Gradients there.
            count: Pairs stored before.
            usable: Whether to use the pair, beside the curvature condition.

        Returns:
            The memory, and minus its inverse Hessian times the new gradient.
        """
        m = self.D.shape[-1]
        slot, used = count % m, min(count + 1, m)
        torch.sub(x[1], x[0], out=self.pairs[:, slot, 0])
        torch.sub(grad[1], grad[0], out=self.pairs[:, slot, 1])
        both = torch.stack([self.pairs[:, slot, 1], grad[1]], 1)
        pairs = self.pairs[:, :used].flatten(1, 2)
        with_change, with_grad = (both @ pairs.mT).unbind(1)
        memory = self._append(with_change, slot=slot, usable=usable)
        return memory, memory._direction(with_grad, grad[1], pairs)

    def _append(
        self, products: Float[Tensor, "B twok"], *, slot: int, usable: Bool[Tensor, "B"]
    ) -> Memory:
        with_S, with_Y = products[:, 0::2], products[:, 1::2]
        used = with_S.shape[-1]
        sy, yy = with_S[:, slot], with_Y[:, slot]
        good = usable & (sy > CURVATURE * yy)
        rho = torch.where(good, 1 / sy, 0.0)
        R_inverse = self.R_inverse[:, :used, :used]
        R_inverse[:, slot, :] = 0.0
        R_inverse[:, :, slot] = 0.0
        column = -rho.unsqueeze(-1) * (R_inverse @ with_S.unsqueeze(-1)).squeeze(-1)
        column[:, slot] = rho
        R_inverse[:, :, slot] = column
        self.YY[:, slot, :used] = with_Y
        self.YY[:, :used, slot] = with_Y
        self.D[:, slot] = sy
        return replace(self, gamma=torch.where(good, sy / yy, self.gamma))

    def _direction(
        self,
        products: Float[Tensor, "B twok"],
        grad: Float[Tensor, "B P"],
        pairs: Float[Tensor, "B twok P"],
    ) -> Float[Tensor, "B P"]:
        with_S, with_Y = products[:, 0::2], products[:, 1::2]
        used, gamma = with_S.shape[-1], self.gamma.unsqueeze(-1)
        R_inverse, YY = self.R_inverse[:, :used, :used], self.YY[:, :used, :used]
        alpha = (R_inverse @ with_S.unsqueeze(-1)).squeeze(-1)
        curved = (YY @ alpha.unsqueeze(-1)).squeeze(-1) - with_Y
        weight = torch.addcmul(self.D[:, :used] * alpha, gamma, curved)
        weight = (weight.unsqueeze(-2) @ R_inverse).squeeze(-2)
        mix = torch.stack([-weight, gamma * alpha], -1).flatten(1)
        return torch.baddbmm((-gamma * grad).unsqueeze(-2), mix.unsqueeze(-2), pairs).squeeze(-2)
