"""Solvers written for CUDA: fused kernels and captured graphs."""
