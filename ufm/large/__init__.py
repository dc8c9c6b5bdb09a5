"""One problem with very many classes: certificates in blocks, and in groups of equal classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._lazy import attach


if TYPE_CHECKING:
    from ufm.large.groups import GroupOptimum as GroupOptimum
    from ufm.large.groups import group_optimum as group_optimum
    from ufm.large.low_rank import LargeCertificate as LargeCertificate
    from ufm.large.low_rank import certify_low_rank as certify_low_rank
    from ufm.large.norm import proved_norm as proved_norm
    from ufm.large.solve import solve_large as solve_large


__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        **dict.fromkeys(("LargeCertificate", "certify_low_rank"), ".low_rank"),
        **dict.fromkeys(("GroupOptimum", "group_optimum"), ".groups"),
        "solve_large": ".solve",
        "proved_norm": ".norm",
    },
)
