r"""Trees that look the same from every class, as a few numbers. Torch-free.

If all nodes of one depth have equally many children, a matrix whose entries depend on the level of
the lowest common ancestor alone, :math:`M_{ij} = m_{l(i,j)}`, is :math:`\sum_l \theta_l E_l`: the
projector :math:`E_l` belongs to the contrasts between the children of the nodes of level l (they
are constant below each child), and

.. math:: \theta_{l+1} - \theta_l = n_l\,(m_l - m_{l+1}), \qquad \theta_0 = 0,

with :math:`n_l` leaves below a node of level l. Entries that fall with the distance have
:math:`0 \le \theta_1 \le \dots \le \theta_L`: coarse contrasts are the strong ones.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ufm.geometry.specs import HAFrame


@final
@dataclass(frozen=True)
class Levels:
    """The levels of a symmetric tree, leaves first; single children make no level.

    Attributes:
        sizes: Leaves below a node of each level, from 1 to K.
        labels: Distance of two classes whose lowest common ancestor is of each level; 0 first.
        cosines: Target cosine at each of these distances; 1 first.
    """

    sizes: tuple[int, ...]
    labels: tuple[int, ...]
    cosines: tuple[float, ...]

    @classmethod
    def of(cls, frame: HAFrame) -> Levels | None:
        """Levels of a frame's tree.

        Args:
            frame: The frame.

        Returns:
            The levels, or None if nodes of one depth differ.
        """
        tree = frame.tree
        shapes = {(depth, len(tree.children[v])) for v, depth in enumerate(tree.depths)}
        if len(shapes) > tree.height + 1:
            return None
        node, sizes, labels = 0, [1], [0]
        while tree.parent[node] >= 0:
            node = tree.parent[node]
            lo, hi = tree.spans[node]
            if hi - lo > sizes[-1]:
                sizes.append(hi - lo)
                labels.append(tree.labels(frame.convention)[node])
        D, s = labels[-1], frame.asymptote
        cosines = tuple(1 - (1 - s) * frame.similarity.drop(0, label, D) for label in labels)
        return cls(tuple(sizes), tuple(labels), cosines)

    @property
    def shares(self) -> tuple[int, ...]:
        """Classes at each level as seen from one class; they sum to K."""
        return (1, *(n - m for m, n in zip(self.sizes, self.sizes[1:], strict=False)))

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Dimension of the contrasts of each level 1..L; they sum to K - 1."""
        K = self.sizes[-1]
        return tuple(K // m - K // n for m, n in zip(self.sizes, self.sizes[1:], strict=False))

    def spectrum(self, entries: Sequence[float]) -> tuple[float, ...]:
        r"""Eigenvalues :math:`\theta_1..\theta_L` of the matrix with given entries by level.

        Args:
            entries: ``m_0, ..., m_L``.

        Returns:
            One eigenvalue a level of contrasts.
        """
        found, theta = [], 0.0
        for n, near, far in zip(self.sizes, entries, entries[1:], strict=False):
            theta += n * (near - far)
            found.append(theta)
        return tuple(found)

    def probabilities(self, spectrum: Sequence[float]) -> tuple[float, ...]:
        """Entries of the matrix with given eigenvalues and columns that sum to one.

        Args:
            spectrum: One eigenvalue a level of contrasts.

        Returns:
            Entries by level.
        """
        theta = (0.0, *spectrum)
        found = [(1 - theta[-1]) / self.sizes[-1]]
        for level in range(len(theta) - 2, -1, -1):
            found.append(found[-1] + (theta[level + 1] - theta[level]) / self.sizes[level])
        return tuple(reversed(found))

    def targets(self, beta: float) -> tuple[float, ...]:
        """Calibrated soft targets, the softmax of ``beta`` times the cosines.

        Args:
            beta: Feature norm aimed at.

        Returns:
            Probabilities by level.
        """
        weights = [math.exp(beta * (cosine - 1)) for cosine in self.cosines]
        total = math.fsum(m * w for m, w in zip(self.shares, weights, strict=True))
        return tuple(w / total for w in weights)

    def centred_logits(self, probabilities: Sequence[float]) -> tuple[float, ...]:
        """Logits of given probabilities that sum to zero over the classes.

        Args:
            probabilities: Entries by level; what underflowed counts as the smallest number.

        Returns:
            Logits by level.
        """
        logs = [math.log(max(p, sys.float_info.min)) for p in probabilities]
        mean = math.fsum(m * x for m, x in zip(self.shares, logs, strict=True)) / self.sizes[-1]
        return tuple(x - mean for x in logs)

    def divergence(self, targets: Sequence[float], probabilities: Sequence[float]) -> float:
        """Kullback-Leibler divergence of one column.

        Args:
            targets: Entries by level.
            probabilities: Entries by level.

        Returns:
            The divergence in nats.
        """
        return math.fsum(
            m * t * math.log(t / q)
            for m, t, q in zip(self.shares, targets, probabilities, strict=True)
            if t > 0
        )
