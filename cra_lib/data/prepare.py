"""From what is on disk to a dataset that can be trained on: what notebook 01 does, for any dataset.

The embedded dataset is rendered if it is not there with these settings. NExT-GQA and STAR are
brought into normal form; their features are extracted where the videos lie in ``videos/``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cra_lib.config import RunConfig
from cra_lib.data.card import add_features, data_card
from cra_lib.evaluator.annotations import read_questions, read_truths
from cra_lib.paths import SPLITS, DataFiles
from cra_lib.records import Question, Truth

CONFOUNDED_WORDS = {
    "shapes": ("circle", "star"),
    "nextgqa": ("baby", "woman"),
    "star": ("take", "open"),
}
"""Dataset -> two words of its questions whose answers differ by habit (Fig. 1b of the paper)."""


class Asked(NamedTuple):
    """A split's questions, and what is known about their evidence."""

    questions: list[Question]
    truths: dict[str, Truth]
    """Empty where the split has no annotated evidence."""


def prepare_dataset(config: RunConfig, files: DataFiles, workers: int = 2) -> dict[str, Any]:
    """Bring one dataset into normal form, with features where it can; returns its data card.

    A folder that cannot be written to is described as it is.

    Raises:
        InputError: a missing or damaged file, with the remedy.
    """
    if config.dataset == "shapes":
        card = _render_shapes(config, files, workers)
    elif files.root.is_dir() and not os.access(files.root, os.W_OK):
        return _described(config, files)
    elif config.dataset == "nextgqa":
        from cra_lib.data import nextgqa

        card = nextgqa.prepare(files.root, train_from=config.data.train_from)
    else:
        from cra_lib.data import star

        card = star.prepare(files.root, selection=config.data.selection, workers=workers)
    return _with_features(config, files, card, workers)


def _render_shapes(config: RunConfig, files: DataFiles, workers: int) -> dict[str, Any]:
    from cra_lib.data.shapes import DEFAULT_BIAS, generate

    asked = {split: config.data.eval_videos for split in SPLITS["shapes"]}
    asked["train"] = config.data.train_videos
    sizes = {split: count for split, count in asked.items() if count}
    bias = DEFAULT_BIAS if config.data.bias is None else config.data.bias
    marks = files.root / "videos" / "worlds.json"
    before = marks.read_bytes() if marks.exists() else None
    reference = generate(files.root, sizes=sizes, bias=bias, workers=workers, progress=False)
    if marks.read_bytes() != before:
        # Other videos under the same names: what was extracted from the old ones is wrong now.
        shutil.rmtree(files.root / "video_feature", ignore_errors=True)
    return data_card(files, "shapes", facts={"settings": reference["settings"]})


def _with_features(
    config: RunConfig, files: DataFiles, card: dict[str, Any], workers: int
) -> dict[str, Any]:
    """The card with the encoder's features, extracted first where the videos are there."""
    if absent := missing_features(config, files) if (files.root / "videos").is_dir() else []:
        from cra_lib.video.encoders import load_encoder
        from cra_lib.video.extract import extract_dataset

        encoder = load_encoder(config.data.encoder, device="auto")
        extract_dataset(files, absent, encoder, workers=workers)
        return add_features(card, files, config.dataset)
    return card


def _described(config: RunConfig, files: DataFiles) -> dict[str, Any]:
    """The card of the splits that lie in a folder that cannot be changed."""
    present = tuple(s for s in SPLITS[config.dataset] if files.questions(s).exists())
    card = data_card(files, config.dataset, splits=present)
    absent = sorted(set(SPLITS[config.dataset]) - set(present))
    if absent:
        card["warnings"].append(f"The folder is read-only and lacks: {', '.join(absent)}.")
    return card


def read_splits(files: DataFiles, splits: Sequence[str]) -> dict[str, Asked]:
    """Questions and evidence of some splits of a prepared dataset."""
    return {
        split: Asked(
            read_questions(files.questions(split)),
            read_truths(files, split) if files.segments(split).exists() else {},
        )
        for split in splits
    }


def preview(files: DataFiles, truth: Truth, count: int = 4) -> tuple[np.ndarray, tuple[float, ...]]:
    """``count`` evenly spread frames of a question's video, uint8 [count, H, W, 3], and seconds.

    Where the video is not there (features alone were published), the frames are grey.
    """
    middles = (np.arange(count) + 0.5) * truth.duration / count
    times = tuple(float(time) for time in middles.round(2))
    path = files.video(truth.video_id)
    if not path.exists():
        return np.full((count, 90, 120, 3), 200, np.uint8), times
    from cra_lib.video.frames import read_frames

    return read_frames(path, times), times


def missing_features(config: RunConfig, files: DataFiles) -> list[str]:
    """The splits whose features a training with these settings would look for in vain."""
    name = config.data.encoder
    return [s for s in SPLITS[config.dataset] if not files.features(name, s).exists()]
