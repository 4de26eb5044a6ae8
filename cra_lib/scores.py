"""The score report: one JSON document that says all there is to say about one prediction file.

``cra evaluate --json`` and ``scores_<split>.json`` are both the dict that `score_report` returns::

    {"header": {"split": "test", "rules": ["post-hoc", ...], "stamps": "frame2time",
                "questions": 5553, "videos": 990, "official": false, ...},
     "rules": {"post-hoc": {"Acc@GQA": 18.2, "Acc@QA": 61.1, "mIoP": ..., "IoP@0.3": ...,
                            "IoP@0.5": ..., "mIoU": ..., "IoU@0.3": ..., "IoU@0.5": ...,
                            "questions": 5553, "skipped": 0}},
     "intervals": {"post-hoc": {"Acc@GQA": [17.1, 19.3], ...}},
     "by_type": {"post-hoc": {"CW": {metrics as above}, "CH": ..., "TN+TP": ..., "TC": ...,
                              "causal": ..., "temporal": ...}},
     "faithfulness": {"post-hoc": {"right and grounded": 18.2, "right but ungrounded": 42.9,
                                   "wrong but grounded": ..., "wrong and ungrounded": ...,
                                   "faithful rate": ..., "UF@0.3": ..., "UF@0.5": ...}},
     "same_video_overlap": {"post-hoc": 64.3, ..., "truth": 16.4},
     "calibration": {"error": 4.1, "bins": [{"low", "high", "questions", "confidence",
                                             "accuracy"}, ...]},
     "span_histograms": {"post-hoc": {"start": [20 shares], "length": [20 shares]}, "truth": ...},
     "blind": {"middle third": {metrics as above}, ...}}

Everything is in percent. ``header`` holds whatever the caller gives beside the counts. A part
that the inputs do not allow is an empty dict (``intervals`` without a bootstrap, ``calibration``
without probabilities), and a metric that needs answers or intervals nobody gave is null. The
95 % ``intervals`` come from resampling videos. ``faithful rate`` is Acc@GQA / Acc@QA; ``UF@x`` is
the share answered right with IoP below x. ``same_video_overlap`` is the mean IoU between the
intervals of two questions on one video: near 100, the model does not listen to the question.
``span_histograms`` count start and length as fractions of the video, in twenty equal bins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cra_lib.blind import blind_spans
from cra_lib.metrics import (
    METRICS,
    QuestionScores,
    TruthTable,
    by_key,
    counted_rows,
    metric_columns,
    pair_overlap,
    prediction_answers,
    prediction_spans,
    question_scores,
    summarise,
    truth_table,
)
from cra_lib.records import InputError, Prediction, Truth
from cra_lib.spans import RULES
from cra_lib.statistics import bootstrap_intervals

TYPE_GROUPS = {
    "CW": ("CW",),
    "CH": ("CH",),
    "TN+TP": ("TN", "TP"),
    "TC": ("TC",),
    "causal": ("CW", "CH"),
    "temporal": ("TN", "TP", "TC"),
    "descriptive": ("DC", "DL", "DO"),
}
"""Rows of the per-type table -> question types; other types (STAR's T1, ...) are their own row."""

HISTOGRAM_BINS = 20
CALIBRATION_BINS = 10


def score_report(
    predictions: Mapping[str, Prediction] | Iterable[Prediction],
    truths: Mapping[str, Truth] | Iterable[Truth],
    rules: Sequence[str] | None = None,
    header: Mapping[str, Any] | None = None,
    bootstrap: int = 0,
    official: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything about one set of predictions; the module's docstring describes the result.

    Args:
        rules: span rules to score; None scores every rule that the predictions carry.
        header: what the report should say about its inputs (split, stamps, files, ...).
        bootstrap: number of resamplings for ``intervals``; 0 leaves them out.
        official: leave out questions without a prediction, as the official script does.

    Raises:
        InputError: no prediction is about these questions, none carries a rule, or an answer is
            no choice's index.
    """
    truths = list(truths.values() if isinstance(truths, Mapping) else truths)
    table, indexed = truth_table(truths), by_key(predictions)
    check_predictions(indexed, truths)
    rules = carried_rules(indexed, rules)
    answers = prediction_answers(indexed, table)
    spans = {rule: prediction_spans(indexed, rule, table) for rule in rules}
    by_rule = {rule: question_scores(spans[rule], answers, table) for rule in rules}
    if not rules:  # a file of answers alone still has an accuracy
        by_rule = {"answers": question_scores(np.full((len(table), 2), np.nan), answers, table)}
    unknown = len(indexed) - sum(key in indexed for key in table.keys)
    counts = {"questions": len(table), "videos": int(table.videos.max()) + 1, "unknown": unknown}
    settings = {"official": official, "bootstrap": bootstrap, "seed": seed}
    return _without_nan(
        {
            "header": {**(header or {}), "rules": list(by_rule), **counts, **settings},
            "rules": {rule: summarise(scores, official) for rule, scores in by_rule.items()},
            "intervals": _intervals(by_rule, table, bootstrap, official, seed),
            "by_type": {rule: by_type(scores, table, official) for rule, scores in by_rule.items()},
            "faithfulness": {rule: faithfulness(by_rule[rule], official) for rule in rules},
            "same_video_overlap": same_video_overlaps(spans, table),
            "calibration": calibration(indexed, table),
            "span_histograms": span_histograms(spans, table),
            "blind": _blind_scores(answers, table, seed),
        }
    )


def blind_scores(
    predictions: Mapping[str, Prediction] | Iterable[Prediction],
    truths: Mapping[str, Truth] | Iterable[Truth],
    seed: int = 0,
) -> dict[str, dict[str, float | None]]:
    """Row of `blind.BLIND_ROWS` -> scores of that interval with the answers of these predictions.

    Without predictions the accuracies are None.

    Raises:
        InputError: the predictions are about other questions.
    """
    truths = list(truths.values() if isinstance(truths, Mapping) else truths)
    table, indexed = truth_table(truths), by_key(predictions)
    if indexed:
        check_predictions(indexed, truths)
    return _without_nan(_blind_scores(prediction_answers(indexed, table), table, seed))


def _blind_scores(answers: np.ndarray, table: TruthTable, seed: int) -> dict[str, dict[str, float]]:
    return {
        name: summarise(question_scores(pairs, answers, table))
        for name, pairs in blind_spans(table.durations, seed).items()
    }


def check_predictions(predictions: Mapping[str, Prediction], truths: Sequence[Truth]) -> None:
    """Refuse predictions that are about other questions, or answers that no choice has.

    Raises:
        InputError: naming the first key at fault.
    """
    if not any(truth.key in predictions for truth in truths):
        example = next(iter(predictions), None)
        raise InputError(
            f"None of the {len(predictions)} predictions (first key: {example!r}) is about the "
            f"{len(truths)} questions scored (first key: {truths[0].key!r}); is it another split?"
        )
    for truth in truths:
        prediction = predictions.get(truth.key)
        if prediction is None or prediction.answer is None:
            continue
        answer, count = prediction.answer, truth.num_choices
        if answer < 0 or (count and answer >= count):
            expected = f"0 to {count - 1}" if count else "0 or more"
            raise InputError(
                f"Prediction {truth.key!r}: answer {answer} is no index of a choice ({expected})."
            )


def carried_rules(
    predictions: Mapping[str, Prediction], wanted: Sequence[str] | None = None
) -> list[str]:
    """The span rules that the predictions carry, in the order of the tables, or those wanted.

    Raises:
        InputError: a wanted rule is in no prediction.
    """
    carried = {rule for prediction in predictions.values() for rule in prediction.spans}
    known = [rule for rule in RULES if rule in carried] + sorted(carried - set(RULES))
    for rule in wanted or ():
        if rule not in carried:
            raise InputError(
                f"No prediction has an interval by the rule {rule!r}; "
                f"there are: {', '.join(known) or 'none'}."
            )
    return known if wanted is None else list(wanted)


def select(scores: QuestionScores, rows: np.ndarray) -> QuestionScores:
    """The scores of some of the questions; ``rows`` is a mask or indices."""
    return QuestionScores(*(column[rows] for column in scores))


def by_type(
    scores: QuestionScores, table: TruthTable, official: bool = False
) -> dict[str, dict[str, float]]:
    """Row of TYPE_GROUPS -> scores of its questions; rows without questions are left out."""
    grouped = {name for names in TYPE_GROUPS.values() for name in names}
    others = {name: (name,) for name in np.unique(table.types).tolist() if name not in grouped}
    masks = {row: np.isin(table.types, names) for row, names in {**TYPE_GROUPS, **others}.items()}
    return {
        row: summarise(select(scores, mask), official) for row, mask in masks.items() if mask.any()
    }


def faithfulness(scores: QuestionScores, official: bool = False) -> dict[str, float]:
    """Shares of right or wrong answers that are grounded or not, and the rates derived from them.

    ``faithful rate`` is the grounded share of the right answers; ``UF@x`` counts right answers
    with IoP below x.
    """
    if official:
        scores = select(scores, counted_rows(scores, official))
    right, grounded = scores.right, scores.grounded
    shares = {
        "right and grounded": right & grounded,
        "right but ungrounded": right & ~grounded,
        "wrong but grounded": ~right & grounded,
        "wrong and ungrounded": ~right & ~grounded,
        "UF@0.3": right & (scores.iop < 0.3),
        "UF@0.5": right & (scores.iop < 0.5),
    }
    rates = {name: 100.0 * float(mask.mean()) for name, mask in shares.items()}
    faithful = float(grounded[right].mean()) if right.any() else math.nan
    return rates | {"faithful rate": 100.0 * faithful}


def same_video_overlaps(spans: Mapping[str, np.ndarray], table: TruthTable) -> dict[str, float]:
    """Rule -> mean IoU in percent between the intervals of two questions on one video.

    "truth" is the same for the first annotated segments: how different the right intervals are.
    """
    pairs = same_video_pairs(table.videos)
    annotated = {"truth": table.segments[table.first_segment]}
    return {rule: _mean_overlap(ends, pairs) for rule, ends in {**spans, **annotated}.items()}


def same_video_pairs(videos: np.ndarray) -> np.ndarray:
    """Index pairs ``[P, 2]`` of all questions that share a video."""
    order = np.argsort(videos, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(videos[order])) + 1)
    pairs = [np.stack(np.triu_indices(len(rows), 1), axis=1) for rows in members]
    return np.concatenate([rows[pair] for rows, pair in zip(members, pairs, strict=True)])


def _mean_overlap(spans: np.ndarray, pairs: np.ndarray) -> float:
    first, second = spans[pairs[:, 0]], spans[pairs[:, 1]]
    known = ~np.isnan(first + second).any(axis=1)
    if not known.any():
        return math.nan
    iou, _ = pair_overlap(first[known], second[known])
    # Two equal instants share everything, though neither has a length.
    iou = np.where((first[known] == second[known]).all(axis=1), 1.0, np.maximum(iou, 0.0))
    return 100.0 * float(iou.mean())


def calibration(predictions: Mapping[str, Prediction], table: TruthTable) -> dict[str, Any]:
    """Expected calibration error in percent, and accuracy by confidence in ten equal bins.

    Empty without ``choice_probabilities``. Confidence is the probability of the chosen answer.
    """
    rows = []
    for key, truth in zip(table.keys, table.answers.tolist(), strict=True):
        prediction = predictions.get(key)
        if prediction and prediction.choice_probabilities and prediction.answer is not None:
            chosen = prediction.answer
            if chosen >= len(prediction.choice_probabilities):
                raise InputError(f"Prediction {key!r}: answer {chosen} has no probability.")
            rows.append((prediction.choice_probabilities[chosen], chosen == truth))
    if not rows:
        return {}
    confidence, right = np.array(rows, float).T
    index = np.clip((confidence * CALIBRATION_BINS).astype(int), 0, CALIBRATION_BINS - 1)
    bins, error = [], 0.0
    for number in range(CALIBRATION_BINS):
        inside = index == number
        count = int(inside.sum())
        means = (confidence[inside].mean(), right[inside].mean()) if count else (math.nan,) * 2
        error += abs(means[0] - means[1]) * count / len(rows) if count else 0.0
        bins.append(
            {
                "low": 100.0 * number / CALIBRATION_BINS,
                "high": 100.0 * (number + 1) / CALIBRATION_BINS,
                "questions": count,
                "confidence": 100.0 * float(means[0]),
                "accuracy": 100.0 * float(means[1]),
            }
        )
    return {"error": 100.0 * error, "bins": bins}


def span_histograms(
    spans: Mapping[str, np.ndarray], table: TruthTable
) -> dict[str, dict[str, list[float]]]:
    """Rule (and "truth") -> shares in percent of start and length as fractions of the video.

    Values outside the video are counted in the outermost bins.
    """
    owners = np.repeat(
        np.arange(len(table)), np.diff(np.append(table.first_segment, len(table.segments)))
    )
    sets = {rule: (ends, table.durations) for rule, ends in spans.items()}
    sets["truth"] = (table.segments, table.durations[owners])
    return {
        rule: {
            "start": _histogram(ends[:, 0] / durations),
            "length": _histogram((ends[:, 1] - ends[:, 0]) / durations),
        }
        for rule, (ends, durations) in sets.items()
    }


def _histogram(fractions: np.ndarray) -> list[float]:
    fractions = np.clip(fractions[~np.isnan(fractions)], 0.0, 1.0)
    counts, _ = np.histogram(fractions, bins=HISTOGRAM_BINS, range=(0.0, 1.0))
    return (100.0 * counts / max(len(fractions), 1)).tolist()


def _intervals(
    by_rule: Mapping[str, QuestionScores],
    table: TruthTable,
    bootstrap: int,
    official: bool,
    seed: int,
) -> dict[str, dict[str, list[float]]]:
    """Rule -> metric -> 95 % interval over resampled videos."""
    if not bootstrap:
        return {}
    result = {}
    for rule, scores in by_rule.items():
        counted = counted_rows(scores, official)
        columns = metric_columns(scores)[counted]
        ends = bootstrap_intervals(columns, table.videos[counted], bootstrap, seed).tolist()
        defined = summarise(scores, official)
        pairs = zip(METRICS, ends, strict=True)
        result[rule] = {name: pair for name, pair in pairs if not math.isnan(defined[name])}
    return result


def _without_nan(value: Any) -> Any:
    """The same document with null for every number that is not defined."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
