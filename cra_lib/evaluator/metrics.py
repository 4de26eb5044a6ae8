"""NExT-GQA's scores, exactly, over plain arrays: numpy only, every question at once.

For one predicted interval and one annotated segment, with ``shared`` their overlap in seconds
(negative when they are apart)::

    IoU = shared / (latest end - earliest start)      IoP = shared / length of the prediction

A prediction without length has IoU 0, and IoP 1 if it lies in the segment (ends included), else 0;
a reversed one has IoP 0. Each question takes the best IoU and the best IoP over its segments, each
on its own, and never less than 0. Acc@GQA counts right answers with IoP >= 0.5.

The official script leaves out questions without an interval; here that is ``official=True``, and
otherwise a question without an interval or an answer counts as wrong. Both say how many there were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from cra_lib.records import InputError, Prediction, Truth

GROUNDED = 0.5
"""IoP from which a prediction counts as grounded."""

NO_ANSWER = -1
"""Stands for a missing answer in integer columns."""


class TruthTable(NamedTuple):
    """The annotation of N questions as columns, in one fixed order of questions."""

    keys: list[str]
    """Question keys [N]."""
    videos: np.ndarray
    """Index of each question's video [N], from 0 in order of first appearance."""
    types: np.ndarray
    """Question types [N] as strings."""
    answers: np.ndarray
    """Index of the right choice [N]; NO_ANSWER where it is not public."""
    durations: np.ndarray
    """Length of each question's video [N] in seconds."""
    segments: np.ndarray
    """All segments [M, 2] in seconds, question after question."""
    first_segment: np.ndarray
    """Row of each question's first segment [N]."""

    def __len__(self) -> int:
        """Number of questions (not of columns)."""
        return len(self.keys)


class QuestionScores(NamedTuple):
    """What each of N questions scored."""

    iou: np.ndarray
    """Best IoU over the segments [N], 0 to 1."""
    iop: np.ndarray
    """Best IoP over the segments [N], 0 to 1."""
    right: np.ndarray
    """Is the answer right [N]."""
    has_span: np.ndarray
    """Was there an interval for this question [N]."""
    has_answer: np.ndarray
    """Was there an answer for this question [N]."""

    @property
    def grounded(self) -> np.ndarray:
        """Is IoP at least 0.5 [N]."""
        return self.iop >= GROUNDED


ANSWERS, INTERVALS = "answers", "intervals"
"""What a metric may need of the predictions."""


class Metric(NamedTuple):
    """One score: the mean over questions of what each of them adds."""

    name: str
    """As in tables, score files and the columns of the published rows."""
    short: str
    """Heading where a table is narrow."""
    needs: tuple[str, ...]
    """ANSWERS, INTERVALS or both; without them the score is not defined."""
    values: Callable[[QuestionScores], np.ndarray]
    """What each question adds [N], in the unit before scaling."""
    scale: float = 100.0
    """Factor to the unit shown: a share from 0 to 1 becomes percent."""


_TABLE = (
    Metric("Acc@GQA", "GQA", (ANSWERS, INTERVALS), lambda q: q.right & q.grounded),
    Metric("Acc@QA", "QA", (ANSWERS,), lambda q: q.right),
    Metric("mIoP", "mIoP", (INTERVALS,), lambda q: q.iop),
    Metric("IoP@0.3", "P@.3", (INTERVALS,), lambda q: q.iop >= 0.3),
    Metric("IoP@0.5", "P@.5", (INTERVALS,), lambda q: q.iop >= 0.5),
    Metric("mIoU", "mIoU", (INTERVALS,), lambda q: q.iou),
    Metric("IoU@0.3", "U@.3", (INTERVALS,), lambda q: q.iou >= 0.3),
    Metric("IoU@0.5", "U@.5", (INTERVALS,), lambda q: q.iou >= 0.5),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _TABLE}
"""Name -> score, in the order of the published tables. Reports, intervals, comparisons, tables and
the leaderboard show whatever is here: another metric is one more entry."""

HEADLINE = ("Acc@QA", "Acc@GQA", "mIoU")
"""The scores that stand for all of them in training logs, summaries and overview figures."""


def truth_table(truths: Mapping[str, Truth] | Iterable[Truth]) -> TruthTable:
    """The truths as columns, in the order given.

    Raises:
        InputError: there are none, or one has no segment.
    """
    rows = list(truths.values() if isinstance(truths, Mapping) else truths)
    if not rows:
        raise InputError("There are no questions to score; is the subset or the split empty?")
    for truth in rows:
        if not truth.segments:
            raise InputError(f"Question {truth.key!r} has no annotated segment to score against.")
    video_index: dict[str, int] = {}
    counts = np.array([len(truth.segments) for truth in rows])
    return TruthTable(
        keys=[truth.key for truth in rows],
        videos=np.array([video_index.setdefault(t.video_id, len(video_index)) for t in rows]),
        types=np.array([truth.type for truth in rows]),
        answers=np.array([NO_ANSWER if t.answer is None else t.answer for t in rows]),
        durations=np.array([truth.duration for truth in rows], float),
        segments=np.array([segment for truth in rows for segment in truth.segments], float),
        first_segment=np.concatenate([[0], np.cumsum(counts)[:-1]]),
    )


def pair_overlap(spans: np.ndarray, segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IoU and IoP of interval i with segment i, both ``[M]``, before any best-of.

    Disjoint intervals give negative values; NaN ends give 0.
    """
    start, end = spans[:, 0], spans[:, 1]
    low, high = segments[:, 0], segments[:, 1]
    shared = np.minimum(high, end) - np.maximum(low, start)
    hull = np.maximum(high, end) - np.minimum(low, start)
    length = end - start
    iou = np.divide(shared, hull, out=np.zeros_like(shared), where=hull > 0)
    iop = np.divide(shared, length, out=np.zeros_like(shared), where=length > 0)
    instant = length == 0
    iou[instant] = 0.0
    iop[instant] = ((low <= start) & (start <= high))[instant]
    return iou, iop


def best_overlap(spans: np.ndarray, table: TruthTable) -> tuple[np.ndarray, np.ndarray]:
    """Best IoU and best IoP ``[N]`` over each question's segments, each at least 0."""
    counts = np.diff(np.append(table.first_segment, len(table.segments)))
    overlaps = pair_overlap(np.repeat(spans, counts, axis=0), table.segments)
    iou, iop = (np.maximum(np.maximum.reduceat(v, table.first_segment), 0.0) for v in overlaps)
    return iou, iop


def question_scores(spans: np.ndarray, answers: np.ndarray, table: TruthTable) -> QuestionScores:
    """Score every question.

    Args:
        spans: ``[N, 2]`` seconds in the table's order; NaN where there is none.
        answers: ``[N]`` chosen indices; NO_ANSWER where there is none.
    """
    iou, iop = best_overlap(spans, table)
    has_answer = answers != NO_ANSWER
    right = has_answer & (answers == table.answers)
    return QuestionScores(iou, iop, right, ~np.isnan(spans).any(axis=1), has_answer)


def metric_columns(scores: QuestionScores) -> np.ndarray:
    """What each question adds to each of METRICS ``[N, M]``, in the unit shown."""
    return np.stack([metric.values(scores) * metric.scale for metric in METRICS.values()], axis=1)


def counted_rows(scores: QuestionScores, official: bool = False) -> np.ndarray:
    """Which questions the means are over ``[N]``: all, or officially those with an interval.

    Where no question has an interval, those with an answer stand in.
    """
    given = scores.has_span if scores.has_span.any() else scores.has_answer
    return given if official else np.ones_like(given)


def given_kinds(scores: QuestionScores) -> dict[str, bool]:
    """Kind (ANSWERS, INTERVALS) -> does any question have one?"""
    return {ANSWERS: bool(scores.has_answer.any()), INTERVALS: bool(scores.has_span.any())}


def missing_rows(scores: QuestionScores, official: bool = False) -> np.ndarray:
    """Which questions lack a prediction ``[N]``: an answer or an interval that others have.

    The official script looks for intervals alone.
    """
    if official:
        return ~counted_rows(scores, official=True)
    kinds = given_kinds(scores)
    lacks_answer = ~scores.has_answer if kinds[ANSWERS] else np.zeros(len(scores.right), bool)
    lacks_span = ~scores.has_span if kinds[INTERVALS] else np.zeros(len(scores.right), bool)
    return lacks_answer | lacks_span


def summarise(scores: QuestionScores, official: bool = False) -> dict[str, float]:
    """METRICS, then ``questions`` (scored) and ``skipped`` (without an answer or an interval).

    A metric that needs answers (or intervals) is NaN when no question has one; the official
    script's 0 for missing answers comes with ``official``. An answer of a question without an
    interval is not counted under ``official``, again as there.
    """
    kinds, counted = given_kinds(scores), counted_rows(scores, official)
    kinds[ANSWERS] |= official
    values = metric_columns(scores)[counted]
    means = values.mean(axis=0) if len(values) else np.full(len(METRICS), np.nan)
    result = {
        metric.name: mean if all(kinds[need] for need in metric.needs) else float("nan")
        for metric, mean in zip(METRICS.values(), means.tolist(), strict=True)
    }
    skipped = int(missing_rows(scores, official).sum())
    return result | {"questions": int(counted.sum()), "skipped": skipped}


def prediction_spans(
    predictions: Mapping[str, Prediction], rule: str | None, table: TruthTable
) -> np.ndarray:
    """Intervals ``[N, 2]`` in the table's order; NaN where a question has none by that rule."""
    missing = (np.nan, np.nan)
    found = (predictions.get(key) for key in table.keys)
    pairs = [p.spans.get(rule, missing) if p and rule else missing for p in found]
    return np.array(pairs, float).reshape(-1, 2)


def prediction_answers(predictions: Mapping[str, Prediction], table: TruthTable) -> np.ndarray:
    """Chosen indices ``[N]`` in the table's order; NO_ANSWER where a question has none."""
    found = (predictions.get(key) for key in table.keys)
    return np.array([NO_ANSWER if p is None or p.answer is None else p.answer for p in found])


def by_key(predictions: Mapping[str, Prediction] | Iterable[Prediction]) -> dict[str, Prediction]:
    """Key -> prediction.

    Raises:
        InputError: two predictions for one question.
    """
    if isinstance(predictions, Mapping):
        return dict(predictions)
    indexed: dict[str, Prediction] = {}
    for prediction in predictions:
        if prediction.key in indexed:
            raise InputError(f"Two predictions for question {prediction.key!r}; keep one.")
        indexed[prediction.key] = prediction
    return indexed


def score(
    predictions: Mapping[str, Prediction] | Iterable[Prediction],
    truths: Mapping[str, Truth] | Iterable[Truth],
    rule: str | None,
    official: bool = False,
) -> dict[str, float]:
    """Scores of one span rule: METRICS in percent, then ``questions`` and ``skipped``.

    Args:
        rule: which of the predictions' intervals to score; None scores the answers alone.
        official: leave out questions without an interval instead of counting them as wrong.

    >>> from cra_lib.records import Span
    >>> truth = Truth("7_0", "7", 2, (Span(0.0, 10.0),), 40.0, "CW")
    >>> guess = Prediction("7_0", 2, spans={"post-hoc": Span(2.0, 7.0)})
    >>> result = score([guess], [truth], "post-hoc")
    >>> result["Acc@GQA"], result["IoU@0.5"], result["mIoU"]
    (100.0, 100.0, 50.0)
    """
    table, indexed = truth_table(truths), by_key(predictions)
    spans = prediction_spans(indexed, rule, table)
    scores = question_scores(spans, prediction_answers(indexed, table), table)
    return summarise(scores, official)
