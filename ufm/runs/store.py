"""The run store: find a chunk by its spec, or compute and record it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ufm.runs.chunk import (
    SUFFIXES,
    Chunk,
    DamagedChunk,
    Run,
    read_chunk,
    read_record,
    to_files,
)
from ufm.runs.files import PARTIAL, locked, naming_folder, publish, write_partial
from ufm.runs.provenance import environment
from ufm.runs.request import RunSpec


log = logging.getLogger("ufm.runs")

Producer = Callable[[RunSpec], Chunk]
Rows = list[dict[str, Any]]

COLUMNS = (
    "kind", "key", "rows", "version", "seconds", "utc", "device", "ufm", "commit", "dirty",
)  # fmt: skip


def default_root() -> Path:
    """``$UFM_RUNS``, or ``runs`` under the working directory.

    Returns:
        The folder; it need not exist.
    """
    return Path(os.environ.get("UFM_RUNS") or "runs")


@dataclass(frozen=True)
class Store:
    """A folder of recorded chunks.

    Attributes:
        root: The folder; made when something is first written.
    """

    root: Path

    @classmethod
    def default(cls) -> Store:
        """The store at `default_root`.

        Returns:
            The store.
        """
        return cls(default_root())

    def stem(self, spec: RunSpec) -> Path:
        """Path of a chunk's files without suffix.

        Args:
            spec: What is asked for.

        Returns:
            The path.
        """
        return Path(self.root) / spec.kind / spec.key

    def has(self, spec: RunSpec) -> bool:
        """Whether a chunk is recorded and its record readable; its data are not read.

        Args:
            spec: What is asked for.

        Returns:
            True or False.
        """
        return self.stem(spec).with_suffix(".json").exists()

    def read(self, spec: RunSpec) -> Run | None:
        """Read a chunk, or None if nothing usable is recorded; damage is logged in one line.

        Args:
            spec: What is asked for.

        Returns:
            The run, or None.
        """
        stem = self.stem(spec)
        if not any(stem.with_suffix(suffix).exists() for suffix in SUFFIXES):
            return None
        try:
            return read_chunk(stem)
        except DamagedChunk as error:
            log.warning("run %s/%s is damaged and will not be used: %s", spec.kind, spec.key, error)
            return None

    def check_writable(self, kind: str) -> None:
        """Make the folder of a kind and try to write in it, before computing for it.

        Args:
            kind: Producer's name.

        Raises:
            OSError: One line naming the store, if it cannot be written.
        """
        folder = Path(self.root) / kind
        with naming_folder(self.root, "store"):
            folder.mkdir(parents=True, exist_ok=True)
            write_partial(folder / "probe", b"probe").unlink()

    def write(self, spec: RunSpec, chunk: Chunk, record: dict[str, Any]) -> Run:
        """Record a chunk. If a usable one appeared in the meantime, that one is kept.

        Args:
            spec: What was asked.
            chunk: What came out.
            record: Environment and wall time.

        Returns:
            The run as recorded.

        Raises:
            OSError: One line naming the store, if it cannot be written or does not keep its data.
        """
        stem = self.stem(spec)
        with naming_folder(self.root, "store"):
            stem.parent.mkdir(parents=True, exist_ok=True)
            with locked(stem.parent):
                try:
                    return read_chunk(stem)
                except DamagedChunk:
                    publish(to_files(spec, chunk, stem, record))
                try:
                    return read_chunk(stem)
                except DamagedChunk as error:
                    raise OSError(f"{error} right after it was written") from error

    def __iter__(self) -> Iterator[Path]:
        """Stems of everything recorded, damaged or not, in a fixed order.

        Returns:
            Iterator of paths without suffix.
        """
        files = sorted(path for path in Path(self.root).glob("*/*") if path.suffix in SUFFIXES)
        return iter(dict.fromkeys(path.with_suffix("") for path in files))

    def list(self) -> Rows:
        """What is recorded, without reading the data.

        Returns:
            One dict a chunk with a readable record: kind, key, rows, version, seconds, utc,
            device, ufm, commit, dirty.
        """
        rows = []
        for stem in self:
            try:
                record = read_record(stem)
            except DamagedChunk:
                continue
            version = {"version": record["spec"]["version"]}
            rows.append({name: (record | version).get(name) for name in COLUMNS})
        return rows

    def provenance(self, key: str) -> dict[str, Any]:
        """Record of the chunk with this key.

        Args:
            key: The 16 hex digits, or the first of them if that is unambiguous.

        Returns:
            Spec, versions, commit, device, seconds, time and hashes.

        Raises:
            ValueError: If there is no such key, or several.
        """
        found = [stem for stem in self if stem.name.startswith(key)]
        if not key or len(found) != 1:
            raise ValueError(f"key must name one run in {self.root}, got {key!r} ({len(found)})")
        return read_record(found[0])

    def verify(self) -> Rows:
        """Check every chunk against its hashes; nothing is changed.

        Returns:
            One dict a chunk: kind, key, ok and the problem (empty if ok); and one for each file
            that an interrupted writer left over, which is not ok either.
        """
        rows = []
        for stem in self:
            problem = ""
            try:
                read_chunk(stem)
            except DamagedChunk as error:
                problem = str(error)
            rows.append(_check(stem, problem))
        left = sorted(Path(self.root).glob(f"*/.*{PARTIAL}"))
        return rows + [_check(path, "left over from an interrupted write") for path in left]


def _check(path: Path, problem: str) -> dict[str, Any]:
    return {"kind": path.parent.name, "key": path.name, "ok": not problem, "problem": problem}


def get_or_run(spec: RunSpec, produce: Producer, store: Store | None = None) -> Run:
    """The recorded chunk, or a newly computed one that is recorded first.

    Args:
        spec: What is asked for.
        produce: Computes it from the spec alone.
        store: Where chunks are kept; the default store if None.

    Returns:
        The run, always as read from or written to the store.

    Raises:
        OSError: One line naming the store, before anything is computed, if it cannot be written.
    """
    store = store or Store.default()
    recorded = store.read(spec)
    if recorded is not None:
        return recorded
    store.check_writable(spec.kind)
    start = time.perf_counter()
    chunk = produce(spec)
    seconds = round(time.perf_counter() - start, 3)
    devices = {tensor.device for tensor in chunk.tensors.values()} or {torch.device("cpu")}
    record = {"seconds": seconds, **environment(max(devices, key=str))}
    return store.write(spec, chunk, record)
