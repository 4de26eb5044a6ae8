"""Blind intervals beside published rows: nothing merged, nothing invented."""

from __future__ import annotations

import pytest

from cra_lib.evaluator import leaderboard
from cra_lib.evaluator.annotations import read_truths
from cra_lib.evaluator.blind import BLIND_ROWS
from cra_lib.evaluator.packaged import packaged_dataset
from cra_lib.paths import published_csv
from cra_lib.reporting.tables import beside_published, blind_scores


@pytest.fixture(scope="module")
def truths():
    return read_truths(packaged_dataset("nextgqa"), "test")


def test_every_published_row_stands_for_itself(truths):
    scores = blind_scores(truths, published_csv(), "nextgqa", "test", samples=50)
    table = beside_published(scores)
    rows, _ = leaderboard.published_rows(
        leaderboard.read_published(published_csv()), "nextgqa", "test"
    )
    assert len(table) == len(BLIND_ROWS) + len(rows)
    people = table[table["method"] == "Human"]
    assert people[["Acc@GQA", "mIoP"]].to_numpy().tolist() == [["82.1", ""], ["82.0", "72.1"]]
    cra = table[table["method"] == "CRA, Temp[CLIP]"].iloc[0]
    assert (cra["Acc@GQA"], cra["Acc@QA"], cra["blind Acc@GQA"]) == ("18.2", "61.1", "14.7")


def test_blind_rows_have_intervals_and_no_accuracy(truths):
    scores = blind_scores(truths, published_csv(), "nextgqa", "test", samples=50)
    blind = scores[scores["supervision"] == "none"]
    assert set(blind["method"]) == set(BLIND_ROWS)
    assert not blind["metric"].str.startswith("Acc").any()
    assert ((blind["low"] <= blind["value"]) & (blind["value"] <= blind["high"])).all()
    middle = blind[(blind["method"] == "centre instant") & (blind["metric"] == "IoP@0.5")]
    assert middle["value"].iloc[0] == pytest.approx(24.0, abs=0.1)


def test_a_split_that_nobody_published_has_blind_rows_alone(truths):
    table = beside_published(blind_scores(truths, published_csv(), "star", "val", samples=10))
    assert list(table["method"]) == list(BLIND_ROWS)
