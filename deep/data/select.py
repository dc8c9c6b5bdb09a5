"""Which images of a data set are trained on: class sizes, hold-out and choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from deep.data.spec import Balanced, Data, LongTail, Profile, Sizes, StepTail
from ufm._typing import Int, Tensor
from ufm.counts import exponential_sizes, step_sizes


def class_sizes(profile: Profile, available: Sequence[int]) -> tuple[int, ...]:
    """Class sizes of a profile, none above what its class has.

    Args:
        profile: The profile.
        available: Images that each of the K classes has.

    Returns:
        K class sizes, each at least 1.

    Raises:
        ValueError: If a class has no image, the profile leaves one without, or its length is not K.

    >>> class_sizes(LongTail(rho=100), (5000,) * 10)
    (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
    """
    K = len(available)
    for k, size in enumerate(available):
        if size < 1:
            raise ValueError(f"class {k} must have images, got none of {sum(available)}")
    if isinstance(profile, Balanced):
        wanted = (profile.n,) * K
    elif isinstance(profile, Sizes):
        wanted = profile.n
        if len(wanted) != K:
            raise ValueError(f"n must have K={K} entries, got {len(wanted)}")
    else:
        sizes = _tail(profile, K)
        wanted = sizes(profile.n_max or _largest(sizes, available))
    return tuple(min(n or size, size) for n, size in zip(wanted, available, strict=True))


def chosen(
    labels: Int[Tensor, "N"],
    data: Data,
    *,
    available: Sequence[int],
    seed: int = 0,
) -> tuple[Int[Tensor, "M"], Int[Tensor, "V"]]:
    """Places of the images trained on and of those held out.

    Args:
        labels: Labels in file order, of the whole training set or of its first images of each
            class.
        data: Profile, choice and hold-out.
        available: Images that each class of the *published* set has; a file with fewer serves
            profiles that need no more.
        seed: Seed of ``choose="seed"``.

    Returns:
        Training places in file order, and validation places (none without hold-out).

    Raises:
        ValueError: If a class has fewer images than asked for, or the choice needs images that the
            file lacks.
    """
    K = len(available)
    have = torch.bincount(labels, minlength=K).tolist()
    partial = any(h < a for h, a in zip(have, available, strict=True))
    if partial and (data.holdout or data.choose == "seed"):
        raise ValueError(
            "choose and holdout must be 'file' and 0 with an excerpt of the published set, got "
            f"{data.choose!r} and {data.holdout}"
        )
    sizes = class_sizes(data.profile, [max(a - data.holdout, 0) for a in available])
    order = torch.argsort(labels, stable=True)
    train, held = [], []
    for k, places in enumerate(order.split(have)):
        if sizes[k] > have[k]:
            raise ValueError(
                f"class {k} must have {sizes[k]} images for {data.profile}, got {have[k]}"
            )
        keep = len(places) - data.holdout
        held.append(places[keep:])
        places = places[:keep]
        if data.choose == "seed":
            # NumPy's own streams are the same on every device and thread count.
            draw = np.random.default_rng([seed, k]).permutation(len(places))
            places = places[torch.from_numpy(draw)]
        train.append(places[: sizes[k]])
    index = torch.cat(train).sort().values
    _check_counts(labels[index], sizes)
    return index, torch.cat(held).sort().values


def _check_counts(labels: Int[Tensor, "M"], sizes: tuple[int, ...]) -> None:
    got = tuple(torch.bincount(labels, minlength=len(sizes)).tolist())
    if got != sizes:
        raise ValueError(f"selected class sizes must be {sizes}, got {got}")


def _tail(profile: LongTail | StepTail, K: int) -> Callable[[int], tuple[int, ...]]:
    if isinstance(profile, LongTail):
        return lambda n: exponential_sizes(K=K, n_max=n, rho=profile.rho)
    return lambda n: step_sizes(K=K, K_A=profile.K_A, n_max=n, rho=profile.rho)


def _largest(sizes: Callable[[int], tuple[int, ...]], available: Sequence[int]) -> int:
    # Largest n_max whose sizes no class falls short of; sizes grow with n_max, so bisection.
    low, high = 0, max(available)

    def fits(n: int) -> bool:
        return all(size <= a for size, a in zip(sizes(n), available, strict=True))

    # A profile that leaves a class empty raises: at the top that is the caller's error.
    if fits(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        try:
            low, high = (middle, high) if fits(middle) else (low, middle)
        except ValueError:
            low = middle
    sizes(max(low, 1))
    return max(low, 1)
