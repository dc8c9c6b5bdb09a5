"""Constants of the Armijo search, shared by every form of L-BFGS."""

ARMIJO = 1e-4
SHRINK = 0.35
# 0.35^30 = 2e-14 of the trial step: nothing is left to gain in float64.
MAX_SHRINKS = 30
# Steps at rounding level that bring neither the value nor the gradient down.
MAX_IDLE = 50
