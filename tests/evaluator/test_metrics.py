"""The scores: exactly the official numbers, and the laws that any such score keeps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cra_lib.evaluator import metrics
from cra_lib.evaluator.spans import seconds_of
from cra_lib.records import InputError, Prediction, Span, Truth

GOLDEN = Path(__file__).parent.parent / "golden"
OFFICIAL_NAMES = {
    "Acc&GQA": "Acc@GQA",
    "Acc&VQA": "Acc@QA",
    "mIoP": "mIoP",
    "TIoP@0.3": "IoP@0.3",
    "TIoP@0.5": "IoP@0.5",
    "mIoU": "mIoU",
    "TIoU@0.3": "IoU@0.3",
    "TIoU@0.5": "IoU@0.5",
}
RECORDED = json.loads((GOLDEN / "06_metric.json").read_text(encoding="utf-8"))


def truths_of(case: dict) -> dict[str, Truth]:
    """The annotation of one recorded set, with the answers that its answers file states."""
    return {
        f"{video}_{qid}": Truth(
            key=f"{video}_{qid}",
            video_id=video,
            answer=case["pred_qa"].get(f"{video}_{qid}", {}).get("answer"),
            segments=tuple(Span(*pair) for pair in segments),
            duration=note["duration"],
            type="CW",
        )
        for video, note in case["gt"].items()
        for qid, segments in note["location"].items()
    }


def predictions_of(case: dict, spans: dict, answers: bool = True) -> dict[str, Prediction]:
    return {
        key: Prediction(
            key,
            case["pred_qa"][key]["prediction"] if answers and key in case["pred_qa"] else None,
            spans={"given": Span(*pair)},
        )
        for key, pair in spans.items()
    }


def assert_official(found: dict, expected: dict) -> None:
    for theirs, ours in OFFICIAL_NAMES.items():
        assert found[ours] == pytest.approx(expected[theirs], abs=1e-9), ours


def test_overlaps_as_recorded():
    cases = RECORDED["get_tIoU"]
    iou, iop = metrics.pair_overlap(
        np.array([case["span"] for case in cases]), np.array([case["loc"] for case in cases])
    )
    np.testing.assert_allclose(iou, [case["iou"] for case in cases], rtol=0, atol=1e-12)
    np.testing.assert_allclose(iop, [case["iop"] for case in cases], rtol=0, atol=1e-12)


SPAN_SETS = {
    "score_seconds": "pred_seconds",
    "score_post_hoc": "post_hoc",
    "score_combine_itsc": "combine_itsc",
    "score_combine_uni": "combine_uni",
    "score_combine_itsc_refine": "combine_itsc_refine",
    "score_combine_itsc_swap": "combine_itsc_swap",
    "score_combine_itsc_mean": "combine_itsc_mean",
}


@pytest.mark.parametrize("scores", SPAN_SETS)
@pytest.mark.parametrize("case", RECORDED["sets"], ids=lambda case: f"{len(case['order'])}q")
def test_whole_sets_as_recorded(case, scores):
    predictions = predictions_of(case, case[SPAN_SETS[scores]])
    found = metrics.score(predictions, truths_of(case), "given", official=True)
    assert_official(found, case[scores])
    assert found["questions"] + found["skipped"] == len(truths_of(case))


@pytest.mark.parametrize("case", RECORDED["sets"], ids=lambda case: f"{len(case['order'])}q")
def test_fractions_subsets_and_missing_answers_as_recorded(case):
    truths = truths_of(case)
    fractions = {key: case["pred_fraction"][key] for key in truths if key in case["pred_fraction"]}
    durations = np.array([truths[key].duration for key in fractions])
    rounded = seconds_of(np.array(list(fractions.values())), durations)
    spans = dict(zip(fractions, rounded.tolist(), strict=True))

    found = metrics.score(predictions_of(case, spans), truths, "given", official=True)
    assert_official(found, case["score_fraction"])
    silent = predictions_of(case, spans, answers=False)
    found = metrics.score(silent, truths, "given", official=True)
    assert_official(found, case["score_noqa"])
    chosen = {key: truth for key, truth in truths.items() if key in set(case["subset"])}
    found = metrics.score(predictions_of(case, spans), chosen, "given", official=True)
    assert_official(found, case["score_subset"])


def truth(key="1_0", segments=((2.0, 6.0),), answer=0, duration=20.0) -> Truth:
    return Truth(key, key.split("_")[0], answer, tuple(Span(*s) for s in segments), duration, "CW")


def guess(key="1_0", span=(2.0, 6.0), answer=0) -> Prediction:
    return Prediction(key, answer, spans={"post-hoc": Span(*span)} if span else {})


def test_each_measure_takes_its_own_best_segment():
    annotated = truth(segments=((0, 4), (0, 40)), duration=50)
    found = metrics.score([guess(span=(0, 10))], [annotated], "post-hoc")
    assert found["mIoU"] == pytest.approx(40.0) and found["mIoP"] == pytest.approx(100.0)


def test_missing_predictions_are_wrong_unless_official():
    truths = [truth("1_0"), truth("1_1"), truth("2_0")]
    ours = metrics.score([guess("1_0")], truths, "post-hoc")
    official = metrics.score([guess("1_0")], truths, "post-hoc", official=True)
    assert (ours["Acc@GQA"], ours["questions"], ours["skipped"]) == (pytest.approx(100 / 3), 3, 2)
    assert (official["Acc@GQA"], official["questions"], official["skipped"]) == (100.0, 1, 2)


def test_metrics_without_their_input_are_not_a_number():
    only_answers = metrics.score([guess(span=None)], [truth()], None)
    assert only_answers["Acc@QA"] == 100.0 and np.isnan(only_answers["Acc@GQA"])
    only_spans = metrics.score([guess(answer=None)], [truth()], "post-hoc")
    assert only_spans["mIoU"] == 100.0 and np.isnan(only_spans["Acc@QA"])


def test_hidden_answers_are_never_right():
    found = metrics.score([guess(answer=0)], [truth(answer=None)], "post-hoc")
    assert found["Acc@QA"] == 0.0 and found["mIoP"] == 100.0


def test_refusals():
    with pytest.raises(InputError, match="no questions"):
        metrics.score([guess()], [], "post-hoc")
    with pytest.raises(InputError, match="'1_0' has no annotated segment"):
        metrics.score([guess()], [truth(segments=())], "post-hoc")
    with pytest.raises(InputError, match="Two predictions for question '1_0'"):
        metrics.score([guess(), guess()], [truth()], "post-hoc")


tenths = st.integers(0, 400).map(lambda tenth: tenth / 10)
intervals = st.tuples(tenths, tenths)
ordered = intervals.map(lambda ends: (min(ends), max(ends)))
questions = st.lists(
    st.tuples(intervals, st.lists(ordered, min_size=1, max_size=4), st.booleans()),
    min_size=1,
    max_size=12,
)


def build(rows, scale=1.0):
    """Truths and predictions of generated rows, two questions a video."""
    truths, predictions = [], []
    for number, (span, segments, right) in enumerate(rows):
        key = f"{number // 2}_{number}"
        scaled = tuple((a * scale, b * scale) for a, b in segments)
        truths.append(truth(key, scaled, answer=1, duration=40.0 * scale))
        predictions.append(guess(key, (span[0] * scale, span[1] * scale), int(right)))
    return truths, predictions


@given(questions)
def test_bounds(rows):
    truths, predictions = build(rows)
    table = metrics.truth_table(truths)
    spans = metrics.prediction_spans(metrics.by_key(predictions), "post-hoc", table)
    iou, iop = metrics.best_overlap(spans, table)
    assert ((iou >= 0) & (iou <= iop + 1e-12) & (iop <= 1 + 1e-12)).all()
    found = metrics.score(predictions, truths, "post-hoc")
    assert found["Acc@GQA"] <= min(found["Acc@QA"], found["IoP@0.5"])


@given(questions, st.lists(ordered, min_size=1, max_size=3))
def test_more_segments_never_hurt(rows, extra):
    more = [(span, [*segments, *extra], right) for span, segments, right in rows]
    fewer_scores = metrics.score(*reversed(build(rows)), "post-hoc")
    more_scores = metrics.score(*reversed(build(more)), "post-hoc")
    assert all(more_scores[name] >= fewer_scores[name] - 1e-9 for name in metrics.METRICS)


@given(questions, st.sampled_from([0.25, 0.5, 2.0, 8.0]), st.randoms(use_true_random=False))
def test_neither_the_unit_of_time_nor_the_order_matters(rows, scale, random):
    plain = metrics.score(*reversed(build(rows)), "post-hoc")
    truths, predictions = build(rows, scale)
    random.shuffle(truths)
    random.shuffle(predictions)
    scaled = metrics.score(predictions, truths, "post-hoc")
    assert scaled == pytest.approx(plain)


@pytest.mark.shared
def test_the_official_test_split_scores_itself_perfectly(shared_data):
    from cra_lib.evaluator.annotations import read_truths
    from cra_lib.paths import DataFiles

    truths = read_truths(DataFiles(shared_data / "nextgqa"), "test")
    perfect = [guess(key, t.segments[0], t.answer) for key, t in truths.items()]
    found = metrics.score(perfect, truths, "post-hoc")
    assert found["questions"] == 5553 and found["skipped"] == 0
    assert all(found[name] == pytest.approx(100.0) for name in metrics.METRICS)
