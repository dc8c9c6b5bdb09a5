"""The three files of a chunk of runs: rows, tensors, record; and the checks before reading them."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from safetensors.torch import load, save

from ufm._spec import encode
from ufm._typing import Tensor
from ufm.runs.request import RunSpec


SUFFIXES = (".parquet", ".safetensors", ".json")


class DamagedChunk(ValueError):
    """A chunk's files do not belong together; the message says which and why."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """What a producer returns.

    Attributes:
        rows: One row an instance (or a sample of a trajectory), plain columns with units in
            their documentation. No timings: those are in the record, so that rows reproduce.
        tensors: Name to tensor; the points themselves.
    """

    rows: pl.DataFrame
    tensors: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Run:
    """A recorded chunk.

    Attributes:
        kind: Producer's name.
        key: Digest of the spec.
        rows: Its rows.
        tensors: Its tensors, on the CPU.
        record: Provenance: spec, versions, commit, device, seconds, UTC time, file hashes.
    """

    kind: str
    key: str
    rows: pl.DataFrame
    tensors: dict[str, Tensor]
    record: dict[str, Any]

    @property
    def content(self) -> str:
        """Digest of the data files; changes iff the recorded numbers do."""
        return digest_of(json.dumps(self.record["files"], sort_keys=True).encode())[:16]


def digest_of(data: bytes) -> str:
    """SHA-256 in hex.

    Args:
        data: Bytes.

    Returns:
        64 hex digits.
    """
    return hashlib.sha256(data).hexdigest()


def to_files(spec: RunSpec, chunk: Chunk, stem: Path, record: dict[str, Any]) -> dict[Path, bytes]:
    """Bytes of the three files, record last.

    Args:
        spec: What was asked.
        chunk: What came out.
        stem: Path without suffix.
        record: Environment and wall time.

    Returns:
        Path to content, in writing order.
    """
    buffer = io.BytesIO()
    chunk.rows.write_parquet(buffer)
    tensors = {name: t.detach().cpu().contiguous() for name, t in chunk.tensors.items()}
    data = {
        stem.with_suffix(".parquet"): buffer.getvalue(),
        stem.with_suffix(".safetensors"): save(tensors),
    }
    record = {
        "key": spec.key,
        "kind": spec.kind,
        "spec": encode(spec),
        "rows": chunk.rows.height,
        **record,
        "files": {path.name: digest_of(content) for path, content in data.items()},
    }
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    return {**data, stem.with_suffix(".json"): text.encode()}


def read_record(stem: Path) -> dict[str, Any]:
    """The record of a chunk, checked against its name.

    Args:
        stem: Path without suffix.

    Returns:
        The record.

    Raises:
        DamagedChunk: If it is missing, unreadable, or of another spec.
    """
    path = stem.with_suffix(".json")
    try:
        record = json.loads(path.read_bytes())
        text = json.dumps(record["spec"], sort_keys=True, separators=(",", ":"))
        files = dict(record["files"])
    except FileNotFoundError as error:
        raise DamagedChunk(f"{path.name} is missing") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedChunk(f"{path.name} is not a complete record") from error
    if record.get("key") != stem.name or digest_of(text.encode())[:16] != stem.name:
        raise DamagedChunk(f"{path.name} records another spec")
    if set(files) != {stem.name + suffix for suffix in SUFFIXES[:2]}:
        raise DamagedChunk(f"{path.name} does not name its two data files")
    return record


def read_chunk(stem: Path) -> Run:
    """Read a chunk whose files all match its record.

    Args:
        stem: Path without suffix.

    Returns:
        The run.

    Raises:
        DamagedChunk: If a file is missing or differs from the hash in the record.
    """
    record = read_record(stem)
    content = {}
    for name, expected in record["files"].items():
        try:
            data = (stem.parent / name).read_bytes()
        except FileNotFoundError as error:
            raise DamagedChunk(f"{name} is missing") from error
        if digest_of(data) != expected:
            raise DamagedChunk(f"{name} differs from its recorded hash")
        content[Path(name).suffix] = data
    return Run(
        kind=record["kind"],
        key=stem.name,
        rows=pl.read_parquet(io.BytesIO(content[".parquet"])),
        tensors=load(content[".safetensors"]),
        record=record,
    )
