"""Many videos and questions from one csv: answered video by video, line by line, and resumable.

The csv has a column ``video`` (a path, absolute or beside the csv), a column ``question`` and, for
questions with choices, ``a0``, ``a1``, ... as in the annotation of NExT-GQA; other columns are
passed over. Each answer is one line of JSON, written as soon as it is there::

    {"row": 3, "video": "a.mp4", "question": "what ...", "answer": "jump up", "interval": ...}

A video that cannot be used gives lines with ``"error"`` and a reason instead of an answer.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from cra_lib.inference.session import VideoSession
from cra_lib.inference.trained import TrainedModel
from cra_lib.records import InputError, json_lines


class Row(NamedTuple):
    """One question of the csv."""

    number: int
    """Line of the question, from 1; the header does not count."""
    video: str
    """As the csv writes it."""
    question: str
    choices: tuple[str, ...] | None


class Done(NamedTuple):
    """What happened to the rows of a csv."""

    answered: int
    failed: int
    before: int
    """Rows that an earlier call had finished."""


def read_rows(path: Path) -> list[Row]:
    """The questions of a csv.

    Raises:
        InputError: no such file, a missing column, or a row without a video or question.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            lines = list(reader)
    except FileNotFoundError:
        raise InputError(f"No csv at {path}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a csv in UTF-8 ({error}).") from None
    for column in ("video", "question"):
        if column not in columns:
            raise InputError(
                f"{path}: no column {column!r}; it has {', '.join(columns) or 'none'}."
            )
    named = sorted((c for c in columns if c and re.fullmatch(r"a\d+", c)), key=lambda c: int(c[1:]))
    return [_row(path, number, line, named) for number, line in enumerate(lines, start=1)]


def _row(path: Path, number: int, line: dict[str, Any], named: list[str]) -> Row:
    video, question = (str(line.get(name) or "").strip() for name in ("video", "question"))
    if not video or not question:
        raise InputError(f"{path}, row {number}: the video or the question is empty.")
    choices = tuple(text for name in named if (text := str(line.get(name) or "").strip()))
    return Row(number, video, question, choices or None)


def ask_csv(
    path: Path,
    out: Path,
    model: TrainedModel,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Done:
    """Answer every question of a csv that ``out`` has no line for yet.

    Args:
        progress: called with the rows done and all rows, after each video.

    Raises:
        InputError: a bad csv, or an ``out`` that belongs to another one.
    """
    path, out = Path(path), Path(out)
    rows = read_rows(path)
    there = _finished(out, rows)
    todo = [row for row in rows if row.number not in there]
    progress(len(there), len(rows))
    answered = failed = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out, "a", encoding="utf-8") as file:
        # Rows of one video need not stand together; each video is decoded once.
        todo.sort(key=lambda row: row.video)
        for video, group in groupby(todo, key=lambda row: row.video):
            for line in _answered(path.parent / video, list(group), model):
                failed += "error" in line
                answered += "error" not in line
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            progress(len(there) + answered + failed, len(rows))
    return Done(answered, failed, len(there))


def _answered(video: Path, rows: list[Row], model: TrainedModel) -> Iterator[dict[str, Any]]:
    about = [{"row": row.number, "video": row.video, "question": row.question} for row in rows]
    try:
        session = VideoSession.open(video, model)
    except (InputError, MemoryError) as error:
        yield from ({**line, "error": str(error) or "out of memory"} for line in about)
        return
    for row, line in zip(rows, about, strict=True):
        try:
            yield {**line, **session.ask(row.question, row.choices).to_json()}
        except InputError as error:
            yield {**line, "error": str(error)}


def _finished(out: Path, rows: list[Row]) -> set[int]:
    """Numbers of the rows that have a line; a half-written last line is dropped."""
    if not out.exists():
        return set()
    content = out.read_bytes()
    if not content.endswith(b"\n"):
        out.write_bytes(content[: content.rfind(b"\n") + 1])
    known = {(row.number, row.video, row.question) for row in rows}
    done = set()
    for number, line in json_lines(out):
        mark = tuple(line.get(k) for k in ("row", "video", "question")) if line else ()
        if mark not in known:
            raise InputError(
                f"{out}, line {number}: not an answer to a row of this csv; move the file away, or "
                "name another one."
            )
        done.add(mark[0])
    return done
