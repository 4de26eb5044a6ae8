"""The published rows are complete and sourced, and score files find their place among them."""

from __future__ import annotations

import json

import pytest

from cra_lib.evaluator import leaderboard
from cra_lib.evaluator.metrics import METRICS
from cra_lib.evaluator.scores import score_report
from cra_lib.records import InputError, Prediction, Span, Truth


@pytest.fixture(scope="module")
def published(repository):
    return leaderboard.read_published(repository / "results" / "published.csv")


@pytest.fixture
def score_file(tmp_path):
    truths = [Truth(f"1_{n}", "1", 0, (Span(0, 4),), 9.0, "CW", 5) for n in range(5)]
    spans = {"post-hoc": Span(0, 4)}
    guesses = [Prediction(t.key, int(t.key == "1_0"), spans=spans) for t in truths]
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(score_report(guesses, truths, header={"split": "test"})))
    return path


def test_every_published_row_is_sourced_and_graded(published):
    assert len(published) > 90
    for row in published:
        assert row["source"] and row["grade"] in ("P", "R", "S"), row["method"]
        assert row["kind"] in ("main", "human", "ablation", "log", "by type", "same-video")
        if row["kind"] == "main":
            assert row["supervision"], row["method"]
        values = [row[name] for name in (*METRICS, leaderboard.SAME_VIDEO)]
        assert any(value is not None for value in values)
        assert all(value is None or 0 <= value <= 100 for value in values)


def test_published_scores_keep_the_laws_of_the_metric(published):
    for row in published:
        if row["kind"] == "human":  # averages over people who answered different questions
            continue
        if None not in (row["Acc@GQA"], row["Acc@QA"]):
            assert row["Acc@GQA"] <= row["Acc@QA"]
        if None not in (row["Acc@GQA"], row["IoP@0.5"]):
            assert row["Acc@GQA"] <= row["IoP@0.5"]


def test_the_paper_s_own_row(published):
    [row] = [
        r
        for r in published
        if (r["method"], r["backbone"], r["dataset"], r["kind"])
        == ("CRA", "Temp[CLIP]", "nextgqa", "main")
    ]
    assert [row[name] for name in METRICS] == [18.2, 61.1, 28.6, 34.3, 28.5, 14.2, 21.4, 10.6]


def test_score_files_are_set_among_published_rows(published, score_file):
    rows = leaderboard.board(published, [score_file], "nextgqa", "test")
    gqa = [row["Acc@GQA"] for row in rows if row["Acc@GQA"] is not None]
    assert gqa == sorted(gqa, reverse=True)
    place = [row["method"] for row in rows].index("> mine")
    assert rows[place]["Acc@GQA"] == 80.0 and rows[place]["span_rule"] == "post-hoc"
    assert rows[place - 1]["method"] == "Human"
    assert any(row["span_rule"] == "blind: middle third" for row in rows)
    text = leaderboard.board_text(rows, "nextgqa", "test")
    assert "post-hoc (inferred)" in text and "zero-shot" in text


def test_star_is_tested_on_what_papers_call_validation(published, score_file):
    rows = leaderboard.board(published, [score_file], "star", "test")
    assert {"> mine", "CRA", "NG+"} <= {row["method"] for row in rows}


def test_refusals(published, score_file, tmp_path):
    with pytest.raises(InputError, match="Unknown metric 'GQA'"):
        leaderboard.board(published, [], "nextgqa", "test", sort="GQA")
    with pytest.raises(InputError, match="Nothing published for shapes test; .* star val"):
        leaderboard.board(published, [], "shapes", "test")
    with pytest.raises(InputError, match="scores split 'test', not 'val'"):
        leaderboard.board(published, [score_file], "star", "val")
    other = tmp_path / "other.json"
    other.write_text('{"1_0": 1}')
    with pytest.raises(InputError, match="expected a score report"):
        leaderboard.board(published, [other], "nextgqa", "test")
    table = tmp_path / "published.csv"
    table.write_text("method\nx\n")
    with pytest.raises(InputError, match="no column"):
        leaderboard.read_published(table)
