"""Encode a video once, then ask it as many questions as you like.

    video = VideoSession.open("holiday.mp4", "results/nextgqa/runs/cra/seed2024")
    video.ask("why did the boy run", ["to catch the ball", "it rained"])

A reply says where it looked, which answer comes second, and whether the model can only guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from cra_lib.config import SpanConfig
from cra_lib.data.distractors import question_class
from cra_lib.data.prompts import PromptTable
from cra_lib.data.tokens import TokenTable
from cra_lib.evaluator.spans import all_spans
from cra_lib.inference.answers import Answer, thumbnails
from cra_lib.inference.drawing import Alternative
from cra_lib.inference.familiar import Familiar
from cra_lib.inference.frozen import ground_prompts
from cra_lib.inference.known import Known, unknown_words
from cra_lib.inference.light import tokenizer_for
from cra_lib.inference.trained import DEFAULT_MODEL, TrainedModel
from cra_lib.model.base import ModelOutput, Pretrained
from cra_lib.model.video import check_features
from cra_lib.records import InputError, Span
from cra_lib.video.encoders import fitted
from cra_lib.video.frames import probe, read_frames

LONGEST_SIDE = 1920
"""Larger frames are scaled down to this many pixels, so that 32 of them take 200 MB at most."""
SPARSE = 4.0
"""A video this many times longer than any training video is said to be seen too sparsely."""
MOST_CHOICES = 200
"""Choices of one question, at most."""

Asked = tuple[str, Sequence[str] | None]
"""A question, and its choices or None."""


class VideoSession:
    """One encoded video. `VideoSession.open` makes it from a file.

    Args:
        model: as `from_pretrained` gives it; it is put into evaluation mode.
        features: frame features of the video [T, F].
        frame_times: seconds of each frame [T].
        duration: seconds; None guesses it from the frames, which are centred in the video.
        tokenizer: None loads the one of the model's text encoder.
        span: how weights become seconds; None: the defaults, with the model's own ``sigma``.
        known: what the model met in training; ranks answers and tells guesses.
        familiar: what training frames look like, to tell frames that do not.
        frames: the frames themselves, for pictures: uint8 [T, H, W, 3].
        notes: what there is to say about the video.

    Raises:
        InputError: features of another width, with NaN, or not one for each frame time.
    """

    def __init__(
        self,
        model: Pretrained,
        features: np.ndarray | torch.Tensor,
        frame_times: Sequence[float],
        duration: float | None = None,
        *,
        tokenizer=None,
        span: SpanConfig | None = None,
        known: Known | None = None,
        familiar: Familiar | None = None,
        frames: np.ndarray | None = None,
        notes: Sequence[str] = (),
    ):
        self.model = model.eval()
        self.span = span or SpanConfig(sigma=getattr(model, "sigma", SpanConfig().sigma))
        self.known = known
        self.tokenizer = tokenizer or tokenizer_for(model.settings)
        self.frame_times = np.asarray(frame_times, dtype=float)
        if self.frame_times.ndim != 1 or len(self.frame_times) != len(features):
            raise InputError(
                f"{len(features)} frame features, but {self.frame_times.size} frame times; "
                "give one time a frame."
            )
        self.duration = float(self.frame_times[[0, -1]].sum() if duration is None else duration)
        self.thumbnails = None if frames is None else thumbnails(frames)
        with torch.inference_mode():
            inputs = torch.as_tensor(features, dtype=torch.float32)[None]
            check_features(inputs, model.feature_width)
            video = inputs.to(self._device)
            # A frozen language model reads the frames anew with every prompt.
            self.video = video if model.settings.is_frozen else model.encode_video(video)
        self.strangeness = _strangeness(inputs.numpy(), familiar)
        self.notes = (*notes, *self._length_note())

    @classmethod
    def open(
        cls,
        video: str | Path,
        model: str | Path | TrainedModel = DEFAULT_MODEL,
        *,
        start: float | None = None,
        end: float | None = None,
    ) -> VideoSession:
        """Decode and encode a video file, for a model by name or one that is loaded already.

        The frames are where training has them: the stamp rule of NExT-GQA over the whole video, or
        over the part from ``start`` to ``end`` (seconds), which serves long ones.

        Raises:
            InputError: no such model, a file that is not a readable video, a part outside of it.
        """
        trained = model if isinstance(model, TrainedModel) else TrainedModel(model)
        path = Path(video).expanduser()
        info = probe(path)
        first, last = _part(path, start, end, info.duration)
        count = max(1, round(info.frame_count * (last - first) / info.duration))
        times = np.array(trained.stamps(count, info.fps, last - first)) + first
        frames = read_frames(path, times.tolist(), LONGEST_SIDE)
        encoder = trained.encoder
        return cls(
            trained.model,
            encoder.encode(fitted(frames, encoder.side)),
            times,
            info.duration,
            tokenizer=trained.tokenizer,
            span=trained.span,
            known=trained.known,
            familiar=trained.familiar,
            frames=frames,
            notes=info.notes,
        )

    def ask(self, question: str, choices: Sequence[str] | None = None) -> Answer:
        """Answer one question.

        Args:
            choices: None ranks the answers that the model was trained on.

        Raises:
            InputError: no choices where the model knows none, or a question or choice without text.
        """
        return self.ask_all([(question, choices)])[0]

    def ask_all(self, questions: Sequence[Asked]) -> list[Answer]:
        """Answer many questions; their texts are encoded together, each is grounded on its own."""
        asked = [(question, self._choices(question, choices)) for question, choices in questions]
        if not asked:
            return []
        texts = iter(self._encode(asked).split([len(choices) for _, choices in asked]))
        open_ended = [choices is None for _, choices in questions]
        return [
            self._answer(question, choices, next(texts), ranked)
            for (question, choices), ranked in zip(asked, open_ended, strict=True)
        ]

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _choices(self, question: str, choices: Sequence[str] | None) -> tuple[str, ...]:
        if not question.strip():
            raise InputError("The question is empty; ask something.")
        if choices is None:
            if self.known is None or not self.known.answers:
                raise InputError(
                    f"The question {question!r} has no choices, and the model does not say which "
                    "answers it was trained on; give some choices."
                )
            return self.known.ranked_for(question)
        if not 0 < len(choices) <= MOST_CHOICES:
            raise InputError(
                f"The question {question!r} has {len(choices) or 'no'} choices; give at least one "
                f"and at most {MOST_CHOICES}."
            )
        if not all(choice.strip() for choice in choices):
            raise InputError(f"A choice of the question {question!r} is empty; give it a text.")
        return tuple(choices)

    def _encode(self, questions: Sequence[tuple[str, Sequence[str]]]) -> torch.Tensor:
        """Every "question </s> choice" as one vector, in order [sum of C, D].

        With a frozen language model: the tokens of every prompt, [sum of C, L].
        """
        settings = self.model.settings
        pairs = [(question, choice) for question, choices in questions for choice in choices]
        numbers = np.arange(len(pairs))
        if settings.is_frozen:
            table = PromptTable(
                self.tokenizer,
                [question for question, _ in pairs],
                [choice for _, choice in pairs],
                max_tokens=settings.max_prompt_tokens,
            )
            return torch.from_numpy(table.padded(table.pairs(numbers, numbers))[0])
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
            parts = (torch.from_numpy(each).to(self._device).split(256) for each in (tokens, keep))
            return self.model.encode_chunks(list(zip(*parts, strict=True)))

    def _answer(
        self, question: str, choices: tuple[str, ...], texts: torch.Tensor, ranked: bool
    ) -> Answer:
        output, spans = self._ground(texts)
        probabilities = output.answer_logits[0].float().softmax(dim=-1)
        index = int(probabilities.argmax())
        weights, raw = (part[0].float().tolist() for part in output[1:3])
        return Answer(
            question=question,
            choices=choices,
            index=index,
            probabilities=tuple(probabilities.tolist()),
            spans=spans,
            rule=self._rule(spans),
            frame_weights=tuple(weights),
            raw_weights=tuple(raw),
            frame_times=tuple(self.frame_times.tolist()),
            duration=self.duration,
            alternative=self._alternative(choices, texts, probabilities),
            guessing=self._guessing(question, () if ranked else choices),
            notes=(*self.notes, *(self._ranking_note(question, choices) if ranked else ())),
            thumbnails=self.thumbnails,
        )

    def _ground(self, texts: torch.Tensor) -> tuple[ModelOutput, dict[str, Span]]:
        """What the model returns for the choices of one question, and its intervals."""
        with torch.inference_mode():
            if self.model.settings.is_frozen:
                keep = texts != self.tokenizer.pad_token_id
                prompts = (part.to(self._device) for part in (texts, keep))
                output = ground_prompts(self.model, self.video, *prompts)
            else:
                query = self.model.query_of(texts[None])
                output = self.model(self.video, texts[None], query)
        gaussian = None if output.gaussian is None else output.gaussian.float().cpu().numpy()
        spans = all_spans(
            output.frame_weights.float().cpu().numpy(),
            self.frame_times[None],
            np.array([self.duration]),
            self.span,
            gaussian,
        )
        found = {rule: Span(*map(float, ends[0].round(3))) for rule, ends in spans.items()}
        return output, found

    def _rule(self, spans: dict[str, Span]) -> str:
        return self.span.rule if self.span.rule in spans else "post-hoc"

    def _alternative(
        self, choices: tuple[str, ...], texts: torch.Tensor, probabilities: torch.Tensor
    ) -> Alternative | None:
        """The second answer, grounded among the choices that are left without the first."""
        if len(choices) < 2:
            return None
        first, second = probabilities.topk(2).indices.tolist()
        left = torch.arange(len(choices)) != first
        _, spans = self._ground(texts[left])
        probability = float(probabilities[second])
        return Alternative(choices[second], second, probability, spans[self._rule(spans)])

    def _guessing(self, question: str, choices: tuple[str, ...]) -> tuple[str, ...]:
        words = unknown_words(self.known, self.tokenizer, (question, *choices))
        shown = ", ".join(words[:5]) + (", ..." if len(words) > 5 else "")
        unseen = (f"it never learned: {shown}",) if words else ()
        return (*unseen, *((self.strangeness,) if self.strangeness else ()))

    def _length_note(self) -> tuple[str, ...]:
        longest = 0.0 if self.known is None else self.known.longest
        if not longest or np.ptp(self.frame_times) <= SPARSE * longest:
            return ()
        step = float(np.diff(self.frame_times).mean())
        return (
            f"{len(self.frame_times)} frames are one every {step:.0f} s: what is shorter may lie "
            f"between them (training videos last {longest:.0f} s at most); ask about a part",
        )

    def _ranking_note(self, question: str, choices: tuple[str, ...]) -> tuple[str, ...]:
        there = self.known.num_answers.get(question_class(question), 0)
        if there <= len(choices):
            return ()
        return (f"the {len(choices)} most frequent of {there} training answers were ranked",)


def _part(
    path: Path, start: float | None, end: float | None, duration: float
) -> tuple[float, float]:
    """The seconds to look at, inside the video."""
    first, last = start or 0.0, duration if end is None else min(end, duration)
    if not 0 <= first < last:
        raise InputError(
            f"{path}: the part from {first:g} s to {last:g} s is not inside the video, which "
            f"lasts {duration:.1f} s."
        )
    return float(first), float(last)


def _strangeness(features: np.ndarray, familiar: Familiar | None) -> str:
    """Why the frames are unlike those of training; empty where they are not, or nobody knows."""
    if familiar is None or (distance := float(familiar.distance(features)[0])) <= familiar.limit:
        return ""
    return (
        f"its frames are unlike every training video (distance {distance:.1f} to the visual "
        f"dictionary, training stays below {familiar.limit:.1f})"
    )
