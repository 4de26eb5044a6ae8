"""Streaming k-means: right, repeatable, the same for any number of workers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cra_lib.causal.clusters import ArrayRows, streaming_kmeans
from cra_lib.records import InputError


def rows_of(array, size=64):
    return ArrayRows(lambda part: array[part], len(array), array.shape[1], size)


def groups(seed, spread):
    """3,000 rows of 40 groups of uneven weight, float32 [3000, 24]; at spread 3 they part."""
    rng = np.random.default_rng(seed)
    means = spread * rng.standard_normal((40, 24))
    which = rng.choice(40, 3000, p=rng.dirichlet(np.full(40, 2.0)))
    return (means[which] + rng.standard_normal((3000, 24))).astype(np.float32)


@pytest.fixture(scope="module")
def mixture():
    return groups(0, spread=1.0)


def cluster(array, k=40, **options):
    return streaming_kmeans(rows_of(array), k, **{"seed": 3, "batch_size": 512, **options})


@pytest.mark.parametrize("spread", [1.0, 3.0], ids=["overlapping", "well-separated"])
@pytest.mark.parametrize("seed", [0, 3, 8])
def test_inertia_is_within_two_percent_of_scikit_learn(spread, seed):
    from sklearn.cluster import MiniBatchKMeans

    rows = groups(seed, spread)
    theirs = MiniBatchKMeans(40, random_state=seed, n_init=3, batch_size=512).fit(rows)
    assert cluster(rows, seed=seed).inertia <= 1.02 * theirs.inertia_


def test_counts_labels_and_distances_belong_together(mixture):
    found = cluster(mixture)
    squared = ((mixture[:, None] - found.centres[None]) ** 2).sum(-1)
    np.testing.assert_array_equal(found.labels, squared.argmin(1))
    np.testing.assert_allclose(found.distances, squared.min(1), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found.counts, np.bincount(found.labels, minlength=40))
    assert found.counts.sum() == len(mixture)


def test_same_bits_for_any_number_of_workers(mixture):
    one, three = cluster(mixture), cluster(mixture, workers=3)
    assert one.centres.tobytes() == three.centres.tobytes()
    assert one.labels.tobytes() == three.labels.tobytes()


def test_the_seed_decides(mixture):
    assert cluster(mixture).centres.tobytes() == cluster(mixture).centres.tobytes()
    assert cluster(mixture).centres.tobytes() != cluster(mixture, seed=4).centres.tobytes()


def test_more_clusters_fit_better(mixture):
    assert cluster(mixture, k=60).inertia < cluster(mixture, k=10).inertia


def test_no_cluster_stays_empty_where_rows_differ():
    rng = np.random.default_rng(1)
    rows = np.concatenate([np.zeros((500, 4)), rng.standard_normal((40, 4))]).astype(np.float32)
    found = cluster(rows, k=30)
    assert (found.counts > 0).all()
    assert np.isfinite(found.centres).all()


def test_fewer_different_rows_than_clusters_leave_finite_centres():
    rows = np.repeat(np.eye(4, dtype=np.float32), 10, axis=0)
    found = cluster(rows, k=6)
    assert np.isfinite(found.centres).all()
    assert (found.counts > 0).sum() == 4
    assert found.inertia == pytest.approx(0, abs=1e-6)


def test_fewer_rows_than_clusters_is_refused():
    with pytest.raises(InputError, match="num_confounders"):
        cluster(np.zeros((5, 2), dtype=np.float32), k=6)


def test_nearest_rows_belong_to_their_centre(mixture):
    found = cluster(mixture)
    nearest = found.nearest(4)
    for centre, rows in enumerate(nearest):
        rows = rows[rows >= 0]
        assert (found.labels[rows] == centre).all()
        assert (np.diff(found.distances[rows]) >= 0).all()
        assert len(rows) == min(4, found.counts[centre])


def test_one_cluster_is_the_mean(mixture):
    np.testing.assert_allclose(cluster(mixture, k=1).centres[0], mixture.mean(0), atol=1e-4)


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 80))
def test_blocks_cover_every_row_once(num_rows, width, size):
    array = np.arange(num_rows * width, dtype=np.float32).reshape(num_rows, width)
    rows = rows_of(array, size)
    together = np.concatenate([rows.block(number) for number in range(rows.num_blocks)])
    np.testing.assert_array_equal(together, array)
