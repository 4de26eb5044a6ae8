"""Train `shapes-lm`, the embedded dataset's masked language model, and write its weights and card.

Run:    python scripts/train_shapes_lm.py   (see the card for the time on one core)
Writes: cra_lib/model/frozen_bilm/shapes_lm/

It plays the part that DeBERTa-V2-XLarge plays in the paper: a bidirectional model of text that
never saw a video. It reads stories (`cra_lib.data.shapes.stories`): captions of 32 moments, each of
them one token (the mean embedding of its words), then a sentence in which words are hidden. The
stories are drawn for it; no question, video or frame of the dataset is among them.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import pre_tokenizers
from torch import Tensor
from transformers import DebertaV2Config, PreTrainedTokenizerFast

from cra_lib.data.shapes.stories import MOMENTS, Sentence, draw_sentence, draw_story, words
from cra_lib.data.shapes.training_card import write_training_card
from cra_lib.data.shapes.word_tokens import word_tokenizer
from cra_lib.model.frozen_bilm.language_model import MaskedLanguageModel
from cra_lib.model.frozen_bilm.loading import save_language_model, vocabulary_of, word_state
from cra_lib.model.parameters import DEBERTA_V2
from cra_lib.model.text import SHAPES_LM

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
SIGNS = [":", "?", ".", "'"]
WHOLE = ("yes or no", "answer", "statement", "which question")
"""Kinds of sentences in which all of the hidden part is masked; in others, some words of it."""
SOME, LOST_WORDS = 0.3, 0.1
TOLD = 4
"""Sentences about each story."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """``[CLS] words [SEP]``; unknown words are ``[UNK]``."""
    return word_tokenizer(
        SPECIAL,
        [*SIGNS, *words()],
        pre_tokenizers.BertPreTokenizer(),
        gap=1,
        max_length=96,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        mask_token="[MASK]",
    )


def make_model(tokenizer: PreTrainedTokenizerFast, args: argparse.Namespace) -> MaskedLanguageModel:
    """An untrained DeBERTa-v2 of a few layers, with the settings of the large one."""
    config = DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=args.width,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        intermediate_size=4 * args.width,
        max_position_embeddings=96,
        position_buckets=32,
        **DEBERTA_V2,
        initializer_range=0.08,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    return MaskedLanguageModel(config, vocabulary_of(tokenizer, "shapes-lm"))


class Batch:
    """Stories and sentences as tensors: bags of words, tokens, hidden places, true words."""

    def __init__(self, tokenizer, count: int, rng: random.Random):
        stories = [draw_story(rng) for _ in range(count // TOLD)]
        sentences = [
            draw_sentence(story, other, rng)
            for story, other in zip(stories, stories[1:] + stories[:1], strict=True)
            for _ in range(TOLD)
        ]
        self.kinds = [sentence.kind for sentence in sentences]
        told = bags(tokenizer, [story.moments for story in stories], rng)
        self.bags = told.repeat_interleave(TOLD, dim=0)
        encoded = tokenizer(
            [sentence.text for sentence in sentences],
            padding=True,
            return_tensors="pt",
            return_offsets_mapping=True,
        )
        self.keep = encoded["attention_mask"].bool()
        hidden = [
            hide(sentence, offsets, rng)
            for sentence, offsets in zip(sentences, encoded["offset_mapping"].tolist(), strict=True)
        ]
        self.hidden = torch.tensor(hidden)
        self.words = encoded["input_ids"][self.hidden]
        self.tokens = encoded["input_ids"].masked_fill(self.hidden, tokenizer.mask_token_id)


def hide(sentence: Sentence, offsets: list[list[int]], rng: random.Random) -> list[bool]:
    """Which tokens of a sentence to mask."""
    start = sentence.text.rfind(sentence.hidden)
    end = start + len(sentence.hidden)
    inside = [first >= start and last <= end and last > first for first, last in offsets]
    if sentence.kind in WHOLE:
        return inside
    some = [place and rng.random() < SOME for place in inside]
    return some if any(some) else inside


def bags(tokenizer, captions: list[tuple[str, ...]], rng: random.Random) -> Tensor:
    """[B, 32, V]: shares of words in each caption, a few of them lost."""
    ids: dict[str, list[int]] = {}
    out = torch.zeros(len(captions), MOMENTS, len(tokenizer))
    for row, moments in enumerate(captions):
        for place, moment in enumerate(moments):
            if moment not in ids:
                ids[moment] = tokenizer(moment, add_special_tokens=False)["input_ids"]
            kept = [word for word in ids[moment] if rng.random() >= LOST_WORDS] or ids[moment]
            out[row, place, kept] = 1 / len(kept)
    return out


def predictions(model: MaskedLanguageModel, batch: Batch) -> Tensor:
    """[M, V] logits at the hidden places."""
    inputs = torch.cat([batch.bags @ model.words, model.embed(batch.tokens)], dim=1)
    keep = torch.cat([batch.keep.new_ones(batch.bags.shape[:2]), batch.keep], dim=1)
    place = torch.full((len(inputs),), MOMENTS)
    states = model.read(inputs, keep, place, with_attention=False).states
    return model.word_logits(states[:, MOMENTS:][batch.hidden])


def hits(logits: Tensor, batch: Batch) -> dict[str, list[int]]:
    """Kind of sentence -> [words found, words hidden]."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    rows = batch.hidden.nonzero()[:, 0].tolist()
    for row, right in zip(rows, (logits.argmax(dim=-1) == batch.words).tolist(), strict=True):
        found[batch.kinds[row]][0] += right
        found[batch.kinds[row]][1] += 1
    return found


def percent(found: list[dict[str, list[int]]]) -> dict[str, float]:
    """Kind -> percent of hidden words that were found."""
    total: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for part in found:
        for kind, (right, count) in part.items():
            total[kind][0] += right
            total[kind][1] += count
    return {kind: round(100 * right / count, 2) for kind, (right, count) in sorted(total.items())}


def train(model: MaskedLanguageModel, tokenizer, args: argparse.Namespace) -> None:
    """One-cycle AdamW over stories that are never seen twice."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.learning_rate, total_steps=args.steps, pct_start=0.1
    )
    rng, start, found = random.Random(f"train/{args.seed}"), time.perf_counter(), []
    model.train()
    for step in range(1, args.steps + 1):
        batch = Batch(tokenizer, args.batch_size, rng)
        logits = predictions(model, batch)
        loss = F.cross_entropy(logits, batch.words)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        found.append(hits(logits, batch))
        if step % 250 == 0:
            seconds = time.perf_counter() - start
            print(f"step {step}/{args.steps}  loss {loss.item():.3f}  {seconds:.0f} s  "
                  f"{percent(found)}", flush=True)  # fmt: skip
            found.clear()
            if step % 500 == 0:
                save(model, tokenizer, {}, args, step, seconds)


@torch.inference_mode()
def test(model: MaskedLanguageModel, tokenizer, args: argparse.Namespace) -> dict[str, float]:
    """Percent of hidden words found in stories that were not trained on."""
    model.eval()
    rng = random.Random(f"test/{args.seed}")
    batches = [Batch(tokenizer, 250, rng) for _ in range(8)]
    return percent([hits(predictions(model, batch), batch) for batch in batches])


def save(model, tokenizer, scores: dict, args, step: int, seconds: float) -> None:
    """Configuration, weights (half precision), tokenizer and card."""
    folder = args.out
    half = {name: value.half() for name, value in word_state(model).items()}
    save_language_model(half, model.config, tokenizer, folder)
    files = ("model.safetensors", "tokenizer.json", "config.json")
    write_training_card(
        folder,
        "scripts/train_shapes_lm.py",
        vars(args),
        files,
        steps_done=step,
        parameters=sum(p.numel() for p in model.parameters()),
        found_percent=scores,
        training_seconds=round(seconds),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2.5e-3)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=SHAPES_LM)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, args)
    start = time.perf_counter()
    train(model, tokenizer, args)
    seconds = time.perf_counter() - start
    scores = test(model, tokenizer, args)
    save(model, tokenizer, scores, args, args.steps, seconds)
    print(f"{scores}, {seconds:.0f} s")


if __name__ == "__main__":
    main()
