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


STARTS = 40
"""Evenly spaced starts that stand for all random ones. One draw alone moves Acc@GQA by 0.4 points
(standard deviation); with these the row is its expectation to 0.05 points."""


def blind_spans(durations: np.ndarray) -> dict[str, np.ndarray]:
    """Row -> intervals ``[S, N, 2]`` in seconds, rounded to 0.1 s like any fraction of a video.

    S is 1, but for the random fifth, whose score is the mean over its STARTS.

    Args:
        durations: length of each question's video ``[N]`` in seconds.
    """
    durations = np.asarray(durations, float)
    shape = (len(durations), 2)
    half_second = np.minimum(0.5 / durations, 0.5)
    fractions = {name: [np.broadcast_to(pair, shape)] for name, pair in FRACTIONS.items()}
    starts = 0.8 * (np.arange(STARTS) + 0.5) / STARTS
    fractions["random fifth"] = [np.broadcast_to((start, start + 0.2), shape) for start in starts]
    fractions["centre second"] = [np.stack([0.5 - half_second, 0.5 + half_second], axis=1)]
    fractions["centre instant"] = [np.full(shape, 0.5)]
    return {
        name: np.stack([seconds_of(pairs, durations) for pairs in fractions[name]])
        for name in BLIND_ROWS
    }
