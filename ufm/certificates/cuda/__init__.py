"""Certificates written for CUDA."""
