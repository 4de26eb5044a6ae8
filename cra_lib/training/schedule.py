"""Learning-rate schedules of the recipes: linear warm-up from zero, then cosine or linear."""

from __future__ import annotations

import math


def learning_rate_factor(
    step: int,
    *,
    warmup_steps: int,
    total_steps: int,
    final_factor: float = 0.001,
    shape: str = "cosine",
) -> float:
    """Learning rate of one optimizer step, relative to the peak.

    Args:
        step: counted from 0; the first step of a warm-up moves nothing, as released.
        total_steps: of the whole training; the cosine ends one step past the last one, as recorded
            from the release.
        final_factor: the value at ``total_steps``, where the descent ends.
        shape: of the descent, cosine or linear; "linear-released" sets the rate after the step,
            so that the first one runs at the peak and all others one step late.

    >>> [learning_rate_factor(s, warmup_steps=2, total_steps=4) for s in (0, 1, 2, 4)]
    [0.0, 0.5, 1.0, 0.001]
    >>> steps = range(5)
    >>> sizes = {"warmup_steps": 1, "total_steps": 3, "final_factor": 0.0}
    >>> [learning_rate_factor(s, shape="linear", **sizes) for s in steps]
    [0.0, 1.0, 0.5, 0.0, 0.0]
    >>> [learning_rate_factor(s, shape="linear-released", **sizes) for s in steps]
    [1.0, 0.0, 1.0, 0.5, 0.0]
    """
    if shape == "linear-released":
        if step == 0:
            return 1.0
        step, shape = step - 1, "linear"
    if step < warmup_steps:
        return step / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    left = 1 - progress if shape == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return final_factor + (1 - final_factor) * left
