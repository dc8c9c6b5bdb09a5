"""The named tolerance tiers; all relative, float64. Nothing else may be used without a reason."""

EXACT = 1e-12  # algebra
CERTIFIED = 1e-10  # refined gap, and what follows from it
SOLVED = 1e-5  # gap of an unpolished first-order method
