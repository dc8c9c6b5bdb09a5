"""Solvers: one algorithm a file, one loop, a status per instance."""

from __future__ import annotations

from ufm.solvers._solve import solve as solve
