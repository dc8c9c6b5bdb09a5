"""torch.compile takes every head and loss as one graph, without recompiling along a schedule.

In a process of its own: the shape checks that conftest puts around every function are not what
users compile.
"""

from __future__ import annotations

import subprocess
import sys


PROGRAM = """
import torch
from torch._dynamo.testing import CompileCounter

from ufm.geometry import Exponential, HAFrame, MultiCenter
from ufm.heads import (
    ETFHead, HAFrameHead, LearnableHead, MultiCenterHead, NearestETFHead, RotatedHead,
)
from ufm.hierarchy import Tree
from ufm.losses import (
    LDAM, AttractionRepulsion, BatchDotRegression, CenterRegression, ClassBalanced,
    CosineRegression, CrossEntropy, FrameTargets, HAFrameMix, KPositives, LogitAdjusted,
    SoftTargets,
)

torch.set_num_threads(1)
K, n = 4, (4, 3, 2, 1)
frame = HAFrame(Tree.from_nested([[0, 1], [2, 3]]), Exponential(2.0))
losses = [
    CrossEntropy(), SoftTargets(frame, beta=3.0), HAFrameMix(0.4), FrameTargets(3.0),
    CosineRegression(), CenterRegression(), BatchDotRegression(), AttractionRepulsion(),
    LogitAdjusted(n), LDAM(n), ClassBalanced(LDAM(n), n), KPositives(k=2),
]
heads = [
    ETFHead(8, K), HAFrameHead(8, frame), MultiCenterHead(8, MultiCenter(n, 0.2), d=14),
    MultiCenterHead(8, MultiCenter(n, 0.2), d=14, rule="general"), NearestETFHead(8, K),
    LearnableHead(8, K), RotatedHead(8, K),
]
x, y = torch.randn(16, 8), torch.arange(16) % K


def check(step, *, autocasts):
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(step, backend=counter, fullgraph=True)
    for autocast in autocasts:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            torch.testing.assert_close(compiled(x, y), step(x, y), rtol=1e-3, atol=1e-3)
    assert counter.frame_count == len(autocasts), counter.frame_count


for head in heads:
    check(lambda x, y: head(x).square().mean() + head.loss(x, y, losses[0]).mean(),
          autocasts=(False, True))
check(lambda x, y: sum(heads[2].loss(x, y, loss).mean() for loss in losses), autocasts=(False,))

torch._dynamo.reset()
counter = CompileCounter()
scheduled = torch.compile(
    lambda x, y, loss: heads[0].loss(x, y, loss).mean(), backend=counter, fullgraph=True
)
for epoch in range(12):
    scheduled(x, y, HAFrameMix(0.4 * epoch / 12))
assert counter.frame_count <= 3, counter.frame_count

torch._dynamo.reset()
follower = heads[4]
features = follower.features(x)
before = follower.frame.clone()
compiled = torch.compile(follower, backend="eager", fullgraph=True)
compiled(x)
follower.follow(features, y)
torch.testing.assert_close(compiled(x), follower(x))
assert not torch.equal(before, follower.frame)
"""


def test_every_head_and_loss_compiles_as_one_graph():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


EXPORTS = """
import warnings

import torch
from torch import nn

from ufm.geometry import Exponential, HAFrame, MultiCenter
from ufm.heads import ETFHead, HAFrameHead, MultiCenterHead
from ufm.hierarchy import Tree

torch.set_num_threads(1)
frame = HAFrame(Tree.from_nested([[0, 1], [2, 3]]), Exponential(2.0))
x, batch = torch.randn(6, 5), torch.export.Dim("batch")
for head in (ETFHead(8, 4), HAFrameHead(8, frame), MultiCenterHead(8, MultiCenter((1, 2), 0.2))):
    net = nn.Sequential(nn.Linear(5, 8), head).eval()
    program = torch.export.export(net, (x,), dynamic_shapes=({0: batch},))
    assert torch.equal(program.module()(x[:3]), net(x[:3]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # torch's own, of tracing
        traced = torch.jit.trace(net, x)
    assert torch.equal(traced(x[:3]), net(x[:3]))
"""


def test_exported_and_traced_networks_take_any_batch():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXPORTS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
