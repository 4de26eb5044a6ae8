"""The learning-rate schedule of the recipe: linear warm-up from zero, then a cosine."""

from __future__ import annotations

import math


def learning_rate_factor(
    step: int, *, warmup_steps: int, total_steps: int, final_factor: float = 0.001
) -> float:
    """Learning rate of one optimizer step, relative to the peak.

    Args:
        step: counted from 0; the first step of a warm-up moves nothing, as released.
        total_steps: of the whole training; the cosine ends one step past the last one, as recorded
            from the release.
        final_factor: the value at ``total_steps``, where the cosine ends.

    >>> [learning_rate_factor(s, warmup_steps=2, total_steps=4) for s in (0, 1, 2, 4)]
    [0.0, 0.5, 1.0, 0.001]
    """
    if step < warmup_steps:
        return step / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return final_factor + (1 - final_factor) * (1 + math.cos(math.pi * progress)) / 2
