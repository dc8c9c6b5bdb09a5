"""Hypothesis strategies: any model at any strength."""

from __future__ import annotations

import hypothesis.strategies as st
import torch

import ufm


def powers(low: float, high: float):
    return st.floats(low, high).map(lambda x: 10.0**x)


@st.composite
def any_problem(draw) -> ufm.Problem:
    """Any model at any strength, dimension and profile, with an uncentred fixed classifier."""
    n = tuple(draw(st.lists(st.sampled_from([1, 2, 5, 50]), min_size=2, max_size=5)))
    K, d = len(n), draw(st.integers(1, 6))
    strengths = draw(st.tuples(powers(-6, 4), powers(-6, 4)))
    budgets = (ufm.AverageBudget, ufm.VectorBudget, ufm.Sphere)
    kinds = (*budgets, ufm.WeightDecay, ufm.ClassMeanDecay)
    reg = draw(st.sampled_from([kind(*strengths) for kind in kinds] + [ufm.NoReg()]))
    s, lam_b = draw(powers(-3, 3)), draw(powers(-6, 4))
    rows = torch.randn(K, d, dtype=torch.float64).tolist()
    fixed = ufm.Fixed(ufm.ExplicitFrame(tuple(map(tuple, rows))))
    return ufm.Problem(
        K=K, d=d, n=n, reg=reg,
        loss=draw(st.sampled_from([ufm.CrossEntropy(), ufm.SquaredError(), ufm.DotRegression(s)])),
        bias=draw(st.sampled_from([ufm.NoBias(), ufm.FreeBias(), ufm.PenalisedBias(lam_b)])),
        classifier=draw(st.sampled_from([ufm.Learnable(), fixed])),
        weights=draw(st.sampled_from([None, tuple(10.0 ** (-k) for k in range(K))])),
    )  # fmt: skip
