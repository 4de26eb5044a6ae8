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

Any text file may lie compressed (``.xz``, ``.bz2``, ``.gz``): `open_text` finds and reads it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TextIO

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
    frame_weights: Sequence[float] | None = None
    frame_times: tuple[float, ...] | None = None
    raw_weights: tuple[float, ...] | None = None
    """Frame weights before smoothing, for figures; None where the model does not smooth."""


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


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """A check that a value is in a table, as the table is when the check is made."""

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"it should be one of {', '.join(names)}")
        return value

    return check


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
        InputError: naming the file and the line; also where one object gives a field twice.
    """
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, parse_json(line, f"{path}, line {number}")


def read_json(path: Path) -> Any:
    """The value of a JSON file, plain or compressed.

    Raises:
        InputError: the file cannot be read, is no JSON, or one object gives a key twice.
    """
    with open_text(path) as file:
        return parse_json(file.read(), str(path))


def parse_json(text: str, where: str) -> Any:
    """The value that a text holds; ``where`` opens the error message.

    Raises:
        InputError: no JSON, or one object gives a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not valid JSON ({error}); {json_remedy(text, error)}") from None
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, or brackets without end.
        raise InputError(f"{where}: not valid JSON ({error}); correct the file.") from None


def json_remedy(text: str, error: json.JSONDecodeError) -> str:
    """What to do about text that is no JSON, as the end of a sentence."""
    start = text.lstrip()[:1]
    if start not in ("{", "["):
        return "the text is of another kind; is the file's ending right (.json, .jsonl, .csv)?"
    unfinished = not text[error.pos :].strip() or error.msg.startswith("Unterminated")
    if unfinished:
        return "is the file truncated? Fetch or write it again."
    if error.msg.startswith("Extra data"):
        return "one object a file; objects on lines of their own belong into a .jsonl file."
    return "correct it there."


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON that gives no key twice (as ``object_pairs_hook``)."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"key {twice!r} is given twice; keep one.")
    return found


COMPRESSED = {
    ".xz": (b"\xfd7zXZ\x00", lzma.open),
    ".bz2": (b"BZh", bz2.open),
    ".gz": (b"\x1f\x8b", gzip.open),
}
"""Suffix -> how such a file begins, and what opens it."""

_BINARY = {b"PK\x03\x04": "a zip archive", b"\x89HDF": "an HDF5 file", b"\x93NUMPY": "a numpy file",
           b"%PDF": "a PDF", b"\x80": "a pickle"}  # fmt: skip
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def stored(path: Path) -> Path | None:
    """Where a file really lies: as named, or compressed beside it (``val.csv.xz``); else None."""
    path = Path(path)
    if path.exists():
        return path
    beside = (path.with_name(path.name + suffix) for suffix in COMPRESSED)
    return next((found for found in beside if found.exists()), None)


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """Read UTF-8 text, with or without a byte order mark, plain or compressed (told by content).

    Raises:
        InputError: the file is missing, unreadable, empty, damaged, binary or of another encoding.
    """
    path = stored(path) or Path(path)
    try:
        with open_bytes(path) as content:
            _refuse_other_text(content.peek(4096)[:4096], path)
            with io.TextIOWrapper(content, encoding="utf-8-sig", newline=newline) as text:
                yield text
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 text (byte 0x{error.object[error.start]:02x}); if it is Latin-1 or "
            "Windows-1252, save it as UTF-8."
        ) from None
    except (EOFError, lzma.LZMAError, zlib.error) as error:
        raise _damaged(path, error) from None
    except OSError as error:
        if error.errno is None:  # gzip and bz2 say so when their content is damaged
            raise _damaged(path, error) from None
        if error.filename is None or Path(error.filename) != path:
            raise
        raise InputError(
            f"{path}: cannot be read ({(error.strerror or '').lower()}); check its permissions."
        ) from None


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: the compressed file is damaged or cut short ({error}).")


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file, unpacked where its first bytes say that it is compressed."""
    with open(path, "rb") as raw:
        start = raw.peek(8)
        opener = next((op for magic, op in COMPRESSED.values() if start.startswith(magic)), None)
        if opener is None:
            yield raw
            return
        with opener(raw, "rb") as unpacked:
            yield io.BufferedReader(unpacked)


def _refuse_other_text(start: bytes, path: Path) -> None:
    """Name what a file is by its first bytes, if it is no UTF-8 text.

    Raises:
        InputError: empty, UTF-16 or UTF-32, or binary.
    """
    if not start.strip():
        raise InputError(f"{path}: the file is empty; write it again.")
    # Plain characters in UTF-16 have a zero as every other byte, mark or none.
    if start.startswith(_UTF16) or b"\x00" in (start[:1], start[1:2]):
        raise InputError(f"{path}: UTF-16 or UTF-32 text; save it as UTF-8.")
    kind = next((name for magic, name in _BINARY.items() if start.startswith(magic)), None)
    if kind or b"\x00" in start:
        raise InputError(f"{path}: {kind or 'a binary file'}, not text; give JSON or csv.")


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
