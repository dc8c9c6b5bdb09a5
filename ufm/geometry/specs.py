"""Frames of a fixed classifier as plain numbers; `frames.frame` builds them. Torch-free."""

from __future__ import annotations

import abc
import math
from functools import cached_property

from ufm._spec import spec
from ufm.center_counts import check_centers
from ufm.counts import check_number
from ufm.geometry.similarity import Similarity
from ufm.geometry.tree_network import Network, check_s
from ufm.hierarchy.tree import Convention, Tree


class Frame(abc.ABC):
    """The rows of a fixed classifier, stated as numbers."""

    @abc.abstractmethod
    def check(self, K: int, d: int) -> None:
        """Raise ``ValueError`` unless the frame exists with K rows in d dimensions.

        Args:
            K: Number of classes.
            d: Feature dimension.
        """


@spec
class SimplexETF(Frame):
    """Simplex equiangular tight frame with rows of squared norm ``E_W``; needs ``d >= K - 1``."""

    E_W: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "E_W", check_number("E_W", self.E_W, strict=True))

    def check(self, K: int, d: int) -> None:
        if d < K - 1:
            raise ValueError(f"d must be at least K-1={K - 1} for a simplex ETF, got {d}")


@spec
class OrthogonalFrame(Frame):
    """Orthogonal rows of squared norm ``E_W``; needs ``d >= K``."""

    E_W: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "E_W", check_number("E_W", self.E_W, strict=True))

    def check(self, K: int, d: int) -> None:
        if d < K:
            raise ValueError(f"d must be at least K={K} for an orthogonal frame, got {d}")


@spec
class ExplicitFrame(Frame):
    """Rows given one by one, a K x d tuple of tuples."""

    rows: tuple[tuple[float, ...], ...]

    def __post_init__(self):
        try:
            given = tuple(tuple(row) for row in self.rows)
        except TypeError as error:
            raise ValueError(f"rows must be a K x d tuple of tuples, got {self.rows!r}") from error
        rows = tuple(
            tuple(check_number(f"rows[{i}][{j}]", x, -float("inf")) for j, x in enumerate(row))
            for i, row in enumerate(given)
        )
        object.__setattr__(self, "rows", rows)

    def check(self, K: int, d: int) -> None:
        widths = sorted({len(row) for row in self.rows})
        if len(self.rows) != K or widths != [d]:
            raise ValueError(f"rows must be K x d = {K} x {d}, got {len(self.rows)} x {widths}")


@spec
class HAFrame(Frame):
    r"""Hierarchy-aware frame: cosines :math:`(1-s)\,f(d_{ij}) + s`, rows of squared norm ``E_W``.

    Needs ``d >= rank``: K - 1 at the most negative feasible asymptote s*, K above.

    Attributes:
        tree: The hierarchy; kept in its canonical form, since names do not change the frame.
        similarity: Non-increasing map f.
        s: Asymptote in [s*, 1), or None for s*.
        convention: Which distance of the tree.
        E_W: Squared norm of the rows.

    References:
        Liang and Davis (2023) [liang2023]_.
    """

    tree: Tree
    similarity: Similarity
    s: float | None = None
    convention: Convention = "height"
    E_W: float = 1.0

    def __post_init__(self):
        for name, kind in (("tree", Tree), ("similarity", Similarity)):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name} must be a {kind.__name__}, got {getattr(self, name)!r}")
        object.__setattr__(self, "tree", self.tree.canonical())
        object.__setattr__(self, "E_W", check_number("E_W", self.E_W, strict=True))
        if self.s is not None:
            object.__setattr__(self, "s", check_number("s", self.s, -math.inf))
        check_s(self.s, self.network)

    @cached_property
    def network(self) -> Network:
        """The solved network of the tree."""
        return Network.of(self.tree, self.similarity, self.convention)

    @property
    def asymptote(self) -> float:
        """``s``, or s* if that is None or equal to it."""
        return check_s(self.s, self.network)

    @property
    def rank(self) -> int:
        """Dimension of the span of the rows."""
        return self.network.rank(self.asymptote)

    def check(self, K: int, d: int) -> None:
        if self.tree.K != K:
            raise ValueError(f"tree must have K={K} leaves, got {self.tree.K}")
        if d < self.rank:
            raise ValueError(f"d must be at least {self.rank}, the rank of the frame, got {d}")


@spec
class MultiCenter(Frame):
    r"""Class vectors of a multi-center frame, each class with ``f[k]`` centers at one angle.

    Class k has centers :math:`\cos\theta\,v_j^{(k)} + \sin\theta\,w_k`, j = 1..f_k, and all w and v
    are orthogonal with squared norm ``E_W``. As the frame of a classifier its rows are the w_k.

    Needs ``d >= sum(f) + K``: for 0 <= theta < pi/2 class k's centers and w_k span f_k + 1
    dimensions, and different classes are orthogonal.

    References:
        Yan et al. (2024) [yan2024]_, Definition 3.2 (which asks for one dimension more).
    """

    f: tuple[int, ...]
    theta: float
    E_W: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "f", check_centers(self.f))
        object.__setattr__(self, "E_W", check_number("E_W", self.E_W, strict=True))
        theta = check_number("theta", self.theta, -math.inf)
        if not 0 <= theta <= math.pi / 2:
            raise ValueError(f"theta must be in [0, pi/2], got {theta!r}")
        object.__setattr__(self, "theta", theta)

    @property
    def d_min(self) -> int:
        """Smallest dimension that holds the frame, ``sum(f) + K``."""
        return sum(self.f) + len(self.f)

    def check(self, K: int, d: int) -> None:
        if len(self.f) != K:
            raise ValueError(f"f must have K={K} entries, got {len(self.f)}")
        if d < self.d_min:
            raise ValueError(f"d must be at least sum(f)+K={self.d_min}, got {d}")
