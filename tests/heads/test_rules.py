"""Decision rules of the multi-center head against the ones of the geometry."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT
from torch.testing import assert_close

from ufm.geometry import (
    MultiCenter,
    class_mean_cos,
    general_rule,
    mean_rule,
    multicenter_frame,
    regular_rule,
)
from ufm.heads import MultiCenterHead, class_scores


RULES = {"regular": regular_rule, "mean": mean_rule, "general": general_rule}
counts = st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple)


@given(counts, st.floats(0.01, 1.5), st.integers(0, 99), st.sampled_from(list(RULES)))
def test_answers_are_those_of_the_geometry(f, theta, seed, rule):
    parts = multicenter_frame(MultiCenter(f, theta))
    rng = torch.Generator().manual_seed(seed)
    H = torch.randn(20, parts.W.shape[1], generator=rng, dtype=torch.float64)
    assert torch.equal(class_scores(H, parts, rule=rule).argmax(-1), RULES[rule](H.mT, parts))


@given(counts, st.floats(0.01, 1.5))
def test_at_collapse_the_regular_rule_scales_the_mean_rule_by_cos_rho(f, theta):
    parts = multicenter_frame(MultiCenter(f, theta))
    H = parts.direction
    cos_rho = class_mean_cos(torch.tensor(f).double(), theta)
    assert_close(class_scores(H, parts), cos_rho.diag(), rtol=0, atol=EXACT)
    assert_close(class_scores(H, parts, rule="mean"), torch.eye(len(f)).double(),
                 rtol=0, atol=EXACT)  # fmt: skip
    assert_close(class_scores(H, parts, rule="general").diagonal(),
                 (class_scores(H, parts, rule="mean") @ (parts.mean.norm(dim=-1))),
                 rtol=0, atol=EXACT)  # fmt: skip


def test_a_head_predicts_by_its_rule_and_by_any_other():
    spec = MultiCenter((1, 3, 6), 0.3)
    heads = {rule: MultiCenterHead(16, spec, rule=rule).eval() for rule in RULES}
    x = torch.randn(64, 16)
    answers = {rule: head.predict(x) for rule, head in heads.items()}
    for rule, answer in answers.items():
        assert torch.equal(heads["regular"].predict_by(x, rule=rule), answer)
    assert len({tuple(a.tolist()) for a in answers.values()}) == 3


def test_noise_alone_is_won_by_many_centers_under_the_general_rule():
    """On pure noise class k wins with about f_k / F; the regular rule is fair."""
    f, theta = (1, 2, 8), 0.0
    parts = multicenter_frame(MultiCenter(f, theta))
    H = torch.randn(20000, parts.W.shape[1], generator=torch.Generator().manual_seed(1)).double()
    share = torch.bincount(class_scores(H, parts, rule="general").argmax(-1)) / 20000
    sd = math.sqrt(0.25 / 20000)
    assert_close(share.double(), torch.tensor(f).double() / 11, rtol=0, atol=5 * sd)
    fair = torch.bincount(class_scores(H, parts).argmax(-1)) / 20000
    assert_close(fair, torch.full((3,), 1 / 3), rtol=0, atol=5 * sd)


def test_unknown_rule():
    parts = multicenter_frame(MultiCenter((1, 1), 0.2))
    with pytest.raises(ValueError, match="rule must be 'regular', 'mean' or 'general', got 'x'"):
        class_scores(torch.ones(1, 4).double(), parts, rule="x")  # pyright: ignore[reportArgumentType]
