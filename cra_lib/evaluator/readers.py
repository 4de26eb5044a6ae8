"""Predictions from any project, brought into one form.

What is read, by content and not by name:

* a ``.jsonl`` of ours (`cra_lib.records`), or a moment-retrieval one with ``qid``, ``vid`` and
  ``pred_relevant_windows`` (``[[start, end, confidence], ...]``, of which the surest counts);
* NExT-GQA's result files: ``{key: {"prediction": i, "answer": j}}`` or ``{key: i}`` (answers),
  ``{key: [start, end]}`` (intervals), ``{key: [32 numbers]}`` (weights over frames);
* a ``.csv`` with a ``key`` column, or ``video_id`` and ``qid``, and any of ``prediction`` (index of
  a choice), ``start`` and ``end``, separated by commas, semicolons or tabs;
* a folder of one of our runs, which holds ``predictions_<split>.jsonl``.

Each may lie compressed. Several files are laid over each other: one may bring the answers, another
the intervals. An interval from outside has the rule ``given``. Whatever cannot be read is refused
in one sentence.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cra_lib.evaluator.csv_predictions import read_table
from cra_lib.evaluator.json_items import json_items
from cra_lib.paths import RunFiles, require
from cra_lib.records import (
    COMPRESSED,
    WEIGHT_FIELDS,
    InputError,
    Prediction,
    Span,
    is_finite_number,
    json_lines,
    open_text,
    read_json,
    read_predictions,
    span_from_json,
)

GIVEN = "given"
"""Span rule of an interval that came from a file of another project."""

REMEDY = "Check the path of the predictions."


@dataclass(frozen=True)
class Loaded:
    """What prediction files say."""

    predictions: dict[str, Prediction]
    """Question key -> prediction."""
    stated_answers: dict[str, int] = field(default_factory=dict)
    """Question key -> the right answer as the file itself states it (NExT-GQA's answer files)."""
    strangers: set[str] = field(default_factory=set)
    """Keys that were left out on reading, because nobody asked for them."""
    path: str = ""
    """The file, for messages."""


def load_predictions(paths: Iterable[Path], split: str = "") -> Loaded:
    """All files laid over each other, each read by its content.

    Raises:
        InputError: a file is missing or malformed, or two files give the same thing.
    """
    return combined([read_any(Path(path), split) for path in paths])


def combined(parts: Iterable[Loaded]) -> Loaded:
    """Parts laid over each other: each question takes from every part what that part says.

    Raises:
        InputError: there is none, or two give an answer, weights, or an interval by one rule.
    """
    parts = list(parts)
    if not parts:
        raise InputError("No predictions given; name a .jsonl, .json or .csv file.")
    merged = parts[0]
    for part in parts[1:]:
        merged = combine(merged, part)
    return merged


def read_any(path: Path, split: str = "", keys: Container[str] | None = None) -> Loaded:
    """The predictions of one file, or of a run's folder, recognised by content.

    Args:
        keys: the questions wanted; weights of others are not kept in memory. None wants all.
    """
    if path.is_dir():
        path = RunFiles(path).predictions(split)
    require(path, "Predictions", REMEDY)
    kind = Path(path.stem).suffix if path.suffix in COMPRESSED else path.suffix
    if kind == ".jsonl":
        return Loaded(_read_lines(path), path=str(path))
    if kind in (".csv", ".tsv"):
        return Loaded(read_table(path, GIVEN), path=str(path))
    items = json_items(path)
    first = next(items)
    items = itertools.chain([first], items)
    if not isinstance(first[1], list):
        return answers_of(items, path)
    if len(first[1]) == 2:
        return Loaded(spans_of(items, path), path=str(path))
    return weights_of(items, path, keys)


def combine(first: Loaded, second: Loaded) -> Loaded:
    """Two files as one; each question takes from the second what the first does not say.

    Raises:
        InputError: both give an answer, weights, or an interval by one rule, for some question.
    """
    files = " and ".join(path for path in (first.path, second.path) if path) or "Two files"
    predictions = dict(first.predictions)
    for key, new in second.predictions.items():
        old = predictions.get(key)
        predictions[key] = new if old is None else _combined(old, new, files)
    return Loaded(
        predictions,
        {**first.stated_answers, **second.stated_answers},
        first.strangers | second.strangers,
        files if files != "Two files" else "",
    )


def _combined(old: Prediction, new: Prediction, files: str) -> Prediction:
    changes: dict[str, Any] = {"spans": {**old.spans, **new.spans}}
    if twice := sorted(set(old.spans) & set(new.spans)):
        raise InputError(f"{files}: both give {old.key!r} a {twice[0]!r} interval; name one file.")
    for name in ("answer", "choice_probabilities", *WEIGHT_FIELDS):
        values = getattr(old, name), getattr(new, name)
        if None not in values:
            raise InputError(f"{files}: both give {old.key!r} {name}; name one file.")
        changes[name] = values[0] if values[1] is None else values[1]
    return replace(old, **changes)


def read_answers(path: Path) -> Loaded:
    """Answers ``{key: {"prediction": i, "answer": j}}`` or ``{key: i}``."""
    return answers_of(json_items(_there(path)), path)


def read_spans(path: Path) -> Loaded:
    """Intervals ``{key: [start, end]}``, as given (seconds or fractions)."""
    return Loaded(spans_of(json_items(_there(path)), path), path=str(path))


def read_weights(path: Path, keys: Container[str] | None = None) -> Loaded:
    """Weights over frames ``{key: [T numbers]}``; those of other keys are not kept."""
    return weights_of(json_items(_there(path)), path, keys)


def _there(path: Path) -> Path:
    return require(path, "Predictions", REMEDY)


Items = Iterator[tuple[str, Any]]
"""Question key and parsed value of each entry of a file."""


def answers_of(items: Items, path: Path) -> Loaded:
    """Answers from the entries of a file; ``path`` opens the error messages."""
    predictions, stated = {}, {}
    for key, value in items:
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
    return Loaded(predictions, stated, path=str(path))


def spans_of(items: Items, path: Path) -> dict[str, Prediction]:
    """Intervals from the entries of a file; ``path`` opens the error messages."""
    return {
        key: Prediction(key, spans={GIVEN: span_from_json(pair, f"{path}, key {key!r}")})
        for key, pair in items
    }


def weights_of(items: Items, path: Path, keys: Container[str] | None = None) -> Loaded:
    """Weights from the entries of a file, equally many for each key; ``path`` opens messages."""
    predictions, strangers, count = {}, set(), 0
    for key, values in items:
        weights = _packed(values)
        if weights is None:
            raise InputError(
                f"{path}, key {key!r}: expected a list of finite weights, one a frame, "
                f"got {_short(values)}."
            )
        count = count or len(weights)
        if len(weights) != count:
            raise InputError(f"{path}, key {key!r}: expected {count} weights, got {len(weights)}.")
        if keys is None or key in keys:
            predictions[key] = Prediction(key, frame_weights=weights)
        else:
            strangers.add(key)
    return Loaded(predictions, {}, strangers, str(path))


def _packed(values: Any) -> array | None:
    """Numbers as an array, a quarter of a list's memory; None if they are no finite numbers."""
    if not isinstance(values, list) or not values or not set(map(type, values)) <= {int, float}:
        return None
    try:
        numbers = array("d", values)
    except OverflowError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _read_lines(path: Path) -> dict[str, Prediction]:
    with open_text(path) as lines:
        first = next((line for line in lines if line.strip()), "")
    reader: Callable = read_moments if '"pred_relevant_windows"' in first else _read_ours
    return reader(path)


def _read_ours(path: Path) -> dict[str, Prediction]:
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
        isinstance(w, list) and len(w) in (2, 3) and all(map(is_finite_number, w)) for w in windows
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
    if path.suffix == ".json":
        content = read_json(path)
    else:
        with open_text(path) as file:
            content = file.read().split()
    keys = list(content) if isinstance(content, list | dict) else []
    if not keys or not all(isinstance(key, str) for key in keys):
        raise InputError(f'{path}: expected question keys such as "4010069381_6".')
    return keys


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
