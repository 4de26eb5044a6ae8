"""Miniature datasets, written file by file so that a test can damage one of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

HEADER = ["video_id", "frame_count", "width", "height", "question", "answer", "qid", "type"]
HEADER += [f"a{index}" for index in range(5)]
VIDEOS = {"train": ("11", "12"), "val": ("21",), "test": ("31", "32")}


def _rows(videos):
    for video in videos:
        for qid in ("0", "3"):
            choices = [f"{word} {video}" for word in ("sit", "run", "jump", "sing", "eat")]
            text = f"why did the boy of {video} move {qid}"
            yield [video, 300, 640, 480, text, choices[2], qid, "CW", *choices]


def write_rows(path: Path, rows, header=HEADER) -> None:
    """A csv with a header."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def mini_nextgqa(tmp_path) -> Path:
    """A folder with NExT-GQA's files: 2 + 1 + 2 videos, two questions each, features of all."""
    from cra_lib.video.features import write_features

    root = tmp_path / "data" / "nextgqa"
    root.mkdir(parents=True)
    for split, videos in VIDEOS.items():
        write_rows(root / f"{split}.csv", _rows(videos))
        rng = np.random.default_rng(0)
        features = rng.normal(size=(len(videos), 32, 8)).astype(np.float32)
        write_features(root / "video_feature" / "clip-vit-l14" / f"{split}.h5", videos, features)
        if split == "train":
            continue
        gsub = {
            video: {"duration": 10, "location": {"0": [[1, 2.5]], "3": [[0, 4], [6, 9]]}, "fps": 30}
            for video in videos
        }
        (root / f"gsub_{split}.json").write_text(json.dumps(gsub))
        stamps = {video: [round(0.3 * frame, 1) for frame in range(32)] for video in videos}
        (root / f"frame2time_{split}.json").write_text(json.dumps(stamps))
    return root
