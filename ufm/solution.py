"""What a solve returns: points, values and a status per instance. Knows no solver."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ufm._arrays import as_float64
from ufm._problem_sequence import take
from ufm._spec import decode, encode
from ufm._typing import Float, Int, Tensor
from ufm.geometry.gram import Geometry
from ufm.methods import Method
from ufm.metrics.moments import Weighting
from ufm.metrics.record import NCRecord, nc
from ufm.objective import Objective, Point
from ufm.problem import Problem
from ufm.status import STATUSES, Status


# Tensors with one entry an instance.
PER_INSTANCE = ("value", "code", "steps", "grad_norm")


class SolveError(RuntimeError):
    """Some instance ended without converging; the solution is kept in ``solution``."""

    def __init__(self, message: str, solution: Solution):
        super().__init__(message)
        self.solution = solution


@dataclass(frozen=True, eq=False)
class Trace:
    """Observables along a run.

    Attributes:
        time: Flow time or step number of each sample ``(T,)``.
        rows: Observable name to its values ``(*b, T)``; NaN after an instance has stopped.
    """

    time: Float[Tensor, "T"]
    rows: dict[str, Tensor]

    def __getitem__(self, index) -> Trace:
        return Trace(self.time, {name: values[index] for name, values in self.rows.items()})


@dataclass(frozen=True, eq=False)
class Solution:
    """Solutions of a batch of instances; ``sol[i]`` is one of them, without the batch axis.

    Attributes:
        problems: The problem of each instance.
        point: W ``(*b, K, d)``, H ``(*b, d, M)`` (M = N samples or K class means), b ``(*b, K)``.
        value: Objective at the point ``(*b)``, also if the point is infeasible.
        code: Position in `STATUSES` of each status ``(*b)``.
        steps: Steps taken ``(*b)``.
        grad_norm: Norm of the (Riemannian) gradient in the solver's own coordinates ``(*b)``.
        method: The method's spec, or None for a given point.
        seeds: Seed of each instance.
        messages: What an external solver said, one an instance; empty strings otherwise.
        dual: Dual matrix ``Y`` an external solver returned ``(*b, K, K)``, or None.
        trace: Observables along the run, or None.
        seconds: Wall time of the whole batch.
    """

    problems: Sequence[Problem]
    point: Point
    value: Float[Tensor, "*b"]
    code: Int[Tensor, "*b"]
    steps: Int[Tensor, "*b"]
    grad_norm: Float[Tensor, "*b"]
    method: Method | None = None
    seeds: tuple[int, ...] = ()
    messages: tuple[str, ...] = ()
    dual: Float[Tensor, "*b K K"] | None = None
    trace: Trace | None = None
    seconds: float = 0.0

    @classmethod
    def from_arrays(cls, problem: Problem, W: Any, H: Any, b: Any = None) -> Solution:
        """Wrap anybody's (W, H, b), to be certified or measured; float64 copies are made.

        Args:
            problem: The model the point is meant for.
            W: Classifier ``(K, d)`` (array-like), or a batch ``(B, K, d)``.
            H: Features ``(d, N)`` or class means ``(d, K)``, or a batch of those.
            b: Bias ``(K,)``; only where the model has one; zero by default.

        Returns:
            A solution with status GIVEN.

        Raises:
            ValueError: If a shape does not fit or an entry is not finite.
        """
        x = checked_point(problem, W, H, b)
        batch = x.W.shape[:-2]
        size = batch.numel()
        objective = Objective.stack([problem] * size, x.H.shape[-1], device=x.H.device)
        flat = Point(*(t.reshape(size, *t.shape[len(batch) :]) for t in x))
        value, gradient = objective.value_and_grad(flat)
        square = sum(t.flatten(1).square().sum(-1) for t in gradient)
        return cls(
            problems=(problem,) * size,
            point=x,
            value=value.reshape(batch),
            code=torch.full(batch, Status.GIVEN.code, device=x.H.device),
            steps=torch.zeros(batch, dtype=torch.int64, device=x.H.device),
            grad_norm=torch.as_tensor(square).sqrt().reshape(batch),
            seeds=(0,) * size,
            messages=("",) * size,
        )

    @property
    def W(self) -> Float[Tensor, "*b K d"]:
        """Classifier."""
        return self.point.W

    @property
    def H(self) -> Float[Tensor, "*b d M"]:
        """Features as columns."""
        return self.point.H

    @property
    def b(self) -> Float[Tensor, "*b K"]:
        """Bias; zero where the model has none."""
        return self.point.b

    @property
    def batch_shape(self) -> torch.Size:
        """Shape of the batch; empty for a single instance."""
        return self.value.shape

    @property
    def problem(self) -> Problem:
        """The common problem.

        Raises:
            ValueError: If the instances solve different problems.
        """
        if len(set(self.problems)) != 1:
            raise ValueError(
                f"problem is defined for one problem only, got {len(set(self.problems))}; "
                "use .problems or index the solution first"
            )
        return self.problems[0]

    @property
    def status(self) -> Status | tuple[Status, ...]:
        """Status of a single instance, or a tuple for a batch."""
        if not self.batch_shape:
            return STATUSES[int(self.code)]
        return tuple(STATUSES[code] for code in self.code.flatten().tolist())

    @property
    def converged(self) -> Tensor:
        """Whether each instance met its stopping test ``(*b)``, bool."""
        return self.code == Status.CONVERGED.code

    def objective(self) -> Objective:
        """The instances' objective on this solution's device, with a flat batch axis.

        Returns:
            Objective of ``len(problems)`` instances.
        """
        return Objective.stack(
            self.problems, self.H.shape[-1], device=self.H.device, dtype=self.H.dtype
        )

    @property
    def Z(self) -> Float[Tensor, "*b K M"]:
        """Logits with bias."""
        return self.W @ self.H + self.b.unsqueeze(-1)

    @property
    def y(self) -> Int[Tensor, "M"]:
        """Label of each feature column."""
        labels = self.problems[0].labels(self.H.shape[-1])
        return torch.tensor(labels, device=self.H.device)

    @property
    def geometry(self) -> Geometry:
        """Rotation-free Gram triple."""
        return Geometry.of(self.W, self.H, self.y)

    def nc(self, weighting: Weighting = Weighting.CLASSES) -> NCRecord:
        """Neural-collapse metrics of a single instance.

        On class means (M = K) every class is collapsed by construction: NC1 is exactly 0 and NC4
        is measured on the means.

        Args:
            weighting: How classes of unequal size are averaged.

        Returns:
            The record.

        Raises:
            ValueError: If this is a batch, or all class means coincide.
        """
        if self.batch_shape:
            raise ValueError(
                f"nc is defined for one instance, got a batch of {len(self)}; index it first"
            )
        n = self.problem.n if self.H.shape[-1] == self.problem.K else None
        return nc(self.W, self.H, self.y, self.b, n=n, weighting=weighting)

    def __len__(self) -> int:
        return len(self.problems)

    def __getitem__(self, index: int) -> Solution:
        """One instance of a batch, without the batch axis.

        Args:
            index: Position; negative counts from the end.

        Returns:
            Its solution.

        Raises:
            IndexError: If there is no batch axis or no such instance.
        """
        if len(self.batch_shape) != 1 or not -len(self) <= index < len(self):
            raise IndexError(f"index must be within a batch of {len(self)}, got {index}")
        return replace(
            self,
            problems=(self.problems[index],),
            point=Point(*(t[index] for t in self.point)),
            value=self.value[index],
            code=self.code[index],
            steps=self.steps[index],
            grad_norm=self.grad_norm[index],
            seeds=self.seeds[index : index + 1 or None],
            messages=self.messages[index : index + 1 or None],
            dual=None if self.dual is None else self.dual[index],
            trace=None if self.trace is None else self.trace[index],
        )

    def select(self, index: Int[Tensor, "S"]) -> Solution:
        """Some instances of a batch, as a batch; a single instance has only position 0.

        Args:
            index: Positions.

        Returns:
            Their solutions.
        """
        rows = index.tolist()
        whole = self if self.batch_shape else _as_batch(self)
        return replace(
            whole,
            problems=take(self.problems, rows),
            point=Point(*(part[index] for part in whole.point)),
            seeds=tuple(self.seeds[i] for i in rows) if self.seeds else (),
            messages=tuple(self.messages[i] for i in rows) if self.messages else (),
            dual=None if whole.dual is None else whole.dual[index],
            trace=None if whole.trace is None else whole.trace[index],
            **{name: getattr(whole, name)[index] for name in PER_INSTANCE},
        )

    def save(self, path: str | Path) -> None:
        """Write point, values and problems to one safetensors file, atomically.

        The trace is not written.

        Args:
            path: File to write; its folder must exist.

        Raises:
            OSError: If it cannot be written; nothing is left behind then.
        """
        path = Path(path)
        if path.exists() and not path.is_file():  # a rename would replace a device file
            raise OSError(f"path must name a file, got {path}")
        tensors = {
            "W": self.W, "H": self.H, "b": self.b, "value": self.value, "code": self.code,
            "steps": self.steps, "grad_norm": self.grad_norm,
        }  # fmt: skip
        if self.dual is not None:
            tensors["dual"] = self.dual
        tensors = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        metadata = {
            "problems": json.dumps([encode(p) for p in self.problems]),
            "method": json.dumps(None if self.method is None else encode(self.method)),
            "seeds": json.dumps(self.seeds),
            "messages": json.dumps(self.messages),
            "seconds": json.dumps(self.seconds),
        }
        partial = path.with_name(path.name + ".partial")
        try:
            save_file(tensors, partial, metadata)
            partial.replace(path)
        except SafetensorError as error:
            raise OSError(f"path must be writable, got {path}: {error}") from error
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Solution:
        """Read what `save` wrote.

        Args:
            path: The file.

        Returns:
            The solution, without trace, on the CPU.

        Raises:
            ValueError: If the file was not written by `save`.
        """
        foreign = f"path must name a file written by Solution.save, got {path}"
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(foreign) from error
        if "problems" not in metadata:
            raise ValueError(foreign)
        return cls(
            problems=decode(json.loads(metadata["problems"])),
            point=Point(tensors["W"], tensors["H"], tensors["b"]),
            value=tensors["value"],
            code=tensors["code"],
            steps=tensors["steps"],
            grad_norm=tensors["grad_norm"],
            method=decode(json.loads(metadata["method"])),
            seeds=tuple(json.loads(metadata["seeds"])),
            messages=tuple(json.loads(metadata["messages"])),
            dual=tensors.get("dual"),
            seconds=json.loads(metadata["seconds"]),
        )


def _as_batch(sol: Solution) -> Solution:
    return replace(
        sol,
        point=Point(*(part.unsqueeze(0) for part in sol.point)),
        dual=None if sol.dual is None else sol.dual.unsqueeze(0),
        trace=None if sol.trace is None else sol.trace[None],
        **{name: getattr(sol, name).unsqueeze(0) for name in PER_INSTANCE},
    )


def checked_point(problem: Problem, W: Any, H: Any, b: Any = None) -> Point:
    """Convert arrays to a float64 point and check shapes and values against a problem.

    Args:
        problem: The model.
        W: ``(*b, K, d)`` array-like.
        H: ``(*b, d, M)`` array-like, M = K or N.
        b: ``(*b, K)`` array-like, or None for zero.

    Returns:
        The point.

    Raises:
        ValueError: If a shape does not fit, an entry is not finite, or a bias is given to a
            model without one.
    """
    W, H = as_float64("W", W), as_float64("H", H)
    K, d = problem.K, problem.d
    if W.ndim not in (2, 3) or W.shape[-2:] != (K, d):
        raise ValueError(f"W must have shape (K, d) = ({K}, {d}), got {tuple(W.shape)}")
    if H.ndim != W.ndim or H.shape[:-1] != (*W.shape[:-2], d):
        raise ValueError(f"H must have shape (d, M) = ({d}, N or K), got {tuple(H.shape)}")
    problem.labels(H.shape[-1])
    b = W.new_zeros(W.shape[:-1]) if b is None else as_float64("b", b)
    if b.shape != W.shape[:-1]:
        raise ValueError(f"b must have shape (K,) = ({K},), got {tuple(b.shape)}")
    if not problem.has_bias and bool((b != 0).any()):
        raise ValueError("b must be absent or zero for a problem with NoBias, got a nonzero bias")
    return Point(W, H, b)
