"""Geometry: frames, the rotation-free Gram triple of a solution, and distances between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._lazy import attach


if TYPE_CHECKING:
    from ufm.geometry.comparison import distance as distance
    from ufm.geometry.comparison import procrustes_distance as procrustes_distance
    from ufm.geometry.frames import align as align
    from ufm.geometry.frames import etf as etf
    from ufm.geometry.frames import frame as frame
    from ufm.geometry.frames import helmert as helmert
    from ufm.geometry.frames import orthogonal as orthogonal
    from ufm.geometry.gram import Geometry as Geometry
    from ufm.geometry.gram import cosines as cosines
    from ufm.geometry.gram import norms as norms
    from ufm.geometry.specs import ExplicitFrame as ExplicitFrame
    from ufm.geometry.specs import Frame as Frame
    from ufm.geometry.specs import OrthogonalFrame as OrthogonalFrame
    from ufm.geometry.specs import SimplexETF as SimplexETF

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "distance": ".comparison",
        "procrustes_distance": ".comparison",
        "align": ".frames",
        "etf": ".frames",
        "frame": ".frames",
        "helmert": ".frames",
        "orthogonal": ".frames",
        "Geometry": ".gram",
        "cosines": ".gram",
        "norms": ".gram",
        "ExplicitFrame": ".specs",
        "Frame": ".specs",
        "OrthogonalFrame": ".specs",
        "SimplexETF": ".specs",
    },
)
