"""Commands that score prediction files; none of them imports torch."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cra_lib.paths import DataFiles, atomic, dataset_dir, published_csv, require
from cra_lib.records import InputError, Prediction, Truth

if TYPE_CHECKING:
    from cra_lib.evaluator.readers import Loaded


class Stamps(StrEnum):
    """The two official stamp files, which differ for a quarter of the videos."""

    frame2time = "frame2time"
    upbd = "upbd"


class SpanRule(StrEnum):
    """How an interval came about; "given" ones came from a file."""

    all = "all"
    post_hoc = "post-hoc"
    windows = "windows"
    gaussian = "gaussian"
    merged = "merged"
    given = "given"


TruthDir = Annotated[
    Path, typer.Option("--truth", help="Folder with <split>.csv and gsub_<split>.json.")
]
Split = Annotated[str, typer.Option(help="Split to score: val, test, ...")]
Subset = Annotated[Path | None, typer.Option(help="Score only the question keys in this file.")]
Official = Annotated[
    bool,
    typer.Option(
        "--official",
        help="As the official script: leave out questions without a prediction, released windows.",
    ),
]
Fractions = Annotated[
    bool, typer.Option("--fractions", help="Intervals are fractions of the video, not seconds.")
]
StampsOption = Annotated[
    Stamps | None,
    typer.Option(
        help="Stamp file that turns weights into seconds, also where intervals are given. "
        "Default: the times in the predictions, else frame2time."
    ),
]
JsonOut = Annotated[Path | None, typer.Option("--json", help="Write the result as JSON.")]
CsvOut = Annotated[Path | None, typer.Option("--csv", help="Write the result as csv.")]
Answers = Annotated[Path | None, typer.Option(help="Answers: {key: index} or NExT-GQA's file.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `cra` command."""
    app.command()(evaluate)
    app.command()(compare)
    app.command()(blind)
    app.command()(leaderboard)


def evaluate(
    truth: TruthDir,
    split: Split,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Prediction files of any kind, recognised by their content."),
    ] = None,
    answers: Answers = None,
    spans: Annotated[Path | None, typer.Option(help="Intervals: {key: [start, end]}.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights: {key: [32 numbers]}.")] = None,
    fractions: Fractions = False,
    stamps: StampsOption = None,
    span_rule: Annotated[SpanRule, typer.Option(help="Which intervals to score.")] = SpanRule.all,
    official: Official = False,
    by_type: Annotated[bool, typer.Option("--by-type", help="Add the per-type table.")] = False,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamplings for 95 % intervals.")] = 0,
    subset: Subset = None,
    json_out: JsonOut = None,
    csv_out: CsvOut = None,
    questions_out: Annotated[
        Path | None, typer.Option("--questions", help="Write every question's scores as csv.")
    ] = None,
) -> None:
    """Score predictions for a dataset in NExT-GQA's layout, whatever model made them."""
    from cra_lib.evaluator.readers import (
        combine,
        load_predictions,
        read_answers,
        read_spans,
        read_weights,
    )
    from cra_lib.evaluator.score_text import report_text
    from cra_lib.evaluator.scores import question_rows, score_report

    truths = _truths(truth, split, subset)
    named = ((answers, read_answers), (spans, read_spans), (weights, read_weights))
    parts = [load_predictions(files, split)] if files else []
    parts += [reader(path) for path, reader in named if path]
    if not parts:
        raise InputError("No predictions given; name a file, or --answers, --spans or --weights.")
    loaded = parts[0]
    for part in parts[1:]:
        loaded = combine(loaded, part)
    predictions = _with_spans(loaded, truths, truth, split, stamps, fractions, official)
    rules = None if span_rule is SpanRule.all else [span_rule.value]
    header = {
        "split": split,
        "stamps": _stamps_used(loaded, stamps),
        "windows": "released" if official else "described",
        "truth": str(truth),
        "predictions": [str(path) for path in (*(files or ()), answers, spans, weights) if path],
        "subset": str(subset) if subset else None,
    }
    report = score_report(predictions, truths, rules, header, bootstrap, official)
    _note_stated_answers(loaded, truths)
    if unknown := report["header"]["unknown"]:
        _note(f"{unknown} predictions are about questions that are not scored; left out.")
    print(report_text(report, by_type))
    _write_json(json_out, report)
    if csv_out:
        _write_csv(csv_out, [{"rule": k, **v} for k, v in _flat_rows(report)])
    if questions_out:
        scored = [rule if rule != "answers" else None for rule in report["rules"]]
        tables = (question_rows(predictions, truths, rule) for rule in scored)
        _write_csv(questions_out, [row for table in tables for row in table])


def compare(
    first: Annotated[str, typer.Argument(help="Predictions of A; several files with commas.")],
    second: Annotated[str, typer.Argument(help="Predictions of B; several files with commas.")],
    truth: TruthDir,
    split: Split,
    span_rule: Annotated[
        SpanRule | None, typer.Option(help="Span rule of both. Default: the first each carries.")
    ] = None,
    fractions: Fractions = False,
    stamps: StampsOption = None,
    common: Annotated[
        bool, typer.Option("--common", help="Only questions that both predict.")
    ] = False,
    bootstrap: Annotated[int, typer.Option(min=1, help="Paired resamplings of videos.")] = 1000,
    subset: Subset = None,
    json_out: JsonOut = None,
    csv_out: Annotated[
        Path | None, typer.Option("--csv", help="Write the questions won and lost.")
    ] = None,
) -> None:
    """Say whether predictions B are better than A, by how much, and on which questions."""
    from cra_lib.evaluator.comparison import compare as compare_predictions
    from cra_lib.evaluator.readers import load_predictions
    from cra_lib.evaluator.score_text import comparison_text
    from cra_lib.evaluator.scores import carried_rules

    truths = _truths(truth, split, subset)
    sides, rules = [], []
    for paths in (first, second):
        loaded = load_predictions(map(Path, paths.split(",")), split)
        side = _with_spans(loaded, truths, truth, split, stamps, fractions, official=False)
        wanted = [span_rule.value] if span_rule and span_rule is not SpanRule.all else None
        sides.append(side)
        rules.append(next(iter(carried_rules(side, wanted)), None))
    result = compare_predictions(*sides, truths, tuple(rules), bootstrap, common)
    result["header"] |= {"split": split, "first": first, "second": second}
    print(comparison_text(result, (first, second)))
    _write_json(json_out, result)
    if csv_out:
        _write_csv(
            csv_out,
            [
                {"key": key, "outcome": outcome, "type": truths[key].type}
                for outcome, name in (("win", "wins"), ("loss", "losses"))
                for key in result[name]
            ],
        )


def blind(
    truth: TruthDir,
    split: Split,
    answers: Annotated[
        Path | None, typer.Option(help="Answers to combine with the blind intervals.")
    ] = None,
    subset: Subset = None,
    json_out: JsonOut = None,
) -> None:
    """Score intervals that never look at the video, with anybody's answers."""
    from cra_lib.evaluator.metrics import METRICS
    from cra_lib.evaluator.readers import Loaded, load_predictions
    from cra_lib.evaluator.score_text import table_text
    from cra_lib.evaluator.scores import blind_scores

    truths = _truths(truth, split, subset)
    loaded = load_predictions([answers], split) if answers else Loaded({}, {})
    rows = blind_scores(loaded.predictions, truths)
    print(f"Blind intervals; split {split}; {len(truths)} questions")
    print(table_text(("", *METRICS), [[n, *(v[m] for m in METRICS)] for n, v in rows.items()]))
    _write_json(json_out, rows)


def leaderboard(
    scores: Annotated[
        list[Path] | None, typer.Argument(help="Score files of `cra evaluate --json`.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="nextgqa or star.")] = "nextgqa",
    split: Annotated[str, typer.Option(help="Split of the published rows.")] = "test",
    sort: Annotated[str, typer.Option(help="Metric to sort by.")] = "Acc@GQA",
    published: Annotated[
        Path | None, typer.Option(help="Published rows. Default: results/published.csv.")
    ] = None,
    csv_out: CsvOut = None,
) -> None:
    """Set score files among the published rows, with span rule and supervision marked."""
    from cra_lib.evaluator.leaderboard import board, board_text, read_published

    rows = board(read_published(published or published_csv()), scores or [], dataset, split, sort)
    print(board_text(rows, dataset, split))
    if csv_out:
        _write_csv(csv_out, rows)


def _truths(folder: Path, split: str, subset: Path | None) -> dict[str, Truth]:
    """The annotation to score against; an unknown split is refused with those there are."""
    from cra_lib.evaluator.annotations import read_truths
    from cra_lib.evaluator.readers import read_subset

    files = _files(folder)
    if not files.segments(split).exists():
        names = sorted(p.stem.removeprefix("gsub_") for p in files.root.glob("gsub_*.json"))
        raise InputError(
            f"No split {split!r} to score in {files.root} (no {files.segments(split).name}); "
            f"there are: {', '.join(names) or 'none'}."
        )
    truths = read_truths(files, split)
    if subset is None:
        return truths
    keys = set(read_subset(subset))
    if unknown := sorted(keys - set(truths)):
        raise InputError(f"{subset}: {unknown[0]!r} is no question of split {split!r}.")
    return {key: truth for key, truth in truths.items() if key in keys}


def _files(folder: Path) -> DataFiles:
    require(folder, "Annotation folder", "Give the folder with gsub_<split>.json to --truth.")
    return DataFiles(folder if any(folder.glob("gsub_*.json")) else dataset_dir(folder, "nextgqa"))


def _with_spans(
    loaded: Loaded,
    truths: dict[str, Truth],
    folder: Path,
    split: str,
    stamps: Stamps | None,
    fractions: bool,
    official: bool,
) -> dict[str, Prediction]:
    """The predictions with every interval that their fractions and weights imply, in seconds."""
    from cra_lib.evaluator.annotations import read_stamps
    from cra_lib.evaluator.derived_spans import in_seconds, looks_like_fractions, with_weight_spans
    from cra_lib.evaluator.spans import SpanSettings

    predictions = loaded.predictions
    if fractions:
        predictions = in_seconds(predictions, truths)
    elif looks_like_fractions(predictions):
        _note("no interval ends after 1.6 s; if these are fractions of the video, add --fractions.")
    kind = _stamps_used(loaded, stamps)
    times = read_stamps(_files(folder).stamps(split, kind)) if kind in set(Stamps) else None
    settings = SpanSettings(windows="released") if official else SpanSettings()
    return with_weight_spans(
        predictions, truths, times, settings, overwrite=bool(stamps) or official
    )


def _stamps_used(loaded: Loaded, stamps: Stamps | None) -> str | None:
    """Where the times of weights come from; None where there are no weights."""
    weighted = [p for p in loaded.predictions.values() if p.frame_weights is not None]
    if not weighted:
        return None
    if stamps is None and all(p.frame_times is not None for p in weighted):
        return "as predicted"
    return (stamps or Stamps.frame2time).value


def _note_stated_answers(loaded: Loaded, truths: dict[str, Truth]) -> None:
    stated = loaded.stated_answers.items()
    differ = [key for key, index in stated if key in truths and index != truths[key].answer]
    if differ:
        _note(
            f"{len(differ)} right answers stated in the file differ from the annotation "
            f"(first: {differ[0]}); the annotation counts."
        )


def _flat_rows(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    rows = [(rule, {"type": "", **values}) for rule, values in report["rules"].items()]
    for rule, groups in report["by_type"].items():
        rows += [(rule, {"type": group, **values}) for group, values in groups.items()]
    rows += [(f"blind: {n}", {"type": "", **values}) for n, values in report["blind"].items()]
    return rows


def _write_json(path: Path | None, document: dict[str, Any]) -> None:
    if path:
        with _writing(path) as partial:
            partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    import csv

    with _writing(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """As `atomic`; a place that cannot be written to is the user's mistake, not ours."""
    try:
        with atomic(path) as partial:
            yield partial
    except OSError as error:
        raise InputError(f"Cannot write {path} ({error.strerror}); choose another place.") from None


def _note(text: str) -> None:
    print(f"cra: note: {text}", file=sys.stderr)
