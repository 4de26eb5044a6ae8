"""What a model's intervals and answers look like beside the scores.

Do different questions on one video get different intervals? Is the answer's confidence honest?
Where do the intervals start and how long are they?
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cra_lib.evaluator.metrics import TruthTable, pair_overlap
from cra_lib.records import InputError, Prediction

HISTOGRAM_BINS = 20
CALIBRATION_BINS = 10


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
