"""Intervals that a prediction file implies: from fractions, and from weights over frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from cra_lib.evaluator.readers import GIVEN
from cra_lib.evaluator.spans import SpanSettings, all_spans, seconds_of
from cra_lib.records import InputError, Prediction, Span, Truth


def in_seconds(
    predictions: Mapping[str, Prediction], truths: Mapping[str, Truth]
) -> dict[str, Prediction]:
    """Given intervals from fractions of the video to seconds, rounded to 0.1 s.

    Questions that are not scored are left out: their video's length is unknown.
    """
    known = {key: p for key, p in predictions.items() if key in truths and GIVEN in p.spans}
    rest = {key: p for key, p in predictions.items() if key in truths and key not in known}
    fractions = np.array([p.spans[GIVEN] for p in known.values()], float).reshape(-1, 2)
    durations = np.array([truths[key].duration for key in known], float)
    ends = seconds_of(fractions, durations).tolist()
    for (key, prediction), pair in zip(known.items(), ends, strict=True):
        rest[key] = replace(prediction, spans={**prediction.spans, GIVEN: Span(*pair)})
    return rest


def with_weight_spans(
    predictions: Mapping[str, Prediction],
    truths: Mapping[str, Truth],
    stamps: Mapping[str, Sequence[float]] | None = None,
    settings: SpanSettings | None = None,
    overwrite: bool = False,
    where: Callable[[str], str] = repr,
) -> dict[str, Prediction]:
    """Intervals added to every prediction that has weights over frames.

    Args:
        stamps: video -> times of its frames, which win over the times that predictions carry;
            None uses those.
        settings: of the span rules; None has the defaults.
        overwrite: replace intervals that are already there by these rules.
        where: question key -> how a message names it (with its file).

    A ``given`` interval takes the window's place in ``merged``, as NExT-GQA merges its own.

    Raises:
        InputError: no times for a video, or not as many as there are weights.
    """
    chosen = [p for key, p in predictions.items() if key in truths and p.frame_weights is not None]
    if not chosen:
        return dict(predictions)
    times = [_times(p, truths[p.key].video_id, stamps, where) for p in chosen]
    odd = next((p for p in chosen if len(p.frame_weights) != len(chosen[0].frame_weights)), None)
    if odd is not None:
        raise InputError(
            f"{where(odd.key)}: expected {len(chosen[0].frame_weights)} weights as for "
            f"{chosen[0].key!r}, got {len(odd.frame_weights)}."
        )
    durations = np.array([truths[p.key].duration for p in chosen], float)
    weights = _scaled(np.array([p.frame_weights for p in chosen], float))
    given = np.array([p.spans.get(GIVEN, (np.nan, np.nan)) for p in chosen], float)
    rules = all_spans(
        weights, np.array(times, float), durations, settings or SpanSettings(), given=given
    )
    columns = {rule: list(map(Span._make, ends.tolist())) for rule, ends in rules.items()}
    result = dict(predictions)
    for row, prediction in enumerate(chosen):
        new = {rule: ends[row] for rule, ends in columns.items()}
        old = prediction.spans
        spans = {**old, **new} if overwrite else {**new, **old}
        result[prediction.key] = replace(prediction, spans=spans)
    return result


def _scaled(weights: np.ndarray) -> np.ndarray:
    """Enormous weights divided by a power of two, which changes no digit, so that sums fit."""
    return weights * 2.0**-600 if np.abs(weights).max() > 1e150 else weights


def _times(
    prediction: Prediction,
    video_id: str,
    stamps: Mapping[str, Sequence[float]] | None,
    where: Callable[[str], str],
) -> Sequence[float]:
    name = where(prediction.key)
    times = prediction.frame_times if stamps is None else stamps.get(video_id)
    if times is None:
        source = "the prediction has no frame_times" if stamps is None else "no stamps"
        raise InputError(f"{name}: {source} for video {video_id!r}; give --stamps.")
    if len(times) != len(prediction.frame_weights):
        raise InputError(
            f"{name}: expected {len(times)} weights, one a time stamp, "
            f"got {len(prediction.frame_weights)}; weights over other frames need their own times "
            "(frame_times in a .jsonl file)."
        )
    return times
