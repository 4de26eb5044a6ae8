"""Readers: every accepted form, every mangled one refused in one sentence that names the place."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cra_lib.evaluator import derived_spans, readers
from cra_lib.evaluator.spans import SpanSettings, post_hoc_spans
from cra_lib.records import InputError, Prediction, Span, Truth, write_predictions


@pytest.fixture
def write(tmp_path):
    """Writes content to a file of that name: text as it is, anything else as JSON."""

    def writer(name: str, content) -> object:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return writer


def test_nextgqa_answers_with_their_stated_truth(write):
    path = write("a.json", {"1_0": {"prediction": 2, "answer": 3}, "1_1": {"prediction": 0}})
    loaded = readers.read_any(path)
    assert {key: p.answer for key, p in loaded.predictions.items()} == {"1_0": 2, "1_1": 0}
    assert loaded.stated_answers == {"1_0": 3}


def test_json_kinds_are_told_apart_by_content(write):
    assert readers.read_any(write("a.json", {"1_0": 4})).predictions["1_0"].answer == 4
    spans = readers.read_any(write("b.json", {"1_0": [1, 2.5]})).predictions["1_0"].spans
    assert spans == {"given": (1.0, 2.5)}
    weights = readers.read_any(write("c.json", {"1_0": [0.1] * 32})).predictions["1_0"]
    assert len(weights.frame_weights) == 32


def test_the_surest_window_of_moment_retrieval(write):
    lines = [
        {"qid": 3, "vid": "v", "pred_relevant_windows": [[0, 1, 0.2], [4, 9, 0.9]]},
        {"qid": "v_4", "vid": "v", "pred_relevant_windows": [[2, 3]]},
    ]
    path = write("m.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n")
    found = readers.read_any(path).predictions
    assert {key: p.spans["given"] for key, p in found.items()} == {"v_3": (4, 9), "v_4": (2, 3)}


def test_csv_with_either_way_of_naming_a_question(write):
    one = readers.read_any(write("a.csv", "key,prediction,start,end\n1_0,2,1.5,3\n1_1,,,\n"))
    assert one.predictions["1_0"] == Prediction("1_0", 2, spans={"given": Span(1.5, 3)})
    assert one.predictions["1_1"] == Prediction("1_1")
    two = readers.read_any(write("b.csv", "video_id,qid,prediction\n1,0,2\n"))
    assert two.predictions["1_0"].answer == 2


def test_our_lines_and_a_run_folder(tmp_path):
    prediction = Prediction("1_0", 1, (0.1, 0.9), {"merged": Span(1, 2)}, (0.5, 0.5), (1.0, 2.0))
    write_predictions(tmp_path / "predictions_val.jsonl", [prediction])
    expected = {"1_0": prediction}
    assert readers.read_any(tmp_path / "predictions_val.jsonl").predictions == expected
    assert readers.read_any(tmp_path, "val").predictions == expected


def test_files_lie_over_each_other(write):
    answers, spans = write("a.json", {"1_0": 1, "1_1": 2}), write("s.json", {"1_0": [0, 3]})
    loaded = readers.load_predictions([answers, spans])
    assert loaded.predictions["1_0"] == Prediction("1_0", 1, spans={"given": Span(0, 3)})
    with pytest.raises(InputError, match="a.json and .*a.json: both give '1_0' answer"):
        readers.load_predictions([answers, answers])
    with pytest.raises(InputError, match="s.json: both give '1_0' a 'given' interval"):
        readers.load_predictions([spans, spans])
    with pytest.raises(InputError, match="No predictions given"):
        readers.load_predictions([])


MANGLED = {
    "answer as text": ("a.json", {"1_0": 1, "1_1": {"prediction": "2"}}, "key '1_1': expected the"),
    "answer as float": ("a.json", {"1_0": 1.5}, "key '1_0': expected the index"),
    "answer as bool": ("a.json", {"1_0": True}, "key '1_0': expected the index"),
    "stated as text": ("a.json", {"1_0": {"prediction": 1, "answer": "b"}}, '"answer" should be'),
    "span NaN": ("s.json", '{"1_0": [1, 2], "1_1": [NaN, 2]}', "key '1_1': expected .start, end"),
    "span of texts": ("s.json", {"1_0": ["1", "2"]}, "key '1_0': expected .start, end"),
    "span of three": ("s.json", {"1_0": [1, 2], "1_1": [1, 2, 3]}, "key '1_1': expected .start"),
    "span beyond floats": ("s.json", f'{{"1_0": [0, {10**400}]}}', "expected .start, end"),
    "31 weights": ("w.json", {"1_0": [0.1] * 32, "1_1": [0.1] * 31}, "expected 32 weights, got 31"),
    "weights as text": ("w.json", {"1_0": ["a"] * 32}, "list of finite weights"),
    "weights NaN": ("w.json", '{"1_0": [0.1, 0.2, Infinity]}', "list of finite weights"),
    "weights missing": ("w.json", {"1_0": [0.1] * 32, "1_1": None}, "'1_1': expected a list"),
    "truncated": ("a.json", '{"1_0": 1, "1_', "not valid JSON .*truncated"),
    "key twice": ("a.json", '{"1_0": 1, "1_1": 1, "1_1": 2}', "key '1_1' is given twice"),
    "a list": ("a.json", ["1_0"], "expected a JSON object"),
    "nothing": ("a.json", {}, "expected a JSON object"),
    "not text": ("a.json", b"\xff\xfe\x00", "UTF-16"),
    "lines not text": ("a.jsonl", "b\u00e9".encode("latin-1"), "not UTF-8 text .byte 0xe9"),
    "empty lines": ("a.jsonl", "\n\n", "the file is empty"),
    "lines truncated": ("a.jsonl", '{"key": "1_0"}\n{"key": "1_', "line 2: not valid JSON"),
    "line key twice": ("a.jsonl", '{"key": "1_0"}\n' * 2, "line 2: key '1_0' was already given"),
    "moment truncated": (
        "m.jsonl",
        '{"qid": 1, "pred_relevant_windows": [[1, 2]]}\n{"qid',
        "line 2: not valid JSON",
    ),
    "moment without": (
        "m.jsonl",
        '{"qid": 1, "pred_relevant_windows": []}',
        'line 1: expected "qid"',
    ),
    "moment as text": (
        "m.jsonl",
        '{"qid": 1, "pred_relevant_windows": [["a", 2]]}',
        "a window should be",
    ),
    "moment twice": (
        "m.jsonl",
        '{"qid": 1, "pred_relevant_windows": [[1, 2]]}\n' * 2,
        "line 2: key '1' was already",
    ),
    "no weights": ("w.json", {"1_0": []}, "list of finite weights"),
    "nested without end": ("a.json", "[" * 100_000, "not valid JSON"),
    "csv without key": ("a.csv", "prediction,key\n1,\n", 'row 2: the "key" is empty'),
    "csv columns": ("a.csv", "video,answer\n1,2\n", 'expected a column "key"'),
    "csv cell": ("a.csv", "key,prediction\n1_0,b\n", "row 2: 'prediction' should be the index"),
    "csv NaN": ("a.csv", "key,start,end\n1_0,nan,2\n", "row 2: 'start' should be a finite"),
    "csv half": ("a.csv", "key,start,end\n1_0,1,\n", "row 2: .* come together"),
    "csv twice": ("a.csv", "key,prediction\n1_0,1\n1_0,2\n", "row 3: key '1_0' was already"),
    "csv empty": ("a.csv", "key,prediction\n", "no rows below the header"),
}


@pytest.mark.parametrize(("name", "content", "message"), MANGLED.values(), ids=MANGLED)
def test_mangled_files_are_refused(write, name, content, message):
    path = write(name, content)
    with pytest.raises(InputError, match=message) as refusal:
        readers.read_any(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
fields = st.sampled_from(["key", "prediction", "answer", "qid", "vid", "pred_relevant_windows"])


@given(
    st.dictionaries(st.sampled_from(["1_0", "1_1"]) | fields, json_values),
    st.sampled_from([".json", ".jsonl", ".csv"]),
    st.integers(0, 60),
)
def test_no_content_gets_past_or_crashes_the_readers(tmp_path_factory, content, suffix, cut):
    path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    text = json.dumps(content)
    path.write_text(text if cut > 50 else text[: len(text) - cut], encoding="utf-8")
    try:
        predictions = readers.read_any(path).predictions
    except InputError as refusal:
        assert "\n" not in str(refusal) or "\n" in text
        return
    for prediction in predictions.values():
        assert prediction.answer is None or type(prediction.answer) is int
        assert all(np.isfinite(span).all() for span in prediction.spans.values())
        assert np.isfinite(prediction.frame_weights or 0.0).all()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="Predictions not found at"):
        readers.read_any(tmp_path / "none.json")


def test_subsets_in_every_form(write):
    for name, content in (
        ("a.json", ["1_0", "1_1"]),
        ("b.json", {"1_0": 0, "1_1": 0}),
        ("c.txt", "1_0\n1_1\n"),
    ):
        assert readers.read_subset(write(name, content)) == ["1_0", "1_1"]
    for name, content in (("d.json", [1]), ("e.json", "{"), ("f.txt", "")):
        with pytest.raises(InputError):
            readers.read_subset(write(name, content))


TRUTH = {"1_0": Truth("1_0", "1", 0, (Span(2, 6),), 33.3, "CW")}


def test_fractions_become_tenths_of_seconds():
    spans = {"1_0": Span(0.5, 1.03), "9_0": Span(0, 1)}
    predictions = {key: Prediction(key, 1, spans={"given": s}) for key, s in spans.items()}
    found = derived_spans.in_seconds(predictions, TRUTH)
    assert found == {"1_0": Prediction("1_0", 1, spans={"given": Span(16.6, 34.3)})}


class TestWeights:
    """Intervals from the weights of a prediction."""

    times = tuple(np.linspace(1, 30, 32).tolist())
    weights = tuple(np.exp(-(((np.arange(32) - 9) / 4) ** 2)).tolist())

    def test_rules_come_from_the_stamps(self):
        bare = {"1_0": Prediction("1_0", frame_weights=self.weights)}
        found = derived_spans.with_weight_spans(bare, TRUTH, {"1": self.times})["1_0"].spans
        expected = post_hoc_spans(np.array([self.weights]), np.array([self.times]))[0]
        assert list(found) == ["post-hoc", "windows", "merged"]
        assert found["post-hoc"] == pytest.approx(tuple(expected))

    def test_own_times_and_intervals_stay_unless_told_otherwise(self):
        own = Prediction(
            "1_0",
            spans={"post-hoc": Span(0, 1)},
            frame_weights=self.weights,
            frame_times=self.times,
        )
        kept = derived_spans.with_weight_spans({"1_0": own}, TRUTH)["1_0"].spans
        assert kept["post-hoc"] == (0, 1) and "windows" in kept
        stamps = {"1": [t / 2 for t in self.times]}
        changed = derived_spans.with_weight_spans({"1_0": own}, TRUTH, stamps, overwrite=True)
        replaced = changed["1_0"].spans["post-hoc"]
        assert replaced != (0, 1) and replaced.end < 15

    def test_a_given_interval_is_merged_instead_of_the_window(self):
        both = {"1_0": Prediction("1_0", spans={"given": Span(8, 9.5)}, frame_weights=self.weights)}
        found = derived_spans.with_weight_spans(both, TRUTH, {"1": self.times})["1_0"].spans
        assert found["merged"] == (8, 9.5) and found["given"] == (8, 9.5)

    def test_released_windows_are_a_setting(self):
        bare = {"1_0": Prediction("1_0", frame_weights=self.weights)}
        settings = SpanSettings(windows="released")
        found = derived_spans.with_weight_spans(bare, TRUTH, {"1": self.times}, settings)
        assert found["1_0"].spans["windows"] == pytest.approx((7.5, 12.9))

    def test_uneven_weights_are_refused(self):
        uneven = {
            "1_0": Prediction("1_0", frame_weights=self.weights, frame_times=self.times),
            "1_1": Prediction("1_1", frame_weights=(0.5, 0.5), frame_times=(1.0, 2.0)),
        }
        truths = TRUTH | {"1_1": replace(TRUTH["1_0"], key="1_1")}
        with pytest.raises(InputError, match="'1_1': expected 32 weights as for '1_0', got 2"):
            derived_spans.with_weight_spans(uneven, truths)

    @pytest.mark.parametrize(
        ("stamps", "message"),
        [
            (None, "the prediction has no frame_times"),
            ({}, "no stamps for video '1'"),
            ({"1": [1.0] * 31}, "expected 31 weights, one a time stamp, got 32"),
        ],
    )
    def test_refusals(self, stamps, message):
        bare = {"1_0": Prediction("1_0", frame_weights=self.weights)}
        with pytest.raises(InputError, match=message):
            derived_spans.with_weight_spans(bare, TRUTH, stamps)
