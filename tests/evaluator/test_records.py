"""A new metric is one entry, a new span rule is one entry: everything else reads the tables."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from cra_lib import cli
from cra_lib.config import run_config
from cra_lib.evaluator import leaderboard
from cra_lib.evaluator.comparison import compare
from cra_lib.evaluator.metrics import HEADLINE, INTERVALS, METRICS, Metric
from cra_lib.evaluator.scores import score_report
from cra_lib.evaluator.spans import RULES, SpanRule
from cra_lib.records import InputError, Prediction, Span, Truth
from cra_lib.reporting import tables

TRUTHS = {f"{n}_0": Truth(f"{n}_0", str(n), 0, (Span(0.0, 10.0),), 40.0, "CW") for n in range(4)}
GUESSES = {
    key: Prediction(key, 0, spans={"post-hoc": Span(0.0, 5.0 + 5 * (n % 2))})
    for n, key in enumerate(TRUTHS)
}


@pytest.fixture
def toy_metric(monkeypatch):
    metric = Metric("IoU@0.9", "U@.9", (INTERVALS,), lambda q: q.iou >= 0.9)
    monkeypatch.setitem(METRICS, metric.name, metric)
    return metric.name


@pytest.fixture
def toy_rule(monkeypatch):
    rule = SpanRule("first-half", lambda i: np.stack([0 * i.durations, i.durations / 2], axis=1))
    monkeypatch.setitem(RULES, rule.name, rule)
    return rule.name


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["cra", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0, capsys.readouterr().out


def test_a_metric_shows_in_reports_intervals_and_comparisons(toy_metric):
    report = score_report(GUESSES, TRUTHS, bootstrap=20)
    assert report["rules"]["post-hoc"][toy_metric] == 50.0
    assert report["blind"]["middle third"][toy_metric] == 0.0
    assert toy_metric in report["intervals"]["post-hoc"]
    answers = {key: Prediction(key, 0) for key in TRUTHS}
    assert score_report(answers, TRUTHS)["rules"]["answers"][toy_metric] is None
    found = compare(GUESSES, GUESSES, TRUTHS, ("post-hoc", "post-hoc"))
    assert found["metrics"][toy_metric]["first"] == 50.0


def test_published_rows_without_its_column_stay_readable(
    toy_metric, repository, tmp_path, monkeypatch, capsys
):
    published = repository / "results" / "published.csv"
    assert all(row[toy_metric] is None for row in leaderboard.read_published(published))
    assert tables.read_published(published, "nextgqa", "test")[toy_metric].isna().all()
    scores = tmp_path / "mine.json"
    scores.write_text(json.dumps(score_report(GUESSES, TRUTHS, header={"split": "test"})))
    code, out = run(monkeypatch, capsys, "leaderboard", scores, "--sort", toy_metric)
    assert code == 0 and "1  > mine" in out.splitlines()[3]


def test_a_rule_shows_in_settings_command_and_evaluator(toy_rule, tmp_path, monkeypatch, capsys):
    assert run_config("shapes", overrides={"span": {"rule": toy_rule}}).span.rule == toy_rule
    weights = tmp_path / "weights.json"
    weights.write_text(json.dumps({"2574374895_8": [0.5] * 31 + [0.9]}))
    code, out = run(
        monkeypatch, capsys, "evaluate", weights, "--truth", "nextgqa:test", "--span-rule", toy_rule
    )
    assert code == 0 and f"rules {toy_rule};" in out


def test_settings_refuse_what_no_table_has():
    with pytest.raises(InputError, match="'span.rule': .* one of post-hoc, windows, gaussian, mer"):
        run_config("shapes", overrides={"span": {"rule": "last-half"}})
    with pytest.raises(InputError, match="'train.select_by': .* one of Acc@QA, Acc@GQA, mIoU"):
        run_config("shapes", overrides={"train": {"select_by": "mIoP"}})


def test_headline_scores_are_scores():
    assert set(HEADLINE) <= set(METRICS)
