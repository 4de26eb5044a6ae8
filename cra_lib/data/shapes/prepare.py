"""The reader of `shapes`, which makes what it reads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from cra_lib.data.card import data_card
from cra_lib.data.shapes.generate import SIZES, generate
from cra_lib.data.shapes.habits import DEFAULT_BIAS
from cra_lib.paths import DataFiles


def prepare(
    root: Path,
    *,
    train_videos: int = 0,
    eval_videos: int = 0,
    bias: float | None = None,
    noise: float | None = None,
    seed: int | None = None,
    workers: int = 2,
    progress: bool = False,
) -> dict[str, Any]:
    """Render what is not there yet with these settings, and describe all of it.

    Args:
        train_videos: number of training videos; 0 keeps the default. Likewise ``eval_videos``,
            of each other split.
        bias: strength of both confounders; None keeps the default.
        noise: standard deviation of the pixels' noise, in grey levels of 255; None is 0.

    Raises:
        InputError: a size, bias or noise out of range.
    """
    files = DataFiles(root)
    asked = {split: train_videos if split == "train" else eval_videos for split in SIZES}
    marks = files.root / "videos" / "worlds.json"
    before = marks.read_bytes() if marks.exists() else None
    reference = generate(
        files.root,
        seed=seed or 0,
        sizes={split: count for split, count in asked.items() if count},
        bias=DEFAULT_BIAS if bias is None else bias,
        noise=noise or 0.0,
        workers=workers,
        progress=progress,
    )
    if marks.read_bytes() != before:
        # Other videos under the same names: what was extracted from the old ones is wrong now.
        shutil.rmtree(files.root / "video_feature", ignore_errors=True)
    return data_card(files, "shapes", facts={"settings": reference["settings"]})
