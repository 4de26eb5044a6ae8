"""From result files to tidy tables and back to records: what every table and figure starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cra_lib.config.files import load_config
from cra_lib.config.variants import TRAINED
from cra_lib.evaluator import leaderboard
from cra_lib.evaluator.metrics import (
    HEADLINE,
    METRICS,
    best_overlap,
    prediction_answers,
    prediction_spans,
    question_scores,
    truth_table,
)
from cra_lib.evaluator.scores import check_predictions
from cra_lib.evaluator.statistics import crossed_differences
from cra_lib.evaluator.video_scores import (
    VideoScores,
    read_video_scores,
    stack_seeds,
    video_scores,
)
from cra_lib.paths import ResultFiles, require
from cra_lib.records import InputError, Prediction, Truth, read_json, read_predictions
from cra_lib.reproduction.experiments import variant_of
from cra_lib.reproduction.runs import read_scores_file, unusable_runs, usable_runs

BY_CHANCE = "No model was trained here, chance alone was scored: what shows a model is left out."
SCORE_COLUMNS = ("variant", "seed", "split", "rule", "metric", "value", "low", "high")


class Report(NamedTuple):
    """One score report with where it comes from."""

    variant: str
    seed: int
    split: str
    rule: str
    """The span rule that the tables report for this variant."""
    content: dict[str, Any]
    """The score report as `cra_lib.evaluator.scores` documents it."""
    by_video: Path | None = None
    """Where its scores lie video by video."""


def read_reports(results: ResultFiles) -> list[Report]:
    """The score reports of all runs that may stand in a table (`left_out` names the others).

    Raises:
        InputError: none may, or a file that is not a score report.
    """
    reports = []
    for run in usable_runs(results):
        for path in sorted(run.files.root.glob("scores_*.json")):
            content = read_scores_file(path)
            split, rules = path.stem.removeprefix("scores_"), list(content["rules"])
            rule = content["header"].get("rule") or rules[0]
            by_video = run.files.video_scores(split)
            reports.append(Report(run.variant, run.seed, split, rule, content, by_video))
    if not reports and (reasons := left_out(results)):
        raise InputError(f"No run in {results.root} can be used. {reasons[0]}")
    return reports


def left_out(results: ResultFiles) -> list[str]:
    """One sentence for each run whose products are not those of its settings, data and code."""
    return unusable_runs(results)


def without_models(reports: Sequence[Report]) -> str:
    """A sentence where none of the runs has a model, so that nothing can be shown of one."""
    if any(variant_of(report.variant) in TRAINED for report in reports):
        return ""
    return BY_CHANCE


def first_seed(reports: list[Report], split: str) -> dict[str, Report]:
    """Variant -> its report on one split with the smallest seed, for figures of one run each."""
    found: dict[str, Report] = {}
    for report in sorted(reports, key=lambda report: report.seed):
        if report.split == split:
            found.setdefault(report.variant, report)
    return found


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: the file is missing, damaged or holds something else.
    """
    require(path, path.stem.replace("_", " ").capitalize(), "Run the notebook that writes it.")
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(content).__name__}.")
    return content


def score_table(reports: list[Report]) -> pd.DataFrame:
    """The tidy table of scores by each variant's reported rule: SCORE_COLUMNS, in percent.

    ``low`` and ``high`` are the ends of the 95 % interval of the variant on that split, the same
    for each of its seeds: over videos where there is one seed, over seeds and videos together where
    there are several. NaN where no bootstrap was asked for or scores by video are gone.
    """
    rows = []
    groups: dict[tuple[str, str], list[Report]] = {}
    for report in reports:
        groups.setdefault((report.variant, report.split), []).append(report)
    intervals = {group: _intervals(members) for group, members in groups.items()}
    for report in reports:
        scores = report.content["rules"][report.rule]
        for metric in METRICS:
            value = np.nan if scores.get(metric) is None else scores[metric]
            ends = intervals[report.variant, report.split].get(metric, (np.nan, np.nan))
            rows.append((*report[:4], metric, value, *ends))
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def _intervals(reports: Sequence[Report]) -> dict[str, tuple[float, float]]:
    """Metric -> 95 % interval of one variant on one split."""
    if len(reports) == 1:
        return reports[0].content.get("intervals", {}).get(reports[0].rule, {})
    paths = [report.by_video for report in reports]
    if not all(path and path.is_file() for path in paths):
        return {}
    found = crossed_differences(*stack_seeds([read_video_scores(path) for path in paths]))
    return {name: (ends.low, ends.high) for name, ends in zip(METRICS, found, strict=True)}


def read_scores(results: ResultFiles) -> pd.DataFrame:
    """`score_table` of every run below ``results``."""
    return score_table(read_reports(results))


def read_histories(results: ResultFiles) -> dict[str, pd.DataFrame]:
    """Variant -> its history.csv files end to end, with a column ``seed``."""
    found: dict[str, list[pd.DataFrame]] = {}
    for variant, seed, run, _ in usable_runs(results):
        if run.history.exists():
            found.setdefault(variant, []).append(pd.read_csv(run.history).assign(seed=seed))
    return {variant: pd.concat(parts, ignore_index=True) for variant, parts in found.items()}


def read_runtimes(results: ResultFiles) -> pd.DataFrame:
    """One row a run: variant, seed and whatever plain values its runtime.json holds."""
    rows = []
    for variant, seed, run, _ in usable_runs(results):
        if run.runtime.exists():
            content = read_object(run.runtime)
            plain = {k: v for k, v in content.items() if isinstance(v, int | float | str)}
            rows.append({"variant": variant, "seed": seed, **plain})
    return pd.DataFrame(rows)


def predictions_of(
    results: ResultFiles, variant: str, seed: int, split: str
) -> dict[str, Prediction]:
    """Key -> prediction of one run.

    Raises:
        InputError: the run has no predictions of that split, or the file is damaged.
    """
    path = results.run(variant, seed).predictions(split)
    require(path, f"Predictions of {variant}, seed {seed}", "Run notebook 04 for that variant.")
    return {prediction.key: prediction for prediction in read_predictions(path)}


def iop_of_questions(
    predictions: Mapping[str, Prediction], truths: Mapping[str, Truth], rule: str
) -> np.ndarray:
    """IoP of every question ``[N]``, 0 to 1; a question without an interval has 0."""
    table = truth_table(truths)
    return best_overlap(prediction_spans(predictions, rule, table), table)[1]


def ablation(
    results: ResultFiles,
    reports: list[Report],
    truths: Mapping[str, Truth],
    split: str = "test",
    base: str = "cra",
    samples: int = 1000,
) -> pd.DataFrame:
    """Every variant against ``base``, question by question, on the seeds that both have.

    Columns: variant, metric, difference, low, high (percentage points, 95 % intervals over seeds
    and videos together; over videos alone where ``seeds`` is 1), p_value, seeds.
    """
    rules = {(r.variant, r.seed): r.rule for r in reports if r.split == split}

    def scores_of(variant: str, seed: int) -> VideoScores:
        said = predictions_of(results, variant, seed, split)
        check_predictions(said, list(truths.values()))
        return video_scores(said, truths, rules[variant, seed])

    rows = []
    for variant in dict.fromkeys(name for name, _ in rules if name != base):
        seeds = [seed for name, seed in rules if name == variant and (base, seed) in rules]
        if seeds:
            ours, questions = stack_seeds([scores_of(variant, seed) for seed in seeds])
            other, _ = stack_seeds([scores_of(base, seed) for seed in seeds])
            found = crossed_differences(ours - other, questions, samples)
            rows += [
                {"variant": variant, "metric": metric, **change._asdict(), "seeds": len(seeds)}
                for metric, change in zip(METRICS, found, strict=True)
            ]
    columns = ["variant", "metric", "difference", "low", "high", "p_value", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def scores_by_confounders(
    results: ResultFiles, scores: pd.DataFrame, split: str = "test", variant: str = "cra"
) -> pd.DataFrame:
    """Scores of one variant against K, from runs that differ in ``causal.num_confounders`` alone.

    Columns: K, seeds, metric, value (mean over seeds), low, high; empty with fewer than two K.
    """
    mine = scores[(scores["split"] == split) & scores["metric"].isin(HEADLINE)]
    sizes = {}
    for name, seed in set(zip(mine["variant"], mine["seed"], strict=True)):
        own = name.removeprefix(f"{variant}@causal.num_confounders=")
        config = results.run(name, int(seed)).config
        if own.isdigit():
            sizes[name] = int(own)
        elif name == variant and config.is_file():
            sizes[name] = load_config(config).causal.num_confounders
    table = mine[mine["variant"].isin(sizes)]
    table = table.assign(K=table["variant"].map(sizes).astype(int))
    groups = table.groupby(["K", "metric"], as_index=False)
    means = {column: (column, "mean") for column in ("value", "low", "high")}
    found = groups.agg(seeds=("seed", "nunique"), **means)
    return found if found["K"].nunique() > 1 else found.iloc[:0]


def read_published(path: Path, dataset: str, split: str) -> pd.DataFrame:
    """The published weakly supervised rows of one dataset's main table; empty where there are none.

    STAR's test answers are not public: what is called test here is what papers report as val.
    """
    found = (
        leaderboard.main_rows(leaderboard.read_published(path), dataset, split)
        if path.exists()
        else []
    )
    rows = [row for row in found if row["supervision"] == "weak"]
    return pd.DataFrame(rows, columns=[*leaderboard.ABOUT, *METRICS])


def random_examples(
    predictions: Mapping[str, Prediction],
    truths: Mapping[str, Truth],
    rule: str,
    count: int = 3,
    seed: int = 0,
) -> list[str]:
    """Keys of ``count`` questions answered right and grounded, then of ``count`` that were not.

    Drawn at random, no video twice; fewer where there are not so many.
    """
    table = truth_table(truths)
    scores = question_scores(
        prediction_spans(predictions, rule, table), prediction_answers(predictions, table), table
    )
    good = scores.right & scores.grounded
    keys: list[str] = []
    videos: set[int] = set()
    for wanted in (good, ~good):
        rows = np.random.default_rng(seed).permutation(np.flatnonzero(wanted & scores.has_span))
        room = len(keys) + count
        for row in rows:
            if len(keys) < room and table.videos[row] not in videos:
                keys.append(table.keys[row])
                videos.add(int(table.videos[row]))
    return keys


def examples_by_outcome(
    predictions: Mapping[str, Prediction], truths: Mapping[str, Truth], rule: str, seed: int = 0
) -> dict[str, str]:
    """Outcome -> key of one question with it, drawn at random; outcomes that no question has are
    left out: "right and grounded", "right but ungrounded", "wrong"."""
    table = truth_table(truths)
    scores = question_scores(
        prediction_spans(predictions, rule, table), prediction_answers(predictions, table), table
    )
    outcomes = {
        "right and grounded": scores.right & scores.grounded,
        "right but ungrounded": scores.right & ~scores.grounded,
        "wrong": ~scores.right,
    }
    rng = np.random.default_rng(seed)
    return {
        outcome: table.keys[rng.choice(np.flatnonzero(wanted & scores.has_span))]
        for outcome, wanted in outcomes.items()
        if (wanted & scores.has_span).any()
    }
