"""The tokenizer of the embedded dataset's text models: one token a word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, models, processors
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import PreTokenizer
from transformers import PreTrainedTokenizerFast


def word_tokenizer(
    special: Sequence[str],
    words: Iterable[str],
    splitter: PreTokenizer,
    *,
    gap: int,
    max_length: int,
    **roles: str,
) -> PreTrainedTokenizerFast:
    """One token a word, lower case, with a special token in front and behind.

    Args:
        special: special tokens in the order of their numbers; ``words`` come after them.
        splitter: cuts a text into words.
        gap: separators between both texts of a pair.
        roles: which special token is what, as transformers names it: ``cls_token``,
            ``sep_token``, ``pad_token``, ``unk_token``, ``mask_token``, perhaps more.
    """
    ids = {word: number for number, word in enumerate([*special, *words])}
    first, last = roles["cls_token"], roles["sep_token"]
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=roles["unk_token"]))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=" ".join([first, "$A", *[last] * gap, "$B", last]),
        special_tokens=[(first, ids[first]), (last, ids[last])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **roles,
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
    )
