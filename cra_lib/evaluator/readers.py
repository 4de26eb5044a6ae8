"""Predictions from any project, brought into one form.

What is read, by content and not by name:

* a ``.jsonl`` of ours (`cra_lib.records`), or a moment-retrieval one with ``qid``, ``vid`` and
  ``pred_relevant_windows`` (``[[start, end, confidence], ...]``, of which the surest counts);
* NExT-GQA's result files: ``{key: {"prediction": i, "answer": j}}`` or ``{key: i}`` (answers),
  ``{key: [start, end]}`` (intervals), ``{key: [32 numbers]}`` (weights over frames);
* a ``.csv`` with a ``key`` column, or ``video_id`` and ``qid``, and any of ``prediction`` (index of
  a choice), ``start`` and ``end``;
* a folder of one of our runs, which holds ``predictions_<split>.jsonl``.

Several files are laid over each other: one may bring the answers, another the intervals. An
interval from outside has the rule ``given``. Whatever cannot be read is refused in one sentence.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from cra_lib.paths import RunFiles, require
from cra_lib.records import (
    InputError,
    Prediction,
    Span,
    is_finite_number,
    json_lines,
    read_predictions,
    span_from_json,
)

GIVEN = "given"
"""Span rule of an interval that came from a file of another project."""

REMEDY = "Check the path of the predictions."


class Loaded(NamedTuple):
    """What prediction files say."""

    predictions: dict[str, Prediction]
    """Question key -> prediction."""
    stated_answers: dict[str, int]
    """Question key -> the right answer as the file itself states it (NExT-GQA's answer files)."""


def load_predictions(paths: Iterable[Path], split: str = "") -> Loaded:
    """All files laid over each other, each read by its content.

    Raises:
        InputError: a file is missing or malformed, or two files give the same thing.
    """
    parts = [read_any(Path(path), split) for path in paths]
    if not parts:
        raise InputError("No predictions given; name a .jsonl, .json or .csv file.")
    merged = parts[0]
    for part in parts[1:]:
        merged = combine(merged, part)
    return merged


def read_any(path: Path, split: str = "") -> Loaded:
    """The predictions of one file, or of a run's folder, recognised by content."""
    if path.is_dir():
        path = RunFiles(path).predictions(split)
    require(path, "Predictions", REMEDY)
    try:
        if path.suffix == ".jsonl":
            return Loaded(_read_lines(path), {})
        if path.suffix == ".csv":
            return Loaded(read_table(path), {})
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path}: not a UTF-8 text file; is it compressed?") from None
    content = read_json_object(path)
    sample = next(iter(content.values()))
    if isinstance(sample, list):
        reader = spans_of if len(sample) == 2 else weights_of
        return Loaded(reader(content, path), {})
    return answers_of(content, path)


def combine(first: Loaded, second: Loaded) -> Loaded:
    """Two files as one; each question takes from the second what the first does not say.

    Raises:
        InputError: both give an answer, weights, or an interval by one rule, for some question.
    """
    predictions = dict(first.predictions)
    for key, new in second.predictions.items():
        old = predictions.get(key)
        predictions[key] = new if old is None else _combined(old, new)
    return Loaded(predictions, {**first.stated_answers, **second.stated_answers})


def _combined(old: Prediction, new: Prediction) -> Prediction:
    changes: dict[str, Any] = {"spans": {**old.spans, **new.spans}}
    if twice := sorted(set(old.spans) & set(new.spans)):
        raise InputError(f"Two files give {old.key!r} a {twice[0]!r} interval; name one of them.")
    for name in ("answer", "choice_probabilities", "frame_weights", "frame_times", "raw_weights"):
        values = getattr(old, name), getattr(new, name)
        if None not in values:
            raise InputError(f"Two files give {old.key!r} {name}; name one of them.")
        changes[name] = values[0] if values[1] is None else values[1]
    return replace(old, **changes)


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds one object with at least one key, none of them twice.

    Raises:
        InputError: the file is missing, truncated, not an object, empty, or repeats a key.
    """
    require(path, "Predictions", REMEDY)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{path}: key {twice!r} is given twice; keep one.")
        return found

    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not valid JSON ({error}); is the file truncated?") from None
    if not isinstance(content, dict) or not content:
        raise InputError(
            f'{path}: expected a JSON object with a key such as "4010069381_6" for each question.'
        )
    return content


def read_answers(path: Path) -> Loaded:
    """Answers ``{key: {"prediction": i, "answer": j}}`` or ``{key: i}``."""
    return answers_of(read_json_object(path), path)


def read_spans(path: Path) -> Loaded:
    """Intervals ``{key: [start, end]}``, as given (seconds or fractions)."""
    return Loaded(spans_of(read_json_object(path), path), {})


def read_weights(path: Path) -> Loaded:
    """Weights over frames ``{key: [T numbers]}``."""
    return Loaded(weights_of(read_json_object(path), path), {})


def answers_of(content: Mapping[str, Any], path: Path) -> Loaded:
    """Answers from a parsed file; ``path`` opens the error messages."""
    predictions, stated = {}, {}
    for key, value in content.items():
        fields = value if isinstance(value, dict) else {"prediction": value}
        if not _is_index(fields.get("prediction")):
            raise InputError(
                f"{path}, key {key!r}: expected the index of a choice or "
                f'{{"prediction": index, "answer": index}}, got {_short(value)}.'
            )
        predictions[key] = Prediction(key, fields["prediction"])
        if "answer" in fields:
            if not _is_index(fields["answer"]):
                raise InputError(
                    f'{path}, key {key!r}: "answer" should be the index of the right choice, '
                    f"got {_short(fields['answer'])}."
                )
            stated[key] = fields["answer"]
    return Loaded(predictions, stated)


def spans_of(content: Mapping[str, Any], path: Path) -> dict[str, Prediction]:
    """Intervals from a parsed file; ``path`` opens the error messages."""
    return {
        key: Prediction(key, spans={GIVEN: span_from_json(pair, f"{path}, key {key!r}")})
        for key, pair in content.items()
    }


def weights_of(content: Mapping[str, Any], path: Path) -> dict[str, Prediction]:
    """Weights from a parsed file, equally many for each key; ``path`` opens the messages."""
    first = next(iter(content.values()))
    count = len(first) if isinstance(first, list) else 0
    predictions = {}
    for key, values in content.items():
        if not isinstance(values, list) or not values or not _all_numbers(values):
            raise InputError(
                f"{path}, key {key!r}: expected a list of finite weights, one a frame, "
                f"got {_short(values)}."
            )
        if len(values) != count:
            raise InputError(f"{path}, key {key!r}: expected {count} weights, got {len(values)}.")
        predictions[key] = Prediction(key, frame_weights=tuple(values))
    return predictions


def read_table(path: Path) -> dict[str, Prediction]:
    """Predictions of a csv file, one row a question.

    Raises:
        InputError: naming the file, the row and the column at fault.
    """
    require(path, "Predictions", REMEDY)
    predictions: dict[str, Prediction] = {}
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        columns = set(rows.fieldnames or ())
        if "key" not in columns and not {"video_id", "qid"} <= columns:
            raise InputError(
                f'{path}: expected a column "key", or "video_id" and "qid"; '
                f"found {', '.join(sorted(columns)) or 'none'}."
            )
        for number, row in enumerate(rows, start=2):
            where = f"{path}, row {number}"
            key = row["key"] if "key" in columns else f"{row['video_id']}_{row['qid']}"
            if not key:
                raise InputError(f'{where}: the "key" is empty.')
            if key in predictions:
                raise InputError(f"{where}: key {key!r} was already given; keep one of the two.")
            predictions[key] = _table_row(key, row, where)
    if not predictions:
        raise InputError(f"{path}: no rows below the header; is the file truncated?")
    return predictions


def _table_row(key: str, row: Mapping[str, str], where: str) -> Prediction:
    answer = _cell(row, "prediction", int, where)
    start, end = (_cell(row, name, float, where) for name in ("start", "end"))
    if (start is None) != (end is None):
        raise InputError(f'{where}: "start" and "end" come together; one of them is empty.')
    spans = {} if start is None else {GIVEN: Span(start, end)}
    return Prediction(key, answer, spans=spans)


def _cell(row: Mapping[str, str], name: str, kind: Callable, where: str) -> Any:
    """A number of one csv cell; None where the column or the cell is empty."""
    text = (row.get(name) or "").strip()
    if not text:
        return None
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        expected = "the index of a choice" if kind is int else "a finite number"
        raise InputError(f"{where}: {name!r} should be {expected}, got {text!r}.")
    return value


def _read_lines(path: Path) -> dict[str, Prediction]:
    with open(path, encoding="utf-8") as lines:
        first = next((line for line in lines if line.strip()), "")
    if not first:
        raise InputError(f"{path}: the file is empty.")
    if '"pred_relevant_windows"' in first:
        return read_moments(path)
    return {prediction.key: prediction for prediction in read_predictions(path)}


def read_moments(path: Path) -> dict[str, Prediction]:
    """Predictions of a moment-retrieval file: the surest of ``pred_relevant_windows`` a line.

    The key is ``qid`` where that already begins with the video's name, else ``{vid}_{qid}``.

    Raises:
        InputError: naming the file and the line.
    """
    predictions: dict[str, Prediction] = {}
    for number, row in json_lines(path):
        where = f"{path}, line {number}"
        prediction = _moment(row, where)
        if prediction.key in predictions:
            raise InputError(f"{where}: key {prediction.key!r} was already given; keep one.")
        predictions[prediction.key] = prediction
    return predictions


def _moment(row: Any, where: str) -> Prediction:
    if not isinstance(row, dict) or "qid" not in row or not row.get("pred_relevant_windows"):
        raise InputError(
            f'{where}: expected "qid", "vid" and "pred_relevant_windows": '
            "[[start, end, confidence], ...]."
        )
    video, qid = str(row.get("vid", "")), str(row["qid"])
    key = qid if not video or qid.startswith(f"{video}_") else f"{video}_{qid}"
    windows = row["pred_relevant_windows"]
    if not isinstance(windows, list) or not all(
        isinstance(w, list) and len(w) in (2, 3) and _all_numbers(w) for w in windows
    ):
        raise InputError(f"{where}: a window should be [start, end, confidence], all finite.")
    surest = max(windows, key=lambda w: w[2] if len(w) == 3 else 0.0)
    return Prediction(key, spans={GIVEN: Span(float(surest[0]), float(surest[1]))})


def read_subset(path: Path) -> list[str]:
    """Question keys of a subset: a JSON list, a JSON object's keys, or one key a line.

    Raises:
        InputError: the file is missing or holds no keys.
    """
    require(path, "Subset", "It should list question keys.")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: not valid JSON ({error}); is the file truncated?") from None
    else:
        content = text.split()
    keys = list(content) if isinstance(content, list | dict) else []
    if not keys or not all(isinstance(key, str) for key in keys):
        raise InputError(f'{path}: expected question keys such as "4010069381_6".')
    return keys


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _all_numbers(values: Sequence[Any]) -> bool:
    return all(map(is_finite_number, values))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
