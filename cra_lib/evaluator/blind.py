"""Reference intervals that never look at the video or the question.

IoP rewards short intervals near the middle, where most events are; a method is only as good as its
distance from these rows, so every table of ours carries them.
"""

from __future__ import annotations

import numpy as np

from cra_lib.evaluator.spans import seconds_of

FRACTIONS = {
    "whole video": (0.0, 1.0),
    "first half": (0.0, 0.5),
    "middle half": (0.25, 0.75),
    "middle third": (1 / 3, 2 / 3),
    "middle fifth": (0.4, 0.6),
}
"""Row -> start and end as fractions of the video."""

BLIND_ROWS = (*FRACTIONS, "random fifth", "centre second", "centre instant")
"""Names of all rows, in the order of the tables."""


def blind_spans(durations: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Row -> intervals ``[N, 2]`` in seconds, rounded to 0.1 s like any fraction of a video.

    Args:
        durations: length of each question's video ``[N]`` in seconds.
        seed: of the random fifth's start.
    """
    durations = np.asarray(durations, float)
    start = np.random.default_rng(seed).uniform(0.0, 0.8, len(durations))
    half_second = np.minimum(0.5 / durations, 0.5)
    fractions = {
        name: np.broadcast_to(pair, (len(durations), 2)) for name, pair in FRACTIONS.items()
    }
    fractions["random fifth"] = np.stack([start, start + 0.2], axis=1)
    fractions["centre second"] = np.stack([0.5 - half_second, 0.5 + half_second], axis=1)
    fractions["centre instant"] = np.full((len(durations), 2), 0.5)
    return {name: seconds_of(fractions[name], durations) for name in BLIND_ROWS}
