"""A small dataset in normal form: questions of three splits, frame features of random videos."""

import numpy as np
import pytest

from cra_lib.evaluator.annotations import write_questions
from cra_lib.paths import DataFiles
from cra_lib.records import Question
from cra_lib.video.features import write_features

ACTS = ("jump", "clap her hands", "open the red box", "sit on the chair", "throw the ball")


def make_questions(split, videos, per_video=8):
    rng = np.random.default_rng(len(split))
    actors = ("girl", "boy in blue", "white dog", "lady")
    return [
        Question(
            video_id=video,
            qid=str(number),
            text=f"why did the {actors[rng.integers(4)]} {ACTS[rng.integers(5)]} at {video}",
            choices=("play", "to get the toy", "happy", "fall down", "hot"),
            answer=int(rng.integers(5)),
            type="CW",
        )
        for video in videos
        for number in range(per_video)
    ]


@pytest.fixture
def small_data(tmp_path):
    """A dataset folder: 12 training videos (3 more without questions), 4 of validation and test."""
    files = DataFiles(tmp_path / "shapes")
    files.root.mkdir()
    rng = np.random.default_rng(7)
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        videos = [f"{split}{number}" for number in range(count)]
        write_questions(files.questions(split), make_questions(split, videos))
        extra = [f"unasked{number}" for number in range(3)] if split == "train" else []
        path = files.features("shapes-clip", split)
        path.parent.mkdir(parents=True, exist_ok=True)
        features = rng.standard_normal((len(videos + extra), 8, 16)).astype(np.float32)
        stamps = {video: [float(second) for second in range(8)] for video in videos + extra}
        write_features(path, videos + extra, features, key="SHAPESCLIP_I", stamps=stamps)
    return files
