"""The data card: what a prepared dataset holds, checked, with every oddity counted.

`data_card` validates all splits (a problem that would falsify results is an InputError) and
returns a plain dict, written as ``data_card.json``::

    dataset     name
    train_from  "official" or "nextoe", where the dataset is nextgqa
    splits      {split: {videos, questions, choices, types: {type: n}, segments, mean_segment_s,
                mean_video_s, mean_ratio, oddities: {what: n}}}
    features    {encoder: {split: {videos, frames, width}}}
    warnings    one sentence for each kind of oddity, with its count
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from cra_lib.datasets import dataset_named
from cra_lib.evaluator.annotations import (
    read_json,
    read_questions,
    read_segments,
    read_stamps,
    read_truths,
)
from cra_lib.paths import DataFiles
from cra_lib.records import InputError, Question, Truth

ODDITIES = {
    "segments_outside_video": "segments start before 0 or run past the video; kept for scoring, "
    "clipped for drawing",
    "segments_of_zero_length": "segments have no length; only a prediction around them can hit",
    "answers_twice": "questions have their answer twice among the choices; the first is the label",
    "choices_twice": "questions offer a wrong choice twice",
    "answers_unknown": "questions have no public answer",
    "listed_without_question": "videos have segments or stamps but no question",
    "questions_without_type": "questions have no type",
    "stamps_past_end": "videos have a time stamp past their duration",
}
"""Oddity -> the sentence that follows its count."""
NO_FEATURES = "No features yet: run `cra features extract`, or fetch the published ones."


def data_card(
    files: DataFiles,
    dataset: str,
    *,
    facts: Mapping[str, Any] | None = None,
    disjoint: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Validate a prepared dataset and describe it.

    Args:
        facts: further entries of the card, such as where the training questions come from.
        disjoint: the splits that may not share a video; None means all.
        splits: the splits to describe; None means all.

    Raises:
        InputError: a file is missing or damaged, a video is in two splits, stamps or features of
            a video are missing or not finite.
    """
    described = splits or dataset_named(dataset).splits
    questions = {split: read_questions(files.questions(split)) for split in described}
    check_disjoint({split: questions[split] for split in disjoint or questions})
    card: dict[str, Any] = {"dataset": dataset, **(facts or {})}
    card["splits"] = {split: _split_card(files, split, asked) for split, asked in questions.items()}
    card["features"] = _feature_card(files, questions)
    card["warnings"] = _warnings(card, facts or {})
    return card


def add_features(card: Mapping[str, Any], files: DataFiles, dataset: str) -> dict[str, Any]:
    """The card of a dataset whose features have been extracted since.

    Raises:
        InputError: the features lack a video or are not finite.
    """
    splits = dataset_named(dataset).splits
    questions = {split: read_questions(files.questions(split)) for split in splits}
    renewed = {**card, "features": _feature_card(files, questions)}
    renewed["warnings"] = [text for text in card["warnings"] if text != NO_FEATURES]
    return renewed


def check_disjoint(questions: Mapping[str, Sequence[Question]]) -> None:
    """No video may be in two splits.

    Raises:
        InputError: naming the first video that is.
    """
    owner: dict[str, str] = {}
    for split, rows in questions.items():
        for video_id in {question.video_id for question in rows}:
            if owner.setdefault(video_id, split) != split:
                raise InputError(
                    f"Video {video_id!r} has questions in both {owner[video_id]}.csv and "
                    f"{split}.csv, so scores would be inflated; remove it from one of the two."
                )


def _split_card(files: DataFiles, split: str, questions: Sequence[Question]) -> dict[str, Any]:
    videos = {question.video_id for question in questions}
    oddities = Counter(_question_oddities(questions))
    card: dict[str, Any] = {
        "videos": len(videos),
        "questions": len(questions),
        "choices": len(questions[0].choices),
        "types": dict(sorted(Counter(question.type for question in questions).items())),
        "segments": 0,
    }
    if split != "train":  # weakly supervised: only these have segments, and they must
        truths = read_truths(files, split)
        listed = read_segments(files.segments(split))
        card.update(_segment_card(truths.values()))
        oddities.update(_segment_oddities(truths.values()))
        durations = {video_id: video["duration"] for video_id, video in listed.items()}
        oddities.update(_check_stamps(files.stamps(split), videos, durations))
        oddities["listed_without_question"] = len(set(listed) - videos)
    card["oddities"] = {what: oddities[what] for what in ODDITIES if oddities[what]}
    return card


def _question_oddities(questions: Sequence[Question]) -> Iterable[str]:
    for question in questions:
        if question.answer is None:
            yield "answers_unknown"
        elif question.choices.count(question.choices[question.answer]) > 1:
            yield "answers_twice"
        wrong = [text for text in question.choices if text != _answer_text(question)]
        if len(set(wrong)) < len(wrong):
            yield "choices_twice"
        if not question.type:
            yield "questions_without_type"


def _answer_text(question: Question) -> str | None:
    return None if question.answer is None else question.choices[question.answer]


def _segment_card(truths: Iterable[Truth]) -> dict[str, Any]:
    truths = list(truths)
    lengths = [span.end - span.start for truth in truths for span in truth.segments]
    durations = {truth.video_id: truth.duration for truth in truths}
    return {
        "segments": len(lengths),
        "mean_segment_s": round(fmean(lengths), 3),
        "mean_video_s": round(fmean(durations.values()), 3),
        "mean_ratio": round(fmean(segment_ratios(truths)), 4),
    }


def _segment_oddities(truths: Iterable[Truth]) -> Iterable[str]:
    for truth in truths:
        for span in truth.segments:
            if span.start < 0 or span.end > truth.duration:
                yield "segments_outside_video"
            if span.start == span.end:
                yield "segments_of_zero_length"


def _check_stamps(path: Path, videos: set[str], durations: Mapping[str, float]) -> Iterable[str]:
    stamps = read_stamps(path)
    if missing := sorted(videos - set(stamps)):
        raise InputError(
            f"{path}: no time stamps for video {missing[0]!r} ({len(missing)} videos in all); "
            "fetch the file again, or prepare the dataset again."
        )
    return [
        "stamps_past_end"
        for video_id in videos
        if video_id in durations and stamps[video_id][-1] > durations[video_id]
    ]


def _feature_card(
    files: DataFiles, questions: Mapping[str, Sequence[Question]]
) -> dict[str, dict[str, Any]]:
    """Facts about every feature file present; each must hold all videos of its split, finite."""
    folder = files.root / "video_feature"
    card: dict[str, dict[str, Any]] = {}
    for encoder in sorted(path.name for path in folder.glob("*") if path.is_dir()):
        for split, rows in questions.items():
            if files.features(encoder, split).exists():
                card.setdefault(encoder, {})[split] = _check_features(
                    files.features(encoder, split), sorted({row.video_id for row in rows})
                )
    return card


def _check_features(path: Path, videos: Sequence[str]) -> dict[str, int]:
    from cra_lib.video.features import FeatureStore

    with FeatureStore(path) as store:
        for start in range(0, len(videos), 64):
            store.take(videos[start : start + 64])
        return {"videos": len(store), "frames": store.num_frames, "width": store.width}


def _warnings(card: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    found = list(facts.get("warnings", ()))
    for what, sentence in ODDITIES.items():
        counts = {
            split: facts["oddities"][what]
            for split, facts in card["splits"].items()
            if what in facts["oddities"]
        }
        if counts:
            where = ", ".join(f"{count:,} of {split}" for split, count in counts.items())
            found.append(f"{where}: {sentence}.")
    if not card["features"]:
        found.append(NO_FEATURES)
    return found


def dataset_table(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the dataset table: one a split, counts and mean lengths in seconds."""
    names = ("videos", "questions", "choices", "segments", "mean_segment_s", "mean_video_s",
             "mean_ratio")  # fmt: skip
    return [
        {"split": split, **{name: facts.get(name) for name in names}}
        for split, facts in card["splits"].items()
    ]


def segment_ratios(truths: Iterable[Truth]) -> list[float]:
    """Length of each ground-truth segment relative to its video, clipped to the video."""
    return [
        max(0.0, min(span.end, truth.duration) - max(span.start, 0.0)) / truth.duration
        for truth in truths
        for span in truth.segments
    ]


def answer_cooccurrence(
    questions: Iterable[Question], words: Sequence[str] = ("baby", "woman"), top: int = 12
) -> dict[str, dict[str, float]]:
    """Which answers go with a word: answer -> word -> percent of the questions with that word.

    The answers kept are the `top` whose shares differ most between the words: these are what a
    model may guess from the word alone. Empty where one of the words is in no question.
    """
    counts = {word: Counter() for word in words}
    for question in questions:
        if question.answer is None:
            continue
        mentioned = set(re.findall(r"[a-z]+", question.text.lower()))
        for word in mentioned.intersection(words):
            counts[word][question.choices[question.answer].lower()] += 1
    if not all(counts.values()):
        return {}
    totals = {word: found.total() for word, found in counts.items()}
    shares = {
        answer: {word: 100 * counts[word][answer] / totals[word] for word in words}
        for answer in sorted(set().union(*counts.values()))
    }
    spread = {answer: max(by.values()) - min(by.values()) for answer, by in shares.items()}
    chosen = sorted(spread, key=lambda answer: (-spread[answer], answer))[:top]
    return {answer: shares[answer] for answer in chosen}


def answers_with_all(questions: Iterable[Question], words: Sequence[str]) -> Counter[str]:
    """Right answers, in lower case, of the questions that mention every one of some words."""
    return Counter(
        question.choices[question.answer].lower()
        for question in questions
        if question.answer is not None
        and set(words) <= set(re.findall(r"[a-z]+", question.text.lower()))
    )


def evidence_cover(truths: Iterable[Truth], points: int = 101) -> list[float]:
    """At evenly spread places from a video's start (0) to its end: percent of the questions whose
    evidence holds that moment. A prediction of that instant in every video would be grounded so
    often."""
    truths = list(truths)
    places = np.linspace(0, 1, points)
    covered = np.zeros(points)
    for truth in truths:
        moments = places * truth.duration
        inside = [(start <= moments) & (moments <= end) for start, end in truth.segments]
        covered += np.any(inside, axis=0)
    return (100 * covered / max(1, len(truths))).tolist()


def read_card(path: Path) -> dict[str, Any]:
    """A card as `data_card` returned it.

    Raises:
        InputError: the file is missing or not JSON.
    """
    return read_json(path)
