"""Scores video by video: what resampling of videos and seeds starts from, without predictions.

``scores_by_video_<split>.csv`` has one row a video: ``video``, ``questions`` and, for each of
METRICS, the *sum* over the video's questions in percent, by the span rule that the run reports. A
mean over any choice of videos is a sum of sums over a sum of counts.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cra_lib.evaluator.metrics import (
    METRICS,
    by_key,
    metric_columns,
    prediction_answers,
    prediction_spans,
    question_scores,
    truth_table,
)
from cra_lib.paths import atomic
from cra_lib.records import InputError, Prediction, Truth

HEAD = ("video", "questions", *METRICS)


class VideoScores(NamedTuple):
    """Scores of one run on one split, summed over the questions of each of V videos."""

    videos: tuple[str, ...]
    questions: np.ndarray
    """[V] counts."""
    sums: np.ndarray
    """[V, M] sums of METRICS, in percent."""

    @property
    def means(self) -> np.ndarray:
        """[M] METRICS of the whole split, in percent."""
        return self.sums.sum(axis=0) / self.questions.sum()


def video_scores(
    predictions: Mapping[str, Prediction] | list[Prediction],
    truths: Mapping[str, Truth],
    rule: str | None,
) -> VideoScores:
    """Score every question and add up by video."""
    table, indexed = truth_table(truths), by_key(predictions)
    spans, answers = prediction_spans(indexed, rule, table), prediction_answers(indexed, table)
    columns = metric_columns(question_scores(spans, answers, table))
    count = int(table.videos.max()) + 1
    sums = np.stack([np.bincount(table.videos, column, count) for column in columns.T], axis=1)
    names = tuple(dict.fromkeys(truth.video_id for truth in truths.values()))
    return VideoScores(names, np.bincount(table.videos, minlength=count), sums)


def write_video_scores(path: Path, scores: VideoScores) -> None:
    """Write one row a video."""
    rows = zip(scores.videos, scores.questions.tolist(), scores.sums.tolist(), strict=True)
    with atomic(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows([name, count, *(f"{v:.6g}" for v in sums)] for name, count, sums in rows)


def read_video_scores(path: Path) -> VideoScores:
    """Read what `write_video_scores` wrote.

    Raises:
        InputError: the file has other columns, a value that is no number, or no row.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows or tuple(rows[0]) != HEAD or len(rows) < 2:
        raise InputError(
            f"{path}: expected the columns {', '.join(HEAD)} and a row for each video."
        )
    try:
        numbers = np.array([row[1:] for row in rows[1:]], float)
    except ValueError as error:
        raise InputError(f"{path}: {error}; predict and score this run again.") from None
    return VideoScores(tuple(row[0] for row in rows[1:]), numbers[:, 0].astype(int), numbers[:, 1:])


def stack_seeds(runs: Sequence[VideoScores]) -> tuple[np.ndarray, np.ndarray]:
    """Sums ``[S, V, M]`` of S runs over the same V videos, and their questions ``[V]``.

    Raises:
        InputError: the runs were scored on different videos or questions.
    """
    first = runs[0]
    for run in runs[1:]:
        if run.videos != first.videos or (run.questions != first.questions).any():
            raise InputError(
                f"Runs on different videos cannot be compared: {len(first.videos)} videos with "
                f"{first.questions.sum()} questions, and {len(run.videos)} with "
                f"{run.questions.sum()}."
            )
    return np.stack([run.sums for run in runs]), first.questions
