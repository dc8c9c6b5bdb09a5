"""Claims: what is stated, where it comes from, what was checked, and the status that follows.

A claim is a statement with named hypotheses and, where it has one, a prediction. Its evidence lives
elsewhere (`proofs_check`, stored network runs) and points at it by id; its status is computed from
the recorded evidence and never typed in. Stdlib only: statements are in `ufm.theory`, which
registers them here.
"""

from __future__ import annotations

import difflib
import enum
import importlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, final


EVIDENCE_FILE = "evidence.json"
_ID = re.compile(r"[a-z]+\d{4}\.[a-z0-9]+(-[a-z0-9]+)*")
_ARXIV = re.compile(r"\d{4}\.\d{4,5}")
_DOI = re.compile(r"10\.\d{4,9}/\S+")
_OPENREVIEW = re.compile(r"openreview:[A-Za-z0-9_-]{10}")


class Kind(enum.Enum):
    """What its source calls a statement, or OURS."""

    THEOREM = "theorem"
    LEMMA = "lemma"
    PROPOSITION = "proposition"
    CONJECTURE = "conjecture"
    EMPIRICAL = "empirical"
    FOLKLORE = "folklore"
    OURS = "ours"


class ClaimStatus(enum.Enum):
    """How well a claim is supported, from weakest to strongest; refuted stands apart."""

    UNSUPPORTED = "unsupported"
    NUMERIC = "numeric"
    CERTIFIED = "certified"
    SYMBOLIC_PARTIAL = "symbolic-partial"
    SYMBOLIC = "symbolic"
    REFUTED = "refuted"


class Provenance(enum.Enum):
    """How we know the statement."""

    PRINTED = "as printed"
    QUOTED = "in the form often quoted"
    RECONSTRUCTED = "as reconstructed here from a description of it"
    DERIVED = "derived here"


class EvidenceKind(enum.Enum):
    """What a piece of evidence is.

    CERTIFIED is numeric with a rigorous optimality gap; COUNTEREXAMPLE shows that the statement
    fails; NETWORK is a stored training run.
    """

    SYMBOLIC = "symbolic"
    CERTIFIED = "certified"
    NUMERIC = "numeric"
    NETWORK = "network"
    COUNTEREXAMPLE = "counterexample"


@final
@dataclass(frozen=True)
class Source:
    """Where a statement comes from.

    Attributes:
        key: Bibliography key.
        where: arXiv number or DOI, or ``openreview:`` and the forum id of a paper with neither.
        provenance: Whether the text was read, is quoted, or the statement was derived here as an
            extension of the paper.
        number: The paper's own number of the statement, where it was read; else empty.

    Raises:
        ValueError: If ``where`` is none of these.
    """

    key: str
    where: str
    provenance: Provenance = Provenance.QUOTED
    number: str = ""

    def __post_init__(self):
        if not any(form.fullmatch(self.where) for form in (_ARXIV, _DOI, _OPENREVIEW)):
            raise ValueError(
                f"where must be an arXiv number, a DOI or openreview:<forum id>, got {self.where!r}"
            )

    def __str__(self) -> str:
        link = self.where
        if not _OPENREVIEW.fullmatch(link):
            link = ("arXiv:" if _ARXIV.fullmatch(link) else "doi:") + link
        number = f", {self.number}" if self.number else ""
        relation = "extends " if self.provenance is Provenance.DERIVED else ""
        return f"{relation}{self.key} ({link}{number}), {self.provenance.value}"


@final
@dataclass(frozen=True)
class Assumption:
    """A named hypothesis on a `ufm.Problem`.

    Attributes:
        name: Short name, as listed with the claim.
        holds: The predicate.
    """

    name: str
    holds: Callable[[Any], bool]


@final
@dataclass(frozen=True, eq=False)
class Prediction:
    """What a claim says about the optimum of one problem.

    Attributes:
        claim: The claim.
        geometry: `ufm.Geometry` of a global minimiser, or None where the claim gives none.
        value: Optimal value, or None.
        unique: Whether ``geometry`` is that of every global minimiser.
        note: What the claim says in words, with its numbers.
        numbers: Further predicted numbers by name (thresholds, scales, bounds).
        growth: Order to which the objective grows away from the minimiser: 2 almost always, 4 for
            dot regression, whose geometry a gap of ``g`` determines only to ``g**(1/4)``.
    """

    claim: Claim
    geometry: Any | None = None
    value: float | None = None
    unique: bool = False
    note: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    growth: int = 2


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Claim:
    """A statement, its hypotheses and its prediction.

    Attributes:
        id: ``<paper>.<name>``, such as ``fang2021.thm5``.
        kind: What its source calls it.
        statement: One or two sentences.
        formula: The same as LaTeX.
        source: Where it comes from.
        assumptions: Hypotheses on the problem, all of which must hold.
        outside: What the claim is about if not about a `ufm.Problem` (a frame, another loss, a
            dynamics); then it applies to no problem and its evidence brings its own instances.
        rule: Prediction for a problem that satisfies the assumptions, or None.
        steps: Names of the steps of its proof that must be checked symbolically for the general
            case before the status can be ``symbolic``.
        uses: Ids of the claims that its proof rests on.
        fails: Whether the statement is false in this form, so that the build expects it refuted.
        repaired_by: Id of the corrected form of a statement that fails.
    """

    id: str
    kind: Kind
    statement: str
    formula: str
    source: Source
    assumptions: tuple[Assumption, ...] = ()
    outside: str = ""
    rule: Callable[[Claim, Any], Prediction] | None = None
    steps: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    fails: bool = False
    repaired_by: str | None = None

    def applies(self, problem: Any) -> bool:
        """Whether every hypothesis holds.

        Args:
            problem: A `ufm.Problem`.

        Returns:
            True iff all assumptions hold; always False for a claim about something else.
        """
        return not self.outside and all(a.holds(problem) for a in self.assumptions)

    def predict(self, problem: Any) -> Prediction:
        """What the claim says about a problem.

        Args:
            problem: A `ufm.Problem` that the claim applies to.

        Returns:
            The prediction.

        Raises:
            ValueError: If the claim predicts nothing or does not apply.
        """
        if self.rule is None:
            raise ValueError(f"claim must have a prediction, got {self.id}, which has none")
        for assumption in self.assumptions:
            if not assumption.holds(problem):
                raise ValueError(f"problem must satisfy '{assumption.name}' for {self.id}")
        return self.rule(self, problem)


@final
@dataclass(frozen=True)
class Evidence:
    """One recorded check of a claim.

    Attributes:
        claim: Id of the claim.
        check: ``<module>.<function>`` of the check, or the key of a stored run.
        kind: What it is.
        domain: Where it was checked; "K = 3" can never read as "all K".
        passed: Whether it came out as the check demands.
        steps: Steps of the claim's proof that it settles for the general case.
        numbers: Measured numbers by name.
        note: Why it failed, or a remark.

    Raises:
        ValueError: If the domain is empty.
    """

    claim: str
    check: str
    kind: EvidenceKind
    domain: str
    passed: bool
    steps: tuple[str, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self):
        if not self.domain.strip():
            raise ValueError(f"domain must say where {self.check} was checked, got ''")


_claims: dict[str, Claim] = {}


def register(claim: Claim) -> Claim:
    """Add a claim to the registry; for the modules of `ufm.theory`.

    Args:
        claim: The claim.

    Returns:
        The same claim.

    Raises:
        ValueError: If its id is malformed or taken, or it has neither assumptions nor a subject.
    """
    if not _ID.fullmatch(claim.id):
        raise ValueError(f"id must look like 'fang2021.thm5', got {claim.id!r}")
    if claim.id in _claims:
        raise ValueError(f"id must be unique, got {claim.id!r} twice")
    if bool(claim.assumptions) == bool(claim.outside):
        raise ValueError(f"claim must have assumptions or an outside subject, got {claim.id}")
    _claims[claim.id] = claim
    return claim


def registry() -> Mapping[str, Claim]:
    """All claims by id, in the order of the papers.

    Returns:
        The registry.
    """
    # The statements lie above this module and register themselves when imported.
    importlib.import_module("ufm.theory")
    return dict(_claims)


def get(id: str) -> Claim:
    """The claim with an id.

    Args:
        id: Claim id.

    Returns:
        The claim.

    Raises:
        ValueError: If there is none; the message names the nearest ids.
    """
    claims = registry()
    if id in claims:
        return claims[id]
    close = difflib.get_close_matches(id, claims, n=3, cutoff=0.5)
    near = [name for name in claims if id and id in name][:3]
    hint = ", ".join(dict.fromkeys(close + near)) or "`ufm claims list` shows all"
    raise ValueError(f"claim must be a registered id, got {id!r}; close: {hint}")


def status(claim: Claim, evidence: Iterable[Evidence]) -> ClaimStatus:
    """Status of a claim from recorded evidence.

    A passed counter-example refutes. Otherwise a failed check leaves the claim unsupported,
    whatever else passed. It is ``symbolic`` only if every step of its proof was checked for the
    general case and every claim it uses is itself symbolic; with fewer steps it is
    ``symbolic-partial``. A trained network is no instance of a model: its runs count only where
    there is no other evidence, and one that misses its band contradicts no theorem.

    Args:
        claim: The claim.
        evidence: All recorded evidence (other claims' too, for what this one uses).

    Returns:
        The status.
    """
    evidence = tuple(evidence)
    own = [e for e in evidence if e.claim == claim.id]
    if any(e.kind is EvidenceKind.COUNTEREXAMPLE and e.passed for e in own):
        return ClaimStatus.REFUTED
    own = [e for e in own if e.kind is not EvidenceKind.NETWORK] or own
    if not own or not all(e.passed for e in own):
        return ClaimStatus.UNSUPPORTED
    kinds = {e.kind for e in own}
    if EvidenceKind.SYMBOLIC in kinds:
        settled = {step for e in own for step in e.steps}
        complete = bool(claim.steps) and settled.issuperset(claim.steps)
        used = (status(get(id), evidence) for id in claim.uses)
        if complete and all(s is ClaimStatus.SYMBOLIC for s in used):
            return ClaimStatus.SYMBOLIC
        return ClaimStatus.SYMBOLIC_PARTIAL
    if EvidenceKind.CERTIFIED in kinds:
        return ClaimStatus.CERTIFIED
    return ClaimStatus.NUMERIC


def as_expected(claim: Claim, evidence: Iterable[Evidence]) -> bool:
    """Whether a status is what the build demands: refuted iff the statement fails, else supported.

    Args:
        claim: The claim.
        evidence: All recorded evidence.

    Returns:
        True if so.
    """
    found = status(claim, evidence)
    if claim.fails:
        return found is ClaimStatus.REFUTED
    return found not in (ClaimStatus.REFUTED, ClaimStatus.UNSUPPORTED)


def load_evidence() -> tuple[Evidence, ...]:
    """The evidence recorded with the package; empty if none was recorded.

    Returns:
        Records in the order of the file.
    """
    file = resources.files("ufm") / EVIDENCE_FILE
    if not file.is_file():
        return ()
    return parse_evidence(json.loads(file.read_text(encoding="utf-8")))


def parse_evidence(data: Mapping[str, Any]) -> tuple[Evidence, ...]:
    """Records from the parsed JSON of an evidence file.

    Args:
        data: ``{"versions": ..., "evidence": [{...}, ...]}``.

    Returns:
        The records.
    """
    return tuple(
        Evidence(**row | {"kind": EvidenceKind(row["kind"]), "steps": tuple(row.get("steps", ()))})
        for row in data["evidence"]
    )


def graph_text(evidence: Iterable[Evidence] | None = None) -> str:
    """The dependency graph as text, one claim a block with what it uses and what repairs it.

    Args:
        evidence: Recorded evidence; what is shipped with the package by default.

    Returns:
        Lines of text.
    """
    records = load_evidence() if evidence is None else tuple(evidence)
    claims = registry()
    lines = []
    for claim in claims.values():
        lines.append(f"{claim.id} [{claim.kind.value}, {status(claim, records).value}]")
        lines += [f"  uses {id} [{status(claims[id], records).value}]" for id in claim.uses]
        if claim.repaired_by:
            lines.append(f"  repaired by {claim.repaired_by}")
    return "\n".join(lines)
