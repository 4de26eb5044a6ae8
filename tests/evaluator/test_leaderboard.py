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
    assert "post-hoc?" in text and "z zero-shot" in text and "middle third" in text
    assert max(map(len, text.splitlines())) <= leaderboard.WIDTH


def test_ranks_count_methods_alone(published, score_file):
    rows = leaderboard.board(published, [score_file], "nextgqa", "test")
    ranked = [row for row in rows if row["rank"] is not None]
    assert [row["rank"] for row in ranked][:2] == [1, 2] and ranked[0]["method"] == "> mine"
    assert [row["rank"] for row in ranked] == sorted(row["rank"] for row in ranked)
    unranked = [row for row in rows if row["rank"] is None]
    assert all(
        row["supervision"] == "human"
        or row["Acc@GQA"] is None
        or row["span_rule"].startswith("blind")
        for row in unranked
    )
    twice = [row["rank"] for row in ranked if row["Acc@GQA"] == 18.2]
    assert len(twice) == 2 and len(set(twice)) == 1, "equal scores share a rank"


def test_rules_that_are_not_the_released_ones_are_marked(published, tmp_path):
    truths = [Truth(f"1_{n}", "1", 0, (Span(0, 4),), 9.0, "CW", 5) for n in range(5)]
    spans = {"post-hoc": Span(0, 4), "windows": Span(0, 4), "merged": Span(0, 4)}
    guesses = [Prediction(t.key, 0, spans=spans) for t in truths]
    path = tmp_path / "mine.json"
    for windows, marked in (("described", True), ("released", False)):
        header = {"split": "test", "windows": windows}
        path.write_text(json.dumps(score_report(guesses, truths, header=header)))
        rows = leaderboard.board(published, [path], "nextgqa", "test")
        ours = {r["span_rule"] for r in rows if r["method"] == "> mine"}
        text = leaderboard.board_text(rows, "nextgqa", "test")
        assert ("merged (described)" in ours) == ("windows*" in text) == marked
        assert ("--official" in text) == marked and "post-hoc" in ours


def test_a_split_without_main_table_says_what_its_rows_are(published):
    rows, about = leaderboard.published_rows(published, "nextgqa", "val")
    assert about.startswith("no main table publishes val") and len(rows) == 3
    with pytest.raises(InputError, match="call val is the split test here, .* give --split test"):
        leaderboard.published_rows(published, "star", "val")


def test_star_is_tested_on_what_papers_call_validation(published, score_file):
    rows = leaderboard.board(published, [score_file], "star", "test")
    assert {"> mine", "CRA", "NG+"} <= {row["method"] for row in rows}


def test_refusals(published, score_file, tmp_path):
    with pytest.raises(InputError, match="Unknown metric 'GQA'"):
        leaderboard.board(published, [], "nextgqa", "test", sort="GQA")
    with pytest.raises(
        InputError,
        match="Nothing published for shapes test; .* deveqa test, nextgqa test, star test",
    ):
        leaderboard.board(published, [], "shapes", "test")
    with pytest.raises(InputError, match="scores split 'test', not 'val'"):
        leaderboard.board(published, [score_file], "nextgqa", "val")
    other = tmp_path / "other.json"
    other.write_text('{"1_0": 1}')
    with pytest.raises(InputError, match="expected a score report"):
        leaderboard.board(published, [other], "nextgqa", "test")
    for content, message in (
        ({"header": {}, "rules": {"given": 3}}, "'given' holds no scores"),
        ({"header": {}, "rules": {"given": {"mIoU": "high"}}}, "mIoU of 'given' .* got 'high'"),
        ({"header": {}, "rules": []}, "expected a score report"),
    ):
        other.write_text(json.dumps(content))
        with pytest.raises(InputError, match=message):
            leaderboard.board(published, [other], "nextgqa", "test")
    table = tmp_path / "published.csv"
    table.write_text("method\nx\n")
    with pytest.raises(InputError, match="no column"):
        leaderboard.read_published(table)
    table.write_bytes("method\nTÜV\n".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8 text"):
        leaderboard.read_published(table)
