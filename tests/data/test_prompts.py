"""Prompts in two halves are the prompts in one piece, and their mask is never cut off."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from cra_lib.data.prompts import PromptTable, answer_prompt, asked, question_prompt
from cra_lib.records import InputError

WORDS = "why did the boy wave share with girl what happened Why Did Share".split()


def tokenizer_with(mask="[MASK]", kind="pieces"):
    """A tokenizer of whole words, or of pieces as sentencepiece makes them."""
    ends = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    letters = sorted({*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'?.:", "▁"})
    vocabulary = [*ends, *letters, *(f"▁{word}" for word in WORDS)]
    model = models.Unigram([(piece, -float(len(letters)) / len(piece)) for piece in vocabulary], 3)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        mask_token=mask,
    )


TOKENIZER = tokenizer_with()
text = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)


@settings(max_examples=10)
@given(question=text, answer=text)
def test_halves_make_the_whole(question, answer):
    table = PromptTable(TOKENIZER, [question], [answer], max_tokens=400)
    zero = np.zeros(1, np.int64)
    for texts, halves in (
        (table.pairs(zero, zero), answer_prompt(question, answer, "[MASK]")),
        (table.questions(zero), question_prompt(asked(question), "[MASK]")),
    ):
        tokens, keep = table.padded(texts)
        assert tokens[0].tolist() == TOKENIZER(" ".join(halves))["input_ids"]
        assert keep.all()


@settings(max_examples=10)
@given(question=text, answer=text, limit=st.integers(70, 120))
def test_a_long_question_is_cut_and_the_mask_stays(question, answer, limit):
    table = PromptTable(TOKENIZER, [question * 9], [answer[:20]], max_tokens=limit)
    zero = np.zeros(1, np.int64)
    for texts in (table.pairs(zero, zero), table.questions(zero)):
        tokens, _ = table.padded(texts)
        assert tokens.shape[1] <= limit
        assert (tokens == TOKENIZER.mask_token_id).sum() == 1
        assert tokens[0, [0, -1]].tolist() == [1, 2]


def without_padding(decoded):
    """What is left of a decoded text, blanks aside."""
    return decoded.replace("[PAD]", "").split()


def test_as_released_only_the_true_question_is_spelt_well():
    questions, truth = ["why did the boy wave", "what happened"], np.array([1])
    asked_both = np.array([[0, 1]])
    neat = PromptTable(TOKENIZER, questions, ["wave"], max_tokens=400)
    raw = PromptTable(TOKENIZER, questions, ["wave"], max_tokens=400, raw_distractors=True)
    spelt = {
        name: TOKENIZER.batch_decode(table.padded(table.candidate_questions(asked_both, truth))[0])
        for name, table in (("neat", neat), ("raw", raw))
    }
    assert without_padding(spelt["neat"][1]) == without_padding(spelt["raw"][1])
    assert "boywave?" in spelt["neat"][0].replace(" ", "").replace("▁", "")
    assert "boywave'" in spelt["raw"][0].replace(" ", "").replace("▁", "")


def test_what_cannot_be_a_prompt():
    with pytest.raises(InputError, match="no mask token"):
        PromptTable(tokenizer_with(mask=None), ["why"], ["wave"], max_tokens=40)
    with pytest.raises(InputError, match="leaves no room"):
        PromptTable(TOKENIZER, ["why"], ["wave " * 40], max_tokens=40)
