"""Rows of a sample to start k-means from: greedy k-means++, then swaps.

k-means++ alone may put two centres into one group and none into another, which steps of Lloyd never
mend. A swap moves such a centre: a row drawn far from its centre replaces the one that is missed
least, if that lowers the inertia (Lattanzi and Sohler, 2019). Everything is read off one matrix of
squared distances, made once for all starts; scikit-learn's `kmeans_plusplus` would read wide rows
again for every centre of every start.
"""

from __future__ import annotations

import numpy as np

SWAPS = 2
"""Swaps tried for each centre."""


def seed_rows(squared: np.ndarray, num_clusters: int, rng: np.random.Generator) -> np.ndarray:
    """The rows that become centres, int64 [K].

    Args:
        squared: float32 [n, n], squared distances of the rows of a sample.
        num_clusters: K, at most n.
    """
    chosen = _plus_plus(squared, num_clusters, rng)
    if num_clusters > 1:
        _swap(squared, chosen, SWAPS * num_clusters, rng)
    return chosen


def _plus_plus(squared: np.ndarray, num_clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Greedy k-means++: each next row is the best of a few drawn by their distance."""
    size = len(squared)
    candidates = 2 + int(np.log(num_clusters))
    chosen = [int(rng.integers(size))]
    closest = squared[chosen[0]].copy()
    for _ in range(num_clusters - 1):
        tried = _draw(closest, candidates, rng)
        options = np.minimum(squared[tried], closest)
        best = int(options.sum(axis=1, dtype=np.float64).argmin())
        chosen.append(int(tried[best]))
        closest = options[best]
    return np.array(chosen)


def _draw(weights: np.ndarray, how_many: int, rng: np.random.Generator) -> np.ndarray:
    """Rows drawn in proportion to their weights."""
    ladder = np.cumsum(weights, dtype=np.float64)
    return np.minimum(
        np.searchsorted(ladder, rng.random(how_many) * ladder[-1], side="right"), len(weights) - 1
    )


def _swap(squared: np.ndarray, chosen: np.ndarray, tries: int, rng: np.random.Generator) -> None:
    """Replace rows of ``chosen``, in place, where that lowers the inertia of the sample."""
    table = squared[chosen]
    columns = np.arange(len(squared))
    first, second = np.argpartition(table, 1, axis=0)[:2]
    for _ in range(tries):
        near, next_near = table[first, columns], table[second, columns]
        row = int(_draw(near, 1, rng)[0])
        new = squared[row]
        gained = np.maximum(near - new, 0).sum(dtype=np.float64)
        missed = np.minimum(next_near, new) - np.minimum(near, new)
        lost = np.bincount(first, weights=missed, minlength=len(chosen))
        place = int(lost.argmin())
        if lost[place] >= gained:
            continue
        chosen[place], table[place] = row, new
        # Only rows that had the old centre, or are close to the new one, see a difference.
        touched = np.flatnonzero((first == place) | (second == place) | (new < next_near))
        first[touched], second[touched] = np.argpartition(table[:, touched], 1, axis=0)[:2]
