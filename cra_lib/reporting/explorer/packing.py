"""An exploration as one small JSON document: columns instead of records, numbers in base64.

All arrays are little-endian and go over the N questions of all splits, in the order of the lists
under ``questions``. Shares (probabilities, IoU, IoP) are 16-bit numbers of 1/65534, rounded down,
so that 0.5 stays a border; 65535 stands for *none*. Curves are bytes of 1/255 of ``scales``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cra_lib.evaluator.metrics import (
    NO_ANSWER,
    best_overlap,
    prediction_answers,
    prediction_spans,
    truth_table,
)
from cra_lib.evaluator.scores import carried_rules, refuse_reversed
from cra_lib.records import InputError, Prediction, Truth
from cra_lib.reporting.explorer.gathering import Exploration, Method

WHOLE, NONE = 65534, 65535
"""A share of 1, and no share at all."""


def pack(exploration: Exploration) -> dict[str, Any]:
    """The document that the page's script reads.

    Raises:
        InputError: an interval that ends before it starts, or a wrong number of probabilities.
    """
    methods = [pack_method(method, exploration) for method in exploration.methods]
    # Nearly all frames of a video have one list of times, whatever the method.
    times = {stamps: place for place, stamps in enumerate(_stamps(exploration))}
    for method, packed in zip(exploration.methods, methods, strict=True):
        packed |= pack_curves(_rows(method, exploration), times)
    return {
        "title": exploration.title,
        "questions": pack_questions(exploration),
        "methods": methods,
        "times": [[round(t, 3) for t in stamps] for stamps in times],
    }


def pack_questions(exploration: Exploration) -> dict[str, Any]:
    """Texts, choices and annotation; splits, types and videos as places in their lists."""
    splits, types, videos = ({} for _ in range(3))
    columns: dict[str, list] = {name: [] for name in ("split", "type", "video", "qid", "text")}
    columns |= {name: [] for name in ("choices", "answer", "segments")}
    durations = []
    for split, questions in exploration.questions.items():
        for question in questions:
            truth = exploration.truths[split][question.key]
            if question.video_id not in videos:
                durations.append(round(truth.duration, 3))
            columns["split"].append(splits.setdefault(split, len(splits)))
            columns["type"].append(types.setdefault(question.type, len(types)))
            columns["video"].append(videos.setdefault(question.video_id, len(videos)))
            columns["qid"].append(question.qid)
            columns["text"].append(question.text)
            columns["choices"].append(question.choices)
            columns["answer"].append(NO_ANSWER if question.answer is None else question.answer)
            columns["segments"].append([[round(t, 3) for t in pair] for pair in truth.segments])
    names = {"splits": list(splits), "types": list(types), "videos": list(videos)}
    return {**columns, **names, "durations": durations}


def pack_method(method: Method, exploration: Exploration) -> dict[str, Any]:
    """One method's name, answers, probabilities, and intervals with their overlaps by each rule."""
    everything = {key: p for part in method.predictions.values() for key, p in part.items()}
    answers, spans, overlaps = [], {}, {}
    for split, truths in exploration.truths.items():
        table, found = truth_table(truths), method.predictions.get(split, {})
        answers.append(prediction_answers(found, table))
        for rule in carried_rules(everything):
            ends = prediction_spans(found, rule, table)
            refuse_reversed({rule: ends}, table)
            spans.setdefault(rule, []).append(ends)
            overlaps.setdefault(rule, []).append(np.stack(best_overlap(ends, table)))
    joined = {rule: np.concatenate(parts, axis=1) for rule, parts in overlaps.items()}
    return {
        "label": method.label,
        "colour": method.colour,
        "rule": method.rule,
        "note": method.note,
        "answers": encode(np.concatenate(answers), "<i2"),
        "probabilities": encode(_probabilities(method, exploration), "<u2"),
        "spans": {rule: encode(np.concatenate(parts), "<f4") for rule, parts in spans.items()},
        "iou": {rule: encode(shares(iou), "<u2") for rule, (iou, _) in joined.items()},
        "iop": {rule: encode(shares(iop), "<u2") for rule, (_, iop) in joined.items()},
    }


def pack_curves(
    rows: Sequence[tuple[Prediction | None, Truth]], times: dict[tuple[float, ...], int]
) -> dict[str, Any]:
    """Frame weights after and before smoothing, one curve after the other.

    ``lengths`` holds the number of frames (0: no weights), ``stamps`` the place of their times,
    ``scales`` the largest value of each curve; ``raw`` is empty where the method does not smooth.
    """
    smooths = any(p is not None and p.raw_weights is not None for p, _ in rows)
    lengths, stamps, scales = (np.zeros(len(rows), np.float32) for _ in range(3))
    smoothed, raw = [], []
    for row, (prediction, truth) in enumerate(rows):
        if prediction is None or prediction.frame_weights is None:
            continue
        after = np.array(prediction.frame_weights)
        before = after if prediction.raw_weights is None else np.array(prediction.raw_weights)
        if len(before) != len(after):
            raise InputError(
                f"Prediction {prediction.key!r}: {len(after)} frame_weights but {len(before)} "
                "raw_weights; both should have one number a frame."
            )
        lengths[row], stamps[row] = len(after), times[stamps_of(prediction, truth)]
        scales[row] = top = max(after.max(), before.max(), 1e-9)
        smoothed.append(np.clip(after / top, 0, 1) * 255)
        raw.append(np.clip(before / top, 0, 1) * 255)
    weights = {"weights": smoothed, "raw": raw if smooths else []}
    return {
        "lengths": encode(lengths, "<u2"),
        "stamps": encode(stamps, "<u2"),
        "scales": encode(scales, "<f4"),
        **{k: encode(np.concatenate(v).round(), "u1") if v else "" for k, v in weights.items()},
    }


def stamps_of(prediction: Prediction, truth: Truth) -> tuple[float, ...]:
    """The times of a prediction's frames; spread evenly where it does not say.

    Raises:
        InputError: not one time for each weight.
    """
    count = len(prediction.frame_weights)
    if prediction.frame_times is None:
        return tuple((truth.duration * (np.arange(count) + 0.5) / count).round(3).tolist())
    if len(prediction.frame_times) != count:
        raise InputError(
            f"Prediction {prediction.key!r}: {count} frame_weights but "
            f"{len(prediction.frame_times)} frame_times; both should have one number a frame."
        )
    return prediction.frame_times


def shares(values: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 1 as whole numbers up to WHOLE, rounded down; NaN as NONE.

    >>> shares(np.array([0.5, 0.49999, 1.0, np.nan])).tolist()
    [32767, 32766, 65534, 65535]
    """
    whole = np.floor(np.clip(values, 0, 1) * WHOLE)
    return np.where(np.isnan(values), NONE, whole).astype(np.uint16)


def encode(values: np.ndarray, kind: str) -> str:
    """An array's bytes as text."""
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode()


def _rows(method: Method, exploration: Exploration) -> list[tuple[Prediction | None, Truth]]:
    return [
        (method.predictions.get(split, {}).get(key), truth)
        for split, truths in exploration.truths.items()
        for key, truth in truths.items()
    ]


def _stamps(exploration: Exploration) -> Iterable[tuple[float, ...]]:
    return dict.fromkeys(
        stamps_of(prediction, truth)
        for method in exploration.methods
        for prediction, truth in _rows(method, exploration)
        if prediction is not None and prediction.frame_weights is not None
    )


def _probabilities(method: Method, exploration: Exploration) -> np.ndarray:
    """Shares of all choices of all questions, end to end; empty where there are none at all."""
    values, given = [], False
    for split, questions in exploration.questions.items():
        found = method.predictions.get(split, {})
        for question in questions:
            prediction = found.get(question.key)
            row = prediction.choice_probabilities if prediction else None
            if row is not None and len(row) != len(question.choices):
                raise InputError(
                    f"Prediction {question.key!r}: {len(row)} choice_probabilities for "
                    f"{len(question.choices)} choices."
                )
            given |= row is not None
            values.extend([np.nan] * len(question.choices) if row is None else row)
    return shares(np.array(values if given else [], float))
