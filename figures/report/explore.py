"""The pages that move: what they are called, and the data that they draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl


PHASE_CLAIMS = ("fang2021.r0", "fang2021.r0-single", "fang2021.r1", "fang2021.step",
                "fang2021.oversampling-threshold")  # fmt: skip
FLOW_FIGURE = "etf-3d"
FLOW_CLAIMS = ("zhu2021.global-etf", "papyan2020.etf-gram", "papyan2020.nc1", "papyan2020.nc2",
               "papyan2020.nc3")  # fmt: skip
METRICS = (
    ("value", "objective, above its end", "line"),
    ("nc1_quot", "NC1: variability within classes", "two"),
    ("nc2_etf_err", "NC2: distance of the means to an ETF", "three"),
    ("nc3_dual_err", "NC3: distance of W to the means", "four"),
)
PHASE_FACTS = (
    ("R0", "merged from R_0"),
    ("R1", "zero from R_1"),
    ("weight", "weight on minority samples that keeps them apart"),
    ("cosine", "cosine of two minority rows"),
    ("rows", "|w|^2 / E_W of a minority class"),
    ("features", "|h|^2 / E_H of a minority class"),
    ("own", "probability of a minority sample's own class"),
    ("risk", "risk"),
)


def phases(figures: set[str]) -> dict[str, Any]:
    """What the page of the phase diagram shows.

    Args:
        figures: Ids of the figures that were built.

    Returns:
        Values of its template.
    """
    return {
        "facts": PHASE_FACTS, "claims": PHASE_CLAIMS, "solved": "phase-diagram" in figures,
    }  # fmt: skip


def flow(table: Path) -> dict[str, Any]:
    """What the page of the gradient flow plays.

    Args:
        table: Data of the figure that recorded it.

    Returns:
        Values of its template; ``flow`` is None if the figure was not built.
    """
    values: dict[str, Any] = {"claims": FLOW_CLAIMS, "figure": FLOW_FIGURE, "flow": None, "end": {}}
    if not table.exists():
        return values
    rows = pl.read_parquet(table)
    features, classifier = (_places(rows, part) for part in ("feature", "classifier"))
    places = rows.filter(part="feature")
    first = places.filter(pl.col("time") == 0).sort("k", "sample")
    values["end"] = dict(rows.filter(part="end").select("name", "value").iter_rows())
    values["flow"] = {
        "times": places["time"].unique().sort().to_list(),
        "labels": first["k"].to_list(),
        "features": features,
        "classifier": classifier,
        "metrics": [_metric(rows, *metric) for metric in METRICS],
        "reach": 2.6,
    }
    return values


def _places(rows: pl.DataFrame, part: str) -> list[list[list[float]]]:
    own = rows.filter(part=part).sort("time", "k", "sample")
    return [
        block.select("x", "y", "z").to_numpy().round(3).tolist()
        for block in own.partition_by("time", maintain_order=True)
    ]


def _metric(rows: pl.DataFrame, name: str, title: str, style: str) -> dict[str, Any]:
    own = rows.filter(part="metric", name=name).sort("time")
    values = own["value"] - own["value"][-1] if name == "value" else own["value"]
    return {
        "name": name, "title": title, "style": style,
        "times": [float(f"{x:.5g}") for x in own["time"]],
        "values": [float(f"{x:.4g}") for x in values],
    }  # fmt: skip
