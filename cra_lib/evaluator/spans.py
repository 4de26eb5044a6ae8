"""From weights over frames to intervals in seconds: rules, each over all questions at once.

Shapes: N questions, T frames. Weights are ``[N, T]``, stamps ``[N, T]`` seconds, durations ``[N]``
seconds; every result is ``[N, 2]`` seconds. Fractions of a video exist only inside this module.

Rules: ``post-hoc`` walks outwards from the heaviest frame (NExT-GQA's adaptive rule), ``windows``
picks a short window around it (CRA's refinement), ``gaussian`` reads a predicted centre and width
(NG and NG+), ``merged`` is what the last two share with the first. Settings, commands and reports
take them from RULES: another rule is one more entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

RELEASED_LAST_FRAME = 31
"""The released window rule divides frame indices by this, whatever the number of frames."""


class SpanSettings(NamedTuple):
    """What `all_spans` reads; `config.SpanConfig` has the same names and defaults."""

    threshold: float = 1.3
    reach: float = 10.0
    window_lengths: tuple[int, ...] = (1, 3, 5)
    windows: str = "described"
    length_prior: float = 0.5
    gamma: float = 1.0
    sigma: float = 9.0


def post_hoc_spans(
    frame_weights: np.ndarray, frame_times: np.ndarray, threshold: float = 1.3, reach: float = 10.0
) -> np.ndarray:
    """Interval from the earliest to the latest frame that joins the peak, in seconds.

    A frame joins if its min-max normalised weight, divided by ``1 + seconds from peak / reach``,
    is at least ``threshold`` times the mean. The walk in one direction stops at the first frame
    that fails and is more than ``reach`` seconds away; nearer failures are passed over. Flat
    weights join everything. As in the official tool, the walk to the left never tests frame 0.
    """
    weights, times = np.asarray(frame_weights, float), np.asarray(frame_times, float)
    rows, peak = np.arange(len(weights)), weights.argmax(axis=1)
    low, high = weights.min(axis=1, keepdims=True), weights.max(axis=1, keepdims=True)
    flat = low == high
    weights = (weights - low) / np.where(flat, 1.0, high - low)
    distance = np.abs(times - times[rows, peak][:, None])
    joins = weights / (1 + distance / reach) >= threshold * weights.mean(axis=1, keepdims=True)
    joins |= flat
    stops = ~joins & (distance > reach)

    frame = np.arange(weights.shape[1])
    left, right = frame < peak[:, None], frame > peak[:, None]
    reached_right = ~np.logical_or.accumulate(stops & right, axis=1)
    reached_left = ~np.logical_or.accumulate((stops & left)[:, ::-1], axis=1)[:, ::-1]
    first = np.where(joins & left & reached_left & (frame > 0), frame, peak[:, None]).min(axis=1)
    last = np.where(joins & right & reached_right, frame, peak[:, None]).max(axis=1)
    return np.stack([times[rows, first], times[rows, last]], axis=1)


def best_windows(
    frame_weights: np.ndarray, lengths: Sequence[int], length_prior: float | None = None
) -> np.ndarray:
    """Index pairs ``[N, 2]`` (end exclusive) of the best window that contains the peak.

    The score of a window is the sum of its weights, or with a ``length_prior`` their mean times
    ``length ** length_prior``. Ties go to the first in the order of ``lengths``, then of start.
    Where no length fits, the pair is (0, 0).
    """
    weights = np.asarray(frame_weights)
    num_rows, num_frames = weights.shape
    peak = weights.argmax(axis=1)[:, None]
    best = np.full(num_rows, -np.inf)
    indices = np.zeros((num_rows, 2), int)
    for length in lengths:
        if length > num_frames:
            continue
        start = np.arange(num_frames - length + 1)
        sums = np.lib.stride_tricks.sliding_window_view(weights, length, axis=1).sum(axis=-1)
        scores = sums if length_prior is None else sums / length * length**length_prior
        scores = np.where((start <= peak) & (peak < start + length), scores, -np.inf)
        pick = scores.argmax(axis=1)
        value = scores[np.arange(num_rows), pick]
        better = value > best
        best = np.where(better, value, best)
        indices[better] = np.stack([pick, pick + length], axis=1)[better]
    return indices


def window_spans(
    frame_weights: np.ndarray,
    frame_times: np.ndarray,
    durations: np.ndarray,
    lengths: Sequence[int] = (1, 3, 5),
    length_prior: float = 0.5,
) -> np.ndarray:
    """Best window by mean weight and length prior: stamps of its first and last frame."""
    indices = best_windows(np.asarray(frame_weights, float), lengths, length_prior)
    ends = np.stack([indices[:, 0], np.maximum(indices[:, 1] - 1, indices[:, 0])], axis=1)
    spans = np.take_along_axis(np.asarray(frame_times, float), ends, axis=1)
    return np.clip(spans, 0.0, np.asarray(durations, float)[:, None])


def window_spans_released(
    frame_weights: np.ndarray, durations: np.ndarray, lengths: Sequence[int] = (1, 3, 5)
) -> np.ndarray:
    """Best window by sum of weights as released: indices / 31 of the duration, to 0.1 s.

    Lengths above half the frames are left out. The end is exclusive, so that a window at the end
    of the video reaches 1.03 times its duration.
    """
    weights = np.asarray(frame_weights)
    allowed = [length for length in lengths if length <= weights.shape[1] // 2]
    return seconds_of(best_windows(weights, allowed) / RELEASED_LAST_FRAME, durations)


def gaussian_spans(
    centres: np.ndarray,
    widths: np.ndarray,
    durations: np.ndarray,
    gamma: float = 1.0,
    sigma: float = 9.0,
) -> np.ndarray:
    """``centre -+ gamma * width / sigma`` as fractions inside the video, in seconds to 0.1 s."""
    centres, half = np.asarray(centres, float), gamma * np.asarray(widths, float) / sigma
    fractions = np.clip(np.stack([centres - half, centres + half], axis=1), 0.0, 1.0)
    return seconds_of(fractions, durations)


def seconds_of(fractions: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """Fractions of the video ``[N, 2]`` in seconds, rounded to 0.1 s as in the official metric."""
    return np.round(np.asarray(fractions, float) * np.asarray(durations, float)[:, None], 1)


def merged_spans(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """What both intervals share; where they do not overlap, the second (post-hoc) one."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    start = np.maximum(first[:, 0], second[:, 0])
    end = np.minimum(first[:, 1], second[:, 1])
    shared = np.stack([start, end], axis=1)
    return np.where((start <= end)[:, None], shared, second)


@dataclass
class SpanInputs:
    """What a rule may read."""

    frame_weights: np.ndarray
    frame_times: np.ndarray
    durations: np.ndarray
    settings: SpanSettings
    """The settings; a `config.SpanConfig` does as well."""
    gaussian: np.ndarray | None = None
    """Predicted centre and width ``[N, 2]`` as fractions; None where the model has none."""
    given: np.ndarray | None = None
    """Intervals from elsewhere ``[N, 2]`` in seconds, NaN where there is none."""
    found: dict[str, np.ndarray] = field(default_factory=dict)
    """Intervals by the rules before this one."""


class SpanRule(NamedTuple):
    """One way from the inputs to intervals."""

    name: str
    """As in settings, prediction files and score reports."""
    spans: Callable[[SpanInputs], np.ndarray | None]
    """Intervals ``[N, 2]`` in seconds, or None where the inputs do not allow the rule."""
    differs_as_released: bool = False
    """Does the rule read ``settings.windows``, so that ours is not the released one?"""


def _post_hoc(inputs: SpanInputs) -> np.ndarray:
    cfg = inputs.settings
    return post_hoc_spans(inputs.frame_weights, inputs.frame_times, cfg.threshold, cfg.reach)


def _windows(inputs: SpanInputs) -> np.ndarray:
    cfg, durations = inputs.settings, inputs.durations
    if cfg.windows == "released":
        return window_spans_released(inputs.frame_weights, durations, cfg.window_lengths)
    return window_spans(
        inputs.frame_weights, inputs.frame_times, durations, cfg.window_lengths, cfg.length_prior
    )


def _gaussian(inputs: SpanInputs) -> np.ndarray | None:
    if inputs.gaussian is None:
        return None
    centres, widths = inputs.gaussian.T
    cfg = inputs.settings
    return gaussian_spans(centres, widths, inputs.durations, cfg.gamma, cfg.sigma)


def _merged(inputs: SpanInputs) -> np.ndarray:
    """A given interval stands for the window, as NExT-GQA merges its own; so does a Gaussian."""
    narrow = inputs.found.get("gaussian", inputs.found["windows"])
    if inputs.given is not None:
        narrow = np.where(np.isnan(inputs.given), narrow, inputs.given)
    return merged_spans(narrow, inputs.found["post-hoc"])


_TABLE = (
    SpanRule("post-hoc", _post_hoc),
    SpanRule("windows", _windows, differs_as_released=True),
    SpanRule("gaussian", _gaussian),
    SpanRule("merged", _merged, differs_as_released=True),
)
RULES: dict[str, SpanRule] = {rule.name: rule for rule in _TABLE}
"""Name -> rule, in the order of the tables; a rule may read what those before it found."""


def all_spans(
    frame_weights: np.ndarray,
    frame_times: np.ndarray,
    durations: np.ndarray,
    cfg: SpanSettings,
    gaussian: np.ndarray | None = None,
    given: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Rule -> spans ``[N, 2]`` for every rule of RULES that the inputs allow.

    Args:
        cfg: the settings; a `config.SpanConfig` does as well.
        gaussian: predicted centre and width ``[N, 2]`` as fractions; "merged" is then built from
            them instead of from the windows.
        given: intervals ``[N, 2]`` from elsewhere, NaN where there is none, which "merged" prefers.
    """
    inputs = SpanInputs(frame_weights, frame_times, durations, cfg, gaussian, given)
    for rule in RULES.values():
        spans = rule.spans(inputs)
        if spans is not None:
            inputs.found[rule.name] = spans
    return inputs.found
