"""From what is on disk to a dataset that can be trained on: `cra prepare` and notebook 01.

The dataset's reader brings its folder into normal form (`shapes` is rendered if it is not there
with these settings); frame features are extracted where the videos lie in ``videos/``.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cra_lib.config import DataConfig
from cra_lib.data.card import add_features, data_card
from cra_lib.datasets import Dataset, dataset_named
from cra_lib.evaluator.annotations import read_questions, read_truths, write_json
from cra_lib.paths import DataFiles
from cra_lib.records import Question, Truth

Progress = Callable[[int, int], None]
"""Called with the videos that are done and those in all."""


class Asked(NamedTuple):
    """A split's questions, and what is known about their evidence."""

    questions: list[Question]
    truths: dict[str, Truth]
    """Empty where the split has no annotated evidence."""


class Features(NamedTuple):
    """How frame features are extracted."""

    weights: Path | None = None
    """Folder or file of the encoder's weights; None looks where the hub would put them."""
    device: str = "auto"
    progress: Callable[[], AbstractContextManager[Progress]] = lambda: nullcontext(
        lambda done, total: None
    )
    """A bar, opened when the extraction starts."""


def prepare_dataset(
    name: str,
    settings: DataConfig,
    files: DataFiles,
    *,
    features: Features | None = Features(),  # noqa: B008 (immutable)
    seed: int | None = None,
    workers: int = 2,
    skip_bad: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Bring one dataset into normal form, with features where it can; returns its data card.

    A folder that cannot be written to is described as it is. What the settings ask for is checked
    before anything is written; the card is left as ``data_card.json`` in the dataset's folder.

    Args:
        features: how to extract them from ``videos/``; None leaves features alone.
        seed: of what is drawn at random; None is the reader's own.
        skip_bad: go on without videos that are damaged.
        say: receives one line for each split whose features were extracted, and for odd videos.

    Raises:
        InputError: a missing or damaged file, or an unknown encoder, with the remedy.
    """
    dataset = dataset_named(name)
    if not dataset.is_made_here and files.root.is_dir() and not os.access(files.root, os.W_OK):
        return _described(dataset, files)
    encoder = None
    if features is not None and (dataset.is_made_here or (files.root / "videos").is_dir()):
        from cra_lib.video.encoders import load_encoder

        encoder = load_encoder(settings.encoder, features.weights, features.device)
    offers = {
        **settings.model_dump(), "seed": seed, "workers": workers, "skip_bad": skip_bad,
        "progress": True,
    }  # fmt: skip
    reader = dataset.load_reader()
    wanted = inspect.signature(reader).parameters
    card = reader(files.root, **{key: value for key, value in offers.items() if key in wanted})
    if absent := missing_features(dataset, settings, files) if encoder else []:
        from cra_lib.video.extract import extract_dataset

        with features.progress() as update:
            done = extract_dataset(
                files, absent, encoder, workers=workers, skip_bad=skip_bad, progress=update
            )
        for extraction in done.values():
            extraction.report(say, skip_bad=skip_bad)
        card = add_features(card, files, name)
    write_json(files.root / "data_card.json", card, indent=1)
    return card


def _described(dataset: Dataset, files: DataFiles) -> dict[str, Any]:
    """The card of the splits that lie in a folder that cannot be changed."""
    present = tuple(s for s in dataset.splits if files.questions(s).exists())
    card = data_card(files, dataset.name, splits=present)
    absent = sorted(set(dataset.splits) - set(present))
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


def missing_features(dataset: Dataset, settings: DataConfig, files: DataFiles) -> list[str]:
    """The splits whose features a training with these settings would look for in vain."""
    return [s for s in dataset.splits if not files.features(settings.encoder, s).exists()]
