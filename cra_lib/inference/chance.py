"""The row `random`: answers and attention drawn by chance, on any dataset, without features.

What a method must beat at the least. An interval is read from the drawn weights by the rules of
any model, so its length is that of attention that has found nothing.
"""

from __future__ import annotations

import json

import numpy as np

from cra_lib.config import RunConfig
from cra_lib.config.files import save_config
from cra_lib.evaluator.annotations import read_questions, read_stamps, read_truths
from cra_lib.evaluator.spans import all_spans
from cra_lib.paths import DataFiles, RunFiles, atomic
from cra_lib.records import Prediction, Span


def predict_by_chance(config: RunConfig, data: DataFiles, split: str) -> list[Prediction]:
    """One prediction a question, in file order; the seed and the split fix all of them.

    Probabilities of the choices and weights of the frames are uniform over all distributions (a
    Dirichlet with concentration one).

    Raises:
        InputError: a missing or damaged annotation file.
    """
    questions = read_questions(data.questions(split))
    truths = read_truths(data, split)
    stamps = read_stamps(data.stamps(split, config.data.stamps))
    times = np.array([stamps[question.video_id] for question in questions])
    durations = np.array([truths[question.key].duration for question in questions])
    rng = np.random.default_rng([config.seed, *split.encode()])
    weights = rng.dirichlet(np.ones(times.shape[1]), len(questions))
    spans = all_spans(weights, times, durations, config.span)
    return [
        Prediction(
            key=question.key,
            answer=int(chances.argmax()),
            choice_probabilities=tuple(chances.round(6).tolist()),
            spans={rule: Span(*map(float, ends[row].round(3))) for rule, ends in spans.items()},
            frame_weights=tuple(weights[row].round(7).tolist()),
            frame_times=tuple(map(float, times[row])),
        )
        for row, (question, chances) in enumerate(
            (question, rng.dirichlet(np.ones(len(question.choices)))) for question in questions
        )
    ]


def open_chance_run(config: RunConfig, run: RunFiles) -> None:
    """Give the row a folder like a trained model's: settings, and that nothing was trained."""
    run.root.mkdir(parents=True, exist_ok=True)
    with atomic(run.config) as partial:
        save_config(config, partial)
    about = {"dataset": config.dataset, "variant": config.variant, "seed": config.seed,
             "trained": "nothing: answers and frame weights are drawn by chance"}  # fmt: skip
    with atomic(run.runtime) as partial:
        partial.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
