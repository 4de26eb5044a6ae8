"""What the explorer shows: questions with their annotation, and the predictions of each method.

Anybody's files can be shown with the evaluator alone installed; our runs are read with pandas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cra_lib.datasets import dataset_named
from cra_lib.evaluator.annotations import read_questions, read_truths
from cra_lib.evaluator.scores import carried_rules, check_predictions
from cra_lib.evaluator.scoring import Benchmark
from cra_lib.paths import DataFiles, ResultFiles
from cra_lib.records import InputError, Prediction, Question, Truth, read_predictions
from cra_lib.reporting.looks import CYCLE, LOOKS, TRUTH, in_order, look

PLAIN = tuple(colour for colour in CYCLE if colour != TRUTH)
"""Colours of methods that have none of their own."""


@dataclass(frozen=True)
class Method:
    """One model's predictions, with how it is named and drawn."""

    label: str
    colour: str
    rule: str | None
    """The span rule that is reported for it; None where it gives no intervals."""
    predictions: Mapping[str, Mapping[str, Prediction]]
    """Split -> question key -> prediction."""
    note: str = ""
    """Where it comes from, such as the seed of its training."""


@dataclass(frozen=True)
class Exploration:
    """Everything on one page."""

    title: str
    questions: Mapping[str, list[Question]]
    """Split -> its questions in file order."""
    truths: Mapping[str, Mapping[str, Truth]]
    """Split -> question key -> annotation, in the same order."""
    methods: list[Method]
    videos: Mapping[str, Path] = field(default_factory=dict)
    """Video id -> its file, where there is one."""

    def __post_init__(self) -> None:
        for method in self.methods:
            for split, predictions in method.predictions.items():
                check_predictions(predictions, list(self.truths[split].values()))


def of_results(
    dataset: str, results: ResultFiles, data: DataFiles, videos: Mapping[str, Path] | None = None
) -> Exploration:
    """The runs below ``results/<dataset>``: of every variant the one with the smallest seed.

    Raises:
        InputError: no run has predictions yet, or a file is missing or damaged.
    """
    from cra_lib.reproduction.runs import usable_runs

    known = dataset_named(dataset).splits
    seeds: dict[str, int] = {}
    splits: set[str] = set()
    for variant, seed, run, _ in usable_runs(results):
        there = {split for split in known if run.predictions(split).exists()}
        if there:
            seeds[variant] = min(seed, seeds.get(variant, seed))
            splits |= there
    if not seeds:
        raise InputError(
            f"No run below {results.root} has predictions to explore; "
            f"run ./reproduce.sh {dataset}, or `cra predict`."
        )
    names = [split for split in known if split in splits]
    # The test split is what a reader came for.
    names.sort(key=lambda split: split != "test")
    return Exploration(
        title=f"CRA on {dataset}",
        questions={split: read_questions(data.questions(split)) for split in names},
        truths={split: read_truths(data, split) for split in names},
        methods=[_of_run(results, name, seeds[name], names) for name in in_order(seeds)],
        videos=videos or {},
    )


def _of_run(results: ResultFiles, variant: str, seed: int, splits: list[str]) -> Method:
    from cra_lib.reporting.tables.reading import read_object

    run = results.run(variant, seed)
    predictions = {
        split: {p.key: p for p in read_predictions(run.predictions(split))}
        for split in splits
        if run.predictions(split).exists()
    }
    everything = {key: p for part in predictions.values() for key, p in part.items()}
    rules = carried_rules(everything)
    scored = next((run.scores(split) for split in splits if run.scores(split).exists()), None)
    rule = read_object(scored).get("header", {}).get("rule") if scored else None
    style = look(variant)
    return Method(
        label=style.label,
        colour=style.colour,
        rule=rule if rule in rules else next(iter(rules), None),
        predictions=predictions,
        note=f"variant {variant}, seed {seed}",
    )


def of_files(
    benchmark: Benchmark,
    predictions: Mapping[str, Mapping[str, Prediction]],
    videos: Mapping[str, Path] | None = None,
) -> Exploration:
    """Anybody's predictions for one split, with all intervals in seconds already.

    Args:
        predictions: name of a method -> question key -> prediction.

    Raises:
        InputError: a missing or damaged annotation, or predictions about other questions.
    """
    split = benchmark.split
    methods = []
    for place, (name, found) in enumerate(predictions.items()):
        known = name in LOOKS
        methods.append(
            Method(
                label=look(name).label if known else name,
                colour=look(name).colour if known else PLAIN[place % len(PLAIN)],
                rule=next(iter(carried_rules(found)), None),
                predictions={split: found},
            )
        )
    return Exploration(
        title=f"{Path(benchmark.name).name}, {split}",
        questions={split: read_questions(benchmark.files.questions(split))},
        truths={split: benchmark.truths},
        methods=methods,
        videos=videos or {},
    )
