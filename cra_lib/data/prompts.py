"""The task as text for FrozenBiLM: each candidate becomes one sentence with a mask to fill.

    Question: Why did the boy wave? Is it 'Share with the girl'? [MASK]. Subtitles:

The question stage asks `Question: What question can the video clip answer? Is it '...' [MASK].`
A prompt is cut in two where it has a blank, so that any question goes with any answer by copying
integers; the half with the mask is never shortened.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cra_lib.data.tokens import Texts, TokenTable, tokenise
from cra_lib.records import InputError

ENDING = "{mask}. Subtitles:"
"""The suffix, and the room for subtitles, which these datasets do not have."""
WHICH = "What question can the video clip answer?"


def sentence_case(text: str) -> str:
    """First letter upper, the rest lower case, stripped.

    >>> sentence_case(" share WITH the girl ")
    'Share with the girl'
    """
    return text.strip().capitalize()


def asked(question: str) -> str:
    """A question in sentence case, with its question mark.

    >>> asked("why did the boy wave")
    'Why did the boy wave?'
    """
    text = sentence_case(question)
    return text if text.endswith("?") else text + "?"


def answer_prompt(question: str, candidate: str, mask: str) -> tuple[str, str]:
    """Both halves of "is it this answer?".

    >>> " ".join(answer_prompt("why did the boy wave", "share with the girl", "[MASK]"))
    "Question: Why did the boy wave? Is it 'Share with the girl'? [MASK]. Subtitles:"
    """
    ending = ENDING.format(mask=mask)
    return f"Question: {asked(question)} Is it", f"'{sentence_case(candidate)}'? {ending}"


def question_prompt(question: str, mask: str) -> tuple[str, str]:
    """Both halves of "is it this question?"; the question is taken as it stands.

    >>> " ".join(question_prompt("Why did he wave?", "[MASK]"))
    "Question: What question can the video clip answer? Is it 'Why did he wave?' [MASK]. Subtitles:"
    """
    return f"Question: {WHICH} Is it '{question}'", ENDING.format(mask=mask)


class PromptTable(TokenTable):
    """All prompts of a split as tokens.

    Args:
        tokenizer: of a masked language model.
        questions, answers: distinct texts; a text's number is its place.
        max_tokens: limit, special tokens included; the question is cut at its end.
        raw_distractors: in the question stage, leave all but the true question as they are spelt
            in the annotation, as released; the spelling then gives the true one away.

    Raises:
        InputError: a tokenizer without a mask token, or an answer that leaves no room.
    """

    def __init__(
        self,
        tokenizer,
        questions: Sequence[str],
        answers: Sequence[str],
        *,
        max_tokens: int,
        raw_distractors: bool = False,
    ):
        mask = tokenizer.mask_token
        if mask is None:
            raise InputError(
                f"{type(tokenizer).__name__} has no mask token; prompts need the tokenizer of a "
                "masked language model (model.language_model)."
            )
        pairs = [answer_prompt(question, "", mask)[0] for question in questions]
        tails = [answer_prompt("", answer, mask)[1] for answer in answers]
        whole = [question_prompt(asked(question), mask) for question in questions]
        whole += [question_prompt(question, mask) for question in questions]
        # Cut at the mask after tokenising: a blank before it may have a token of its own.
        cut = [_before(ids, tokenizer.mask_token_id) for ids in _joined(tokenizer, whole)]
        ending = _joined(tokenizer, [question_prompt("", mask)])[0]
        ending = ending[len(_before(ending, tokenizer.mask_token_id)) :]
        half = len(questions)
        groups = [cut[:half], cut[half:], tokenise(tokenizer, pairs), tokenise(tokenizer, tails)]
        groups.append([ending])
        self._firsts = np.cumsum([0, *map(len, groups)])
        self.raw_distractors, self.max_tokens = raw_distractors, max_tokens
        self.fill(tokenizer, [ids for group in groups for ids in group])
        self._check(answers)

    def questions(self, texts: np.ndarray) -> Texts:
        """Prompts of the question stage, by number of the question."""
        return self._texts(texts, np.full_like(texts, self._firsts[4]))

    def candidate_questions(self, texts: np.ndarray, truth_index: np.ndarray) -> Texts:
        """Prompts of the question stage for [B, C] questions, of which one each is the true one."""
        if self.raw_distractors:
            wrong = np.arange(texts.shape[1]) != truth_index[:, None]
            texts = texts + self._firsts[1] * wrong
        return self.questions(texts.ravel())

    def pairs(self, questions: np.ndarray, answers: np.ndarray) -> Texts:
        """Prompts of question and answer, by number."""
        return self._texts(self._firsts[2] + questions, self._firsts[3] + answers)

    def head_lengths(self, texts: Texts) -> np.ndarray:
        """What is left of each first half when the second one is whole."""
        room = texts.limit - self.num_special - self.lengths[texts.second]
        return np.minimum(self.lengths[texts.first], room)

    def _texts(self, first: np.ndarray, second: np.ndarray) -> Texts:
        return Texts(first, second, np.full_like(first, self.max_tokens))

    def _check(self, answers: Sequence[str]) -> None:
        tails = self.lengths[self._firsts[3] : self._firsts[4]]
        if len(tails) and tails.max() + self.num_special > self.max_tokens:
            raise InputError(
                f"The answer {answers[int(tails.argmax())]!r} takes {tails.max()} of "
                f"{self.max_tokens} tokens and leaves no room; raise model.max_prompt_tokens."
            )


def _joined(tokenizer, halves: list[tuple[str, str]]) -> list[list[int]]:
    return tokenise(tokenizer, [" ".join(pair) for pair in halves])


def _before(ids: list[int], token: int) -> list[int]:
    return ids[: ids.index(token)]
