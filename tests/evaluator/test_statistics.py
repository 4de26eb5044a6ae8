"""Bootstrap and paired tests: known answers, and the reason for resampling videos."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cra_lib.evaluator import statistics


def test_every_resampled_mean_is_a_mean_of_whole_groups():
    values = np.array([[1.0], [3.0], [10.0]])
    groups = np.array([5, 5, 9])
    means = statistics.resampled_means(values, groups, 200)
    # Two draws from two groups: twice the first, one of each, twice the second.
    assert set(np.round(means.ravel(), 6)) == {2.0, round(14 / 3, 6), 10.0}


def test_intervals_cover_the_mean_and_narrow_with_more_videos():
    generator = np.random.default_rng(1)
    values = generator.normal(50, 10, (4000, 2))
    wide = statistics.bootstrap_intervals(values[:100], np.arange(100), 500)
    narrow = statistics.bootstrap_intervals(values, np.arange(4000), 500)
    assert ((narrow[:, 0] < 50.5) & (narrow[:, 1] > 49.5)).all()
    assert (np.diff(narrow, axis=1) < 0.3 * np.diff(wide, axis=1)).all()


def test_copies_of_a_question_do_not_make_us_surer():
    values = np.random.default_rng(2).random((60, 1))
    once = statistics.bootstrap_intervals(values, np.arange(60), 400)
    copied = statistics.bootstrap_intervals(
        np.repeat(values, 9, axis=0), np.repeat(np.arange(60), 9), 400
    )
    np.testing.assert_allclose(copied, once)


def test_the_seed_decides_the_draws():
    values = np.random.default_rng(3).random((50, 1))
    first, again = (statistics.resampled_means(values, np.arange(50), 20, seed=4) for _ in "ab")
    other = statistics.resampled_means(values, np.arange(50), 20, seed=5)
    assert (first == again).all() and (first != other).any()


def test_paired_bootstrap_sees_a_small_steady_gain_that_intervals_hide():
    generator = np.random.default_rng(5)
    first = generator.normal(50, 30, (300, 1))
    second = first + 1 + generator.normal(0, 2, (300, 1))
    [change] = statistics.paired_bootstrap(first, second, np.arange(300), 1000)
    assert change.low > 0.5 and change.p_value < 0.01
    apart = [statistics.bootstrap_intervals(v, np.arange(300), 300)[0] for v in (first, second)]
    assert apart[0][1] > apart[1][0]


def test_no_difference_is_no_evidence():
    values = np.random.default_rng(6).random((40, 3))
    for change in statistics.paired_bootstrap(values, values, np.arange(40), 100):
        assert change == (0.0, 0.0, 0.0, 1.0)


@given(st.integers(0, 10), st.integers(0, 10))
def test_swapping_the_models_swaps_the_sign(gains, losses):
    first = np.array([[0.0]] * gains + [[1.0]] * losses + [[1.0]])
    second = np.array([[1.0]] * gains + [[0.0]] * losses + [[1.0]])
    groups = np.arange(len(first))
    [one] = statistics.paired_bootstrap(first, second, groups, 100)
    [two] = statistics.paired_bootstrap(second, first, groups, 100)
    assert one.difference == -two.difference and one.p_value == two.p_value
    assert one.low == pytest.approx(-two.high)


def test_mcnemar_is_the_exact_binomial_test():
    first = np.array([True] * 9 + [False] * 3 + [True] * 50)
    second = np.array([False] * 9 + [True] * 3 + [True] * 50)
    counts = statistics.mcnemar(first, second)
    assert (counts.only_first, counts.only_second) == (9, 3)
    assert counts.p_value == pytest.approx(2 * (1 + 12 + 66 + 220) / 2**12)
    assert statistics.mcnemar(first, first) == (0, 0, 1.0)
    assert statistics.mcnemar(first[:12], ~first[:12]).p_value == counts.p_value
    assert statistics.mcnemar(first[8:10], first[9:7:-1]).p_value == 1.0


def crossed(generator, seeds, videos=60, seed_sd=3.0, video_sd=20.0):
    """Sums of one metric whose true mean is 50, with effects of seed, video and both."""
    effect = generator.normal(0, seed_sd, (seeds, 1)) + generator.normal(0, video_sd, (1, videos))
    return (50 + effect + generator.normal(0, 5, (seeds, videos)))[:, :, None], np.ones(videos)


def test_one_seed_is_the_bootstrap_over_videos():
    sums, questions = crossed(np.random.default_rng(0), seeds=1)
    [found] = statistics.crossed_differences(sums, questions, 4000)
    [[low, high]] = statistics.bootstrap_intervals(sums[0], np.arange(60), 4000)
    assert abs(found.low - low) < 0.5 and abs(found.high - high) < 0.5


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_intervals_over_seeds_and_videos_cover_the_truth(seeds):
    generator = np.random.default_rng(seeds)
    hits = narrow = 0
    for _ in range(300):
        sums, questions = crossed(generator, seeds, seed_sd=6.0, video_sd=10.0)
        [found] = statistics.crossed_differences(sums, questions, 200)
        [[low, high]] = statistics.bootstrap_intervals(sums.mean(axis=0), np.arange(60), 200)
        hits += found.low <= 50 <= found.high
        narrow += low <= 50 <= high
    assert hits >= 0.91 * 300, "95 % intervals, within what 300 trials can tell"
    assert narrow < 0.85 * 300, "videos alone are not enough"


def test_pairs_cancel_what_both_models_share():
    first, questions = crossed(np.random.default_rng(4), seeds=5)
    second = first + 2 + np.random.default_rng(5).normal(0, 1, first.shape)
    [change] = statistics.crossed_differences(second - first, questions)
    assert change.low > 1 and change.high < 3 and change.p_value < 0.01


def test_a_fall_between_splits_redraws_each_split_and_the_seeds_once():
    generator = np.random.default_rng(7)
    high, questions = crossed(generator, seeds=6)
    low, _ = crossed(generator, seeds=6)
    change = statistics.crossed_sum([(high[:, :, 0] + 20, questions), (-low[:, :, 0], questions)])
    assert change.low < 20 < change.high
    [one] = statistics.crossed_differences(high, questions, 1000)
    alone = statistics.crossed_sum([(high[:, :, 0], questions)])
    assert alone == pytest.approx(one), "one part is the mean itself"
