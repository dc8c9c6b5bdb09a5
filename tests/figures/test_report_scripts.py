"""Closed forms in the report's JavaScript against the package's numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from javascript import evaluate
from tolerances import CERTIFIED, EXACT

from figures.report.site import FOLDER
from ufm.solvers import step_optimum
from ufm.solvers.thresholds import log_R0, log_R1


STEP = [FOLDER / "assets" / "step.js"]
GROUPS = ((1, 2), (1, 9), (2, 2), (5, 5), (7, 3), (3, 7), (20, 20), (50, 2))
RADII = (1e-3, 0.3, 2.0, 10 * 5**0.5, 60.0, 400.0)
LOG_R = (0.0, 0.02, 0.7, 2.3, 5.0, 9.2)
FIELDS = ("a", "c", "d", "e", "value", "w_A", "w_B", "h_A", "h_B")
COSINES = {"cos_w_A": "cos_W_A", "cos_w_B": "cos_W_B", "cos_h_A": "cos_H_A", "cos_h_B": "cos_H_B"}


def test_thresholds_agree_with_the_package(tmp_path):
    cases = [(A, B, tau) for A, B in GROUPS for tau in RADII]
    found = evaluate(
        STEP, f"{json.dumps(cases)}.map((c) => [Step.logR0(...c), Step.logR1(...c)])", tmp_path
    )
    A, B, tau = np.array(cases).T
    ours = np.array(found, dtype=object).astype(float)
    np.testing.assert_allclose(ours[:, 0], log_R0(A, B, tau), rtol=EXACT)
    # Near its pole R_1 depends on the radius through a difference.
    np.testing.assert_allclose(ours[:, 1], log_R1(A, B, tau), rtol=CERTIFIED)
    assert np.isinf(ours[:, 1]).any()
    assert np.isfinite(ours[:, 1]).any()


def test_optima_agree_with_the_package(tmp_path):
    cases = [(A, B, log_R, tau) for A, B in GROUPS for log_R in LOG_R for tau in RADII]
    found = evaluate(STEP, f"{json.dumps(cases)}.map((c) => Step.optimum(...c))", tmp_path)
    A, B, log_R, tau = np.array(cases).T
    theirs = step_optimum(A, B, R=np.exp(log_R), tau=tau)
    phases = [row["phase"] for row in found]
    assert phases == theirs.phase.tolist()
    assert set(phases) == {"balanced", "full", "collapsed", "vanished"}
    for name in FIELDS:
        ours = np.array([row[name] for row in found], dtype=float)
        np.testing.assert_allclose(ours, getattr(theirs, name), rtol=CERTIFIED, atol=CERTIFIED)
    for name, field in COSINES.items():
        ours = np.array([row[name] for row in found], dtype=float)
        np.testing.assert_allclose(ours, getattr(theirs, field), rtol=CERTIFIED, atol=CERTIFIED)


@pytest.mark.parametrize("change", ["sqrt(1 + square)", "log1p(exp(log_o) * expm1(a))"])
def test_a_wrong_formula_would_be_noticed(change, tmp_path):
    text = STEP[0].read_text("utf-8")
    assert change in text
    wrong = tmp_path / "wrong.js"
    wrong.write_text(text.replace(change, f"1.000001 * {change}"), "utf-8")
    found = evaluate([wrong], "Step.logR0(5, 5, 22.36)", tmp_path)
    assert found != pytest.approx(float(log_R0(5, 5, 22.36)), rel=EXACT)
