"""From two classes to a thousand, and thousands of samples."""

import resource
from dataclasses import replace

import pytest
import torch
from certificates.models import random_point
from tolerances import CERTIFIED, EXACT

import ufm
from ufm.certificates import certify


@pytest.mark.parametrize("n", [(1, 1), (90, 10), (1, 1, 2, 5, 20, 300)])
@pytest.mark.parametrize("bias", [ufm.NoBias(), ufm.FreeBias(), ufm.PenalisedBias(0.01)])
@pytest.mark.parametrize(
    "reg", [ufm.AverageBudget(1, 2), ufm.VectorBudget(1, 2), ufm.WeightDecay(1e-3, 1e-3)]
)
def test_small_and_uneven(n, bias, reg):
    problem = ufm.Problem(K=len(n), d=len(n), n=n, reg=reg, bias=bias)
    cert = certify(ufm.solve(problem, ufm.LBFGS(gtol=1e-9), throw=False))
    assert cert.passed
    assert cert.gap < CERTIFIED / 100


@pytest.mark.parametrize(
    ("K", "reg"), [(100, ufm.AverageBudget(1, 5)), (30, ufm.VectorBudget(1, 2))]
)
def test_long_tails(K, reg):
    n = ufm.exponential_sizes(K=K, n_max=500, rho=50)
    problem = ufm.Problem(K=K, d=K - 1, n=n, reg=reg)
    cert = certify(ufm.solve(problem, ufm.LBFGS(gtol=1e-8), throw=False))
    assert cert.passed
    assert cert.gap < EXACT


def test_thousands_of_samples():
    # K x K decompositions only: the samples enter through their class means.
    n = (3000, 1500, 400, 100)
    problem = ufm.Problem(K=4, d=8, n=n, reg=ufm.WeightDecay(1e-3, 1e-5))
    cert = certify(random_point(problem, M=5000, seed=0))
    assert cert.gap > 0
    means = ufm.solve(problem, ufm.LBFGS(gtol=1e-9), throw=False)[0]
    assert cert.dual <= means.value
    H = means.H[:, torch.tensor(problem.labels(5000))]
    collapsed = certify(ufm.Solution.from_arrays(problem, means.W, H))
    assert collapsed.passed
    assert collapsed.gap < EXACT


def test_a_batch_of_a_thousand():
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(1, 500, (256, 10), generator=generator).tolist()
    problems = [ufm.Problem(K=10, d=9, n=tuple(n), reg=ufm.AverageBudget(1, 3)) for n in sizes]
    cert = certify(ufm.solve(problems, throw=False))
    assert cert.passed.float().mean() > 0.97
    assert (cert.gap >= -cert.margin).all()


@pytest.mark.slow
def test_a_thousand_classes_under_two_gigabytes():
    K = 1000
    problem = ufm.Problem(K=K, d=K - 1, n=(3,) * K, reg=ufm.AverageBudget(1, 5))
    W = ufm.etf(K, K - 1)
    cert = certify(ufm.Solution.from_arrays(problem, W, 5**0.5 * W.mT))
    assert cert.gap < CERTIFIED
    assert cert.rank == K - 1
    # ru_maxrss is in KiB on Linux.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2 * 2**20


@pytest.mark.gpu
@pytest.mark.parametrize("reg", [ufm.AverageBudget(1, 3), ufm.VectorBudget(1, 3)])
def test_cuda_agrees_with_the_cpu(reg):
    problem = ufm.Problem(K=10, d=9, n=ufm.exponential_sizes(K=10, n_max=500, rho=100), reg=reg)
    sol = random_point(problem, M=10, seed=0)
    on_card = type(sol.point)(*(t.cuda() for t in sol.point))
    here, there = certify(sol), certify(replace(sol, point=on_card))
    assert there.gap.is_cuda
    for field in ("primal", "dual", "gap", "raw_gap"):
        torch.testing.assert_close(
            getattr(here, field), getattr(there, field).cpu(), rtol=CERTIFIED, atol=EXACT
        )
