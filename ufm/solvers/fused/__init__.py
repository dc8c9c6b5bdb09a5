"""One kernel an instance: the whole of L-BFGS in compiled code, for batches of small problems.

Needs numba (extra ``fast``), imported when first used. `ufm.solvers.lbfgs` is the reference and
does what the kernel does not: other models, large K, callbacks. Arrays: see ``_kernel``.
"""
