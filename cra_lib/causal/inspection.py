"""What stands near a centre: training questions and frames, read back from a card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cra_lib.paths import DataFiles
from cra_lib.records import Question
from cra_lib.video.features import FeatureStore


def largest_centres(part: dict[str, Any], how_many: int) -> list[int]:
    """Numbers of the centres with the most training items, largest first."""
    order = np.argsort(-np.array(part["counts"]), kind="stable")
    return [int(centre) for centre in order[:how_many]]


def nearest_questions(
    part: dict[str, Any], questions: Sequence[Question], centres: Sequence[int], how_many: int = 3
) -> list[dict[str, Any]]:
    """A row for each question near a centre: centre, its size, question, answer."""
    by_key = {question.key: question for question in questions}
    return [
        {
            "centre": centre,
            "questions": part["counts"][centre],
            "question": by_key[key].text,
            "answer": by_key[key].choices[by_key[key].answer],
        }
        for centre in centres
        for key in part["nearest"][centre][:how_many]
    ]


def nearest_frames(
    part: dict[str, Any],
    data: DataFiles,
    encoder: str,
    centres: Sequence[int],
    how_many: int = 4,
) -> dict[str, list[np.ndarray | None]]:
    """Label of each centre -> its nearest frames uint8 [H, W, 3]; None where a video is missing."""
    with FeatureStore(data.features(encoder, "train")) as store:
        return {
            f"{centre} ({part['counts'][centre]:,} frames)": [
                _frame(name, data, store) for name in part["nearest"][centre][:how_many]
            ]
            for centre in centres
        }


def _frame(name: str, data: DataFiles, store: FeatureStore) -> np.ndarray | None:
    from cra_lib.video.frames import read_frames

    video_id, _, number = name.rpartition("#")
    path = data.video(video_id)
    if not path.exists() or not store.has_stamps:
        return None
    return read_frames(path, [store.stamps(video_id)[int(number)]])[0]
