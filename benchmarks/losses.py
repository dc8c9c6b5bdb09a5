"""Losses of heads at K = 1010 beside loops over classes, forward and in a training step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

import ufm
from benchmarks.measure import Row, seconds
from ufm.geometry import Centers, FixedRows
from ufm.geometry.multicenter import center_slots
from ufm.losses import CosineAlignment


K, BATCH, F, THETA = 1010, 256, 2, 0.2
Loss = Callable[[torch.Tensor], torch.Tensor]


def losses() -> list[Row]:
    """K = 1010, batch 256, float32, one thread: ours, a loop over classes, one matrix product.

    The loop meets each class with the whole batch, as the released code of the hierarchy-aware
    frame does; the masked loop only with its own samples, where the loss allows. `floor` is what
    no way of computing it on any frame avoids: a product of the batch with the frame (and one back
    in a step), or reading the own rows.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = [compared(*case) for case in hierarchy_cases() + dot_cases() + center_cases()]
    torch.set_num_threads(threads)
    return rows


def compared(
    what: str,
    H: torch.Tensor,
    ours: Loss,
    loop: Loss,
    masked: Loss | None,
    floor: Loss,
) -> Row:
    """Times and ratios of one loss; values and gradients must agree."""
    row: Row = {"what": what, "d": H.shape[1]}
    loops = {"loop": loop} if masked is None else {"loop": loop, "masked loop": masked}
    for other in loops.values():
        agree(H, ours, other)
    for mode, run in (("forward", forward), ("step", step)):
        base = seconds(lambda run=run: run(ours, H), repeats=15, warmup=3)
        lowest = seconds(lambda run=run: run(floor, H), repeats=15, warmup=3)
        row |= {f"{mode} ms": 1e3 * base, f"{mode}: floor ms": 1e3 * lowest}
        for name, other in loops.items():
            time = seconds(lambda run=run, other=other: run(other, H), repeats=2, warmup=0)
            row |= {
                f"{mode}: {name} ms": 1e3 * time,
                f"{mode}: {name} / ours": time / base,
                f"{mode}: {name} / floor": time / lowest,
            }
    return row


def forward(loss: Loss, H: torch.Tensor) -> None:
    with torch.no_grad():
        loss(H)


def step(loss: Loss, H: torch.Tensor) -> None:
    loss(H.clone().requires_grad_()).mean().backward()


def agree(H: torch.Tensor, ours: Loss, theirs: Loss) -> None:
    """Raise unless values and gradients agree to float32 rounding."""
    results = []
    for loss in (ours, theirs):
        x = H.clone().requires_grad_()
        value = loss(x)
        value.mean().backward()
        results.append((value.detach(), x.grad))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()))


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def labels() -> torch.Tensor:
    return torch.randint(0, K, (BATCH,), generator=torch.Generator().manual_seed(0))


def hierarchy_cases() -> list[tuple]:
    """Alignment and mix; the loop is that of the released code, targets computed beforehand."""
    W, H, y = normalize(random(K, K), dim=-1), random(BATCH, K), labels()
    fixed = FixedRows(W, W @ W.mT)
    S = fixed.gram[y]

    def aligned(x: torch.Tensor) -> torch.Tensor:
        cosines = [cosine_similarity(W[c], x, dim=1).unsqueeze(1) for c in range(K)]
        return (torch.cat(cosines, dim=1) - S).square().sum(-1)

    def mixed(x: torch.Tensor) -> torch.Tensor:
        return 0.6 * cross_entropy(x @ W.mT, y, reduction="none") + 0.4 * aligned(x)

    alignment, mix = CosineAlignment(), ufm.HAFrameMix(0.4)
    return [
        ("cosine alignment", H, lambda x: alignment.value(x, W, y), aligned, None,
         lambda x: x @ W.mT),
        ("HAFrame mix", H, lambda x: mix.value(x, fixed, y), mixed, None, lambda x: x @ W.mT),
    ]  # fmt: skip


def dot_cases() -> list[tuple]:
    """Dot regression: on features, in the released code's normalisation, and on logits."""
    W, H, y = normalize(random(K, K), dim=-1), random(BATCH, K), labels()
    counts = torch.bincount(y, minlength=K)
    gamma = BATCH / int((counts > 0).sum())

    def pulled(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        length = x.norm(dim=-1).detach()
        return ((x * w).sum(-1) - length).square() / (2 * length)

    def loop(x: torch.Tensor) -> torch.Tensor:
        value = torch.zeros(BATCH)
        for c in range(K):
            own = y == c
            weight = gamma / counts[c].clamp(min=1)
            value = value + own * weight * pulled(x, W[c])
        return value

    def masked(x: torch.Tensor) -> torch.Tensor:
        value = torch.zeros(BATCH)
        for c in range(K):
            own = y == c
            if own.any():
                value[own] = gamma / counts[c] * pulled(x[own], W[c])
        return value

    def logits_loop(Z: torch.Tensor) -> torch.Tensor:
        value = torch.zeros(BATCH)
        for c in range(K):
            value = value + (y == c) * (Z[:, c] - 1).square() / 2
        return value

    batch, plain = ufm.BatchDotRegression(), ufm.DotRegression()
    return [
        ("dot regression, released", H, lambda x: batch.value(x, W, y), loop, masked,
         lambda x: (x * W[y]).sum(-1)),
        ("dot regression on logits", H, lambda Z: plain.value(Z.mT, y), logits_loop, None,
         lambda Z: Z.gather(-1, y.unsqueeze(-1))),
    ]  # fmt: skip


def center_cases() -> list[tuple]:
    """AL/CAL and P with two centers a class in 3030 dimensions."""
    parts, y = rotated_centers(), labels()
    C, d = parts.centers, parts.centers.shape[1]
    H, own_rows = random(BATCH, d), C.view(K, F, d)

    def cosine_loop(x: torch.Tensor) -> torch.Tensor:
        value = torch.zeros(BATCH)
        for c in range(K):
            regression = sum((1 - cosine_similarity(w, x, dim=1)).square() for w in own_rows[c])
            value = value + (y == c) * regression
        return value

    def cosine_masked(x: torch.Tensor) -> torch.Tensor:
        value = torch.zeros(BATCH)
        for c in range(K):
            own = y == c
            if own.any():
                unit = normalize(x[own], dim=-1)
                value[own] = (1 - unit @ own_rows[c].mT).square().sum(-1)
        return value

    def squared_loop(x: torch.Tensor) -> torch.Tensor:
        value = torch.zeros(BATCH)
        for c in range(K):
            target = (y == c).to(x.dtype).unsqueeze(-1)
            value = value + (x @ own_rows[c].mT - target).square().sum(-1) / 2
        return value

    cosine, squared = ufm.CosineRegression("one", lam=0.0), ufm.CenterRegression()
    return [
        ("cosine regression (AL, CAL)", H, lambda x: cosine.value(x, parts, y), cosine_loop,
         cosine_masked, lambda x: (own_rows[y] @ x.unsqueeze(-1)).sum((-1, -2))),
        ("problem P, all centers", H, lambda x: squared.value(x, parts, y), squared_loop, None,
         lambda x: x @ C.mT),
    ]  # fmt: skip


def rotated_centers() -> Centers:
    """Two centers a class, turned by reflections so that no entry is zero."""
    natural = ufm.geometry.multicenter_frame(ufm.MultiCenter((F,) * K, THETA))
    v = normalize(random(2, natural.W.shape[1]).double(), dim=-1)

    def turn(rows: torch.Tensor) -> torch.Tensor:
        for axis in v:
            rows = rows - 2 * (rows @ axis).unsqueeze(-1) * axis
        return rows.float()

    return Centers(
        turn(natural.W), turn(natural.centers), natural.owner, center_slots((F,) * K)
    )  # fmt: skip
