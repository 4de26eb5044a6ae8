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
from statistics import fmean
from typing import Any

import numpy as np

from cra_lib.evaluator.blind import blind_spans
from cra_lib.evaluator.diagnostics import calibration, same_video_overlaps, span_histograms
from cra_lib.evaluator.metrics import (
    ANSWERS,
    METRICS,
    NO_ANSWER,
    QuestionScores,
    TruthTable,
    by_key,
    counted_rows,
    metric_columns,
    prediction_answers,
    prediction_spans,
    question_scores,
    summarise,
    truth_table,
)
from cra_lib.evaluator.spans import RULES
from cra_lib.evaluator.statistics import bootstrap_intervals
from cra_lib.records import InputError, Prediction, Truth

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
        InputError: no prediction is about these questions, none carries a rule, an answer is no
            choice's index, or (unless official) an interval ends before it starts.
    """
    truths = list(truths.values() if isinstance(truths, Mapping) else truths)
    table, indexed = truth_table(truths), by_key(predictions)
    check_predictions(indexed, truths)
    rules = carried_rules(indexed, rules)
    answers = prediction_answers(indexed, table)
    spans = {rule: prediction_spans(indexed, rule, table) for rule in rules}
    if not official:
        refuse_reversed(spans, table)
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
            "blind": _blind_scores(answers, table),
        }
    )


def question_rows(
    predictions: Mapping[str, Prediction] | Iterable[Prediction],
    truths: Mapping[str, Truth] | Iterable[Truth],
    rule: str | None,
) -> list[dict[str, Any]]:
    """One row a question: what was predicted, what is true, and how it scored.

    Keys: key, type, rule, answer, predicted, right, start, end, IoU, IoP, grounded. IoU and IoP
    are from 0 to 1; ``predicted``, ``start`` and ``end`` are None where nothing was predicted.
    """
    table, indexed = truth_table(truths), by_key(predictions)
    spans, answers = prediction_spans(indexed, rule, table), prediction_answers(indexed, table)
    found = question_scores(spans, answers, table)
    columns = {
        "key": table.keys,
        "type": table.types.tolist(),
        "rule": [rule] * len(table),
        "answer": [None if a == NO_ANSWER else a for a in table.answers.tolist()],
        "predicted": [None if a == NO_ANSWER else a for a in answers.tolist()],
        "right": found.right.tolist(),
        "start": _without_nan(spans[:, 0].tolist()),
        "end": _without_nan(spans[:, 1].tolist()),
        "IoU": found.iou.tolist(),
        "IoP": found.iop.tolist(),
        "grounded": found.grounded.tolist(),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def blind_scores(
    predictions: Mapping[str, Prediction] | Iterable[Prediction],
    truths: Mapping[str, Truth] | Iterable[Truth],
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
    return _without_nan(_blind_scores(prediction_answers(indexed, table), table))


def _blind_scores(answers: np.ndarray, table: TruthTable) -> dict[str, dict[str, float]]:
    found = {}
    for name, draws in blind_spans(table.durations).items():
        rows = [summarise(question_scores(pairs, answers, table)) for pairs in draws]
        # Counts are the same in each draw; scores are averaged.
        means = {metric: fmean(row[metric] for row in rows) for metric in METRICS}
        found[name] = {**rows[0], **means}
    return found


def blind_intervals(
    truths: Mapping[str, Truth] | Iterable[Truth], bootstrap: int = 1000, seed: int = 0
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Row of `blind.BLIND_ROWS` -> metric of intervals alone -> score and its 95 % interval over
    resampled videos, in percent."""
    table = truth_table(list(truths.values() if isinstance(truths, Mapping) else truths))
    nobody = np.full(len(table), NO_ANSWER)
    found = {}
    for name, draws in blind_spans(table.durations).items():
        columns = np.mean(
            [metric_columns(question_scores(pairs, nobody, table)) for pairs in draws], axis=0
        )
        ends = bootstrap_intervals(columns, table.videos, bootstrap, seed)
        rows = zip(METRICS, columns.mean(axis=0), ends, strict=True)
        found[name] = {m: (float(value), *map(float, pair)) for m, value, pair in rows
                       if ANSWERS not in METRICS[m].needs}  # fmt: skip
    return found


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


def refuse_reversed(spans: Mapping[str, np.ndarray], table: TruthTable) -> None:
    """Refuse intervals that end before they start; the official script scores them as 0.

    Raises:
        InputError: naming the first question at fault.
    """
    for rule, ends in spans.items():
        for row in np.flatnonzero(ends[:, 1] < ends[:, 0])[:1].tolist():
            raise InputError(
                f"Prediction {table.keys[row]!r}: the {rule} interval {ends[row].tolist()} ends "
                "before it starts; correct it, or score it as 0 with --official."
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
