"""What to say when the device's memory does not hold a step: the batch that would fit."""

from __future__ import annotations

import traceback

import torch

from deep.step import Step


def advice(step: Step, error: torch.OutOfMemoryError, *, together: int = 1) -> str:
    """What to change where the device's memory does not hold a step.

    Args:
        step: The step that failed.
        error: What it raised.
        together: Seeds that share the device.

    Returns:
        One line: fewer seeds at once where there are several, then `fitting_batch`.
    """
    batch = fitting_batch(step, error)
    if together == 1:
        return batch
    return (
        f"{together} seeds at once do not fit: give --seeds fewer of them, or the same command "
        f"again when the others are done; beside the others, {batch}"
    )


def fitting_batch(step: Step, error: torch.OutOfMemoryError) -> str:
    """Try smaller batches, forward and backward, until one fits.

    Args:
        step: The step that failed.
        error: What it raised.

    Returns:
        One line: the batch that fits, and the ``accumulate`` that keeps the recipe's batch.
    """
    recipe = step.recipe
    # The frames of the step that failed hold its feature maps.
    traceback.clear_frames(error.__traceback__)
    reason = str(error).partition(". ")[0]
    size = recipe.batch // recipe.accumulate // step.world.size
    while size > 1:
        size //= 2
        if step.device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            step.try_batch(size)
        except torch.OutOfMemoryError:
            continue
        parts = -(-recipe.batch // (size * step.world.size))
        return (
            f"batch {recipe.batch} in {recipe.accumulate} parts does not fit ({reason}); {size} "
            f"samples at a time do: set batch={size * step.world.size}, or keep the batch with "
            f"accumulate={_divisor(recipe.batch // step.world.size, parts)}"
        )
    return f"not even one sample fits beside network and data ({reason}); take a larger device"


def _divisor(batch: int, least: int) -> int:
    # Smallest number of equal parts that is large enough.
    return next(parts for parts in range(least, batch + 1) if batch % parts == 0)
