"""Maps: one certified optimum a pixel of a rectangle of parameters, computed in bands and recorded.

A map is a spec; `compute` solves it band by band through the run store, so that an interrupted map
continues where it stopped and a finished one is only read. Every pixel is solved by the engine,
certified, and what the certificate proves about it is set beside the closed form, where there is
one. Nothing here draws. May import everything in ``ufm`` but the command line.

=============  ==============================  =====================================================
`PhaseMap`     minority collapse               imbalance ratio against energy, thresholds R0 and R1
`SurvivalMap`  problem P of multi-center nets  ridge against imbalance, number of surviving classes
`AngleMap`     hierarchy-aware frame           feature norm against weight of the auxiliary loss
=============  ==============================  =====================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._lazy import attach


if TYPE_CHECKING:
    from ufm.maps.angles import TREES as TREES
    from ufm.maps.angles import AngleMap as AngleMap
    from ufm.maps.grid import Axis as Axis
    from ufm.maps.grid import Band as Band
    from ufm.maps.grid import Map as Map
    from ufm.maps.grid import bands as bands
    from ufm.maps.grid import compute as compute
    from ufm.maps.grid import produce as produce
    from ufm.maps.phase import PhaseMap as PhaseMap
    from ufm.maps.step_phase import UNDECIDED as UNDECIDED
    from ufm.maps.step_phase import proved_phase as proved_phase
    from ufm.maps.survival import SurvivalMap as SurvivalMap


__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        **dict.fromkeys(("TREES", "AngleMap"), ".angles"),
        **dict.fromkeys(("Axis", "Band", "Map", "bands", "compute", "produce"), ".grid"),
        "PhaseMap": ".phase",
        **dict.fromkeys(("UNDECIDED", "proved_phase"), ".step_phase"),
        "SurvivalMap": ".survival",
    },
)
