"""STAR: question files and Charades videos -> normal form.

``STAR_{train,val}.json`` are lists of ``{question_id, question, video_id, start, end, answer,
choices: [{choice_id, choice}]}``; ``Video_Segments.csv`` (question_id, video_id, start, end) fills
in times that the lists lack. Lengths and rates come from the video files.

The answers of the official test questions are not public, so the public val is what scores are
reported on, here as split ``test``. What selects the best epoch, split ``val``, is a tenth of the
training videos (selection "described"), or the public val itself as in the released code.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cra_lib.data.card import data_card
from cra_lib.data.star_lengths import annotated_lengths
from cra_lib.evaluator.annotations import (
    read_csv,
    stamps_from_count,
    write_questions,
    write_segments,
    write_stamps,
)
from cra_lib.paths import DataFiles, require
from cra_lib.records import InputError, Question, Span, is_finite_number
from cra_lib.video.frames import VideoInfo, probe

NUM_CHOICES = 4
SELECTION_SHARE = 0.1
SEED = 2024
VIDEO_FOLDERS = ("videos", "Charades_v1_480")
_REMEDY = "`cra doctor star` says where it comes from."


@dataclass(frozen=True)
class Item:
    """One question as STAR lists it, with the interval that it is about, in seconds."""

    question: Question
    segment: Span


@dataclass
class _Counts:
    """Oddities met on the way, for the card."""

    facts: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, number: int = 1) -> None:
        if number:
            self.facts[what] = self.facts.get(what, 0) + number


def prepare(
    root: Path,
    *,
    selection: Literal["described", "released"] = "described",
    lengths: Literal["videos", "annotation"] = "videos",
    skip_bad: bool = False,
    seed: int | None = None,
    workers: int = 2,
) -> dict[str, Any]:
    """Bring the folder of STAR into normal form and check all of it; returns its data card.

    Nothing is written before everything has been read.

    Args:
        selection: where split ``val`` comes from, see above.
        lengths: "videos" reads each file; "annotation" needs none, see `star_lengths`.
        skip_bad: leave out questions whose video is missing or unreadable, and count them.
        seed: of the selection split; None is SEED.
        workers: videos probed at the same time.

    Raises:
        InputError: a missing or malformed file, a video that cannot be read (without `skip_bad`).
    """
    times = _read_times(root / "Video_Segments.csv")
    counts = _Counts()
    public = {name: _read_items(root, name, times, counts) for name in ("train", "val")}
    if lengths == "annotation":
        infos, bad = annotated_lengths(root, _last_moments(public), counts.add), {}
    else:
        infos, bad = _probe_videos(root, public, workers)
    if bad and not skip_bad:
        raise InputError(_bad_videos(bad))
    public = {name: _usable(items, infos, counts) for name, items in public.items()}
    splits = _splits(public, selection, SEED if seed is None else seed, counts)
    _write_splits(DataFiles(root), splits, infos, root)
    facts = {"selection": selection, "warnings": _sentences(counts.facts, bad)}
    return _card(DataFiles(root), selection, facts)


def _card(files: DataFiles, selection: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    if selection == "described":
        return data_card(files, "star", facts=facts)
    # The released way selects and reports on the same videos, which the card must not refuse.
    return data_card(files, "star", facts=facts, disjoint=("train",))


def _read_times(path: Path) -> dict[str, Span]:
    """Question id -> interval in seconds, from Video_Segments.csv; empty where it is absent."""
    if not path.exists():
        return {}
    times = {}
    for number, row in enumerate(read_csv(path, {"question_id", "start", "end"}), start=2):
        where = f"{path}, row {number}"
        try:
            times[row["question_id"]] = Span(float(row["start"]), float(row["end"]))
        except ValueError:
            raise InputError(
                f"{where}: start and end should be seconds, got {row['start']!r}, {row['end']!r}."
            ) from None
    return times


def _read_items(root: Path, name: str, times: Mapping[str, Span], counts: _Counts) -> list[Item]:
    path = require(root / f"STAR_{name}.json", "STAR's question file", _REMEDY)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); fetch it again.") from None
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: expected a list of questions; fetch it again.")
    items, seen = [], set()
    for number, entry in enumerate(entries):
        where = f"{path}, entry {number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("question_id"), str):
            raise InputError(f'{where}: expected an object with a "question_id".')
        where = f"{where} ({entry['question_id']})"
        if entry["question_id"] in seen:
            raise InputError(f"{where}: this question_id was already given; remove one of the two.")
        seen.add(entry["question_id"])
        items.append(Item(_question(entry, where), _segment(entry, times, where, counts)))
    return items


def _question(entry: Mapping[str, Any], where: str) -> Question:
    texts = [entry.get("question"), entry.get("video_id"), entry.get("answer")]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise InputError(f'{where}: "question", "video_id" and "answer" should be texts.')
    choices = _choices(entry.get("choices"), where)
    answer = entry["answer"].strip()
    if answer not in choices:
        raise InputError(f"{where}: the answer {answer!r} is not among the choices {choices}.")
    fields = entry["question_id"].split("_")
    if len(fields) != 3:
        raise InputError(f'{where}: expected a question_id such as "Interaction_T1_13".')
    return Question(
        video_id=entry["video_id"].strip(),
        qid=entry["question_id"],
        text=entry["question"].strip(),
        choices=choices,
        answer=choices.index(answer),
        type=fields[1],
    )


def _choices(choices: object, where: str) -> tuple[str, ...]:
    """The texts of the choices in the order of their ids."""
    if not isinstance(choices, list) or len(choices) != NUM_CHOICES:
        raise InputError(f"{where}: expected {NUM_CHOICES} choices, got {choices!r:.60}.")
    try:
        ordered = sorted(choices, key=lambda choice: int(choice["choice_id"]))
        texts = tuple(choice["choice"].strip() for choice in ordered)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f'{where}: a choice should be {{"choice_id": 0, "choice": text}}.'
        ) from None
    if not all(texts):
        raise InputError(f"{where}: a choice is empty.")
    return texts


def _segment(
    entry: Mapping[str, Any], times: Mapping[str, Span], where: str, counts: _Counts
) -> Span:
    listed = times.get(entry["question_id"])
    start, end = entry.get("start"), entry.get("end")
    if not (is_finite_number(start) and is_finite_number(end)):
        if listed is None:
            raise InputError(
                f'{where}: no "start" and "end" in seconds, nor a row in Video_Segments.csv.'
            )
        counts.add("times_from_segments_csv")
        start, end = listed
    elif listed and max(abs(listed.start - start), abs(listed.end - end)) > 0.1:
        counts.add("times_differ")
    if end < start:
        raise InputError(f"{where}: the interval [{start}, {end}] ends before it starts.")
    return Span(float(start), float(end))


def _last_moments(public: Mapping[str, Sequence[Item]]) -> dict[str, float]:
    """Video id -> the last second that any of its questions is about."""
    last: dict[str, float] = {}
    for item in (item for items in public.values() for item in items):
        video = item.question.video_id
        last[video] = max(last.get(video, 0.0), item.segment.end)
    return last


def video_path(root: Path, video_id: str) -> Path:
    """Where a Charades video lies: videos/, or the folder that the archive unpacks to."""
    candidates = [root / folder / f"{video_id}.mp4" for folder in VIDEO_FOLDERS]
    return next((path for path in candidates if path.exists()), candidates[0])


def _probe_videos(
    root: Path, public: Mapping[str, Sequence[Item]], workers: int
) -> tuple[dict[str, VideoInfo], dict[str, str]]:
    """What each video file says of itself, and why others cannot be read."""
    wanted = sorted({item.question.video_id for items in public.values() for item in items})

    def look(video_id: str) -> VideoInfo | str:
        try:
            return probe(video_path(root, video_id))
        except InputError as error:
            return str(error)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = dict(zip(wanted, pool.map(look, wanted), strict=True))
    infos = {video_id: info for video_id, info in found.items() if isinstance(info, VideoInfo)}
    return infos, {video_id: why for video_id, why in found.items() if isinstance(why, str)}


def _bad_videos(bad: Mapping[str, str]) -> str:
    first = next(iter(bad.values())).rstrip(".")
    return (
        f"{len(bad)} of STAR's videos cannot be used, the first because: {first}. Put Charades' "
        "480p videos into videos/, or let `cra prepare star --skip-bad` leave their questions out."
    )


def _usable(items: Iterable[Item], infos: Mapping[str, VideoInfo], counts: _Counts) -> list[Item]:
    """The questions whose video is there, with the video's size filled in."""
    kept = []
    for item in items:
        info = infos.get(item.question.video_id)
        if info is None:
            counts.add("questions_without_video")
            continue
        q = item.question
        question = Question(q.video_id, q.qid, q.text, q.choices, q.answer, q.type,
                            info.frame_count, info.width, info.height)  # fmt: skip
        kept.append(Item(question, item.segment))
    return kept


def _splits(
    public: Mapping[str, list[Item]], selection: str, seed: int, counts: _Counts
) -> dict[str, list[Item]]:
    """Our train, val and test from the public train and val."""
    train, test = public["train"], public["val"]
    if selection == "described":
        reported = {item.question.video_id for item in test}
        kept = [item for item in train if item.question.video_id not in reported]
        counts.add("train_on_reported_videos", len(train) - len(kept))
        train = kept
    videos = sorted({item.question.video_id for item in train})
    if len(videos) < 2 or not test:
        raise InputError(
            f"STAR: {len(videos)} usable training videos and {len(test)} validation questions are "
            "left; at least two and one are needed."
        )
    if selection == "released":
        return {"train": train, "val": test, "test": test}
    number = max(1, round(SELECTION_SHARE * len(videos)))
    chosen = set(random.Random(seed).sample(videos, number))
    return {
        "train": [item for item in train if item.question.video_id not in chosen],
        "val": [item for item in train if item.question.video_id in chosen],
        "test": test,
    }


def _write_splits(
    files: DataFiles, splits: Mapping[str, list[Item]], infos: Mapping[str, VideoInfo], root: Path
) -> None:
    _link_videos(root)
    for split, items in splits.items():
        write_questions(files.questions(split), [item.question for item in items])
        videos = sorted({item.question.video_id for item in items})
        write_stamps(
            files.stamps(split),
            {v: stamps_from_count(infos[v].frame_count, infos[v].fps) for v in videos},
        )
        if split == "train":
            continue  # training is weakly supervised: its intervals stay out of reach
        segments = {v: _video_entry(infos[v]) for v in videos}
        for item in items:
            q = item.question
            segments[q.video_id]["location"][q.qid] = [list(item.segment)]
        write_segments(files.segments(split), segments)


def _video_entry(info: VideoInfo) -> dict[str, Any]:
    return {"duration": round(info.duration, 3), "location": {}, "fps": round(info.fps, 4)}


def _link_videos(root: Path) -> None:
    """Let the unpacked archive's folder stand as videos/."""
    ours, archive = (root / folder for folder in VIDEO_FOLDERS)
    if archive.is_dir() and not ours.exists():
        ours.symlink_to(archive.name, target_is_directory=True)


_SENTENCES = {
    "times_from_segments_csv": "questions have no times of their own; Video_Segments.csv has them",
    "times_differ": "questions have other times in Video_Segments.csv; their own are used",
    "train_on_reported_videos": "training questions on videos that are reported on were left out",
    "lengths_from_charades": "videos have their length from Charades' own lists, not from a file",
    "lengths_from_last_moment": "videos are taken to end with the last moment that a question is "
    "about, for want of their files; what is relative to a video's length is then too large",
    "questions_without_video": "questions were left out because their video cannot be used",
}


def _sentences(counts: Mapping[str, int], bad: Mapping[str, str]) -> list[str]:
    found = [f"{number:,} {_SENTENCES[what]}." for what, number in counts.items()]
    return found + [f"Left out video {video_id}: {why}" for video_id, why in sorted(bad.items())]
