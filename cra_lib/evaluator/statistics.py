"""How sure a score is: bootstrap over videos and seeds, paired comparisons, McNemar's test.

Questions about one video share its footage and often the model's span, so they are not independent:
every resampling here draws whole videos. With several trainings of a model (seeds), a statement
about the model draws seeds as well: the two are crossed, since every seed meets the same videos
(Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1). numpy only; SciPy is
imported where a test needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    return _summary(change.mean(axis=0), means, level)


def crossed_means(
    sums: np.ndarray, questions: np.ndarray, samples: int, seed: int = 0, level: float = 0.95
) -> np.ndarray:
    """Means ``[samples, M]`` when seeds and videos are redrawn together.

    A plain bootstrap of few seeds is too narrow (by the factor (S - 1) / S in variance, and by a
    normal quantile where Student's t belongs), so the deviations of the seeds from their mean are
    widened by both (Hesterberg 2015, "What teachers should know about the bootstrap", The American
    Statistician 69). One seed has no deviations: what is left is the bootstrap over videos.

    Args:
        sums: ``[S, V, M]`` sums of M metrics over the questions of each of V videos, S seeds.
        questions: ``[V]`` counts.
        level: of the interval that will be read off, for the quantiles above.
    """
    generator = np.random.default_rng(seed)
    return _redraw_seeds(_redraw_videos(sums, questions, samples, generator), generator, level)


def crossed_sum(
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """A sum of means over different splits, such as a fall from one to another.

    Videos are redrawn split by split, seeds once for all of them.

    Args:
        parts: for each split ``[S, V]`` sums of the same S seeds, and ``[V]`` questions.
    """
    generator = np.random.default_rng(seed)
    drawn = [_redraw_videos(s[:, :, None], q, samples, generator) for s, q in parts]
    means = _redraw_seeds(np.sum(drawn, axis=0), generator, level)
    observed = sum(s.sum(axis=1).mean() / q.sum() for s, q in parts)
    return _summary(np.array([observed]), means, level)[0]


def _redraw_videos(
    sums: np.ndarray, questions: np.ndarray, samples: int, generator: np.random.Generator
) -> np.ndarray:
    """Means ``[S, samples, M]`` of each seed over the same redrawn videos."""
    count = sums.shape[1]
    drawn = generator.multinomial(count, np.full(count, 1 / count), samples).astype(float)
    return np.stack([drawn @ one for one in sums]) / (drawn @ questions)[:, None]


def _redraw_seeds(by_seed: np.ndarray, generator: np.random.Generator, level: float) -> np.ndarray:
    """Means ``[samples, M]`` over redrawn seeds, widened as few seeds ask for."""
    count, samples, _ = by_seed.shape
    means = by_seed.mean(axis=0)
    if count == 1:
        return means
    seeds = generator.multinomial(count, np.full(count, 1 / count), samples)
    deviations = np.einsum("bs,sbm->bm", seeds / count, by_seed - means)
    return means + few_seeds_factor(count, level) * deviations


def few_seeds_factor(num_seeds: int, level: float = 0.95) -> float:
    """By how much a bootstrap of two or more seeds must be widened: 9.2 for two, 1.2 for ten."""
    from scipy.special import ndtri, stdtrit

    tail = (1 + level) / 2
    ratio = stdtrit(num_seeds - 1, tail) / ndtri(tail)
    return float(ratio * np.sqrt(num_seeds / (num_seeds - 1)))


def crossed_differences(
    sums: np.ndarray,
    questions: np.ndarray,
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> list[Difference]:
    """Means of M metrics with intervals over seeds and videos; ``p_value`` is that of a zero mean.

    Of one model where ``sums`` are its own, of a paired comparison where they are the differences
    of two models' sums on the same seeds and videos.
    """
    means = crossed_means(sums, questions, samples, seed, level)
    return _summary(sums.sum(axis=1).mean(axis=0) / questions.sum(), means, level)


def _summary(observed: np.ndarray, means: np.ndarray, level: float) -> list[Difference]:
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    # The observed sample counts as one draw, so that no p-value is exactly zero.
    tail = np.minimum((means <= 0).sum(axis=0), (means >= 0).sum(axis=0))
    p_values = np.minimum(1.0, 2 * (tail + 1) / (len(means) + 1))
    return [Difference(*map(float, c)) for c in zip(observed, low, high, p_values, strict=True)]


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
