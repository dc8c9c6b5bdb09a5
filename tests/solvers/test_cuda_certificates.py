"""The certificates of a card, run on the CPU by Triton's interpreter, against the tensor code."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tolerances import EXACT

import ufm


pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed (extra `triton`)"
)
NUMBERS = (
    "primal", "dual", "raw_gap", "gap", "margin", "infeasibility", "stationarity", "Y",
    "multipliers",
)  # fmt: skip
# Relative noise on an optimum: tight, loose, and where columns leave the domain; then no point.
DISTANCES = (0.0, 1e-3, 0.3, 30.0)
BROKEN = len(DISTANCES)


@pytest.fixture(scope="module")
def point() -> ufm.Solution:
    # K is odd: somebody sits out in every round of the eigenproblem.
    template = ufm.Problem(K=5, d=4, n=(9, 4, 2, 2, 1), reg=ufm.AverageBudget(2.0, 0.7))
    batch = [
        replace(template, reg=ufm.AverageBudget(E_W, 1.4 / E_W))
        for E_W in (2.0, 0.3, 1.0, 4.0, 1.0)
    ]
    sol = ufm.solve(batch, ufm.LBFGS(engine="tensors"))
    generator = torch.Generator().manual_seed(1)
    moved = []
    for factor in (sol.W, sol.H):
        noise = torch.randn(factor.shape, generator=generator, dtype=factor.dtype)
        moved.append(factor * (1 + torch.tensor([*DISTANCES, 0.0])[:, None, None] * noise))
    moved[0][BROKEN] = float("nan")
    return replace(sol, point=sol.point._replace(W=moved[0], H=moved[1]))


@pytest.fixture(scope="module")
def found(point: ufm.Solution, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("certified")
    point.save(folder / "in.safetensors")
    script = Path(__file__).with_name("certified_for_cuda.py")
    command = [sys.executable, "-W", "ignore", str(script), "in.safetensors", "out.pt"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "out.pt")


def test_the_evidence_is_that_of_the_tensor_code(point, found):
    reference = ufm.certify(point, engine="tensors")
    first, loose = found["first"], found["loose"].tolist()
    assert loose == [1, 2, 3, BROKEN]
    for name in ("primal", "raw_gap", "infeasibility", "stationarity"):
        torch.testing.assert_close(
            first[name][:BROKEN], getattr(reference, name)[:BROKEN], rtol=EXACT, atol=EXACT
        )
    assert torch.equal(first["rank"][:BROKEN], reference.rank[:BROKEN])
    for name in NUMBERS:
        torch.testing.assert_close(
            first[name][0], getattr(reference, name)[0], rtol=1e-9, atol=EXACT
        )
        torch.testing.assert_close(
            found["full"][name][:BROKEN], getattr(reference, name)[:BROKEN], rtol=1e-9, atol=EXACT
        )
    assert first["bound"][0] == reference.bound[0]
    assert found["full"]["bound"] == reference.bound


def test_loose_bounds_hold_and_are_those_of_their_dual_matrices(point, found):
    first = found["first"]
    pi = torch.tensor([problem.pi for problem in point.problems], dtype=torch.float64)
    tau = torch.tensor([problem.radius for problem in point.problems], dtype=torch.float64)
    Y, sound = first["Y"][:BROKEN], slice(BROKEN)
    Q = torch.eye(5, dtype=torch.float64) + Y / pi[sound].unsqueeze(-2)
    assert Q.min() >= -EXACT
    torch.testing.assert_close(Q.sum(-2), torch.ones_like(pi[sound]), rtol=0, atol=EXACT)
    entropy = -(pi[sound] * torch.special.entr(Q.clamp(min=0)).sum(-2)).sum(-1)
    lower = -entropy - tau[sound] * torch.linalg.matrix_norm(Y, 2)
    torch.testing.assert_close(first["dual"][sound], lower, rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(
        (first["primal"] - first["gap"])[sound], lower, rtol=EXACT, atol=EXACT
    )
    assert (first["gap"] <= first["primal"])[sound].all()


def test_what_is_no_number_fails_alone(found):
    for cert in (found["first"], found["full"]):
        assert not cert["gap"][BROKEN] <= 1e-10
        assert cert["gap"][0] <= 1e-10 + cert["margin"][0]
