"""How long STAR's videos are where their files are not at hand.

Charades' own lists (`Charades_v1_train.csv`, `Charades_v1_test.csv`, 3 MB; columns ``id`` and
``length`` among others) know it. Without them a video is taken to end with the last moment that a
question is about, which is a lower bound: good for a look at the data, not for training.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from cra_lib.records import InputError, open_text
from cra_lib.video.frames import VideoInfo

CHARADES_LISTS = tuple(
    f"{folder}Charades_v1_{part}.csv" for folder in ("", "Charades/") for part in ("train", "test")
)
"""Where the lists lie: beside STAR's files, or in the folder that their archive unpacks to."""
RATE = 30.0
"""Frames a second that stand for the unknown rate; stamps depend on the length alone."""


def annotated_lengths(
    root: Path, last: Mapping[str, float], count: Callable[[str], None] = lambda what: None
) -> dict[str, VideoInfo]:
    """What is known about each video without opening it; its size in pixels is 0, unknown.

    Args:
        last: video id -> the last second that any question is about.
        count: told for each video which of the two ways its length was found.

    Raises:
        InputError: a list of Charades is damaged.
    """
    listed = charades_lengths(root)
    found = {}
    for video, end in last.items():
        seconds = listed.get(video, 0.0)
        count("lengths_from_charades" if seconds else "lengths_from_last_moment")
        seconds = seconds or end + 1 / RATE  # past the last moment
        found[video] = VideoInfo(max(1, round(seconds * RATE)), RATE, seconds, 0, 0)
    return found


def charades_lengths(root: Path) -> dict[str, float]:
    """Video id -> seconds, from those of Charades' lists that are there.

    Raises:
        InputError: a row without an id or a length that is a positive number.
    """
    lengths: dict[str, float] = {}
    for path in (root / name for name in CHARADES_LISTS if (root / name).exists()):
        with open_text(path, newline="") as file:
            rows = list(csv.DictReader(file))
        for number, row in enumerate(rows, start=2):
            try:
                seconds = float(row.get("length") or 0)
            except ValueError:
                seconds = 0.0
            if not row.get("id") or not 0 < seconds < 86400:
                raise InputError(
                    f"{path}, row {number}: expected an id and a length in seconds, got "
                    f"{row.get('id')!r:.40} and {row.get('length')!r:.40}; fetch the file again."
                )
            lengths[row["id"].strip()] = seconds
    return lengths
