"""The plain data that every stage shares, and the file formats they travel in.

Standard library only, so that scoring somebody else's predictions needs little of ours.

Files
-----
``predictions_<split>.jsonl``: one JSON object a line, one line a question::

    {"key": "4010069381_6", "answer": 2, "choice_probabilities": [0.1, ...],
     "spans": {"post-hoc": [3.2, 9.0], "windows": [2.1, 8.4], "merged": [3.2, 8.4]},
     "frame_weights": [32 numbers], "frame_times": [32 seconds],
     "raw_weights": [32 numbers, before smoothing, where the model smooths]}

Only ``key`` is required: a file may carry answers, spans, weights or any mixture.
Every span is in seconds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

WEIGHT_FIELDS = ("frame_weights", "frame_times", "raw_weights")


class InputError(ValueError):
    """Bad input from outside: one clear sentence that names file, row or key, and remedy.

    The command line prints it without a traceback and exits with 2.
    """


class Span(NamedTuple):
    """A time interval in seconds, both ends included."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Question:
    """One multiple-choice question about one video (one csv row)."""

    video_id: str
    qid: str
    text: str
    choices: tuple[str, ...]
    answer: int | None
    """Index of the right choice; None where the answer is not public."""
    type: str
    """Question type as the dataset writes it: CW, CH, TN, TP, TC, ... or T1 to T6."""
    frame_count: int = 0
    width: int = 0
    height: int = 0

    @property
    def key(self) -> str:
        """The question's name in every file: ``{video_id}_{qid}``."""
        return f"{self.video_id}_{self.qid}"


@dataclass(frozen=True, slots=True)
class Truth:
    """What a prediction for one question is scored against."""

    key: str
    video_id: str
    answer: int | None
    segments: tuple[Span, ...]
    """Ground-truth evidence in seconds, as annotated (not clipped to the video)."""
    duration: float
    type: str
    num_choices: int = 0
    """How many choices there were, to refuse impossible answers; 0 where unknown."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says about one question."""

    key: str
    answer: int | None = None
    choice_probabilities: tuple[float, ...] | None = None
    spans: dict[str, Span] = field(default_factory=dict)
    """Span rule (post-hoc, windows, gaussian, merged, ...) -> predicted interval in seconds."""
    frame_weights: tuple[float, ...] | None = None
    frame_times: tuple[float, ...] | None = None
    raw_weights: tuple[float, ...] | None = None
    """Frame weights before smoothing, for figures; None where the model does not smooth."""


def split_key(key: str) -> tuple[str, str]:
    """Video id and question id of a key, split at the first underscore (STAR's qid has more).

    >>> split_key("001YG_Interaction_T1_13")
    ('001YG', 'Interaction_T1_13')
    """
    video_id, _, qid = key.partition("_")
    return video_id, qid


def prediction_to_json(prediction: Prediction) -> dict:
    """The JSON object of one line of a predictions file; absent parts are left out."""
    row: dict = {"key": prediction.key}
    if prediction.answer is not None:
        row["answer"] = prediction.answer
    if prediction.choice_probabilities is not None:
        row["choice_probabilities"] = list(prediction.choice_probabilities)
    if prediction.spans:
        row["spans"] = {rule: list(span) for rule, span in prediction.spans.items()}
    for name in WEIGHT_FIELDS:
        if (values := getattr(prediction, name)) is not None:
            row[name] = list(values)
    return row


def prediction_from_json(row: object, where: str) -> Prediction:
    """One checked prediction; ``where`` (file and line) opens the error message.

    Raises:
        InputError: an unknown field, a missing key, a number that is not finite, a malformed span.
    """
    if not isinstance(row, dict) or not isinstance(row.get("key"), str):
        raise InputError(f'{where}: expected a JSON object with a "key" such as "4010069381_6".')
    known = {"key", "answer", "choice_probabilities", "spans", *WEIGHT_FIELDS}
    if unknown := sorted(set(row) - known):
        raise InputError(f"{where}: unknown field {unknown[0]!r}; the fields are {sorted(known)}.")
    answer = row.get("answer")
    if answer is not None and (isinstance(answer, bool) or not isinstance(answer, int)):
        raise InputError(f'{where}: "answer" should be the index of a choice, got {answer!r}.')
    spans = row.get("spans", {})
    if not isinstance(spans, dict):
        raise InputError(f'{where}: "spans" should map a span rule to [start, end], got {spans!r}.')
    return Prediction(
        key=row["key"],
        answer=answer,
        choice_probabilities=_numbers(row, "choice_probabilities", where),
        spans={
            rule: span_from_json(pair, f"{where}, span {rule!r}") for rule, pair in spans.items()
        },
        **{name: _numbers(row, name, where) for name in WEIGHT_FIELDS},
    )


def span_from_json(pair: object, where: str) -> Span:
    """``[start, end]`` in seconds as a Span; ends are kept as given, also reversed ones."""
    if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(map(is_finite_number, pair))):
        raise InputError(f"{where}: expected [start, end] as two finite numbers, got {pair!r}.")
    return Span(float(pair[0]), float(pair[1]))


def is_finite_number(value: object) -> bool:
    """True for an int or float that is neither NaN nor infinite; booleans are not numbers."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # Unlike isfinite, the comparison survives integers beyond any float.
    return number and abs(value) <= sys.float_info.max


def _numbers(row: dict, name: str, where: str) -> tuple[float, ...] | None:
    values = row.get(name)
    if values is None:
        return None
    if not isinstance(values, list) or not all(map(is_finite_number, values)):
        raise InputError(f'{where}: "{name}" should be a list of finite numbers.')
    return tuple(map(float, values))


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write one line a question, in the order given."""
    lines = (json.dumps(prediction_to_json(p), separators=(",", ":")) for p in predictions)
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The number and the value of each line of a ``.jsonl`` file; blank lines are passed over.

    Raises:
        InputError: naming the file and the line.
    """
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(
                    f"{path}, line {number}: not valid JSON ({error.msg}); is the file truncated?"
                ) from None


def read_predictions(path: Path) -> Iterator[Prediction]:
    """Yield the predictions of a ``.jsonl`` file, each key at most once.

    Raises:
        InputError: naming the file and the line.
    """
    seen: dict[str, int] = {}
    for number, row in json_lines(path):
        where = f"{path}, line {number}"
        prediction = prediction_from_json(row, where)
        if prediction.key in seen:
            first = seen[prediction.key]
            raise InputError(f"{where}: key {prediction.key!r} was already given in line {first}.")
        seen[prediction.key] = number
        yield prediction
