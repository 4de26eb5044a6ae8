"""Predictions as a table: one row a question, separated by commas, semicolons or tabs."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cra_lib.records import InputError, Prediction, Span, open_text

READ = ("key", "video_id", "qid", "prediction", "start", "end")
PASSED_OVER = ("question", "type", "answer", "frame_count", "width", "height", "duration", "fps",
               "a0", "a1", "a2", "a3", "a4")  # fmt: skip
"""Columns of the annotation, which may stay in the table; right answers are the annotation's."""
OTHER_NAMES = {"pred": "prediction", "predicted": "prediction", "choice": "prediction",
               "video": "video_id", "vid": "video_id", "question_id": "qid", "id": "key",
               "t_start": "start", "begin": "start", "from": "start", "t_end": "end",
               "stop": "end", "to": "end"}  # fmt: skip
"""What others call our columns, for the remedy."""
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def read_table(path: Path, given: str) -> dict[str, Prediction]:
    """Predictions of a csv file; ``given`` names the span rule of its intervals.

    Raises:
        InputError: naming the file, the row and the column at fault.
    """
    predictions: dict[str, Prediction] = {}
    with open_text(path, newline="") as file:
        separator = _separator(file.readline())
        file.seek(0)
        rows = csv.reader(file, delimiter=separator)
        try:
            columns = _checked_columns(next(rows, []), path)
            for number, cells in enumerate(rows, start=2):
                if not cells:
                    continue
                where = f"{path}, row {number}"
                if len(cells) != len(columns):
                    raise InputError(
                        f"{where}: expected {len(columns)} fields, got {len(cells)}; "
                        "is a field or a quote missing?"
                    )
                row = dict(zip(columns, map(str.strip, cells), strict=True))
                key = row["key"] if "key" in row else f"{row['video_id']}_{row['qid']}"
                if not key.strip("_"):
                    raise InputError(f'{where}: the "key" is empty.')
                if key in predictions:
                    raise InputError(f"{where}: key {key!r} was already given; keep one row.")
                predictions[key] = _prediction(key, row, where, given)
        except csv.Error as error:
            raise InputError(f"{path}: not a csv file ({error}); write it again.") from None
    if not predictions:
        raise InputError(f"{path}: no rows below the header; is the file truncated?")
    return predictions


def _separator(header: str) -> str:
    return max(SEPARATORS, key=header.count)


def _checked_columns(header: Sequence[str], path: Path) -> list[str]:
    columns = [name.strip() for name in header]
    found = ", ".join(columns) or "none"
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise InputError(f"{path}: the column {twice[0]!r} is there twice; keep one.")
    if "key" not in columns and not {"video_id", "qid"} <= set(columns):
        raise InputError(
            f'{path}: expected a column "key", or "video_id" and "qid"; found {found}.'
        )
    for name in columns:
        if name not in (*READ, *PASSED_OVER):
            near = get_close_matches(name.lower(), READ, n=1)
            meant = OTHER_NAMES.get(name.lower()) or (near[0] if near else "")
            remedy = f"rename it to {meant!r}" if meant else "remove it"
            raise InputError(f"{path}: unknown column {name!r}; {remedy}. Read are {list(READ)}.")
    if not {"prediction", "start", "end"} & set(columns):
        raise InputError(
            f'{path}: no column "prediction", "start" or "end" to score; found {found}.'
        )
    return columns


def _prediction(key: str, row: Mapping[str, str], where: str, given: str) -> Prediction:
    answer = _cell(row, "prediction", _WHOLE, int, where)
    start, end = (_cell(row, name, _DECIMAL, float, where) for name in ("start", "end"))
    if (start is None) != (end is None):
        raise InputError(f'{where}: "start" and "end" come together; one of them is empty.')
    return Prediction(key, answer, spans={} if start is None else {given: Span(start, end)})


def _cell(
    row: Mapping[str, str], name: str, pattern: re.Pattern, kind: Callable, where: str
) -> Any:
    """A number of one csv cell; None where the column or the cell is empty.

    Python's own reading of numbers takes 1_0 and digits of other scripts, which nobody means.
    """
    text = row.get(name, "")
    if not text:
        return None
    value = kind(text) if pattern.fullmatch(text) and len(text) < 400 else math.nan
    if not math.isfinite(value):
        expected = "the index of a choice" if kind is int else "a finite number"
        raise InputError(f"{where}: {name!r} should be {expected}, got {text[:60]!r}.")
    return value
