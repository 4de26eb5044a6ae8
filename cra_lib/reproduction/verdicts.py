"""When is a number another number? Prediction intervals for future runs, and what they miss.

A cell of the tables moves with the seed. From the n values that were recorded for it, a normal
distribution with unknown mean and variance predicts where the mean of m further runs lies::

    mean +- t * sd * sqrt(1/m + 1/n),    t: quantile of Student's t with n - 1 degrees of freedom

(Meeker, Hahn and Escobar, "Statistical Intervals", 2nd edition 2017, chapter 4). All k cells that a
check compares share one chance of a false alarm, FALSE_ALARM, by Bonferroni's inequality, which
holds however the cells hang together; because they do (four metrics of one run, three splits of one
model), the true chance is smaller. Three things are not normal theory:

* A cell cannot be told apart more finely than one question tells: the standard deviation counts as
  one question's share of the split at least.
* One seed on two instruction sets is less than two independent runs, and more than one; how much,
  the intraclass correlation says (`effective_count`).
* Percentages end at 0 and 100, and so does the interval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

FALSE_ALARM = 0.01
"""Chance that a run which changed nothing has any cell outside."""
POWER = 0.8
"""Chance at which `smallest_drop` promises to find a regression."""


class Spread(NamedTuple):
    """What is recorded about one cell."""

    mean: float
    sd: float
    """Between runs, one question's share at least."""
    count: float
    """Independent runs that this is worth."""


def spread(values: Sequence[float], count: float, questions: int = 0) -> Spread:
    """Mean and standard deviation of recorded values.

    Args:
        count: independent runs that they are worth, see `effective_count`.
        questions: of the split; 0 where that is not known.
    """
    least = 100 / questions if questions else 0.0
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return Spread(float(np.mean(values)), max(sd, least) if sd == sd else sd, count)


def seed_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of seeds and the ends of its 95 % interval (Student's t); one seed has no interval.

    >>> [round(end, 1) for end in seed_interval([1.0, 2.0, 3.0])]
    [2.0, -0.5, 4.5]
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, mean, mean
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def effective_count(seeds: Sequence[int], table: np.ndarray) -> float:
    """Independent runs that runs on several instruction sets are worth (Kish's design effect).

    Between the number of seeds (each repeats exactly) and the number of runs (as good as new ones).

    Args:
        seeds: of each of N runs.
        table: ``[N, C]`` values of C cells.
    """
    groups = defaultdict(list)
    for row, seed in enumerate(seeds):
        groups[seed].append(row)
    runs, count = len(seeds), len(groups)
    if count < 2 or count == runs:
        return float(count)
    grand = table.mean(axis=0)
    means = {seed: table[rows].mean(axis=0) for seed, rows in groups.items()}
    between = sum(len(rows) * (means[s] - grand) ** 2 for s, rows in groups.items()) / (count - 1)
    within = sum(((table[rows] - means[s]) ** 2).sum(axis=0) for s, rows in groups.items())
    within = within / (runs - count)
    size = (runs - sum(len(rows) ** 2 for rows in groups.values()) / runs) / (count - 1)
    total = between + (size - 1) * within
    alike = (between - within)[total > 0] / total[total > 0]
    correlation = float(np.clip(alike.mean(), 0, 1)) if alike.size else 1.0
    return max(float(count), runs / (1 + (runs / count - 1) * correlation))


def prediction_interval(
    known: Spread, runs: int, cells: int, false_alarm: float = FALSE_ALARM
) -> tuple[float, float]:
    """Ends between which the mean of ``runs`` future runs lies, in percent.

    Args:
        cells: how many cells share the chance of a false alarm.
    """
    reach = critical_value(known.count, cells, false_alarm) * standard_error(known, runs)
    return max(0.0, known.mean - reach), min(100.0, known.mean + reach)


def critical_value(count: float, cells: int, false_alarm: float = FALSE_ALARM) -> float:
    """Quantile of Student's t, two-sided, by Bonferroni over ``cells``."""
    return float(stats.t.isf(false_alarm / (2 * cells), count - 1))


def standard_error(known: Spread, runs: int) -> float:
    """Of the difference between the mean of future runs and the recorded mean."""
    return known.sd * float(np.sqrt(1 / runs + 1 / known.count))


def smallest_drop(known: Spread, runs: int, cells: int, power: float = POWER) -> float:
    """Points by which a cell must fall to be found outside with the chance ``power``.

    For this cell alone; a regression that moves several cells is found more often. Exact for normal
    values: the statistic has the noncentral t distribution.
    """
    limit, freedom = critical_value(known.count, cells), known.count - 1

    def missing(shift: float) -> float:
        return float(stats.nct.sf(limit, freedom, shift)) - power

    top = limit
    while missing(top) < 0:
        top *= 2
    return float(optimize.brentq(missing, 0.0, top)) * standard_error(known, runs)


def alarm_rate(
    recorded: np.ndarray,
    questions: int,
    runs: int = 1,
    shift: np.ndarray | float = 0.0,
    samples: int = 4000,
    seed: int = 0,
) -> float:
    """Share of simulated checks that have any cell outside.

    Each draws new recorded values and new runs from a normal distribution with the mean and
    covariance of the recorded ones, rounded to whole questions and kept between 0 and 100.

    Args:
        recorded: ``[n, C]`` values of C cells over n seeds.
        runs: seeds of the new run.
        shift: planted change of the new runs, in points, of all cells or of each.
    """
    count, cells = recorded.shape
    generator = np.random.default_rng(seed)
    parts = generator.normal(size=(samples, count + runs, count)) / np.sqrt(count - 1)
    drawn = recorded.mean(axis=0) + parts @ (recorded - recorded.mean(axis=0))
    drawn[:, count:] += shift
    drawn = np.clip(np.round(drawn * questions / 100) * 100 / questions, 0, 100)
    old, new = drawn[:, :count], drawn[:, count:].mean(axis=1)
    sd = np.maximum(old.std(axis=1, ddof=1), 100 / questions)
    reach = critical_value(count, cells) * sd * np.sqrt(1 / runs + 1 / count)
    return float((np.abs(new - old.mean(axis=1)) > reach).any(axis=1).mean())
