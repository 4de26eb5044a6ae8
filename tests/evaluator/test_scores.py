"""The score report: its parts agree with each other and with counts done by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cra_lib.evaluator import diagnostics, scores
from cra_lib.evaluator.metrics import METRICS, truth_table
from cra_lib.records import InputError, Prediction, Span, Truth


def truth(key: str, type_: str = "CW", segment=(2.0, 6.0), answer: int | None = 1) -> Truth:
    return Truth(key, key.split("_")[0], answer, (Span(*segment),), 20.0, type_, num_choices=5)


def guess(key: str, answer=1, span=(2.0, 6.0), **more) -> Prediction:
    return Prediction(key, answer, spans={"post-hoc": Span(*span)} if span else {}, **more)


TRUTHS = [truth("1_0"), truth("1_1", "TN"), truth("2_0", "TP"), truth("2_1", "TC")]
GUESSES = [
    guess("1_0"),  # right and grounded
    guess("1_1", span=(10, 12)),  # right but ungrounded
    guess("2_0", answer=0),  # wrong but grounded
    guess("2_1", answer=0, span=(10, 12)),  # wrong and ungrounded
]


def test_the_report_is_json_with_every_part():
    report = scores.score_report(GUESSES, TRUTHS, header={"split": "val"}, bootstrap=50)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert list(report) == [
        "header",
        "rules",
        "intervals",
        "by_type",
        "faithfulness",
        "same_video_overlap",
        "calibration",
        "span_histograms",
        "blind",
    ]
    assert report["header"] == {
        "split": "val",
        "rules": ["post-hoc"],
        "questions": 4,
        "videos": 2,
        "unknown": 0,
        "official": False,
        "bootstrap": 50,
        "seed": 0,
    }


def test_faithfulness_splits_the_questions_in_four():
    shares = scores.score_report(GUESSES, TRUTHS)["faithfulness"]["post-hoc"]
    four = ("right and grounded", "right but ungrounded", "wrong but grounded")
    assert [shares[name] for name in four] == [25.0, 25.0, 25.0]
    assert shares["wrong and ungrounded"] == 25.0
    assert shares["faithful rate"] == 50.0 and shares["UF@0.3"] == shares["UF@0.5"] == 25.0


def test_before_and_after_are_counted_together():
    groups = scores.score_report(GUESSES, TRUTHS)["by_type"]["post-hoc"]
    assert {name: row["questions"] for name, row in groups.items()} == {
        "CW": 1,
        "TN+TP": 2,
        "TC": 1,
        "causal": 1,
        "temporal": 3,
    }
    assert groups["TN+TP"]["Acc@QA"] == 50.0 and groups["TC"]["Acc@GQA"] == 0.0


def test_types_of_other_datasets_are_rows_of_their_own():
    star = [truth("a_Interaction_T1_1", "T1"), truth("a_Sequence_T2_1", "T2")]
    report = scores.score_report([guess(t.key) for t in star], star)
    assert list(report["by_type"]["post-hoc"]) == ["T1", "T2"]


def test_intervals_hold_their_scores():
    generator = np.random.default_rng(0)
    truths = [truth(f"{n // 3}_{n}") for n in range(300)]
    guesses = [guess(t.key, int(generator.integers(2)), (0, float(n % 9))) for n, t in
               enumerate(truths)]  # fmt: skip
    report = scores.score_report(guesses, truths, bootstrap=300)
    for name, (low, high) in report["intervals"]["post-hoc"].items():
        assert low <= report["rules"]["post-hoc"][name] <= high, name


def test_blind_rows_take_the_answers():
    report = scores.score_report(GUESSES, TRUTHS)
    assert all(row["Acc@QA"] == 50.0 for row in report["blind"].values())
    alone = scores.blind_scores([], TRUTHS)
    assert alone["whole video"]["Acc@QA"] is None
    assert alone["whole video"]["mIoU"] == report["blind"]["whole video"]["mIoU"] == 20.0


def test_answers_alone_are_scored_without_intervals():
    answers = [guess(t.key, span=None) for t in TRUTHS]
    report = scores.score_report(answers, TRUTHS, bootstrap=20, official=True)
    values = report["rules"]["answers"]
    assert values["Acc@QA"] == 100.0 and values["mIoU"] is None and values["Acc@GQA"] is None
    assert list(report["intervals"]["answers"]) == ["Acc@QA"]
    assert report["faithfulness"] == {}


def test_official_leaves_out_what_is_missing_everywhere():
    official = scores.score_report(GUESSES[:2], TRUTHS, official=True, bootstrap=20)
    assert official["rules"]["post-hoc"]["questions"] == 2
    assert official["rules"]["post-hoc"]["skipped"] == 2
    assert official["by_type"]["post-hoc"]["TN+TP"]["questions"] == 1
    assert official["faithfulness"]["post-hoc"]["right and grounded"] == 50.0


@pytest.mark.parametrize(
    ("guesses", "rules", "message"),
    [
        ([guess("9_9")], None, r"None of the 1 predictions \(first key: '9_9'\)"),
        ([guess("1_0", answer=5)], None, r"'1_0': answer 5 is no index of a choice \(0 to 4\)"),
        ([guess("1_0", answer=-1)], None, "answer -1 is no index"),
        ([guess("1_0")], ["merged"], "by the rule 'merged'; there are: post-hoc"),
        ([guess("1_0", span=(5, 3))], None, r"'1_0': the post-hoc interval \[5.0, 3.0\] ends"),
    ],
)
def test_refusals(guesses, rules, message):
    with pytest.raises(InputError, match=message):
        scores.score_report(guesses, TRUTHS, rules)


def test_official_scores_a_reversed_interval_as_nothing():
    report = scores.score_report([guess("1_0", span=(5, 3))], TRUTHS, official=True)
    assert report["rules"]["post-hoc"]["mIoP"] == 0.0


def test_the_same_span_for_every_question_is_told_from_different_ones():
    table = truth_table([truth(f"7_{n}", segment=(n, n + 1.0)) for n in range(4)])
    spans = {
        "stuck": np.tile([3.0, 9.0], (4, 1)),
        "instant": np.tile([3.0, 3.0], (4, 1)),
        "half": np.array([[0.0, 2.0], [1.0, 3.0], [0.0, 2.0], [1.0, 3.0]]),
        "one": np.array([[0.0, 2.0], *[[np.nan, np.nan]] * 3]),
    }
    overlaps = diagnostics.same_video_overlaps(spans, table)
    assert overlaps["stuck"] == overlaps["instant"] == 100.0 and overlaps["truth"] == 0.0
    assert overlaps["half"] == pytest.approx(100 * (2 + 4 / 3) / 6)
    assert np.isnan(overlaps["one"])


def test_calibration_is_the_gap_between_confidence_and_accuracy():
    sure = (0.05, 0.8, 0.05, 0.05, 0.05)
    guesses = [guess(t.key, choice_probabilities=sure) for t in TRUTHS[:2]]
    guesses += [guess(t.key, 0, choice_probabilities=sure[1:] + sure[:1]) for t in TRUTHS[2:]]
    found = scores.score_report(guesses, TRUTHS)["calibration"]
    assert found["error"] == pytest.approx(30.0)
    assert [b["questions"] for b in found["bins"]] == [0] * 8 + [4, 0]
    assert found["bins"][8]["accuracy"] == 50.0 and found["bins"][0]["accuracy"] is None
    with pytest.raises(InputError, match="answer 1 has no probability"):
        scores.score_report([guess("1_0", choice_probabilities=(1.0,))], TRUTHS)


def test_histograms_are_shares_of_the_video():
    report = scores.score_report(GUESSES, TRUTHS)["span_histograms"]
    assert report["truth"]["start"][2] == 100.0 and report["truth"]["length"][4] == 100.0
    assert report["post-hoc"]["length"][2] == 50.0
    assert all(sum(h) == pytest.approx(100.0) for r in report.values() for h in r.values())


def test_each_rule_is_a_block_in_table_order():
    names = ("given", "merged", "post-hoc")
    both = [
        Prediction(
            t.key, 1, spans=dict(zip(names, [Span(0, 1), Span(2, 6), Span(2, 5)], strict=True))
        )
        for t in TRUTHS
    ]
    report = scores.score_report(both, TRUTHS)
    assert list(report["rules"]) == ["post-hoc", "merged", "given"]
    assert list(scores.score_report(both, TRUTHS, ["merged"])["rules"]) == ["merged"]
    assert set(METRICS) < set(report["rules"]["merged"])


def test_question_rows_say_what_happened_to_each():
    rows = scores.question_rows([*GUESSES[:2], guess("2_1", None, None)], TRUTHS, "post-hoc")
    assert [row["key"] for row in rows] == ["1_0", "1_1", "2_0", "2_1"]
    assert rows[1] == {
        "key": "1_1",
        "type": "TN",
        "rule": "post-hoc",
        "answer": 1,
        "predicted": 1,
        "right": True,
        "start": 10.0,
        "end": 12.0,
        "IoU": 0.0,
        "IoP": 0.0,
        "grounded": False,
    }
    assert rows[3]["predicted"] is None and rows[3]["start"] is None and not rows[3]["right"]


@pytest.mark.shared
def test_annotated_moments_of_one_video_overlap_as_surveyed(shared_data):
    from cra_lib.evaluator.annotations import read_truths
    from cra_lib.paths import DataFiles

    table = truth_table(read_truths(DataFiles(shared_data / "nextgqa"), "val"))
    assert diagnostics.same_video_overlaps({}, table)["truth"] == pytest.approx(16.4, abs=0.05)
