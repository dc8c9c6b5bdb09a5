"""The evidence decorator, and how a check is run: time limit, outcome, mutation."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

from proofs_check._proof import Proof, ProofFailure
from ufm.claims import Claim, Evidence, EvidenceKind


TIME_LIMIT = 60.0
# What a check may raise without stopping the others; anything else is a bug and stops the run.
FAILURES = (AssertionError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


class TimeLimitExceeded(RuntimeError):
    """A check took more processor time than it may."""


class MissingResult(Exception):
    """A stored run that a check reads is not there; the message names the command that makes it.

    Not a failure: nothing was measured, so nothing is recorded.
    """


@final
class Measurement:
    """Collects the numbers of a numeric check and refuses those out of bounds.

    Attributes:
        numbers: Measured numbers by name.
    """

    def __init__(self):
        self.numbers: dict[str, float] = {}

    def record(self, name: str, value: Any) -> None:
        """Keep a number.

        Args:
            name: Its name.
            value: The number.
        """
        self.numbers[name] = float(value)

    def below(self, name: str, value: Any, limit: float) -> None:
        """Keep the largest of the errors measured under a name and refuse one over the limit.

        Args:
            name: Name of the error.
            value: Measured error, >= 0.
            limit: Largest value allowed.

        Raises:
            ProofFailure: If it is larger, or not a number.
        """
        value = float(value)
        worst = max(value, self.numbers.get(name, 0.0))
        self.numbers[name] = worst
        if not value <= limit:
            raise ProofFailure(f"{name} must be at most {limit:g}, got {value:g}")

    def above(self, name: str, value: Any, limit: float) -> None:
        """Keep the smallest of the numbers measured under a name and refuse one under the limit.

        Args:
            name: Name of the number.
            value: Measured number.
            limit: Smallest value allowed.

        Raises:
            ProofFailure: If it is smaller, or not a number.
        """
        value = float(value)
        self.numbers[name] = min(value, self.numbers.get(name, math.inf))
        if not value >= limit:
            raise ProofFailure(f"{name} must be at least {limit:g}, got {value:g}")

    def true(self, text: str, condition: Any) -> None:
        """Refuse a condition that does not hold.

        Args:
            text: The condition in words.
            condition: The condition.

        Raises:
            ProofFailure: If it is false.
        """
        if not bool(condition):
            raise ProofFailure(f"{text} must hold")


@final
@dataclass(frozen=True)
class Check:
    """A registered piece of evidence.

    Attributes:
        claim: Id of the claim.
        name: ``<module>.<function>``.
        kind: What it is.
        domain: Where it holds.
        steps: Steps of the claim's proof that it settles for the general case.
        function: Takes a `Proof` if symbolic, else a `Measurement`.
        limit: Processor seconds it may take.
    """

    claim: str
    name: str
    kind: EvidenceKind
    domain: str
    steps: tuple[str, ...]
    function: Callable[[Any], None] = field(compare=False)
    limit: float = TIME_LIMIT


_checks: list[Check] = []


def evidence(
    claim: Claim,
    kind: EvidenceKind,
    *,
    domain: str,
    steps: tuple[str, ...] = (),
    name: str = "",
    limit: float = TIME_LIMIT,
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register a function as evidence for a claim.

    Args:
        claim: The claim.
        kind: What the evidence is; SYMBOLIC functions take a `Proof`, all others a `Measurement`.
        domain: Where it holds, in words; "K = 3" must say so.
        steps: Steps of the claim's proof that it settles for the general case.
        name: ``<module>.<name>`` under which it is recorded; the function's own by default.
        limit: Processor seconds it may take.

    Returns:
        The decorator; it returns the function unchanged.

    Raises:
        ValueError: If the domain is empty, a step is not the claim's, or only a symbolic check
            could settle it.
    """
    if not domain.strip():
        raise ValueError(f"domain must say where the evidence for {claim.id} holds, got {domain!r}")
    unknown = [step for step in steps if step not in claim.steps]
    if unknown:
        raise ValueError(f"steps must be among {claim.steps} of {claim.id}, got {unknown}")
    if steps and kind is not EvidenceKind.SYMBOLIC:
        raise ValueError(f"steps must come from symbolic evidence, got {kind.value} for {claim.id}")

    def decorate(function: Callable[[Any], None]) -> Callable[[Any], None]:
        full = name or f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        if any(c.claim == claim.id and c.name == full for c in _checks):
            raise ValueError(f"evidence must be unique, got {full} twice for {claim.id}")
        _checks.append(Check(claim.id, full, kind, domain, steps, function, limit))
        return function

    return decorate


def checks() -> tuple[Check, ...]:
    """All registered checks, in the order of registration.

    Returns:
        The checks; import `proofs_check.papers` first.
    """
    return tuple(_checks)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt the body after some processor seconds; without effect outside the main thread.

    Processor time, because a check that is late on a busy machine has not failed.

    Args:
        seconds: Limit.

    Yields:
        Nothing.

    Raises:
        TimeLimitExceeded: If the body took more.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: Any) -> None:
        raise TimeLimitExceeded(f"took more than its limit of {seconds:g} s of processor time")

    previous = signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def run(check: Check) -> Evidence:
    """Run a check under its time limit.

    Args:
        check: The check.

    Returns:
        Its record; a failure is recorded with its reason, not raised.

    Raises:
        MissingResult: If it reads a stored run that is not there.
    """
    numbers: Mapping[str, float] = {}
    note = ""
    try:
        with time_limit(check.limit):
            if check.kind is EvidenceKind.SYMBOLIC:
                proof = Proof()
                check.function(proof)
                if not proof.terms:
                    raise ProofFailure("a proof must name a term whose alteration makes it fail")
                if not proof.steps:
                    raise ProofFailure("a proof must check at least one step")
            else:
                measurement = Measurement()
                numbers = measurement.numbers
                check.function(measurement)
    except FAILURES as error:
        note = f"{type(error).__name__}: {error}"
    return Evidence(
        claim=check.claim,
        check=check.name,
        kind=check.kind,
        domain=check.domain,
        passed=not note,
        steps=check.steps,
        numbers=dict(numbers),
        note=note,
    )


def surviving_mutations(check: Check) -> list[str]:
    """Alter each named term of a proof in turn; a sound proof fails every time.

    Args:
        check: A symbolic check.

    Returns:
        Names of the terms whose alteration went unnoticed; empty for a sound proof.
    """
    original = Proof()
    with time_limit(check.limit):
        check.function(original)
    survivors = []
    for name in original.terms:
        try:
            with time_limit(check.limit):
                check.function(Proof(altered=name))
        except ProofFailure:
            continue
        survivors.append(name)
    return survivors
