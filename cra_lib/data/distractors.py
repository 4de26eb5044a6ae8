"""Wrong candidates and paraphrases for training, drawn for a whole epoch at once.

Everything is an index: a question is a row, a text is a number, and a pool is a slice of sorted
numbers, so that one generator state fixes every draw and no Python loop runs over questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cra_lib.records import InputError, Question

_WHAT_CLASSES = {
    "do": "what do",
    "does": "what do",
    "did": "what do",
    "is": "what is",
    "are": "what is",
    "was": "what is",
    "were": "what is",
}
_FIRST_WORDS = ("how", "who", "which", "why", "where")


def question_class(text: str) -> str:
    """The class of a question by its first words, as NExT-GQA's training draws distractors.

    >>> [question_class(text) for text in ("what did he do", "How many dogs", "is it")]
    ['what do', 'how many', 'other']
    """
    first, second, *_ = [*text.lower().split(), "", ""]
    if first == "what":
        return _WHAT_CLASSES.get(second, "what")
    if first == "how" and second == "many":
        return "how many"
    return first if first in _FIRST_WORDS else "other"


class Pools(NamedTuple):
    """Sorted groups of items, and where each question's own item stands in its group."""

    items: np.ndarray
    """Item numbers, group after group, ascending within a group."""
    starts: np.ndarray
    """First place of each group in ``items``."""
    sizes: np.ndarray
    """Items of each group."""
    group: np.ndarray
    """Question -> its group."""
    position: np.ndarray
    """Question -> place of its own item inside its group."""


def group_items(groups: np.ndarray, items: np.ndarray) -> Pools:
    """Pools of the distinct ``items`` of each group; one group and one item a question."""
    span = int(items.max()) + 1
    members, inverse = np.unique(groups.astype(np.int64) * span + items, return_inverse=True)
    owners = members // span
    starts = np.searchsorted(owners, np.arange(int(groups.max()) + 1))
    sizes = np.diff(np.append(starts, len(members)))
    return Pools(members % span, starts, sizes, groups, inverse - starts[groups])


def draw_distinct(
    generator: np.random.Generator, sizes: np.ndarray, count: int, exclude: np.ndarray | None = None
) -> np.ndarray:
    """For each row, ``count`` distinct numbers below its size, all but the excluded one alike.

    Args:
        sizes: [B]; at least ``count``, or one more where ``exclude`` is given.
        exclude: [B] number that each row must not draw; None excludes nothing.

    Returns:
        [B, count] integers.
    """
    taken = np.empty((len(sizes), 0), np.int64) if exclude is None else exclude[:, None]
    drawn = []
    for _ in range(count):
        pick = generator.integers(0, sizes - taken.shape[1])
        # Counting up past each smaller taken number maps 0..n-1-k onto the numbers still free.
        for smaller in taken.T:
            pick += pick >= smaller
        drawn.append(pick)
        taken = np.sort(np.column_stack([taken, pick]), axis=1)
    return np.stack(drawn, axis=1)


@dataclass(frozen=True)
class TextIndex:
    """Distinct texts of a split, numbered; a text's number is its place in the list."""

    questions: tuple[str, ...]
    """Question texts and their paraphrases."""
    answers: tuple[str, ...]
    """Answer texts."""
    question_text: np.ndarray
    """[N] text of each question."""
    choices: np.ndarray
    """[N, C] texts of each question's choices."""
    paraphrases: np.ndarray
    """Texts of all paraphrases, question after question."""
    paraphrase_starts: np.ndarray
    """[N + 1] first paraphrase of each question."""


def index_texts(
    questions: Sequence[Question], paraphrases: dict[str, list[str]] | None = None
) -> TextIndex:
    """Number the texts of a split.

    Raises:
        InputError: questions have different numbers of choices.
    """
    num_choices = len(questions[0].choices)
    for question in questions:
        if len(question.choices) != num_choices:
            raise InputError(
                f"Question {question.key} has {len(question.choices)} choices where the first "
                f"question of the split has {num_choices}; all must have the same number."
            )
    rewritten = [(paraphrases or {}).get(question.key, []) for question in questions]
    texts = sorted({q.text for q in questions} | {text for group in rewritten for text in group})
    answers = sorted({choice for q in questions for choice in q.choices})
    text_number = {text: number for number, text in enumerate(texts)}
    answer_number = {text: number for number, text in enumerate(answers)}
    return TextIndex(
        questions=tuple(texts),
        answers=tuple(answers),
        question_text=np.array([text_number[q.text] for q in questions]),
        choices=np.array([[answer_number[c] for c in q.choices] for q in questions]),
        paraphrases=np.array([text_number[t] for group in rewritten for t in group], np.int64),
        paraphrase_starts=np.cumsum([0, *map(len, rewritten)]),
    )


class Candidates(NamedTuple):
    """One epoch's texts for every question of the split, as numbers of a TextIndex."""

    question_text: np.ndarray
    """[N] the question as it is asked this time: its own text or a paraphrase."""
    questions: np.ndarray
    """[N, C] candidates of the question stage."""
    question_index: np.ndarray
    """[N] where the true question stands among them."""
    answers: np.ndarray
    """[N, C] candidates of the answer stage; the right one stays where it is."""


class DistractorSampler:
    """Draws the candidates of both training stages.

    Question stage: other questions on the same video with a chance, else questions of the same
    class. Answer stage: the question's own choices, or with a chance right answers to other
    questions of its class. A video or class with too few texts falls back to its class, then to
    the whole split.

    Args:
        exclude_truth: False draws as the released code does, which removes the *characters* of
            the true text from a set of texts, so that the truth may be its own distractor.

    Raises:
        InputError: the split has fewer distinct questions or answers than candidates.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        texts: TextIndex,
        *,
        same_video_probability: float = 0.3,
        random_answer_probability: float = 0.3,
        paraphrase_probability: float = 0.3,
        exclude_truth: bool = True,
    ):
        self.texts, self.exclude_truth = texts, exclude_truth
        self.same_video_probability = same_video_probability
        self.random_answer_probability = random_answer_probability
        self.paraphrase_probability = paraphrase_probability
        self.answer_index = np.array([_known_answer(question) for question in questions])
        everything = np.zeros(len(questions), np.int64)
        classes = _numbered([question_class(question.text) for question in questions])
        videos = _numbered([question.video_id for question in questions])
        text = texts.question_text
        self._question_pools = [group_items(g, text) for g in (videos, classes, everything)]
        own_answer = texts.choices[np.arange(len(questions)), self.answer_index]
        right = _same_when_normalised(texts.answers)[own_answer]
        self._answer_pools = [group_items(g, right) for g in (classes, everything)]
        self._check_sizes()

    def draw(self, generator: np.random.Generator) -> Candidates:
        """Candidates of every question for one epoch."""
        question_text = self._paraphrased(generator)
        rows = np.arange(len(question_text))
        num_candidates = self.texts.choices.shape[1]
        same_video = generator.random(len(rows)) < self.same_video_probability
        wrong = self._from_pools(
            generator, self._question_pools, num_candidates - 1, np.where(same_video, 0, 1)
        )
        question_index = generator.integers(0, num_candidates, len(rows))
        candidates = _with_truth(wrong, question_text, question_index)
        replace = generator.random(len(rows)) < self.random_answer_probability
        wrong = self._from_pools(
            generator, self._answer_pools, num_candidates - 1, np.zeros(len(rows), np.int64)
        )
        own = self.texts.choices
        random_answers = _with_truth(wrong, own[rows, self.answer_index], self.answer_index)
        answers = np.where(replace[:, None], random_answers, own)
        return Candidates(question_text, candidates, question_index, answers)

    def _paraphrased(self, generator: np.random.Generator) -> np.ndarray:
        """[N] each question's text, replaced by one of its paraphrases with a chance."""
        own, starts = self.texts.question_text, self.texts.paraphrase_starts
        counts = np.diff(starts)
        chosen = generator.random(len(own)) < self.paraphrase_probability
        pick = starts[:-1] + (generator.random(len(own)) * counts).astype(np.int64)
        rows = np.flatnonzero(chosen & (counts > 0))
        text = own.copy()
        text[rows] = self.texts.paraphrases[pick[rows]]
        return text

    def _from_pools(
        self, generator: np.random.Generator, pools: list[Pools], count: int, first: np.ndarray
    ) -> np.ndarray:
        """[N, count] items of each question's first pool (from ``first`` on) that is large enough.

        Every row draws from every pool, used or not: the draws of one question then do not
        depend on the pools of another.
        """
        needed = count + self.exclude_truth
        wrong = np.empty((len(first), count), np.int64)
        open_rows = np.ones(len(first), bool)
        for place, pool in enumerate(pools):
            sizes = pool.sizes[pool.group]
            last = place == len(pools) - 1
            usable = open_rows & (first <= place) & ((sizes >= needed) | last)
            exclude = pool.position if self.exclude_truth else None
            picks = draw_distinct(generator, np.maximum(sizes, needed), count, exclude)
            rows = np.flatnonzero(usable)
            wrong[rows] = pool.items[pool.starts[pool.group[rows], None] + picks[rows]]
            open_rows &= ~usable
        return wrong

    def _check_sizes(self) -> None:
        num_candidates = self.texts.choices.shape[1]
        for pools, what in ((self._question_pools, "questions"), (self._answer_pools, "answers")):
            if (size := int(pools[-1].sizes[0])) < num_candidates:
                raise InputError(
                    f"The training split has {size} different {what}, but {num_candidates} "
                    "candidates are to be drawn; add questions."
                )


def _known_answer(question: Question) -> int:
    if question.answer is None:
        raise InputError(f"Training question {question.key} has no answer.")
    return question.answer


def _numbered(names: list[str]) -> np.ndarray:
    """Names as numbers in sorted order."""
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _same_when_normalised(answers: tuple[str, ...]) -> np.ndarray:
    """Answer -> the first answer that differs from it only by case and outer blanks."""
    first: dict[str, int] = {}
    return np.array(
        [first.setdefault(text.strip().lower(), number) for number, text in enumerate(answers)]
    )


def _with_truth(wrong: np.ndarray, truth: np.ndarray, index: np.ndarray) -> np.ndarray:
    """[N, C]: the true item at ``index``, the wrong ones around it in order."""
    rows, columns = np.indices((len(wrong), wrong.shape[1] + 1))
    before = np.minimum(columns - (columns > index[:, None]), wrong.shape[1] - 1)
    candidates = wrong[rows, before]
    candidates[np.arange(len(wrong)), index] = truth
    return candidates
