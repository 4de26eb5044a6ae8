"""What a model says about one question: an `Answer`, which draws itself in a notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cra_lib.inference.drawing import Alternative, html_card, text_lines
from cra_lib.records import Span


@dataclass(frozen=True)
class Answer:
    """An answer, and what the model looked at."""

    question: str
    choices: tuple[str, ...]
    index: int
    """Of the answer among the choices."""
    probabilities: tuple[float, ...]
    """One for each choice; they sum to one."""
    spans: dict[str, Span]
    """Span rule -> interval in seconds."""
    rule: str
    """The rule that the model reports."""
    frame_weights: tuple[float, ...]
    raw_weights: tuple[float, ...]
    """Attention before smoothing."""
    frame_times: tuple[float, ...]
    """Seconds of each frame."""
    duration: float
    """Seconds of the video."""
    alternative: Alternative | None = None
    """None where there is one choice only."""
    guessing: tuple[str, ...] = ()
    """Why the model can only be guessing; empty where nothing speaks for that."""
    notes: tuple[str, ...] = ()
    """Oddities of the video or the question that were dealt with."""
    thumbnails: np.ndarray | None = field(default=None, repr=False, compare=False)
    """Small frames at the frame times, uint8 [T, H, W, 3]."""

    @property
    def choice(self) -> str:
        """The answer in words."""
        return self.choices[self.index]

    @property
    def span(self) -> Span:
        """The interval that the model reports, in seconds."""
        return self.spans[self.rule]

    def ranked(self) -> list[tuple[str, float]]:
        """Choices with their probabilities, the most probable first."""
        return sorted(zip(self.choices, self.probabilities, strict=True), key=lambda row: -row[1])

    def to_json(self) -> dict[str, Any]:
        """Everything but the pictures, as plain data; intervals and times are in seconds."""
        other = self.alternative
        return {
            "question": self.question,
            "answer": self.choice,
            "answer_index": self.index,
            "choices": list(self.choices),
            "choice_probabilities": list(self.probabilities),
            "interval": list(self.span),
            "rule": self.rule,
            "spans": {rule: list(span) for rule, span in self.spans.items()},
            "alternative": None if other is None else {**other._asdict(), "span": list(other.span)},
            "frame_times": list(self.frame_times),
            "frame_weights": list(self.frame_weights),
            "raw_weights": list(self.raw_weights),
            "duration": self.duration,
            "guessing": list(self.guessing),
            "notes": list(self.notes),
        }

    def to_lines(self, width: int = 72, plain: bool = False) -> list[str]:
        """The answer for a terminal: choices, interval, a line of weights.

        Args:
            plain: ASCII alone.
        """
        return text_lines(self, width, plain)

    def _repr_html_(self) -> str:
        return html_card(self)


def thumbnails(frames: np.ndarray, height: int = 72) -> np.ndarray:
    """Frames at most ``height`` pixels high, by leaving pixels out: uint8 [T, h, w, 3]."""
    step = max(1, round(frames.shape[1] / height))
    return np.ascontiguousarray(frames[:, ::step, ::step])
