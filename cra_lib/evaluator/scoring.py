"""`cra evaluate` as one call: prediction files against an annotation, everything in one result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cra_lib.evaluator.annotations import read_stamps, read_truths
from cra_lib.evaluator.checks import notes, refuse_impossible
from cra_lib.evaluator.derived_spans import in_seconds, with_weight_spans
from cra_lib.evaluator.packaged import packaged_dataset, packaged_names
from cra_lib.evaluator.readers import (
    Loaded,
    combined,
    read_answers,
    read_any,
    read_spans,
    read_subset,
    read_weights,
)
from cra_lib.evaluator.score_text import report_text
from cra_lib.evaluator.scores import blind_scores, question_rows, score_report
from cra_lib.evaluator.spans import SpanSettings
from cra_lib.paths import DataFiles, dataset_dir, require
from cra_lib.records import InputError, Prediction, Truth, stored

STAMPS = ("frame2time", "upbd")
"""The two official stamp files, which differ for a quarter of the videos; the first by default."""
ALL_RULES = "all"


class Benchmark(NamedTuple):
    """The annotation of one split."""

    name: str
    """As it was asked for: a folder, or the name of a packaged dataset."""
    split: str
    files: DataFiles
    truths: dict[str, Truth]
    """Question key -> what a prediction is scored against."""
    subset: str | None = None
    """File of the questions that were chosen; None where all are scored."""


class Side(NamedTuple):
    """Everything that a set of prediction files says about the questions."""

    predictions: dict[str, Prediction]
    """Question key -> prediction with every interval that fractions and weights imply."""
    notes: list[str]
    """Sentences that a reader of the scores should see."""
    stamps: str | None
    """Where the times of weights come from; None where there are no weights."""
    strangers: int
    """How many predictions are about questions that are not scored."""


@dataclass(frozen=True)
class Scored:
    """What `score_files` found."""

    report: dict[str, Any]
    """The score report; `cra_lib.evaluator.scores` documents it. ``--json`` writes it."""
    notes: list[str]
    """What a reader of the scores should know about the files, one sentence each."""
    predictions: dict[str, Prediction]
    """Question key -> prediction, intervals in seconds by every rule."""
    benchmark: Benchmark

    def text(self, by_type: bool = False) -> str:
        """The report's tables as plain text."""
        return report_text(self.report, by_type)

    def questions(self) -> list[dict[str, Any]]:
        """One row for each question and rule; see `scores.question_rows`."""
        rules = [None if rule == "answers" else rule for rule in self.report["rules"]]
        tables = (question_rows(self.predictions, self.benchmark.truths, rule) for rule in rules)
        return [row for table in tables for row in table]


def score_files(
    paths: Sequence[str | Path] = (),
    truth: str | Path = "nextgqa",
    split: str | None = None,
    *,
    answers: str | Path | None = None,
    spans: str | Path | None = None,
    weights: str | Path | None = None,
    fractions: bool = False,
    stamps: str | None = None,
    span_rule: str = ALL_RULES,
    official: bool = False,
    bootstrap: int = 0,
    subset: str | Path | None = None,
    seed: int = 0,
) -> Scored:
    """Score prediction files, whatever model made them.

    Args:
        paths: files of any kind that `readers` describes, recognised by their content.
        truth: folder with ``<split>.csv`` and ``gsub_<split>.json``, or the name of a packaged
            dataset; ``nextgqa:test`` names the split too.
        split: val, test, ...; not needed where ``truth`` names it.
        answers: file of answers, said outright; likewise ``spans`` and ``weights``.
        fractions: given intervals are fractions of the video, not seconds.
        stamps: stamp file that turns weights into seconds, also where intervals are given; None
            takes the times in the predictions, else frame2time.
        span_rule: which intervals to score; "all" takes every rule that the files allow.
        official: as the official script: questions without an interval are left out, and windows
            follow the released rule.
        bootstrap: number of resamplings of videos for 95 % intervals; 0 leaves them out.
        subset: file of the question keys to score.

    Raises:
        InputError: bad input, in one sentence that names the file, the key or row, and a remedy.
    """
    benchmark = read_benchmark(truth, split, subset)
    named = {read_answers: answers, read_spans: spans,
             partial(read_weights, keys=benchmark.truths): weights}  # fmt: skip
    parts = [read_any(Path(path), benchmark.split, benchmark.truths) for path in paths]
    parts += [reader(Path(path)) for reader, path in named.items() if path]
    if not parts:
        raise InputError("No predictions given; name a file, or --answers, --spans or --weights.")
    side = read_side(
        parts,
        benchmark,
        fractions=fractions,
        stamps=stamps,
        official=official,
        remedy="" if official else "correct it, or score it as 0 with --official",
    )
    rules = None if span_rule == ALL_RULES else [span_rule]
    return scored_side(side, parts, benchmark, rules, official, bootstrap, seed)


def scored_side(
    side: Side,
    parts: Sequence[Loaded],
    benchmark: Benchmark,
    rules: Sequence[str] | None = None,
    official: bool = False,
    bootstrap: int = 0,
    seed: int = 0,
) -> Scored:
    """The scores of a side; the arguments are those of `scores.score_report`."""
    header = {
        "split": benchmark.split,
        "stamps": side.stamps,
        "windows": "released" if official else "described",
        "truth": benchmark.name,
        "predictions": [part.path for part in parts],
        "subset": benchmark.subset,
    }
    report = score_report(
        side.predictions, benchmark.truths, rules, header, bootstrap, official, seed
    )
    report["header"]["unknown"] = side.strangers
    return Scored(report, side.notes, side.predictions, benchmark)


def blind_files(
    truth: str | Path,
    split: str | None = None,
    answers: str | Path | None = None,
    subset: str | Path | None = None,
) -> tuple[dict[str, dict[str, float]], Benchmark, list[str]]:
    """Scores of the blind intervals with a file's answers, the benchmark, and notes on the file.

    Raises:
        InputError: as `score_files`.
    """
    benchmark = read_benchmark(truth, split, subset)
    if answers is None:
        return blind_scores([], benchmark.truths), benchmark, []
    part = read_any(Path(answers), benchmark.split, benchmark.truths)
    side = read_side([part], benchmark)
    return blind_scores(side.predictions, benchmark.truths), benchmark, side.notes


def read_benchmark(
    truth: str | Path, split: str | None = None, subset: str | Path | None = None
) -> Benchmark:
    """The annotation to score against: a folder wins over a packaged dataset of the same name.

    Raises:
        InputError: no such folder, dataset or split (with those there are), or an unknown key.
    """
    name, separator, named_split = str(truth).rpartition(":")
    if not separator or Path(truth).exists():
        name, named_split = str(truth), ""
    if split and named_split and split != named_split:
        raise InputError(f"{truth} and --split {split} name two splits; give one of them.")
    split = split or named_split
    files = _annotation(name)
    there = _splits(files)
    if split not in there:
        asked = f"No split {split!r} to score in {name}" if split else "Which split is scored?"
        raise InputError(
            f"{asked}; there are: {', '.join(there) or 'none'} (--split, or {name}:SPLIT)."
        )
    truths = read_truths(files, split)
    if subset is None:
        return Benchmark(name, split, files, truths)
    keys = set(read_subset(Path(subset)))
    if unknown := sorted(keys - set(truths)):
        raise InputError(
            f"{subset}: {unknown[0]!r} is no question of split {split!r}; remove it, or name its "
            "split."
        )
    chosen = {key: t for key, t in truths.items() if key in keys}
    return Benchmark(name, split, files, chosen, str(subset))


def _annotation(name: str) -> DataFiles:
    folder = Path(name)
    if not folder.is_dir() and name in packaged_names():
        return packaged_dataset(name)
    require(
        folder,
        "Annotation folder",
        f"Give --truth the folder with gsub_<split>.json, or {' or '.join(packaged_names())}.",
    )
    return DataFiles(folder if _splits(DataFiles(folder)) else dataset_dir(folder, "nextgqa"))


def _splits(files: DataFiles) -> list[str]:
    names = {p.name.split(".")[0].removeprefix("gsub_") for p in files.root.glob("gsub_*.json*")}
    return sorted(name for name in names if stored(files.segments(name)))


def read_side(
    parts: Sequence[Loaded],
    benchmark: Benchmark,
    *,
    fractions: bool = False,
    stamps: str | None = None,
    official: bool = False,
    remedy: str = "",
) -> Side:
    """Parts laid over each other, checked, with all intervals in seconds.

    Args:
        remedy: what to do about intervals that end before they start; "" lets them pass.

    Raises:
        InputError: see `checks.refuse_impossible`; weights without times, or not as many.
    """
    truths = benchmark.truths
    for part in parts:
        refuse_impossible(part, truths, remedy)
    loaded = combined(parts)
    found = notes(parts, truths, fractions, official)
    strangers = len(loaded.strangers | (set(loaded.predictions) - set(truths)))
    if strangers:
        found.append(f"{strangers} predictions are about questions that are not scored; left out.")
    predictions = in_seconds(loaded.predictions, truths) if fractions else loaded.predictions
    kind = _stamps_used(loaded.predictions.values(), stamps)
    times = read_stamps(benchmark.files.stamps(benchmark.split, kind)) if kind in STAMPS else None
    settings = SpanSettings(windows="released") if official else SpanSettings()
    overwrite = bool(stamps) or official
    predictions = with_weight_spans(
        predictions, truths, times, settings, overwrite, partial(_place, parts)
    )
    return Side(predictions, found, kind, strangers)


def _place(parts: Iterable[Loaded], key: str) -> str:
    """File and key of a question's weights, as messages name them."""
    weighted = (p for p in parts if key in p.predictions and p.predictions[key].frame_weights)
    path = next((part.path for part in weighted), "")
    return f"{path}, key {key!r}" if path else repr(key)


def _stamps_used(predictions: Iterable[Prediction], stamps: str | None) -> str | None:
    weighted = [p for p in predictions if p.frame_weights is not None]
    if not weighted:
        return None
    if stamps is None and all(p.frame_times is not None for p in weighted):
        return "as predicted"
    return stamps or STAMPS[0]


def flat_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A report's scores as one table: a row for each rule, rule and type, and blind interval."""
    rows = [{"rule": rule, "type": "", **values} for rule, values in report["rules"].items()]
    for rule, groups in report["by_type"].items():
        rows += [{"rule": rule, "type": group, **values} for group, values in groups.items()]
    blind = report["blind"].items()
    return rows + [{"rule": f"blind: {name}", "type": "", **values} for name, values in blind]
