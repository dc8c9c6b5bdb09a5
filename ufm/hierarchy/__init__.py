"""Class hierarchies: trees, their two leaf distances, and the ultrametric check.

The tree itself is plain numbers and needs neither NumPy nor torch; the matrices need NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._lazy import attach


if TYPE_CHECKING:
    from ufm.hierarchy.distances import distance_matrix as distance_matrix
    from ufm.hierarchy.distances import ultrametric_witness as ultrametric_witness
    from ufm.hierarchy.shipped import load as load
    from ufm.hierarchy.tree import Tree as Tree

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Tree": ".tree",
        "distance_matrix": ".distances",
        "ultrametric_witness": ".distances",
        "load": ".shipped",
    },
)
