"""What the pages show of a claim: its evidence by witness, what it is about, its relatives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from figures.report import origins
from figures.report.bibliography import Paper, papers
from ufm.claims import (
    Claim,
    ClaimStatus,
    Evidence,
    EvidenceKind,
    Provenance,
    load_evidence,
    registry,
    status,
)


WITNESSES = (
    EvidenceKind.SYMBOLIC,
    EvidenceKind.CERTIFIED,
    EvidenceKind.NUMERIC,
    EvidenceKind.NETWORK,
    EvidenceKind.COUNTEREXAMPLE,
)
MISSED = "network that missed its band"
# Words of the assumptions (or of the subject and the statement) that tell what a claim is about.
LOSSES = {
    "dot regression": "dot regression",
    "calibrated soft targets": "soft targets",
    "squared error": "squared error",
    "cosine regression": "cosine regression",
    "alignment": "cosine alignment",
    "contrastive": "contrastive",
    "attraction-repulsion": "attraction-repulsion",
    "cross-entropy": "cross-entropy",
}
BALANCES = {
    "balanced classes": "balanced",
    "equal shares of the risk": "balanced",
    "step profile": "step imbalance",
    "all shares different": "all sizes different",
    "two classes of equal size": "a group of equal sizes",
}
ANY = "any or none"


@dataclass(frozen=True)
class Record:
    """A piece of evidence with where it came from.

    Attributes:
        evidence: What was recorded.
        check: The code that made it.
        commit: Commit that recorded it; empty if unknown or not committed.
    """

    evidence: Evidence
    check: origins.Check
    commit: str


@dataclass(frozen=True)
class Step:
    """A step of a proof.

    Attributes:
        name: Its name.
        checks: Names of the checks that settle it for the general case.
    """

    name: str
    checks: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A claim as the report shows it.

    Attributes:
        claim: The claim.
        status: Computed from the evidence.
        records: Its evidence.
        steps: Steps of its proof, with what settles them.
        paper: Its paper, or the one that it extends.
        losses: Losses that it is about.
        balances: Class-size profiles that it is about.
        used_by: Claims whose proofs rest on it.
        repairs: Claims that it repairs.
        figures: Ids of the figures that illustrate it.
    """

    claim: Claim
    status: ClaimStatus
    records: tuple[Record, ...]
    steps: tuple[Step, ...]
    paper: Paper
    losses: tuple[str, ...]
    balances: tuple[str, ...]
    used_by: tuple[str, ...]
    repairs: tuple[str, ...]
    figures: tuple[str, ...]

    def witnesses(self) -> dict[str, tuple[int, int]]:
        """How many checks of each kind there are, and how many of them passed."""
        return {
            kind.value: (len(own), sum(r.evidence.passed for r in own))
            for kind in WITNESSES
            if (own := [r for r in self.records if r.evidence.kind is kind])
        }

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of its evidence, and `MISSED` where a network missed its band."""
        found = self.witnesses()
        count, passed = found.get(EvidenceKind.NETWORK.value, (0, 0))
        return (*found, *([MISSED] if passed < count else []))


def entries(figures: Mapping[str, Sequence[str]]) -> dict[str, Entry]:
    """Every registered claim.

    Args:
        figures: Claims that each figure illustrates, by id of the figure.

    Returns:
        Entries by id, in the order of the papers.
    """
    evidence, claims, known = load_evidence(), registry(), papers()
    commits = origins.recorded()
    records: dict[str, list[Record]] = defaultdict(list)
    for i, e in enumerate(evidence):
        head = commits[i] if len(commits) == len(evidence) else ""
        records[e.claim].append(Record(e, origins.check(e.check), head))
    return {
        id: Entry(
            claim=claim,
            status=status(claim, evidence),
            records=tuple(records[id]),
            steps=_steps(claim, records[id]),
            paper=known.get(paper_key(claim), Paper(paper_key(claim))),
            losses=_named(LOSSES, _about(claim)),
            balances=_named(BALANCES, (a.name for a in claim.assumptions)),
            used_by=tuple(other.id for other in claims.values() if id in other.uses),
            repairs=tuple(other.id for other in claims.values() if other.repaired_by == id),
            figures=tuple(name for name, shown in figures.items() if id in shown),
        )
        for id, claim in claims.items()
    }


def paper_key(claim: Claim) -> str:
    """The paper under which a claim is listed.

    Args:
        claim: The claim.

    Returns:
        Bibliography key: the first part of the claim's id.
    """
    return claim.id.split(".")[0]


def origin(claim: Claim) -> str:
    """How we know a statement, for a reader.

    Args:
        claim: The claim.

    Returns:
        A few words.
    """
    number = f" ({claim.source.number})" if claim.source.number else ""
    if claim.source.provenance is Provenance.DERIVED:
        return f"derived here{number}, extending"
    return f"{claim.source.provenance.value}{number}, from"


def address(claim: Claim) -> str:
    """Where a claim's source can be read.

    Args:
        claim: The claim.

    Returns:
        A URL: of arXiv, OpenReview or the DOI resolver.
    """
    where = claim.source.where
    if where.startswith("openreview:"):
        return f"https://openreview.net/forum?id={where.removeprefix('openreview:')}"
    return (
        f"https://doi.org/{where}" if where.startswith("10.") else f"https://arxiv.org/abs/{where}"
    )


def _steps(claim: Claim, records: Iterable[Record]) -> tuple[Step, ...]:
    own = list(records)
    return tuple(
        Step(step, tuple(r.evidence.check for r in own if step in r.evidence.steps))
        for step in claim.steps
    )


def _about(claim: Claim) -> Iterable[str]:
    if claim.assumptions:
        return [a.name for a in claim.assumptions]
    return [claim.outside.lower(), claim.statement.lower()]


def _named(names: Mapping[str, str], texts: Iterable[str]) -> tuple[str, ...]:
    whole = " | ".join(texts)
    found = dict.fromkeys(name for words, name in names.items() if words in whole)
    return tuple(found) or (ANY,)
