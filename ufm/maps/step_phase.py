r"""Phase of an optimum under step imbalance, proved from its certificate.

The dual :math:`D(Q) = \sum_k \pi_k \mathrm{Ent}(q_k) - \tau\|(Q-I)\Pi\|` is strongly concave, so a
small gap pins the optimal softmax, and with it the phase, but at a distance of its square root.
"""

from __future__ import annotations

import torch

from ufm._typing import Bool, Tensor
from ufm.certificates import Certificate
from ufm.certificates._dual import op_norm
from ufm.solution import Solution


UNDECIDED = "undecided"


def proved_phase(sol: Solution, cert: Certificate, K_A: int) -> list[str]:
    r"""Phase of the *optimum*, proved from the certificate, or ``"undecided"``.

    :math:`\sum_k \tfrac{\pi_k}{2}\|q_k - q_k^*\|_1^2 \le g` for a gap g (Pinsker). So the optimal
    dual matrix lies within :math:`r = \sqrt{2 g \max_k \pi_k}` of the certificate's Y in Frobenius
    norm, and each of its singular values, and its norm on the direction that tells the groups
    apart, within r of Y's. The minority is collapsed iff :math:`\pi_B \le \mu^* = \|Y^*\|`; its
    vectors are zero iff its softmax is uniform, which follows if that direction is below
    :math:`\mu^*`. It is excluded if some minority :math:`q_k` is further than
    :math:`\sqrt{2g/\pi_B}` from uniform, or if the minority classes' centred log-probability of a
    majority sample, which is their logit, is not zero for any softmax within
    :math:`\sqrt{g/(2\pi_A)}` of the certificate's in each entry.

    Args:
        sol: Points.
        cert: Their certificate.
        K_A: Majority classes; they come first.

    Returns:
        ``"full"``, ``"collapsed"``, ``"vanished"`` or ``"undecided"``, one an instance.
    """
    pi = sol.objective().c
    K, pi_B = pi.shape[-1], pi[:, -1]
    gap = cert.gap.clamp(min=0) + cert.margin
    radius = (2 * gap * pi.amax(-1)).sqrt()
    mu = op_norm(cert.Y)
    tells_apart = torch.ones(K, dtype=pi.dtype, device=pi.device)
    tells_apart[:K_A], tells_apart[K_A:] = K - K_A, -K_A
    mixed = torch.linalg.vector_norm(cert.Y.mT @ (tells_apart / tells_apart.norm()), dim=-1)
    Q = torch.eye(K, dtype=pi.dtype, device=pi.device) + cert.Y / pi.unsqueeze(-2)
    off = (Q - 1 / K).abs().sum(-2)[:, K_A:].amax(-1)
    # Entries of one column move by at most half of its change in the l1 norm.
    slack = (gap / (2 * pi[:, 0])).sqrt().unsqueeze(-1)
    low, high = (Q[:, :, 0] - slack).clamp(min=0).log(), (Q[:, :, 0] + slack).log()
    logit_low = low[:, -1] - high.mean(-1)
    logit_high = high[:, -1] - low.mean(-1)
    full = mu + radius < pi_B
    collapsed = mu - radius >= pi_B
    zero = collapsed & (mixed + radius < mu - radius)
    apart = (off > (2 * gap / pi_B).sqrt()) | (logit_low > 0) | (logit_high < 0)
    return _named(full, collapsed & apart, zero)


def _named(
    full: Bool[Tensor, "B"], collapsed: Bool[Tensor, "B"], vanished: Bool[Tensor, "B"]
) -> list[str]:
    rows = zip(full.tolist(), collapsed.tolist(), vanished.tolist(), strict=True)
    return [
        "full" if a else "collapsed" if b else "vanished" if c else UNDECIDED for a, b, c in rows
    ]
