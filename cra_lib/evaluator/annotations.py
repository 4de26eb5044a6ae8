"""Reading and writing the normal form that every dataset is brought into.

`cra_lib.paths.DataFiles` says where the files of one dataset lie:

``<split>.csv``
    ``video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3[,a4]``; ``answer`` is
    the text of the right choice and empty where it is not public.
``gsub_<split>.json``
    ``{video_id: {"duration": s, "location": {qid: [[start, end], ...]}, "fps": f}}``.
``frame2time_<split>.json``
    ``{video_id: [32 time stamps in seconds]}``.

Standard library only: scoring a predictions file needs these readers and nothing heavier.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cra_lib import records
from cra_lib.paths import DataFiles, atomic, require
from cra_lib.records import (
    InputError,
    Question,
    Span,
    Truth,
    is_finite_number,
    open_text,
    span_from_json,
    stored,
)

NUM_FRAMES = 32
COLUMNS = ("video_id", "frame_count", "width", "height", "question", "answer", "qid", "type")
REMEDY = "Run `cra doctor` for the list of files needed and where they come from."


def read_questions(path: Path) -> list[Question]:
    """The questions of one csv file, in file order.

    Besides the normal form this reads NExT-QA's own files: a ``video`` column instead of
    ``video_id``, and answers given as the index of a choice. A choice list that holds the answer
    twice labels the first of the two, as the released code does.

    Raises:
        InputError: a missing file or column, a malformed row, an answer that is not among its
            choices, or a key given twice; the sentence names file and row.
    """
    rows = read_csv(path, required=set(COLUMNS) - {"video_id"})
    names = sorted(name for name in rows[0] if name[:1] == "a" and name[1:].isdigit())
    if len(names) < 2:
        raise InputError(
            f"{path}: expected a column for each choice (a0, a1, ...), found {names or 'none'}; "
            "an open-ended file has to be converted first with `cra prepare --train-from nextoe`."
        )
    indexed = _answers_are_indices(rows, names)
    questions: list[Question] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        question = _question(row, names, f"{path}, row {number}", indexed)
        if question.key in seen:
            raise InputError(
                f"{path}, row {number}: question {question.key!r} was already given in row "
                f"{seen[question.key]}; remove one of the two."
            )
        seen[question.key] = number
        questions.append(question)
    return questions


def read_csv(path: Path, required: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a csv file as dicts; ``video`` is accepted for ``video_id``.

    Raises:
        InputError: the file is missing, empty, not UTF-8, lacks a column or has a ragged row.
    """
    require(path, "Annotation file", REMEDY)
    with open_text(path, newline="") as file:
        try:
            rows = list(csv.DictReader(file))
        except csv.Error as error:
            raise InputError(f"{path}: not a csv file ({error}); fetch it again.") from None
    if not rows:
        raise InputError(f"{path}: no rows below the header; is the file truncated?")
    columns = set(rows[0]) - {None}
    if missing := sorted({"video_id", *required} - columns - ({"video_id"} & _alias(columns))):
        raise InputError(f"{path}: no column {missing[0]!r}; found {', '.join(sorted(columns))}.")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise InputError(
                f"{path}, row {number}: expected {len(columns)} fields; is a quote or the end of "
                "the file missing? Fetch the file again."
            )
        if "video_id" not in row:
            row["video_id"] = row.pop("video")
    return rows


def _alias(columns: set[str]) -> set[str]:
    return {"video_id"} if "video" in columns else set()


def _answers_are_indices(rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> bool:
    """True if every answer is a choice's index and one of them is no choice's text."""
    indices = {str(index) for index in range(len(names))}
    if not all(row["answer"] in indices for row in rows):
        return False
    return any(row["answer"] not in [row[name] for name in names] for row in rows)


def _question(row: Mapping[str, str], names: Sequence[str], where: str, indexed: bool) -> Question:
    choices = tuple(row[name].strip() for name in names)
    for name in ("video_id", "qid", "question"):
        if not row[name].strip():
            raise InputError(f"{where}: the field {name!r} is empty; fetch the file again.")
    if not all(choices):
        name = names[choices.index("")]
        raise InputError(f"{where}: choice {name!r} is empty; fetch the file again.")
    return Question(
        video_id=row["video_id"].strip(),
        qid=row["qid"].strip(),
        text=row["question"].strip(),
        choices=choices,
        answer=_answer(row["answer"].strip(), choices, where, indexed),
        type=row["type"].strip(),
        frame_count=whole_number(row, "frame_count", where),
        width=whole_number(row, "width", where),
        height=whole_number(row, "height", where),
    )


def _answer(answer: str, choices: tuple[str, ...], where: str, indexed: bool) -> int | None:
    if not answer:
        return None
    if indexed:
        return int(answer)
    if answer not in choices:
        raise InputError(f"{where}: the answer {answer!r} is not among the choices {choices}.")
    return choices.index(answer)


def whole_number(row: Mapping[str, str], name: str, where: str) -> int:
    """A field that must be a whole number, zero or more; empty counts as 0, unknown.

    Raises:
        InputError: it is anything else.
    """
    text = (row.get(name) or "0").strip()
    if not text.isascii() or not text.isdigit():
        raise InputError(f"{where}: {name!r} should be a whole number, got {text!r}.")
    return int(text)


def write_questions(path: Path, questions: Sequence[Question]) -> None:
    """Write questions in the normal form; all must have the same number of choices.

    Raises:
        InputError: no questions, or questions with different numbers of choices.
    """
    counts = sorted({len(question.choices) for question in questions})
    if len(counts) != 1:
        raise InputError(f"{path}: expected one number of choices for all questions, got {counts}.")
    with atomic(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *(f"a{index}" for index in range(counts[0]))])
        for q in questions:
            answer = "" if q.answer is None else q.choices[q.answer]
            size = (q.frame_count, q.width, q.height)
            writer.writerow([q.video_id, *size, q.text, answer, q.qid, q.type, *q.choices])


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds one object.

    Raises:
        InputError: missing, not JSON, or something else than an object.
    """
    require(path, "Annotation file", REMEDY)
    value = records.read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(value).__name__}.")
    return value


def read_segments(path: Path) -> dict[str, dict[str, Any]]:
    """``{video_id: {"duration": s, "location": {qid: (Span, ...)}, "fps": f}}`` of a gsub file.

    Segments are kept as annotated: some run past the duration or start below 0, and the official
    metric scores them so.

    Raises:
        InputError: naming the file and the video or question at fault.
    """
    return {
        video_id: _video_segments(video, f"{path}, video {video_id!r}")
        for video_id, video in read_json(path).items()
    }


def _video_segments(video: object, where: str) -> dict[str, Any]:
    if not isinstance(video, dict) or not isinstance(video.get("location"), dict):
        raise InputError(f'{where}: expected {{"duration", "location", "fps"}}, got {video!r:.60}.')
    duration, fps = video.get("duration"), video.get("fps")
    if not is_finite_number(duration) or duration <= 0:
        raise InputError(f'{where}: "duration" should be seconds above 0, got {duration!r}.')
    if fps is not None and (not is_finite_number(fps) or fps <= 0):
        raise InputError(f'{where}: "fps" should be frames per second above 0, got {fps!r}.')
    location = {}
    for qid, pairs in video["location"].items():
        here = f"{where}, question {qid!r}"
        if not isinstance(pairs, list) or not pairs:
            raise InputError(f"{here}: expected a list of [start, end], got {pairs!r:.60}.")
        location[str(qid)] = tuple(_segment(pair, here) for pair in pairs)
    return {"duration": float(duration), "location": location, "fps": fps}


def _segment(pair: object, where: str) -> Span:
    span = span_from_json(pair, where)
    if span.end < span.start:
        raise InputError(f"{where}: the segment {pair!r} ends before it starts.")
    return span


def write_segments(path: Path, segments: Mapping[str, Mapping[str, Any]]) -> None:
    """Write ``{video_id: {"duration", "location": {qid: [[start, end], ...]}, "fps"}}``."""
    write_json(path, segments)


def write_stamps(path: Path, stamps: Mapping[str, Sequence[float]]) -> None:
    """Write ``{video_id: [seconds, ...]}``."""
    write_json(path, {video_id: list(times) for video_id, times in stamps.items()})


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write JSON whole or not at all; the same value gives the same bytes."""
    with atomic(path) as partial:
        partial.write_text(json.dumps(value, indent=indent) + "\n", encoding="utf-8")


def read_truths(files: DataFiles, split: str) -> dict[str, Truth]:
    """Question key -> what a prediction is scored against, in the order of the csv.

    Raises:
        InputError: the split has no segments (train), or a question has none.
    """
    if stored(files.segments(split)) is None:
        raise InputError(
            f"Split {split!r} has no segments ({files.segments(split)} does not exist), so it "
            f"cannot be scored; the training split never has any. {REMEDY}"
        )
    segments = read_segments(files.segments(split))
    truths = {}
    for question in read_questions(files.questions(split)):
        video = segments.get(question.video_id, {"location": {}})
        if question.qid not in video["location"]:
            raise InputError(
                f"{files.segments(split)}: no segment for question {question.key!r} of "
                f"{files.questions(split).name}; are the two files of the same release?"
            )
        truths[question.key] = Truth(
            key=question.key,
            video_id=question.video_id,
            answer=question.answer,
            segments=video["location"][question.qid],
            duration=video["duration"],
            type=question.type,
            num_choices=len(question.choices),
        )
    return truths


def read_stamps(path: Path) -> dict[str, tuple[float, ...]]:
    """Video id -> the times in seconds of its sampled frames, ascending, equally many a video.

    Raises:
        InputError: naming the file and the video at fault.
    """
    stamps: dict[str, tuple[float, ...]] = {}
    count = 0
    for video_id, times in read_json(path).items():
        where = f"{path}, video {video_id!r}"
        if not isinstance(times, list) or not times or not all(map(is_finite_number, times)):
            raise InputError(f"{where}: expected a list of times in seconds, got {times!r:.60}.")
        count = count or len(times)
        if len(times) != count:
            raise InputError(f"{where}: expected {count} time stamps, got {len(times)}.")
        if times[0] < 0 or any(a > b for a, b in zip(times, times[1:], strict=False)):
            raise InputError(f"{where}: time stamps should ascend from 0 or more.")
        stamps[video_id] = tuple(map(float, times))
    return stamps


def stamps_from_count(
    frame_count: int, fps: float, num_frames: int = NUM_FRAMES
) -> tuple[float, ...]:
    """The times in seconds at which NExT-GQA samples a video, from its length alone.

    Frames were dumped at 6 per second, every third was kept, and `num_frames` were taken evenly
    without the two ends, each as the third of a clip of four. The dump holds about a frame more
    than the length says; counting it as below reproduces 1,548 of the 1,569 official lists of val
    and test exactly, and every stamp within 0.5 s (in the other 21 the number of kept frames is one
    more or less).

    Raises:
        InputError: a count or rate that is not positive.

    >>> stamps_from_count(1021, 29.97)[:3]
    (1.2, 2.2, 3.2)
    """
    if frame_count <= 0 or not is_finite_number(fps) or fps <= 0:
        raise InputError(
            f"Cannot place {num_frames} stamps on {frame_count} frames at {fps} frames a second."
        )
    dumped = 6 * (frame_count + 0.5) / fps + 1
    kept = math.ceil(dumped / 3)
    step = kept / (num_frames + 1)
    taken = sorted(_third_of_clip(int(step * i), kept) for i in range(1, num_frames + 1))
    return tuple(round((3 * frame + 1) / 6, 1) for frame in taken)


def _third_of_clip(centre: int, kept: int) -> int:
    """The frame in the third place of the clip of four around a frame: usually that frame.

    A clip at the edge is filled up with the first or the last frame. One that would reach past the
    end stops before the last frame, which the filling makes up for in all but the shortest videos:
    of two or three kept frames (up to a second and a half) the last is never taken.
    """
    start, end = max(0, centre - 2), centre + 2
    clip = list(range(start, end if end <= kept else kept - 1))
    if start == 0:
        clip = [0] * (4 - len(clip)) + clip
    clip += [kept - 1] * (4 - len(clip))
    return clip[2]
