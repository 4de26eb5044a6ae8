"""Seeding: swaps mend what k-means++ leaves, and duplicates do no harm."""

import numpy as np

from cra_lib.causal.seeding import _swap, seed_rows


def squared_distances(rows):
    return np.square(rows[:, None] - rows[None]).sum(-1).astype(np.float32)


def test_a_group_without_a_centre_gets_the_second_one_of_another():
    rng = np.random.default_rng(0)
    means = np.array([[0, 0], [50, 0], [0, 50]])
    rows = np.repeat(means, 20, axis=0) + rng.standard_normal((60, 2))
    chosen = np.array([0, 1, 20])  # two in the first group, none in the third
    _swap(squared_distances(rows), chosen, 6, rng)
    assert set(chosen // 20) == {0, 1, 2}


def test_swaps_never_raise_the_inertia():
    rng = np.random.default_rng(1)
    squared = squared_distances(rng.standard_normal((200, 5)))
    chosen = rng.choice(200, 20, replace=False)
    for _ in range(30):
        before = squared[chosen].min(axis=0).sum()
        _swap(squared, chosen, 3, rng)
        assert squared[chosen].min(axis=0).sum() <= before * (1 + 1e-6)


def test_rows_that_are_all_alike_can_be_seeded():
    chosen = seed_rows(np.zeros((5, 5), np.float32), 3, np.random.default_rng(0))
    assert len(chosen) == 3
    assert ((chosen >= 0) & (chosen < 5)).all()
