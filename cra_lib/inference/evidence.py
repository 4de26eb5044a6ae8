"""What an answer leaves on disk: the strip of frames, the evidence as its own clip, the numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cra_lib.inference.answers import Answer
from cra_lib.inference.drawing import png, strip_frames
from cra_lib.paths import atomic
from cra_lib.records import Span
from cra_lib.video.frames import probe, read_frames
from cra_lib.video.writing import write_video

CLIP_SIDE, CLIP_FPS = 640, 30.0
"""Longest side in pixels, and frames a second, of an evidence clip, at most."""
SHORTEST, LONGEST = 1.0, 120.0
"""Seconds of an evidence clip: a shorter interval is widened, a longer one is cut at its end."""
AT_ONCE = 32
"""Frames in memory while a clip is written."""


def save_answer(folder: Path, answer: Answer, video: Path, **about: Any) -> dict[str, Path]:
    """Write ``strip.png``, ``evidence.mp4`` and ``answer.json`` into a folder.

    Args:
        about: further facts for the JSON, such as the model's name.

    Raises:
        InputError: the video cannot be read any more.
    """
    folder = Path(folder)
    paths = {name: folder / name for name in ("strip.png", "evidence.mp4", "answer.json")}
    write_evidence(paths["evidence.mp4"], video, answer.span)
    strip = strip_frames(answer)
    if strip is None:
        del paths["strip.png"]
    else:
        with atomic(paths["strip.png"]) as partial:
            partial.write_bytes(png(strip))
    row = {"video": str(video), **about, **answer.to_json()}
    with atomic(paths["answer.json"]) as partial:
        partial.write_text(json.dumps(row, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return paths


def write_evidence(out: Path, video: Path, span: Span) -> Span:
    """Write the interval as an H.264 clip without sound; returns the seconds that it shows.

    Raises:
        InputError: the video cannot be read.
    """
    info = probe(video)
    shown = clip_span(span, info.duration)
    fps = min(info.fps, CLIP_FPS)
    count = max(2, round((shown.end - shown.start) * fps))
    times = shown.start + np.arange(count) / fps
    last = max(0.0, info.duration - 1 / info.fps)
    write_video(out, _frames(video, times.clip(max=last)), fps, preset="veryfast")
    return shown


def clip_span(span: Span, duration: float) -> Span:
    """The interval inside the video, widened to a second where it is shorter.

    >>> clip_span(Span(4.0, 4.0), 10.0), clip_span(Span(9.8, 12.0), 10.0)
    (Span(start=3.5, end=4.5), Span(start=9.0, end=10.0))
    """
    start, end = max(0.0, span.start), min(span.end, duration)
    missing = max(0.0, SHORTEST - (end - start))
    start = max(0.0, min(start - missing / 2, duration - SHORTEST))
    end = min(duration, max(end + missing / 2, start + SHORTEST))
    return Span(start, min(end, start + LONGEST))


def _frames(video: Path, times: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(times), AT_ONCE):
        for frame in read_frames(video, times[first : first + AT_ONCE].tolist(), CLIP_SIDE):
            yield frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
