"""Tokens put together from halves are what the tokenizer makes of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cra_lib.data.tokens import Texts, TokenTable, length_chunks, special_tokens

QUESTIONS = ("why did the boy run", "what is it", "how many dogs are there in the red car")
ANSWERS = ("he was late", "two", "to open the box near the door of the house")


def _byte_level(questions=QUESTIONS, answers=ANSWERS):
    """A byte-level BPE trained on the spot, special tokens as RoBERTa places them."""
    from tokenizers import ByteLevelBPETokenizer, processors
    from transformers import PreTrainedTokenizerFast

    inner = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    inner.train_from_iterator([*questions, *answers] * 3, 300, 1, False, special)
    inner._tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    named = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner._tokenizer, **named)


@pytest.fixture(scope="module")
def tokenizer():
    return _byte_level()


def _table(tokenizer, question_limit=30, pair_limit=38) -> TokenTable:
    return TokenTable(
        tokenizer,
        QUESTIONS,
        ANSWERS,
        max_question_tokens=question_limit,
        max_pair_tokens=pair_limit,
    )


@pytest.mark.parametrize("limits", [(30, 38), (9, 14), (4, 5)])
def test_pairs_and_questions_equal_whole_tokenisation(tokenizer, limits):
    table = _table(tokenizer, *limits)
    asked, answered = (grid.ravel() for grid in np.indices((3, 3)))
    tokens, keep = table.padded(table.pairs(asked, answered))
    for row, (question, answer) in enumerate(zip(asked, answered, strict=True)):
        whole = f"{QUESTIONS[question]} {tokenizer.sep_token} {ANSWERS[answer]}"
        expected = tokenizer(whole, truncation=True, max_length=limits[1])["input_ids"]
        assert tokens[row, keep[row]].tolist() == expected
        assert (tokens[row, ~keep[row]] == tokenizer.pad_token_id).all()
    tokens, keep = table.padded(table.questions(np.arange(3)))
    for row, question in enumerate(QUESTIONS):
        expected = tokenizer(question, truncation=True, max_length=limits[0])["input_ids"]
        assert tokens[row, keep[row]].tolist() == expected


def test_padding_to_a_fixed_width(tokenizer):
    table = _table(tokenizer)
    tokens, keep = table.padded(table.questions(np.arange(3)), width=30)
    assert tokens.shape == keep.shape == (3, 30)
    assert keep.sum(axis=1).tolist() == table.num_tokens(table.questions(np.arange(3))).tolist()


def test_special_tokens_are_found(tokenizer):
    assert special_tokens(tokenizer) == ([0], [2])


@given(st.lists(st.integers(1, 38), min_size=1, max_size=60), st.integers(1, 400))
def test_chunks_hold_every_text_once_in_order_of_length(lengths, budget):
    lengths = np.array(lengths)
    chunks = length_chunks(lengths, budget)
    order = np.concatenate(chunks)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert (np.diff(lengths[order]) >= 0).all()
    padded = sum(len(chunk) * int(lengths[chunk].max()) for chunk in chunks)
    assert padded <= len(lengths) * int(lengths.max())


def test_more_chunks_waste_less():
    lengths = np.random.default_rng(0).integers(5, 38, 640)
    wasted = [
        sum(len(chunk) * lengths[chunk].max() for chunk in length_chunks(lengths, budget))
        / lengths.sum()
        for budget in (10**6, 10000, 1024)
    ]
    assert wasted[0] > 1.6 > wasted[1] > 1.15 > wasted[2]


def test_texts_are_plain_columns(tokenizer):
    pairs = _table(tokenizer).pairs(np.array([0]), np.array([1]))
    assert isinstance(pairs, Texts) and pairs.limit.tolist() == [38]
