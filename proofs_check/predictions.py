"""One check for every theorem that predicts an optimum: solve, certify, compare.

Registers, for each claim with a prediction of value or geometry, a check over the catalogue cases
that it applies to.
"""

from __future__ import annotations

from functools import partial

from proofs_check._harness import Measurement, evidence
from proofs_check._optima import CERTIFIED, optimum
from proofs_check.catalogue import CASES, Case
from ufm import Geometry, distance
from ufm._typing import Tensor
from ufm.claims import Claim, EvidenceKind, registry


def applicable(claim: Claim) -> list[Case]:
    """The catalogue cases that a claim applies to.

    Args:
        claim: The claim.

    Returns:
        Cases.
    """
    return [case for case in CASES if claim.applies(case.problem)]


def check_prediction(measure: Measurement, claim: Claim) -> None:
    """Compare certified optima with what a claim predicts.

    A gap of 1e-10 determines the value to 1e-10 and the geometry to ``(1e-10)**(1/growth)``.

    Args:
        measure: Collects the worst errors.
        claim: A claim with a prediction.
    """
    for case in applicable(claim):
        prediction = claim.predict(case.problem)
        solution, certificate = optimum(case.problem)
        scale = max(1.0, abs(float(solution.value)))
        measure.below("gap", certificate.gap.clamp(min=0) / scale, CERTIFIED)
        if prediction.value is not None:
            error = abs(float(solution.value) - prediction.value) / scale
            measure.below("value", error, CERTIFIED)
        if prediction.geometry is not None and prediction.unique:
            error = _distance(solution.geometry, prediction.geometry)
            measure.below("geometry", error, CERTIFIED ** (1 / prediction.growth))


def _distance(found: Geometry, predicted: Geometry) -> Tensor:
    # A relative distance from zero is always one, so zero is compared in absolute terms.
    if float(predicted.joint.abs().max()) == 0.0:
        return found.joint.norm()
    return distance(found, predicted)


def check_reference_values(measure: Measurement, claim: Claim) -> None:
    """Compare a claim's predicted values with the catalogue's reference values.

    Args:
        measure: Collects the worst error.
        claim: A claim with a predicted value.
    """
    for case in applicable(claim):
        value = claim.predict(case.problem).value
        if case.value is not None and value is not None:
            # The reference values are printed with ten to twelve decimals.
            measure.below("value", abs(value - case.value), 1e-10)


def _register() -> None:
    for claim in registry().values():
        if claim.rule is None or claim.fails:
            continue
        forecasts = [(case, claim.predict(case.problem)) for case in applicable(claim)]
        optima = [c.name for c, p in forecasts if p.geometry is not None or p.value is not None]
        known = [c.name for c, p in forecasts if p.value is not None and c.value is not None]
        if optima:
            evidence(
                claim,
                EvidenceKind.CERTIFIED,
                domain=f"catalogue cases {', '.join(optima)}",
                name=f"predictions.{claim.id}",
            )(partial(check_prediction, claim=claim))
        if known:
            evidence(
                claim,
                EvidenceKind.NUMERIC,
                domain=f"reference values of {', '.join(known)}",
                name=f"predictions.reference.{claim.id}",
            )(partial(check_reference_values, claim=claim))


_register()
