"""What is asked for: the spec of a chunk of runs, which is also its key. Torch-free."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ufm._spec import canonical, digest, spec
from ufm.counts import check_count
from ufm.methods import Method
from ufm.problem_batch import ProblemBatch


KIND = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@spec
class RunSpec:
    """A chunk of runs as plain numbers.

    Device, threads and library versions are not part of it: results of two machines differ by
    rounding only, and the record says where each came from.

    Attributes:
        kind: Name of the producer, lower-case words joined by hyphens; also the folder's name.
        subject: A problem, a tuple of problems, or a recipe (any spec) that the producer expands.
        method: How to solve it, or None where the producer has no choice.
        seeds: Seeds, one run each; an integer n stands for 0, ..., n-1.
        version: Raised by hand when the producer's results change.

    Raises:
        ValueError: If a field is out of range, or the subject holds anything but specs and numbers.
    """

    kind: str
    subject: Any
    method: Method | None = None
    seeds: tuple[int, ...] = (0,)
    version: int = 1

    def __post_init__(self):
        if not isinstance(self.kind, str) or not KIND.fullmatch(self.kind):
            raise ValueError(f"kind must be lower-case words joined by hyphens, got {self.kind!r}")
        if self.method is not None and not isinstance(self.method, Method):
            raise ValueError(f"method must be a Method or None, got {self.method!r}")
        seeds = self.seeds
        if isinstance(seeds, int):
            seeds = tuple(range(check_count("seeds", seeds)))
        checked = tuple(check_count(f"seeds[{i}]", seed, 0) for i, seed in enumerate(seeds))
        if not checked:
            raise ValueError("seeds must hold at least one seed, got none")
        object.__setattr__(self, "seeds", checked)
        object.__setattr__(self, "version", check_count("version", self.version))
        try:
            canonical(self.subject)
        except TypeError as error:
            raise ValueError(f"subject must be a spec of plain numbers: {error}") from error

    @property
    def key(self) -> str:
        """Digest of the canonical JSON; the stem of the chunk's three files."""
        return digest(self)

    def problems(self) -> Sequence[Any]:
        """The subject as problems; a recipe is asked for its ``problems()``.

        Returns:
            One problem each: a tuple, or the `ProblemBatch` that a recipe makes.
        """
        if isinstance(self.subject, tuple | list):
            return tuple(self.subject)
        if hasattr(self.subject, "problems"):
            found = self.subject.problems()
            return found if isinstance(found, ProblemBatch) else tuple(found)
        return (self.subject,)


def split(spec: RunSpec, size: int) -> Iterator[RunSpec]:
    """Split a run over many problems into chunks, so that an interrupted sweep can go on.

    Args:
        spec: Its subject is a tuple of problems.
        size: Problems a chunk, >= 1.

    Yields:
        The chunks' specs, in order.

    Raises:
        ValueError: If the subject is not a tuple.
    """
    check_count("size", size)
    if not isinstance(spec.subject, tuple):
        raise ValueError(f"subject must be a tuple to be split, got {type(spec.subject).__name__}")
    for first in range(0, len(spec.subject), size):
        yield dataclasses.replace(spec, subject=spec.subject[first : first + size])
