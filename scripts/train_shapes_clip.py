"""Train `shapes-clip`, the embedded dataset's image-text model, and write its weights and card.

Run:    OMP_WAIT_POLICY=PASSIVE python scripts/train_shapes_clip.py   (5 minutes on two cores)
Writes: cra_lib/video/shapes_clip/

The variable keeps waiting threads from spinning; on a machine that does other work as well, without
it a step takes three times as long.

Frames are drawn one by one (`cra_lib.data.shapes.captions`), never taken from the dataset's videos.
Each frame has topics: who does what, what is done, who acts, its colour, its shape, the scene, the
weather. In a
batch, each topic's labels become texts with a wording drawn at random, and each frame should be
nearest to the text of its own label.
"""

from __future__ import annotations

import argparse
import random
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from cra_lib.data.shapes.captions import (
    TOPICS,
    Shot,
    caption,
    draw_shot,
    labels,
    phrase,
    render_shot,
    vocabulary,
)
from cra_lib.data.shapes.training_card import write_training_card
from cra_lib.data.shapes.word_tokens import word_tokenizer
from cra_lib.video.shapes_clip import FOLDER, TEXT_WIDTH, Towers, to_pixels, tokenize

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
CHUNK = 1000


def draw_chunk(task: tuple[str, int]) -> tuple[np.ndarray, list[Shot]]:
    """Frames uint8 [N, 96, 96, 3] and their shots; the same name gives the same frames."""
    name, count = task
    rng = random.Random(name)
    shots = [draw_shot(rng) for _ in range(count)]
    return np.stack([render_shot(shot, rng) for shot in shots]), shots


def draw_frames(name: str, count: int, workers: int) -> tuple[np.ndarray, list[Shot]]:
    """`count` frames with their shots, drawn in parallel."""
    tasks = [(f"{name}/{start}", min(CHUNK, count - start)) for start in range(0, count, CHUNK)]
    with ProcessPoolExecutor(workers) as pool:
        parts = list(pool.map(draw_chunk, tasks))
    return np.concatenate([frames for frames, _ in parts]), [s for _, shots in parts for s in shots]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """``<s> words </s>``; unknown words are ``<unk>``."""
    return word_tokenizer(
        SPECIAL,
        vocabulary(),
        pre_tokenizers.Whitespace(),
        gap=2,
        max_length=62,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def make_towers(tokenizer: PreTrainedTokenizerFast) -> Towers:
    """Untrained towers; the text tower is a RoBERTa of two layers."""
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=64,
        type_vocab_size=1,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return Towers(RobertaModel(config, add_pooling_layer=False))


def batch_loss(towers, tokenizer, frames, shots, rng: random.Random) -> torch.Tensor:
    """Mean over topics of the cross-entropy of each frame's own label among the batch's labels."""
    present = [sorted({shot.label(topic) for shot in shots}) for topic in TOPICS]
    texts = [
        phrase(topic, label, rng)
        for topic, found in zip(TOPICS, present, strict=True)
        for label in found
    ]
    images = towers.images(to_pixels(frames))
    embedded = towers.texts(*tokenize(tokenizer, texts)).split([len(found) for found in present])
    losses = []
    for topic, found, words in zip(TOPICS, present, embedded, strict=True):
        target = torch.tensor([found.index(shot.label(topic)) for shot in shots])
        losses.append(F.cross_entropy(towers.similarity(images, words), target))
    return torch.stack(losses).mean()


def train(towers, tokenizer, frames, shots, args) -> None:
    """One-cycle AdamW over shuffled frames."""
    optimizer = torch.optim.AdamW(towers.parameters(), lr=args.learning_rate, weight_decay=0.01)
    steps = args.epochs * (len(frames) // args.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.learning_rate, total_steps=steps, pct_start=0.15
    )
    rng, step, start = random.Random(args.seed), 0, time.perf_counter()
    towers.train()
    towers.image.to(memory_format=torch.channels_last)  # a third faster on CPU
    for _ in range(args.epochs):
        order = rng.sample(range(len(frames)), len(frames))
        for first in range(0, len(order) - args.batch_size + 1, args.batch_size):
            chosen = order[first : first + args.batch_size]
            loss = batch_loss(towers, tokenizer, frames[chosen], [shots[i] for i in chosen], rng)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(towers.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            if step % 50 == 0:
                seconds = time.perf_counter() - start
                print(f"step {step}/{steps}  loss {loss.item():.3f}  {seconds:.0f} s", flush=True)


@torch.inference_mode()
def zero_shot(towers, tokenizer, frames, shots) -> dict[str, float]:
    """Percent of frames nearest to the plain caption of their own label, among all labels."""
    towers.eval()
    parts = [towers.images(to_pixels(frames[i : i + 256])) for i in range(0, len(frames), 256)]
    images, scores = torch.cat(parts), {}
    for topic in TOPICS:
        found = labels(topic)
        words = towers.texts(*tokenize(tokenizer, [caption(topic, label) for label in found]))
        nearest = towers.similarity(images, words).argmax(dim=-1).tolist()
        hits = [found[i] == shot.label(topic) for i, shot in zip(nearest, shots, strict=True)]
        scores[topic] = round(100 * sum(hits) / len(hits), 2)
    return scores


def save(towers: Towers, tokenizer, scores: dict, args, seconds: float, folder: Path) -> None:
    """Weights, tokenizer and card."""
    folder.mkdir(parents=True, exist_ok=True)
    # Who fine-tunes the tower chooses its own regularisation; masks take a seventh of a step.
    towers.text.config.hidden_dropout_prob = 0.0
    towers.text.config.attention_probs_dropout_prob = 0.0
    towers.text.save_pretrained(folder / "text")
    tokenizer.save_pretrained(folder / "text")
    state = {
        name: value.half().contiguous()
        for name, value in towers.state_dict().items()
        if not name.startswith("text.") and not name.endswith("num_batches_tracked")
    }
    save_file(state, folder / "towers.safetensors")
    files = ("towers.safetensors", "text/model.safetensors", "text/tokenizer.json")
    write_training_card(
        folder,
        "scripts/train_shapes_clip.py",
        vars(args),
        files,
        parameters={
            "image": sum(p.numel() for p in towers.image.parameters()),
            "text": sum(p.numel() for p in towers.text.parameters()),
        },
        zero_shot_percent=scores,
        zero_shot_labels={topic: len(labels(topic)) for topic in TOPICS},
        training_seconds=round(seconds),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=24000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    frames, shots = draw_frames(f"train/{args.seed}", args.frames, args.threads)
    print(f"{len(frames)} frames drawn in {time.perf_counter() - start:.0f} s", flush=True)
    tokenizer = make_tokenizer()
    towers = make_towers(tokenizer)
    train(towers, tokenizer, frames, shots, args)
    seconds = time.perf_counter() - start
    held_out = draw_frames(f"test/{args.seed}", 3000, args.threads)
    scores = zero_shot(towers, tokenizer, *held_out)
    save(towers, tokenizer, scores, args, seconds, args.out)
    print(f"zero-shot accuracy {scores}, {seconds:.0f} s")


if __name__ == "__main__":
    main()
