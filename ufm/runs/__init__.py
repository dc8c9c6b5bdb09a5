"""Recorded runs: what was computed, keyed by its spec, with where it came from.

A chunk of runs (one instance or thousands) is three files, ``<kind>/<key>`` with the suffixes
``.parquet`` (rows), ``.safetensors`` (tensors) and ``.json`` (record), under a store's root. The
key is the digest of the canonical JSON of its `RunSpec`, so the same request finds the same files
on every machine. May import everything in ``ufm`` but the command line; polars is imported here and
nowhere below, and only when a chunk is written or read: `files` and `provenance` need none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._lazy import attach


if TYPE_CHECKING:
    from ufm.runs.chunk import Chunk as Chunk
    from ufm.runs.chunk import DamagedChunk as DamagedChunk
    from ufm.runs.chunk import Run as Run
    from ufm.runs.files import check_writable as check_writable
    from ufm.runs.files import write_atomic as write_atomic
    from ufm.runs.request import RunSpec as RunSpec
    from ufm.runs.request import split as split
    from ufm.runs.solve_runs import certificate_rows as certificate_rows
    from ufm.runs.solve_runs import solved as solved
    from ufm.runs.store import Store as Store
    from ufm.runs.store import default_root as default_root
    from ufm.runs.store import get_or_run as get_or_run


_EXPORTS = {
    "Chunk": ".chunk",
    "DamagedChunk": ".chunk",
    "Run": ".chunk",
    "RunSpec": ".request",
    "Store": ".store",
    "certificate_rows": ".solve_runs",
    "check_writable": ".files",
    "default_root": ".store",
    "get_or_run": ".store",
    "solved": ".solve_runs",
    "split": ".request",
    "write_atomic": ".files",
}

__getattr__, __dir__, __all__ = attach(__name__, _EXPORTS)
