"""Span rules: the numbers recorded from the released code, and what any rule must keep."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cra_lib.evaluator import spans

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(scope="module")
def recorded() -> dict:
    return json.loads((GOLDEN / "06_metric.json").read_text(encoding="utf-8"))


def test_post_hoc_as_recorded(recorded):
    for case in recorded["find_seg"]:
        threshold = 1 + case["kw"].get("thd_weight", 0.3)
        found = spans.post_hoc_spans(
            np.array([case["att"]]),
            np.array([case["cur"]]),
            threshold,
            case["kw"].get("dis", 10.0),
        )
        np.testing.assert_allclose(found[0], case["ada"], rtol=0, atol=1e-9)


def test_merged_as_recorded(recorded):
    merged = 0
    for case in recorded["sets"]:
        for key, expected in case["combine_itsc"].items():
            duration = case["gt"][key.split("_")[0]]["duration"]
            first = spans.seconds_of(np.array([case["pred_fraction"][key]]), np.array([duration]))
            found = spans.merged_spans(first, np.array([case["post_hoc"][key]]))
            np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-9)
            merged += 1
    assert merged > 100


def test_windows_as_recorded():
    recorded = np.load(GOLDEN / "01_find_best_interval.npz")
    for name in (key.removesuffix("_p") for key in recorded if key.endswith("_p")):
        weights = recorded[f"{name}_p"]
        lengths = [n for n in recorded[f"{name}_windows"].tolist() if n <= weights.shape[1] // 2]
        found = spans.best_windows(weights, lengths)
        # Rows below this margin are decided by the last bit of a sum.
        clear = (recorded[f"{name}_margin"] > 1e-6).all(axis=1) | name.startswith("exact")
        expected = recorded[f"{name}_idx"]
        np.testing.assert_array_equal(found[clear], expected[clear], err_msg=name)


def test_the_released_windows_run_past_the_end():
    weights = np.zeros((1, 32))
    weights[0, 27:] = [0.1, 0.1, 0.1, 0.1, 0.6]
    [(start, end)] = spans.window_spans_released(weights, np.array([31.0]))
    assert (start, end) == (27.0, 32.0)


def test_described_windows_stay_inside_and_use_real_stamps():
    weights = np.zeros((1, 8))
    weights[0, 5:] = [0.2, 0.6, 0.2]
    times = np.array([[0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.2]])
    found = spans.window_spans(weights, times, np.array([4.0]), length_prior=1.0)
    np.testing.assert_array_equal(found, [[3.0, 4.0]])
    narrow = spans.window_spans(weights, times, np.array([4.0]), length_prior=0.0)
    np.testing.assert_array_equal(narrow, [[3.5, 3.5]])


def test_lengths_that_do_not_fit_are_left_out():
    weights = np.array([[0.2, 0.5, 0.3]])
    assert spans.best_windows(weights, (5, 7)).tolist() == [[0, 0]]
    assert spans.best_windows(weights, (3, 5)).tolist() == [[0, 3]]


def test_gaussian_is_clipped_and_rounded():
    found = spans.gaussian_spans(
        np.array([0.5, 0.0]), np.array([0.9, 0.9]), np.array([33.33, 20.0])
    )
    np.testing.assert_allclose(found, [[13.3, 20.0], [0.0, 2.0]])


def test_post_hoc_on_flat_weights_is_the_whole_list():
    times = np.linspace(1, 9, 32)[None]
    np.testing.assert_allclose(spans.post_hoc_spans(np.full((1, 32), 1 / 32), times), [[1, 9]])


def test_failures_within_reach_are_bridged_and_beyond_it_stop_the_walk():
    times = np.arange(0.0, 64.0, 2.0)[None]
    weights = np.zeros((1, 32))
    weights[0, [10, 12, 25]] = [1.0, 0.9, 0.9]
    assert spans.post_hoc_spans(weights, times).tolist() == [[20.0, 24.0]]
    assert spans.post_hoc_spans(weights, times, reach=1000.0).tolist() == [[20.0, 50.0]]


def test_the_walk_to_the_left_never_tests_the_first_frame():
    weights = np.zeros((1, 8))
    weights[0, :2] = [0.99, 1.0]
    assert spans.post_hoc_spans(weights, np.arange(8.0)[None]).tolist() == [[1.0, 1.0]]


def test_touching_intervals_share_an_instant():
    found = spans.merged_spans(np.array([[1.0, 3.0], [1.0, 2.9]]), np.array([[3.0, 5.0]] * 2))
    assert found.tolist() == [[3.0, 3.0], [3.0, 5.0]]


@pytest.mark.parametrize("windows", ["described", "released"])
def test_all_spans_gives_every_rule(windows):
    generator = np.random.default_rng(0)
    weights, times = generator.random((6, 32)), np.sort(generator.random((6, 32)) * 30, axis=1)
    durations = np.full(6, 30.0)
    cfg = spans.SpanSettings(windows=windows)
    found = spans.all_spans(weights, times, durations, cfg)
    assert list(found) == ["post-hoc", "windows", "merged"]
    gaussian = np.tile([0.5, 0.3], (6, 1))
    with_mask = spans.all_spans(weights, times, durations, cfg, gaussian)
    assert list(with_mask) == list(spans.RULES)
    expected = spans.merged_spans(with_mask["gaussian"], with_mask["post-hoc"])
    np.testing.assert_array_equal(with_mask["merged"], expected)


def test_the_defaults_are_those_of_the_run_settings():
    from cra_lib.config import SpanConfig

    config = SpanConfig()
    for name, value in spans.SpanSettings()._asdict().items():
        assert getattr(config, name) == value, name


weight_rows = arrays(float, (3, 32), elements=st.floats(0, 1, width=32))


@given(weight_rows, st.floats(0.5, 200.0))
def test_every_interval_contains_its_peak_and_only_sampled_times(weights, duration):
    times = np.tile(np.linspace(0, duration, 34)[1:33], (3, 1))
    peak = times[np.arange(3), weights.argmax(axis=1)]
    durations = np.full(3, duration)
    for found in (
        spans.post_hoc_spans(weights, times),
        spans.window_spans(weights, times, durations),
    ):
        assert np.isin(found, times).all()
        assert (found[:, 0] <= peak).all() and (peak <= found[:, 1]).all()


@given(weight_rows)
def test_released_windows_always_take_the_longest(weights):
    sizes = np.diff(spans.best_windows(weights + 0.01, (1, 3, 5)), axis=1)
    assert (sizes == 5).all()
