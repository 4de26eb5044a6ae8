"""Encode a video once, then ask it as many questions as you like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from cra_lib.config import SpanConfig
from cra_lib.data.tokens import TokenTable
from cra_lib.evaluator.spans import all_spans
from cra_lib.model.base import GroundedModel
from cra_lib.model.text import load_tokenizer
from cra_lib.model.video import check_features
from cra_lib.records import InputError, Span


class Answer(NamedTuple):
    """What the model says about one question, and what it looked at."""

    choice: str
    index: int
    probabilities: tuple[float, ...]
    """One for each choice; they sum to one."""
    spans: dict[str, Span]
    """Span rule -> interval in seconds."""
    frame_weights: tuple[float, ...]
    raw_weights: tuple[float, ...]
    """Attention before smoothing."""


class VideoSession:
    """One encoded video.

    Args:
        model: as `from_pretrained` gives it; it is put into evaluation mode.
        features: frame features of the video [T, F].
        frame_times: seconds of each frame [T].
        duration: seconds; None guesses it from the frames, which are centred in the video.
        tokenizer: None loads the one of the model's text encoder.
        span: how weights become seconds; None: the defaults, with the model's own ``sigma``.

    Raises:
        InputError: features of another width, with NaN, or not one for each frame time.
    """

    def __init__(
        self,
        model: GroundedModel,
        features: np.ndarray | torch.Tensor,
        frame_times: Sequence[float],
        duration: float | None = None,
        *,
        tokenizer=None,
        span: SpanConfig | None = None,
    ):
        self.model = model.eval()
        self.span = span or SpanConfig(sigma=getattr(model, "sigma", SpanConfig().sigma))
        self.tokenizer = tokenizer or load_tokenizer(model.settings.text_encoder)
        self.frame_times = np.asarray(frame_times, dtype=float)
        if self.frame_times.ndim != 1 or len(self.frame_times) != len(features):
            raise InputError(
                f"{len(features)} frame features, but {self.frame_times.size} frame times; "
                "give one time a frame."
            )
        self.duration = float(self.frame_times[[0, -1]].sum() if duration is None else duration)
        with torch.inference_mode():
            frames = torch.as_tensor(features, dtype=torch.float32)[None]
            check_features(frames, model.feature_width)
            self.video = model.encode_video(frames.to(self._device))

    def ask(self, question: str, choices: Sequence[str]) -> Answer:
        """Answer one question.

        Raises:
            InputError: no choices, or a question or choice without text.
        """
        return self.ask_all([(question, choices)])[0]

    def ask_all(self, questions: Sequence[tuple[str, Sequence[str]]]) -> list[Answer]:
        """Answer many questions; their texts are encoded together, each is grounded on its own."""
        for question, choices in questions:
            _check(question, choices)
        texts = iter(self._encode(questions).split([len(choices) for _, choices in questions]))
        return [self._answer(choices, next(texts)) for _, choices in questions]

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _encode(self, questions: Sequence[tuple[str, Sequence[str]]]) -> torch.Tensor:
        """Every "question </s> choice" as one vector, in order [sum of C, D]."""
        settings = self.model.settings
        pairs = [(question, choice) for question, choices in questions for choice in choices]
        numbers = np.arange(len(pairs))
        table = TokenTable(
            self.tokenizer,
            [question for question, _ in pairs],
            [choice for _, choice in pairs],
            max_question_tokens=settings.max_question_tokens,
            max_pair_tokens=settings.max_pair_tokens,
        )
        # A model that pools padding has learned it at one length only.
        width = settings.max_pair_tokens if settings.text_pooling == "padded" else None
        tokens, keep = table.padded(table.pairs(numbers, numbers), width)
        with torch.inference_mode():
            return self.model.encode_text(
                torch.from_numpy(tokens).to(self._device), torch.from_numpy(keep).to(self._device)
            )

    def _answer(self, choices: Sequence[str], texts: torch.Tensor) -> Answer:
        candidates = texts[None]
        with torch.inference_mode():
            output = self.model(self.video, candidates, self.model.query_of(candidates))
        weights, raw = (part.float().cpu().numpy() for part in output[1:3])
        gaussian = None if output.gaussian is None else output.gaussian.float().cpu().numpy()
        spans = all_spans(
            weights, self.frame_times[None], np.array([self.duration]), self.span, gaussian
        )
        index = int(output.answer_logits.argmax())
        return Answer(
            choice=choices[index],
            index=index,
            probabilities=tuple(output.answer_logits[0].float().softmax(dim=-1).tolist()),
            spans={rule: Span(*map(float, ends[0])) for rule, ends in spans.items()},
            frame_weights=tuple(map(float, weights[0])),
            raw_weights=tuple(map(float, raw[0])),
        )


def _check(question: str, choices: Sequence[str]) -> None:
    if not question.strip():
        raise InputError("The question is empty; ask something.")
    if not choices:
        raise InputError(f"The question {question!r} has no choices; give at least one.")
    if not all(choice.strip() for choice in choices):
        raise InputError(f"A choice of the question {question!r} is empty; give it a text.")
