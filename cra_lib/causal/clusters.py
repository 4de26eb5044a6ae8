"""Mini-batch k-means that streams its rows and gives the same centres for any number of workers.

Rows come in fixed blocks. Distances of fixed pieces of a batch are computed by threads, each
with a single-threaded matrix product, and reduced in the order of the rows; so neither the number
of workers nor the machine's load changes a bit of the result. Nothing larger than one batch of
rows is held, apart from a sample for the initialisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from scipy import sparse

from cra_lib.causal.seeding import seed_rows
from cra_lib.records import InputError

PIECE = 512
"""Rows whose distances one thread computes at a time."""
MIN_SAMPLE = 8192
"""Rows that the initialisation looks at, at least (where there are as many); half of it cost up to
8 % of inertia at K = 512."""
SAMPLE_STEPS = 6
"""Steps of Lloyd on the sample, which is cheap, before the starts are compared."""
SMALL_GAIN = 3e-3
"""Passes end when the mean batch inertia improves by less than this fraction."""


class RowSource(Protocol):
    """Rows to cluster, in blocks that never change."""

    num_rows: int
    width: int

    @property
    def num_blocks(self) -> int: ...

    def block(self, number: int) -> np.ndarray:
        """float32 [m, width]; blocks 0, 1, ... together are all rows in order."""
        ...


class ArrayRows:
    """Rows that lie in memory, or are made on demand by ``take(slice)``."""

    def __init__(self, take: Callable[[slice], np.ndarray], num_rows: int, width: int, size=256):
        self._take, self._size = take, size
        self.num_rows, self.width = num_rows, width

    @property
    def num_blocks(self) -> int:
        return -(-self.num_rows // self._size)

    def block(self, number: int) -> np.ndarray:
        start = number * self._size
        rows = self._take(slice(start, min(start + self._size, self.num_rows)))
        return np.ascontiguousarray(rows, dtype=np.float32).reshape(-1, self.width)


@dataclass(frozen=True)
class Clusters:
    """What k-means found."""

    centres: np.ndarray
    """float32 [K, width], each the mean of its rows at the last update."""
    counts: np.ndarray
    """int64 [K], rows nearest to each centre."""
    labels: np.ndarray
    """int32 [n], the nearest centre of each row."""
    distances: np.ndarray
    """float32 [n], squared distance to it."""
    passes: int
    """Mini-batch passes over the rows before the final ones."""
    reseeded: int
    """Empty clusters that were started again from a far row."""

    @property
    def inertia(self) -> float:
        """Sum of the squared distances."""
        return float(self.distances.sum(dtype=np.float64))

    def nearest(self, how_many: int) -> np.ndarray:
        """Rows nearest to each centre among its own, int64 [K, how_many]; -1 fills up."""
        order = np.lexsort((self.distances, self.labels))
        starts = np.searchsorted(self.labels[order], np.arange(len(self.centres)))
        found = np.full((len(self.centres), how_many), -1, dtype=np.int64)
        for centre, start in enumerate(starts):
            rows = order[start : start + min(how_many, self.counts[centre])]
            found[centre, : len(rows)] = rows
        return found


def mini_batch_kmeans(
    rows: RowSource,
    num_clusters: int,
    *,
    seed: int,
    batch_size: int = 4096,
    n_init: int = 3,
    max_passes: int = 10,
    workers: int = 1,
) -> Clusters:
    """Cluster the rows.

    k-means++ and a few steps of Lloyd on a sample (best of ``n_init`` starts), mini-batch passes in
    shuffled block order until they stop to pay, then one full update and one full assignment.

    Args:
        num_clusters: K; centres without a row restart from the rows farthest from theirs.
        workers: threads; the result does not depend on it.

    Raises:
        InputError: fewer rows than clusters.
    """
    if rows.num_rows < num_clusters:
        raise InputError(
            f"{rows.num_rows} training rows cannot make {num_clusters} clusters; "
            "lower causal.num_confounders."
        )
    with ExitStack() as stack:
        search = _Search(rows, num_clusters, seed, batch_size, stack, workers)
        search.start(n_init)
        passes = search.descend(max_passes)
        search.update_fully()
        labels, distances = search.assign_fully()
        for _ in range(3):
            if np.bincount(labels, minlength=num_clusters).all():
                break
            search.reseed_empty(labels, distances)
            labels, distances = search.assign_fully()
    counts = np.bincount(labels, minlength=num_clusters)
    return Clusters(search.centres, counts, labels, distances, passes, search.reseeded)


class _Batch(NamedTuple):
    rows: np.ndarray
    labels: np.ndarray
    distances: np.ndarray


class _Search:
    """The state of one clustering."""

    def __init__(self, rows, num_clusters, seed, batch_size, stack: ExitStack, workers: int):
        from threadpoolctl import threadpool_limits

        self.rows, self.num_clusters = rows, num_clusters
        self.rng = np.random.default_rng(seed)
        self.reseeded = 0
        self.centres = np.zeros((num_clusters, rows.width), dtype=np.float32)
        self._blocks_per_batch = max(1, batch_size // max(1, rows.num_rows // rows.num_blocks))
        stack.enter_context(threadpool_limits(limits=1, user_api="blas"))
        self._pool = stack.enter_context(ThreadPoolExecutor(max(1, workers)))

    # Initialisation

    def start(self, n_init: int) -> None:
        """Centres from seeding and some steps of Lloyd on a sample; the best start is kept."""
        sample = self._sample(max(MIN_SAMPLE, 3 * self.num_clusters))
        squared = self._squared_distances(sample)
        best, best_inertia = self.centres, np.inf
        for _ in range(n_init):
            self.centres = sample[seed_rows(squared, self.num_clusters, self.rng)].copy()
            inertia = self._settle(sample)
            if inertia < best_inertia:
                best, best_inertia = self.centres, inertia
        self.centres = best

    def _squared_distances(self, sample: np.ndarray) -> np.ndarray:
        """Of every two rows of the sample, float32 [n, n]."""
        table = np.empty((len(sample), len(sample)), dtype=np.float32)
        parts = [slice(start, start + PIECE) for start in range(0, len(sample), PIECE)]
        list(self._pool.map(lambda part: np.matmul(sample[part], sample.T, out=table[part]), parts))
        norms = np.diag(table).copy()
        table *= -2
        table += norms
        table += norms[:, None]
        return np.maximum(table, 0, out=table)

    def _settle(self, sample: np.ndarray) -> float:
        """A few steps of Lloyd on the sample; its inertia before the last of them."""
        for _ in range(SAMPLE_STEPS):
            batch = self._assign(sample)
            sums, counts = _sums(batch, self.num_clusters)
            hit = counts > 0
            self.centres[hit] = sums[hit] / counts[hit, None].astype(np.float32)
        return float(batch.distances.sum(dtype=np.float64))

    def _sample(self, size: int) -> np.ndarray:
        """Rows spread over as many blocks as it takes, float32 [<= size, width]."""
        blocks = self.rng.permutation(self.rows.num_blocks)
        share = max(1, -(-size // len(blocks)), min(PIECE // 8, size))
        parts, found = [], 0
        for number in blocks:
            block = self.rows.block(int(number))
            picked = np.sort(self.rng.permutation(len(block))[:share])
            parts.append(block[picked])
            found += len(picked)
            if found >= size:
                break
        return np.concatenate(parts)[:size]

    # Mini-batches

    def descend(self, max_passes: int) -> int:
        """Mini-batch passes until the inertia hardly falls; how many there were."""
        totals = np.zeros(self.num_clusters, dtype=np.float64)
        last = np.inf
        for number in range(1, max_passes + 1):
            seen = np.zeros(self.num_clusters, dtype=np.int64)
            inertia, far = 0.0, _Far(self.num_clusters)
            for batch in self._batches(self.rng.permutation(self.rows.num_blocks)):
                self._step(batch, totals, seen)
                inertia += float(batch.distances.sum(dtype=np.float64))
                far.offer(batch.rows, batch.distances)
            self._replace(np.flatnonzero(seen == 0), far, totals)
            if inertia > last * (1 - SMALL_GAIN):
                return number
            last = inertia
        return max_passes

    def _step(self, batch: _Batch, totals: np.ndarray, seen: np.ndarray) -> None:
        """Move each centre towards the mean of its rows in the batch."""
        sums, counts = _sums(batch, self.num_clusters)
        hit = counts > 0
        totals += counts
        seen += counts
        pull = (1 / totals[hit]).astype(np.float32)[:, None]
        self.centres[hit] += (sums[hit] - counts[hit, None] * self.centres[hit]) * pull

    def _batches(self, order: Sequence[int] | np.ndarray) -> Iterator[_Batch]:
        for start in range(0, len(order), self._blocks_per_batch):
            numbers = order[start : start + self._blocks_per_batch]
            block = np.concatenate([self.rows.block(int(number)) for number in numbers])
            yield self._assign(block)

    def _assign(self, block: np.ndarray) -> _Batch:
        """Nearest centre and squared distance of each row."""
        offset = np.square(self.centres).sum(axis=1)
        pieces = [block[start : start + PIECE] for start in range(0, len(block), PIECE)]
        found = list(self._pool.map(lambda piece: _nearest(piece, self.centres, offset), pieces))
        labels, distances = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return _Batch(block, labels, distances)

    # Full passes

    def update_fully(self) -> None:
        """Each centre becomes the mean of all rows nearest to it (one step of Lloyd)."""
        sums = np.zeros((self.num_clusters, self.rows.width), dtype=np.float32)
        counts = np.zeros(self.num_clusters, dtype=np.int64)
        for batch in self._batches(np.arange(self.rows.num_blocks)):
            batch_sums, batch_counts = _sums(batch, self.num_clusters)
            sums += batch_sums
            counts += batch_counts
        hit = counts > 0
        self.centres[hit] = sums[hit] / counts[hit, None].astype(np.float32)

    def assign_fully(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels int32 [n] and squared distances float32 [n] of all rows."""
        batches = list(
            (batch.labels, batch.distances)
            for batch in self._batches(np.arange(self.rows.num_blocks))
        )
        labels, distances = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        return labels, distances

    # Empty clusters

    def reseed_empty(self, labels: np.ndarray, distances: np.ndarray) -> None:
        """Put centres without a row on the rows farthest from their own centre."""
        empty = np.flatnonzero(np.bincount(labels, minlength=self.num_clusters) == 0)
        far = _Far(self.num_clusters)
        start = 0
        for number in range(self.rows.num_blocks):
            block = self.rows.block(number)
            far.offer(block, distances[start : start + len(block)])
            start += len(block)
        self._replace(empty, far, None)

    def _replace(self, empty: np.ndarray, far: _Far, totals: np.ndarray | None) -> None:
        fresh = far.rows[: len(empty)]
        places = empty[: len(fresh)]
        if len(places) == 0:
            return
        self.centres[places] = fresh
        if totals is not None:
            totals[places] = 0
        self.reseeded += len(places)


class _Far:
    """The different rows farthest from their centre, farthest first."""

    def __init__(self, size: int):
        self._size = size
        self._rows: np.ndarray | None = None
        self._distances = np.zeros(0, dtype=np.float32)

    @property
    def rows(self) -> np.ndarray:
        return np.zeros((0, 0), dtype=np.float32) if self._rows is None else self._rows

    def offer(self, rows: np.ndarray, distances: np.ndarray) -> None:
        best = np.argsort(-distances, kind="stable")[: min(self._size, 32)]
        best = best[distances[best] > 0]
        if self._rows is not None:
            rows = np.concatenate([self._rows, rows[best]])
            distances = np.concatenate([self._distances, distances[best]])
        else:
            rows, distances = rows[best], distances[best]
        _, first = np.unique(rows, axis=0, return_index=True)
        order = first[np.argsort(-distances[first], kind="stable")][: self._size]
        self._rows, self._distances = rows[order], distances[order]


def _nearest(piece: np.ndarray, centres: np.ndarray, offset: np.ndarray):
    """Nearest centre int32 [m] and squared distance float32 [m] of a piece of rows."""
    scores = piece @ centres.T
    scores *= -2
    scores += offset
    labels = scores.argmin(axis=1).astype(np.int32)
    best = scores[np.arange(len(piece)), labels] + np.square(piece).sum(axis=1)
    return labels, np.maximum(best, 0)


def _sums(batch: _Batch, num_clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum float32 [K, width] and number int64 [K] of the rows of each centre."""
    size = len(batch.labels)
    ones = np.ones(size, dtype=np.float32)
    member = sparse.csr_matrix((ones, (batch.labels, np.arange(size))), (num_clusters, size))
    return member @ batch.rows, np.bincount(batch.labels, minlength=num_clusters)
