"""The shape annotations, from jaxtyping where it is installed. Imports no array library."""

from __future__ import annotations


try:
    from jaxtyping import Bool, Float, Int, Real
except ImportError:  # a bare interpreter on a GPU machine: only the tests evaluate annotations
    Bool = Float = Int = Real = object

__all__ = ["Bool", "Float", "Int", "Real"]
