"""A world small enough to train on in a second: words, features with the answer in them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from cra_lib.config import RunConfig, run_config
from cra_lib.evaluator.annotations import write_questions, write_segments, write_stamps
from cra_lib.paths import DataFiles
from cra_lib.records import Question
from cra_lib.video.features import write_features

ACTIONS = ("jumps", "waves", "sits down", "turns around", "raises a flag", "opens the box", "sings")
ACTORS = ("red circle", "blue square", "green star", "tall man")
NUM_FRAMES, WIDTH = 8, 16
CENTRES = 4
"""Of each confounder dictionary."""


class World(NamedTuple):
    """A dataset on disk, and how to make settings for it."""

    data: DataFiles
    text_folder: Path

    def config(self, variant: str = "cra", seed: int = 7, **sections: dict) -> RunConfig:
        """Small settings; keyword arguments change a section's."""
        settings = {
            "data": {"encoder": "clip-vit-l14", "feature_width": WIDTH},
            "causal": {"num_confounders": CENTRES},
            "model": {
                "width": 16,
                "ffn_width": 16,
                "heads": 2,
                "layers": 1,
                "text_encoder": str(self.text_folder),
            },
            "train": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "accelerator": "cpu"},
        }
        return run_config("nextgqa", variant, seed, profile=settings, overrides=sections)


def _questions(video: str, generator: np.random.Generator) -> tuple[list[Question], list[int]]:
    """Four questions on one video, and the frame at which each action happens."""
    actions = generator.permutation(len(ACTIONS))[:4]
    questions = []
    for number, action in enumerate(actions):
        others = generator.permutation(np.delete(np.arange(len(ACTIONS)), action))[:4]
        choices = generator.permutation([action, *others])
        actor = ACTORS[generator.integers(len(ACTORS))]
        opening = ("what did", "why does", "how many times does", "what is")[number]
        questions.append(
            Question(
                video_id=video,
                qid=str(number),
                text=f"{opening} the {actor} do at moment {number} " + "again " * int(action),
                choices=tuple(ACTIONS[choice] for choice in choices),
                answer=int(np.flatnonzero(choices == action)[0]),
                type=("TN", "CW", "CH", "TC")[number],
                frame_count=80,
                width=32,
                height=32,
            )
        )
    return questions, [1 + 2 * number for number in range(4)]


def _write_split(data: DataFiles, split: str, videos: int, generator: np.random.Generator) -> None:
    codes = np.random.default_rng(0).normal(size=(len(ACTIONS), WIDTH)).astype(np.float32)
    questions, segments, features = [], {}, {}
    stamps = [round(0.5 + index, 1) for index in range(NUM_FRAMES)]
    for number in range(videos):
        video = f"{split}{number}"
        asked, frames = _questions(video, generator)
        questions += asked
        features[video] = 0.1 * generator.normal(size=(NUM_FRAMES, WIDTH)).astype(np.float32)
        location = {}
        for question, frame in zip(asked, frames, strict=True):
            features[video][frame] += codes[ACTIONS.index(question.choices[question.answer])]
            location[question.qid] = [[frame - 0.5, frame + 0.5]]
        segments[video] = {"duration": NUM_FRAMES, "location": location, "fps": 10}
    if split == "train":
        questions.pop()  # an odd number, so that two processes cannot share it evenly
    write_questions(data.questions(split), questions)
    store = data.features("clip-vit-l14", split)
    store.parent.mkdir(parents=True, exist_ok=True)
    write_features(store, list(features), np.stack(list(features.values())), key="CLIPL_I")
    if split != "train":
        write_segments(data.segments(split), segments)
        write_stamps(data.stamps(split), {video: stamps for video in features})


def _write_text_encoder(folder: Path) -> None:
    """A RoBERTa of 16 dimensions with random weights, and a tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    texts = [
        *ACTIONS,
        *ACTORS,
        "what did why does how many times is the do at moment again 0 1 2 3",
    ]
    words = ["<s>", "<pad>", "</s>", "<unk>", *sorted({w for text in texts for w in text.split()})]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    special = {"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>", "pad": "<pad>"}
    named = {f"{name}_token": token for name, token in special.items()}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", **named)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        pad_token_id=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    """Twelve training videos and five validation videos with four questions each; read only."""
    from safetensors.numpy import save_file

    root = tmp_path_factory.mktemp("world")
    data = DataFiles(root / "nextgqa")
    data.root.mkdir()
    generator = np.random.default_rng(1)
    for split, videos in (("train", 12), ("val", 5), ("test", 3)):
        _write_split(data, split, videos, generator)
    data.visual_confounders.parent.mkdir()
    for path, shape in (
        (data.visual_confounders, (CENTRES, WIDTH)),
        (data.language_confounders, (CENTRES, 8, 6)),
    ):
        centres = generator.normal(size=shape).astype(np.float32)
        save_file({"centres": centres, "counts": np.ones(CENTRES, np.int64)}, path)
    _write_text_encoder(root / "text")
    return World(data, root / "text")


@pytest.fixture
def own_world(world, tmp_path) -> World:
    """A copy of the world that a test may damage."""
    shutil.copytree(world.data.root, tmp_path / "nextgqa")
    return World(DataFiles(tmp_path / "nextgqa"), world.text_folder)
