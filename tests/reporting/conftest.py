"""A made-up results folder in the real formats: five variants, three splits, no training."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cra_lib.evaluator.annotations import read_truths, write_questions, write_segments, write_stamps
from cra_lib.evaluator.scores import score_report
from cra_lib.evaluator.video_scores import video_scores, write_video_scores
from cra_lib.paths import DataFiles, ResultFiles
from cra_lib.records import Prediction, Question, Span, write_predictions

SKILL = {"cra": 0.8, "cra-released": 0.5, "no-causal": 0.7, "post-hoc": 0.5, "ng+": 0.45}
SPLITS = ("test_iid", "test", "test_ood")
TYPES = ("CW", "CH", "TN", "TP", "TC")
ANSWERS = ("jump up", "fade away", "grow big", "light up", "raise a flag")
DURATION, FRAMES = 16.0, 32


def _questions(split: str) -> list[Question]:
    rng = random.Random(split)
    return [
        Question(
            video_id=f"{split}v{number // 5:02d}",
            qid=str(number % 5),
            text=f"what did the {rng.choice(['circle', 'star'])} do",
            choices=ANSWERS,
            answer=rng.randrange(5),
            type=TYPES[number % 5],
            frame_count=128,
            width=96,
            height=96,
        )
        for number in range(100)
    ]


def _write_data(files: DataFiles) -> None:
    for split in ("train", "val", *SPLITS):
        questions = _questions(split)
        write_questions(files.questions(split), questions)
        rng = random.Random(f"{split} segments")
        videos: dict[str, dict] = {}
        for question in questions:
            start = rng.uniform(0, 12)
            video = videos.setdefault(
                question.video_id, {"duration": DURATION, "location": {}, "fps": 8.0}
            )
            video["location"][question.qid] = [[round(start, 1), round(start + 3, 1)]]
        if split != "train":
            write_segments(files.segments(split), videos)
        times = np.linspace(0.2, DURATION - 0.2, FRAMES).round(1).tolist()
        write_stamps(files.stamps(split), dict.fromkeys(videos, times))


def _prediction(question, truth, skill: float, rng: np.random.Generator) -> Prediction:
    times = np.linspace(0.2, DURATION - 0.2, FRAMES)
    sees = rng.random() < skill
    centre = np.mean(truth.segments[0]) if sees else rng.uniform(2, 14)
    raw = np.exp(-((times - centre) ** 2) / 2) + 0.05 * rng.random(FRAMES)
    smooth = np.convolve(raw, [0.1, 0.2, 0.4, 0.2, 0.1], mode="same")
    probabilities = rng.dirichlet(np.ones(5))
    chosen = question.answer if sees else int(rng.integers(5))
    probabilities[chosen] += 1.0
    return Prediction(
        question.key,
        chosen,
        tuple((probabilities / probabilities.sum()).tolist()),
        {"post-hoc": Span(max(0.0, centre - 1.5), min(DURATION, centre + 1.5))},
        tuple((smooth / smooth.sum()).tolist()),
        tuple(times.tolist()),
        tuple((raw / raw.sum()).tolist()),
    )


def write_run(results: ResultFiles, data: DataFiles, variant: str, seed: int) -> None:
    run = results.run(variant, seed)
    run.root.mkdir(parents=True)
    rng = np.random.default_rng(seed + len(variant))
    for split in SPLITS:
        truths = read_truths(data, split)
        skill = SKILL[variant] - 0.1 * SPLITS.index(split)
        predictions = [_prediction(q, truths[q.key], skill, rng) for q in _questions(split)]
        write_predictions(run.predictions(split), predictions)
        header = {"variant": variant, "seed": seed, "split": split, "rule": "post-hoc"}
        report = score_report(predictions, truths, None, header, bootstrap=50)
        run.scores(split).write_text(json.dumps(report))
        by_video = video_scores(predictions, truths, "post-hoc")
        write_video_scores(run.video_scores(split), by_video)
    epochs = np.arange(1, 11)
    loss = 3.0 * np.exp(-epochs / 4) + 0.3
    history = {"epoch": epochs, "loss": loss, "loss_answer": loss / 2, "loss_question": loss / 3}
    history |= {"loss_alignment_answer": loss / 6, "loss_alignment_question": loss / 6}
    history |= {"sigma": np.linspace(1, 1.4, 10) if variant.startswith("cra") else np.nan}
    history |= {"val_Acc@QA": 20 + 5 * epochs * SKILL[variant], "val_Acc@GQA": 3.0 * epochs}
    pd.DataFrame(history | {"val_mIoU": 2.5 * epochs}).to_csv(run.history, index=False)
    run.runtime.write_text(json.dumps({"seconds": 61.5, "epochs": 10, "memory_gb": 1.2}))


@pytest.fixture(scope="session")
def made_up(tmp_path_factory) -> SimpleNamespace:
    """``.data`` (DataFiles) and ``.results`` (ResultFiles); tests must not write there."""
    root = tmp_path_factory.mktemp("made_up")
    data, results = DataFiles(root / "data" / "shapes"), ResultFiles(root / "results")
    data.root.mkdir(parents=True)
    _write_data(data)
    for variant in SKILL:
        write_run(results, data, variant, 2024)
    reference = {"chance": 20.0, "blind": 33.0, "scene_and_text": 45.0, "ceiling": 100.0}
    rows = {"learned": dict.fromkeys(SPLITS, reference)}
    (data.root / "reference.json").write_text(json.dumps(rows))
    return SimpleNamespace(data=data, results=results, variants=tuple(SKILL), splits=SPLITS)


@pytest.fixture(scope="session")
def three_seeds(made_up, tmp_path_factory) -> ResultFiles:
    """Two variants with three seeds each; tests must not write there."""
    results = ResultFiles(tmp_path_factory.mktemp("three_seeds"))
    for variant in ("cra", "no-causal"):
        for seed in (1, 2, 3):
            write_run(results, made_up.data, variant, seed)
    return results
