"""A gradient flow as the figure `etf-3d` records it, with made-up positions."""

from __future__ import annotations

import itertools
from pathlib import Path

import polars as pl
import torch

from figures.report import explore


def recorded(path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    rows = []
    for part, count in (("classifier", 1), ("feature", 3)):
        for time, k, i in itertools.product((0.0, 1.0, 10.0, 1e4), range(4), range(count)):
            x, y, z = torch.randn(3, generator=generator, dtype=torch.float64).tolist()
            rows.append({"part": part, "time": time, "k": k, "sample": i, "x": x, "y": y, "z": z})
    rows += [
        {"part": "metric", "name": name, "time": time, "value": 2.0 / (1 + time)}
        for name, _, _ in explore.METRICS
        for time in (0.0, 0.5, 10.0, 1e4)
    ]
    rows += [{"part": "end", "name": name, "value": 1e-9} for name in ("gap", "distance")]
    pl.DataFrame(rows).sample(fraction=1, shuffle=True, seed=1).write_parquet(path)
    return path
