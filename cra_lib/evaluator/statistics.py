"""How sure a score is: bootstrap over videos, paired comparison of two models, McNemar's test.

Questions about one video share its footage and often the model's span, so they are not independent:
every resampling here draws whole videos. numpy only; SciPy is imported where a test needs it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Difference(NamedTuple):
    """Second minus first model on one metric."""

    difference: float
    """Mean of the second minus mean of the first, in the unit of the values."""
    low: float
    """Lower end of the confidence interval."""
    high: float
    """Upper end of the confidence interval."""
    p_value: float
    """Two-sided bootstrap probability that there is no difference."""


class PairedCounts(NamedTuple):
    """McNemar's test on two sets of right-or-wrong answers to the same questions."""

    only_first: int
    """Questions that the first model alone has right."""
    only_second: int
    """Questions that the second model alone has right."""
    p_value: float
    """Exact two-sided p-value."""


def resampled_means(
    values: np.ndarray, groups: np.ndarray, samples: int, seed: int = 0
) -> np.ndarray:
    """Means ``[samples, M]`` of N rows of values ``[N, M]`` when whole groups are redrawn.

    Args:
        groups: group (video) index of each row ``[N]``; any integers.
    """
    names, index = np.unique(groups, return_inverse=True)
    sizes = np.bincount(index, minlength=len(names)).astype(float)
    sums = np.stack([np.bincount(index, column, len(names)) for column in values.T], axis=1)
    draws = np.random.default_rng(seed).integers(len(names), size=(samples, len(names)))
    offsets = np.arange(samples)[:, None] * len(names)
    times_drawn = np.bincount((draws + offsets).ravel(), minlength=samples * len(names))
    times_drawn = times_drawn.reshape(samples, len(names)).astype(float)
    return (times_drawn @ sums) / (times_drawn @ sizes)[:, None]


def bootstrap_intervals(
    values: np.ndarray, groups: np.ndarray, samples: int, seed: int = 0, level: float = 0.95
) -> np.ndarray:
    """Percentile interval ``[M, 2]`` of each column's mean, groups resampled."""
    means = resampled_means(values, groups, samples, seed)
    return np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0).T


def paired_bootstrap(
    first: np.ndarray,
    second: np.ndarray,
    groups: np.ndarray,
    samples: int,
    seed: int = 0,
    level: float = 0.95,
) -> list[Difference]:
    """For each of M columns, how much the second model's mean exceeds the first's.

    Both are ``[N, M]`` over the same questions, so that a question hard for both cancels.
    """
    change = second - first
    means = resampled_means(change, groups, samples, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    # The observed sample counts as one draw, so that no p-value is exactly zero.
    tail = np.minimum((means <= 0).sum(axis=0), (means >= 0).sum(axis=0))
    p_values = np.minimum(1.0, 2 * (tail + 1) / (samples + 1))
    columns = zip(change.mean(axis=0), low, high, p_values, strict=True)
    return [Difference(*map(float, column)) for column in columns]


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> PairedCounts:
    """Exact McNemar test: do the questions that one model alone gets right lean to one side?"""
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    if only_first + only_second == 0:
        return PairedCounts(0, 0, 1.0)
    # scipy.stats has this test too, but takes a second to import.
    from scipy.special import bdtr

    tail = bdtr(min(only_first, only_second), only_first + only_second, 0.5)
    return PairedCounts(only_first, only_second, min(1.0, 2 * float(tail)))
