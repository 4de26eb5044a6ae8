"""Blind intervals: where they lie, and that they stay what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from cra_lib.evaluator.blind import BLIND_ROWS, blind_spans
from cra_lib.evaluator.metrics import METRICS


def test_intervals_are_where_their_names_say():
    rows = blind_spans(np.array([60.0, 0.6]))
    assert tuple(rows) == BLIND_ROWS
    expected = {
        "whole video": [0, 60],
        "first half": [0, 30],
        "middle half": [15, 45],
        "middle third": [20, 40],
        "middle fifth": [24, 36],
        "centre second": [29.5, 30.5],
        "centre instant": [30, 30],
    }
    for name, ends in expected.items():
        np.testing.assert_allclose(rows[name][0], ends, err_msg=name)
    np.testing.assert_allclose(rows["centre second"][1], [0.0, 0.6])


def test_the_random_fifth_has_its_length_and_follows_the_seed():
    durations = np.full(200, 100.0)
    first, again, other = (blind_spans(durations, seed)["random fifth"] for seed in (0, 0, 1))
    np.testing.assert_allclose(np.diff(first, axis=1), 20.0)
    assert first.min() >= 0 and first.max() <= 100 and first[:, 0].std() > 15
    assert (first == again).all() and (first != other).any()


@pytest.mark.shared
def test_the_documented_rows_are_those_of_the_official_test_split(shared_data, repository):
    from cra_lib.evaluator.annotations import read_truths
    from cra_lib.evaluator.scores import blind_scores
    from cra_lib.paths import DataFiles

    rows = blind_scores([], read_truths(DataFiles(shared_data / "nextgqa"), "test"))
    documented = 0
    for line in (repository / "docs" / "evaluator.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in rows and len(cells) == 7:
            expected = [f"{rows[cells[0]][metric]:.2f}" for metric in list(METRICS)[2:]]
            assert cells[1:] == expected, cells[0]
            documented += 1
    assert documented == 6
