"""Texts as tokens, cut into words once and put together without a tokenizer.

A choice is read as ``question </s> choice`` (the tokenizer's own separator). The separator splits a
text before anything else does, so the tokens of the whole are the tokens of its halves: any
question can be paired with any answer by copying integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEW_RUNS = 8
"""Runs into which the texts of a small batch are cut at most."""


class Texts(NamedTuple):
    """N texts, each the two segments of a TokenTable that make it up."""

    first: np.ndarray
    """[N] segment: a bare question, or a question with its separator."""
    second: np.ndarray
    """[N] segment: an answer, or the empty one."""
    limit: np.ndarray
    """[N] tokens at most, special ones included."""


class TokenTable:
    """All segments of a split, tokenised once.

    Args:
        tokenizer: a fast `transformers` tokenizer.
        questions, answers: distinct texts; a text's number is its place.
        max_question_tokens, max_pair_tokens: limits, special tokens included; the right end is cut.
    """

    def __init__(
        self,
        tokenizer,
        questions: Sequence[str],
        answers: Sequence[str],
        *,
        max_question_tokens: int,
        max_pair_tokens: int,
    ):
        separator = tokenizer.sep_token or tokenizer.eos_token or ""
        bare = tokenise(tokenizer, questions)
        heads = tokenise(tokenizer, [f"{text} {separator}" for text in questions])
        tails = tokenise(tokenizer, [f"{separator} {text}" for text in answers])
        self.max_question_tokens, self.max_pair_tokens = max_question_tokens, max_pair_tokens
        self._num_questions, self._num_answers = len(bare), len(tails)
        self.fill(tokenizer, [*bare, *heads, *(ids[bool(separator) :] for ids in tails), []])

    def fill(self, tokenizer, segments: list[list[int]]) -> None:
        """Lay the tokens of all segments end to end."""
        self.lengths = np.array([len(ids) for ids in segments])
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.flat = np.concatenate([np.array(ids, np.int64) for ids in segments])
        self.prefix, self.suffix = special_tokens(tokenizer)
        self.num_special = len(self.prefix) + len(self.suffix)
        self.pad = int(tokenizer.pad_token_id)

    def questions(self, texts: np.ndarray) -> Texts:
        """Bare questions by number."""
        empty = 2 * self._num_questions + self._num_answers
        return Texts(
            texts, np.full_like(texts, empty), np.full_like(texts, self.max_question_tokens)
        )

    def candidate_questions(self, texts: np.ndarray, truth_index: np.ndarray) -> Texts:
        """Candidates [B, C] of the question stage; ``truth_index`` says which is the true one."""
        return self.questions(texts.ravel())

    def pairs(self, questions: np.ndarray, answers: np.ndarray) -> Texts:
        """``question </s> answer`` by number."""
        return Texts(
            self._num_questions + questions,
            2 * self._num_questions + answers,
            np.full_like(questions, self.max_pair_tokens),
        )

    def num_tokens(self, texts: Texts) -> np.ndarray:
        """[N] tokens of each text, special ones included."""
        content = self.lengths[texts.first] + self.lengths[texts.second]
        return np.minimum(content + self.num_special, texts.limit)

    def head_lengths(self, texts: Texts) -> np.ndarray:
        """[N] tokens of each first segment, as far as they are used."""
        return self.lengths[texts.first]

    def padded(self, texts: Texts, width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Tokens [N, L] (int64) and keep [N, L] (True is real), L the longest text or ``width``."""
        total = self.num_tokens(texts)[:, None]
        column = np.arange(int(total.max()) if width is None else width)[None]
        place, cut = column - len(self.prefix), self.head_lengths(texts)[:, None]
        source = np.where(
            place < cut,
            self.starts[texts.first, None] + place,
            self.starts[texts.second, None] + place - cut,
        )
        tokens = self.flat[np.clip(source, 0, len(self.flat) - 1)]
        for place, token in enumerate(self.prefix):
            tokens[:, place] = token
        for place, token in enumerate(self.suffix):
            tokens[np.arange(len(tokens)), total[:, 0] - len(self.suffix) + place] = token
        keep = column < total
        tokens[~keep] = self.pad
        return tokens, keep


def special_tokens(tokenizer) -> tuple[list[int], list[int]]:
    """Token ids that the tokenizer puts before and after a text."""
    bare = tokenizer("what", add_special_tokens=False)["input_ids"]
    full = tokenizer("what")["input_ids"]
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start], full[start + len(bare) :]
    raise ValueError(f"{type(tokenizer).__name__} does not put its special tokens around a text")


def length_chunks(lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """Cut N texts into runs of similar length and at most about ``budget`` tokens, shortest first.

    A few texts are cut too, into up to FEW_RUNS of half the budget: padding them to one
    length costs more than another call of the encoder.

    >>> [chunk.tolist() for chunk in length_chunks(np.array([9, 3, 9, 4]), budget=13)]
    [[1], [3], [0], [2]]
    """
    order = np.argsort(lengths, kind="stable")
    tokens = np.cumsum(lengths[order])
    total = float(tokens[-1])
    count = max(1, round(total / budget), min(FEW_RUNS, round(2 * total / budget)))
    count = min(count, len(order))
    # Runs of equally many tokens, not texts: each run then takes about the same time.
    cuts = np.searchsorted(tokens, np.arange(1, count) * tokens[-1] / count, side="right")
    return [run for run in np.split(order, cuts) if len(run)]


def tokenise(tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, without special tokens around it."""
    if not len(texts):
        return []
    return tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
