"""Pieces of Triton kernels that solvers and certificates share. Imported only where Triton is."""
