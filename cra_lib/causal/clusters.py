"""K-means that streams its rows and gives the same centres for any number of workers.

Rows come in fixed blocks. Distances of fixed pieces of a batch are computed by threads, each
with a single-threaded matrix product, and reduced in the order of the rows; so neither the number
of workers nor the machine's load changes a bit of the result. Nothing larger than one batch of
rows is held, apart from a sample for the initialisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
SAMPLE_STEPS = 2
"""Steps of Lloyd on the sample before the full passes, which do what further steps would."""
PASSES = 3
"""Steps of Lloyd over all rows. On question graphs they end 0.6 to 0.9 % above mini-batches until
convergence after the best of three starts, in half of the time."""


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


def streaming_kmeans(
    rows: RowSource,
    num_clusters: int,
    *,
    seed: int,
    batch_size: int = 4096,
    workers: int = 1,
) -> Clusters:
    """Cluster the rows.

    k-means++ with swaps and a few steps of Lloyd on a sample, three steps of Lloyd over all rows,
    one full assignment.

    Args:
        num_clusters: K; centres without a row restart from the rows farthest from theirs.
        batch_size: rows held at a time.
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
        search.start()
        for _ in range(PASSES):
            search.update_fully()
        labels, distances = search.assign_fully()
        for _ in range(3):
            if np.bincount(labels, minlength=num_clusters).all():
                break
            search.reseed_empty(labels, distances)
            labels, distances = search.assign_fully()
    counts = np.bincount(labels, minlength=num_clusters)
    return Clusters(search.centres, counts, labels, distances, search.reseeded)


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

    def start(self) -> None:
        """Centres from seeding and some steps of Lloyd on a sample."""
        sample = self._sample(max(MIN_SAMPLE, 3 * self.num_clusters))
        chosen = seed_rows(self._squared_distances(sample), self.num_clusters, self.rng)
        self.centres = sample[chosen].copy()
        for _ in range(SAMPLE_STEPS):
            self._move([self._assign(sample)])

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

    # Full passes

    def _batches(self) -> Iterator[_Batch]:
        """All rows in order, some blocks at a time, with their nearest centres."""
        for start in range(0, self.rows.num_blocks, self._blocks_per_batch):
            numbers = range(start, min(start + self._blocks_per_batch, self.rows.num_blocks))
            yield self._assign(np.concatenate([self.rows.block(number) for number in numbers]))

    def _assign(self, block: np.ndarray) -> _Batch:
        """Nearest centre and squared distance of each row."""
        offset = np.square(self.centres).sum(axis=1)
        pieces = [block[start : start + PIECE] for start in range(0, len(block), PIECE)]
        found = list(
            self._pool.map(lambda piece: nearest_centres(piece, self.centres, offset), pieces)
        )
        labels, distances = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return _Batch(block, labels, distances)

    def update_fully(self) -> None:
        """Each centre becomes the mean of all rows nearest to it (one step of Lloyd)."""
        self._move(self._batches())

    def _move(self, batches: Iterable[_Batch]) -> None:
        """Each centre becomes the mean of its rows; one without rows stays where it is."""
        sums = np.zeros((self.num_clusters, self.rows.width), dtype=np.float32)
        counts = np.zeros(self.num_clusters, dtype=np.int64)
        for batch in batches:
            batch_sums, batch_counts = _sums(batch, self.num_clusters)
            sums += batch_sums
            counts += batch_counts
        hit = counts > 0
        self.centres[hit] = sums[hit] / counts[hit, None].astype(np.float32)

    def assign_fully(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels int32 [n] and squared distances float32 [n] of all rows."""
        found = [(batch.labels, batch.distances) for batch in self._batches()]
        labels, distances = (np.concatenate(parts) for parts in zip(*found, strict=True))
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
        fresh = far.rows[: len(empty)]
        if len(fresh):
            self.centres[empty[: len(fresh)]] = fresh
            self.reseeded += len(fresh)


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


def nearest_centres(
    piece: np.ndarray, centres: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest centre int32 [m] and squared distance float32 [m] of a piece of rows [m, F].

    Args:
        offset: [K] squared length of each centre.
    """
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
