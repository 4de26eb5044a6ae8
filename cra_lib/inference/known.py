"""What a model has met in training, kept beside its weights as ``known.json``.

A model answers whatever it is asked; whether it can know the answer is another matter. This file
says which answers it learned (ranked where a question comes without choices) and which words; what
frames looked like is beside it (`familiar`)::

    {"format": "cra-lib known 1", "dataset": "shapes", "encoder": "shapes-clip", "num_frames": 32,
     "span": {every span setting}, "answers": {"what do": ["jump up", ...], ...},
     "num_answers": {"what do": 8, ...}, "words": ["a", "after", ...], "longest": 17.0}
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from cra_lib.config import RunConfig, SpanConfig
from cra_lib.data.distractors import question_class
from cra_lib.evaluator.annotations import read_stamps
from cra_lib.model.saving import KNOWN
from cra_lib.paths import DataFiles, atomic
from cra_lib.records import InputError, Question

FORMAT = "cra-lib known 1"
MOST_ANSWERS = 150
"""Answers that are ranked for a question without choices; NExT-QA has thousands in a class."""


class Known(BaseModel):
    """The content of known.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format: str = FORMAT
    dataset: str
    """What it was trained on."""
    encoder: str
    """Frame encoder."""
    num_frames: int = 32
    """Frames per video."""
    span: SpanConfig = SpanConfig()
    """How weights become seconds."""
    answers: dict[str, tuple[str, ...]] = {}
    """Class of question (why, what do, ...) -> its most frequent right answers, by frequency."""
    num_answers: dict[str, int] = {}
    """Class of question -> how many different right answers there were."""
    words: tuple[str, ...] = ()
    """Every word of the training questions and choices, sorted; empty: not recorded."""
    longest: float = 0.0
    """Seconds of the longest training video; 0: not known."""

    def ranked_for(self, question: str) -> tuple[str, ...]:
        """The answers that could be right for a question of its class; else those of all classes.

        All classes share the places evenly, so that none is left out.
        """
        if found := self.answers.get(question_class(question)):
            return found
        turns = chain.from_iterable(zip_longest(*self.answers.values()))
        return tuple(dict.fromkeys(answer for answer in turns if answer))[:MOST_ANSWERS]


def words_of(text: str) -> list[str]:
    """The words of a text in lower case.

    >>> words_of("What did the red-haired boy do?")
    ['what', 'did', 'the', 'red', 'haired', 'boy', 'do']
    """
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower())


def learned(
    config: RunConfig,
    questions: Iterable[Question],
    num_frames: int,
    longest: float = 0.0,
) -> Known:
    """What a training with these settings and this training split has met.

    Args:
        num_frames: frames of each video, T.
        longest: seconds of the longest training video; 0: not known.
    """
    questions = list(questions)
    right: dict[str, Counter[str]] = {}
    for q in questions:
        if q.answer is not None:
            right.setdefault(question_class(q.text), Counter())[q.choices[q.answer]] += 1
    texts = {text for q in questions for text in (q.text, *q.choices)}
    return Known(
        dataset=config.dataset,
        encoder=config.data.encoder,
        num_frames=num_frames,
        span=config.span,
        answers={
            kind: tuple(answer for answer, _ in sorted(found.items(), key=lambda a: (-a[1], a[0])))[
                :MOST_ANSWERS
            ]
            for kind, found in sorted(right.items())
        },
        num_answers={kind: len(found) for kind, found in sorted(right.items())},
        words=tuple(sorted({word for text in texts for word in words_of(text)})),
        longest=round(longest, 2),
    )


def longest_video(data: DataFiles, questions: Iterable[Question]) -> float:
    """Seconds of the longest video of a split, from the last time stamps of its training frames.

    0 where nobody wrote the stamps of the training split down.
    """
    path = data.stamps("train")
    if not path.is_file():
        return 0.0
    stamps, wanted = read_stamps(path), {q.video_id for q in questions}
    # Stamps are centred: the first is as far from the start as the last is from the end.
    return max((s[0] + s[-1] for v, s in stamps.items() if v in wanted), default=0.0)


def write_known(folder: Path, known: Known) -> None:
    """Write known.json into a model folder."""
    with atomic(folder / KNOWN) as partial:
        partial.write_text(json.dumps(known.model_dump(mode="json"), indent=1) + "\n", "utf-8")


def read_known(folder: Path) -> Known | None:
    """What a model folder says about its training; None where it says nothing (older folders).

    Raises:
        InputError: a damaged file.
    """
    path = folder / KNOWN
    if not path.is_file():
        return None
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise InputError(f'{path}: expected "format": "{FORMAT}"; copy the model folder again.')
        return Known(**content)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON ({error.msg}); copy it again.") from None
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"]))
        raise InputError(f"{path}: {name!r} is wrong ({problem['msg']}).") from None


def unknown_words(known: Known | None, tokenizer: Any, texts: Sequence[str]) -> list[str]:
    """Words that training never showed, or (not recorded) that the tokenizer does not have."""
    words = dict.fromkeys(word for text in texts for word in words_of(text))
    if known is not None and known.words:
        seen = set(known.words)
        return [word for word in words if word not in seen]
    unknown = getattr(tokenizer, "unk_token_id", None)
    if unknown is None:
        return []
    ids = tokenizer(list(words), add_special_tokens=False, verbose=False)["input_ids"]
    return [word for word, found in zip(words, ids, strict=True) if unknown in found]
