"""Align `shapes-lm` with frames, and write the weights that training on `shapes` starts from.

Run:    python scripts/align_shapes_lm.py   (half a minute on one core)
Writes: cra_lib/model/frozen_bilm/shapes_lm/aligned/

It plays the part of FrozenBiLM's cross-modal pre-training on captioned videos, from which the paper
starts. `shapes-lm` reads a moment as the mean embedding of its caption's words; the frame Linear
learns to say that mean from a `shapes-clip` feature, by least squares over single frames that are
drawn for it (`cra_lib.data.shapes.captions`), never taken from the dataset's videos.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from cra_lib.data.shapes.captions import Shot, draw_shot, render_shot
from cra_lib.data.shapes.stories import caption_of
from cra_lib.data.shapes.training_card import write_training_card
from cra_lib.model.frozen_bilm.language_model import MaskedLanguageModel
from cra_lib.model.frozen_bilm.loading import WEIGHT_FILES, load_language_model
from cra_lib.model.text import SHAPES_LM, load_tokenizer
from cra_lib.model.text import SHAPES_LM_ALIGNED as FOLDER
from cra_lib.paths import sha256
from cra_lib.video.shapes_clip import encode_images, load_image_tower

BATCH = 250


def draw_features(name: str, count: int) -> tuple[Tensor, list[str]]:
    """`shapes-clip` features [N, 128] of drawn frames and their captions; a name draws the same."""
    rng, tower = random.Random(name), load_image_tower()
    features: list[Tensor] = []
    captions: list[str] = []
    for _ in range(0, count, BATCH):
        shots: list[Shot] = [draw_shot(rng) for _ in range(BATCH)]
        frames = np.stack([render_shot(shot, rng) for shot in shots])
        features.append(torch.from_numpy(encode_images(tower, frames)))
        captions += map(caption_of, shots)
    return torch.cat(features), captions


@torch.inference_mode()
def word_means(model: MaskedLanguageModel, tokenizer, captions: list[str]) -> Tensor:
    """[N, D]: the mean embedding of each caption's words."""
    ids = tokenizer(captions, add_special_tokens=False)["input_ids"]
    return torch.stack([model.words[caption].mean(dim=0) for caption in ids])


def fit(features: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
    """Weight [D, 128] and bias [D] of the Linear with the least squared error."""
    inputs = torch.cat([features, torch.ones(len(features), 1)], dim=1).double()
    solution = torch.linalg.lstsq(inputs, means.double()).solution.float()
    return solution[:-1].T.contiguous(), solution[-1].contiguous()


def test(predicted: Tensor, means: Tensor, captions: list[str]) -> dict[str, float]:
    """Percent of variance explained, and of frames nearest to their own caption's mean."""
    residual = (predicted - means).square().sum() / (means - means.mean(dim=0)).square().sum()
    distinct = sorted(set(captions))
    rows = torch.stack([means[captions.index(caption)] for caption in distinct])
    nearest = torch.cdist(predicted, rows).argmin(dim=1).tolist()
    found = sum(distinct[i] == caption for i, caption in zip(nearest, captions, strict=True))
    return {
        "variance_explained_percent": round(100 * (1 - residual.item()), 2),
        "own_caption_nearest_percent": round(100 * found / len(captions), 2),
        "captions": len(distinct),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=6000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    model, tokenizer = load_language_model("shapes-lm"), load_tokenizer("shapes-lm")
    features, captions = draw_features(f"align/{args.seed}", args.frames)
    weight, bias = fit(features, word_means(model, tokenizer, captions))
    held_out, told = draw_features(f"test/{args.seed}", 1000)
    scores = test(held_out @ weight.T + bias, word_means(model, tokenizer, told), told)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / WEIGHT_FILES[0]
    save_file({"frames.weight": weight, "frames.bias": bias}, path, metadata={"format": "pt"})
    write_training_card(
        args.out,
        "scripts/align_shapes_lm.py",
        vars(args),
        [path.name],
        parameters=weight.numel() + bias.numel(),
        **scores,
        seconds=round(time.perf_counter() - start),
        language_model_sha256=sha256(SHAPES_LM / WEIGHT_FILES[0]),
    )
    print(scores)


if __name__ == "__main__":
    main()
