"""Compiled kernels by numba (extra ``fast``): what solvers and certificates share of them.

A kernel works through rows of arrays; ``rows.over_rows`` splits them among threads. Modules whose
names begin with an underscore import numba and are imported only where it is known to be there.
"""
