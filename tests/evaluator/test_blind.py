"""Blind intervals: where they lie, and that they stay what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from cra_lib.evaluator.blind import BLIND_ROWS, blind_spans
from cra_lib.evaluator.metrics import METRICS, question_scores, summarise, truth_table
from cra_lib.evaluator.scores import blind_scores
from cra_lib.records import Prediction, Span, Truth


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
        np.testing.assert_allclose(rows[name][:, 0], [ends], err_msg=name)
    np.testing.assert_allclose(rows["centre second"][0, 1], [0.0, 0.6])


def test_the_random_fifth_is_the_mean_over_all_starts():
    draws = blind_spans(np.full(3, 100.0))["random fifth"]
    np.testing.assert_allclose(np.diff(draws, axis=2), 20.0)
    assert draws.min() >= 0 and draws.max() <= 100
    starts = draws[:, 0, 0]
    assert np.allclose(np.diff(starts), 2.0) and starts.mean() == pytest.approx(40.0)


def test_the_random_fifth_scores_what_many_random_draws_score():
    generator = np.random.default_rng(0)
    starts = generator.uniform(0, 50, 400)
    truths = [
        Truth(f"{n}_0", str(n), n % 3, (Span(start, start + 5 + n % 9),), 60.0, "CW")
        for n, start in enumerate(starts)
    ]
    answers = [Prediction(truth.key, 0) for truth in truths]
    expected = blind_scores(answers, truths)["random fifth"]
    table, chosen = truth_table(truths), np.zeros(len(truths), int)
    draws = []
    for _ in range(200):
        start = generator.uniform(0, 48, len(truths))
        spans = np.round(np.stack([start, start + 12], axis=1), 1)
        draws.append(summarise(question_scores(spans, chosen, table)))
    for metric in METRICS:
        found = [draw[metric] for draw in draws]
        assert expected[metric] == pytest.approx(np.mean(found), abs=4 * np.std(found) / 14 + 0.1)


@pytest.mark.shared
def test_the_documented_rows_are_those_of_the_official_test_split(shared_data, repository):
    from cra_lib.evaluator.annotations import read_truths
    from cra_lib.paths import DataFiles

    rows = blind_scores([], read_truths(DataFiles(shared_data / "nextgqa"), "test"))
    documented = 0
    for line in (repository / "docs" / "evaluator.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in rows and len(cells) == 7:
            expected = [f"{rows[cells[0]][metric]:.2f}" for metric in list(METRICS)[2:]]
            assert cells[1:] == expected, cells[0]
            documented += 1
    assert documented == 7
