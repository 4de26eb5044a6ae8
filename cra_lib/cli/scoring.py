"""Commands that score prediction files; none of them imports torch."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cra_lib.paths import atomic, published_csv
from cra_lib.records import InputError

if TYPE_CHECKING:
    from cra_lib.evaluator import Scored


class Stamps(StrEnum):
    """The two official stamp files, which differ for a quarter of the videos."""

    frame2time = "frame2time"
    upbd = "upbd"


TruthOption = Annotated[
    str,
    typer.Option(
        "--truth",
        help="Folder with <split>.csv and gsub_<split>.json, or nextgqa (comes with the package); "
        "nextgqa:test names the split too.",
    ),
]
Split = Annotated[str | None, typer.Option(help="Split to score: val, test, ...")]
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
HtmlOut = Annotated[
    Path | None, typer.Option("--html", help="Write an evaluation card: one self-contained page.")
]
Supervision = Annotated[
    str, typer.Option(help="With --html: the published rows to stand among, as they call it.")
]
Answers = Annotated[Path | None, typer.Option(help="Answers: {key: index} or NExT-GQA's file.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `cra` command."""
    app.command()(evaluate)
    app.command()(compare)
    app.command()(blind)
    app.command()(leaderboard)


def evaluate(
    truth: TruthOption,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Prediction files of any kind, recognised by their content."),
    ] = None,
    split: Split = None,
    answers: Answers = None,
    spans: Annotated[Path | None, typer.Option(help=r"Intervals: {key: \[start, end]}.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights: {key: [32 numbers]}.")] = None,
    fractions: Fractions = False,
    stamps: StampsOption = None,
    span_rule: Annotated[
        str, typer.Option(help="Which intervals to score: all, given, or a rule by its name.")
    ] = "all",
    official: Official = False,
    by_type: Annotated[bool, typer.Option("--by-type", help="Add the per-type table.")] = False,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamplings for 95 % intervals.")] = 0,
    subset: Subset = None,
    json_out: JsonOut = None,
    csv_out: CsvOut = None,
    questions_out: Annotated[
        Path | None, typer.Option("--questions", help="Write every question's scores as csv.")
    ] = None,
    html_out: HtmlOut = None,
    supervision: Supervision = "weak",
) -> None:
    """Score predictions for a dataset in NExT-GQA's layout, whatever model made them."""
    from cra_lib.evaluator.scoring import flat_rows, score_files

    scored = score_files(
        files or (),
        truth,
        split,
        answers=answers,
        spans=spans,
        weights=weights,
        fractions=fractions,
        stamps=stamps,
        span_rule=span_rule,
        official=official,
        bootstrap=bootstrap,
        subset=subset,
    )
    _note(scored.notes)
    print(scored.text(by_type))
    _write_json(json_out, scored.report)
    if csv_out:
        _write_csv(csv_out, flat_rows(scored.report))
    if questions_out:
        _write_csv(questions_out, scored.questions())
    if html_out:
        _write_card(html_out, [scored], supervision=supervision)


def compare(
    first: Annotated[str, typer.Argument(help="Predictions of A; several files with commas.")],
    second: Annotated[str, typer.Argument(help="Predictions of B; several files with commas.")],
    truth: TruthOption,
    split: Split = None,
    span_rule: Annotated[
        str | None, typer.Option(help="Span rule of both. Default: the first each carries.")
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
    html_out: HtmlOut = None,
    supervision: Supervision = "weak",
) -> None:
    """Say whether predictions B are better than A, by how much, and on which questions."""
    from cra_lib.evaluator.comparison import changed_questions, compare_files
    from cra_lib.evaluator.score_text import comparison_text

    sides = [[name.strip() for name in paths.split(",")] for paths in (first, second)]
    compared = compare_files(
        *sides,
        truth,
        split,
        span_rule=span_rule,
        fractions=fractions,
        stamps=stamps,
        common=common,
        bootstrap=bootstrap,
        subset=subset,
    )
    _note(compared.notes)
    print(comparison_text(compared.result, (first, second)))
    _write_json(json_out, compared.result)
    if csv_out:
        _write_csv(csv_out, changed_questions(compared.result, compared.benchmark.truths))
    if html_out:
        _write_card(html_out, compared.sides, compared.result, supervision)


def blind(
    truth: TruthOption,
    split: Split = None,
    answers: Annotated[
        Path | None, typer.Option(help="Answers to combine with the blind intervals.")
    ] = None,
    subset: Subset = None,
    json_out: JsonOut = None,
) -> None:
    """Score intervals that never look at the video, with anybody's answers."""
    from cra_lib.evaluator.metrics import METRICS
    from cra_lib.evaluator.score_text import table_text
    from cra_lib.evaluator.scoring import blind_files

    rows, benchmark, notes = blind_files(truth, split, answers, subset)
    _note(notes)
    print(f"Blind intervals; split {benchmark.split}; {len(benchmark.truths)} questions")
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
    from cra_lib.evaluator.leaderboard import board, board_text, published_rows, read_published

    known = read_published(published or published_csv())
    rows = board(known, scores or [], dataset, split, sort)
    print(board_text(rows, dataset, split, published_rows(known, dataset, split)[1]))
    if csv_out:
        _write_csv(csv_out, rows)


def _write_card(
    path: Path,
    scored: Sequence[Scored],
    comparison: dict[str, Any] | None = None,
    supervision: str = "weak",
) -> None:
    import shlex

    try:
        from cra_lib.reporting.card import write_card
    except ModuleNotFoundError as error:
        raise InputError(
            f"--html draws figures and needs {error.name!r}, which is not installed; "
            "run: pip install 'cra-lib[drawing]'"
        ) from None
    names = [
        " + ".join(Path(p).name for p in one.report["header"]["predictions"]) for one in scored
    ]
    if len(set(names)) < len(names):
        names = [", ".join(one.report["header"]["predictions"]) for one in scored]
    if len(set(names)) < len(names):
        raise InputError("A comparison card needs two different sets of predictions.")
    command = shlex.join(["cra", *sys.argv[1:]])
    card = dict(zip(names, scored, strict=True))
    with _writing(path) as partial:
        write_card(partial, card, comparison=comparison, command=command, supervision=supervision)


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
    """As `atomic`, and says so; a place that cannot be written to is the user's mistake."""
    try:
        with atomic(path) as partial:
            yield partial
    except OSError as error:
        raise InputError(f"Cannot write {path} ({error.strerror}); choose another place.") from None
    print(f"Written: {path}")


def _note(notes: Iterable[str]) -> None:
    for note in notes:
        print(f"cra: note: {note}", file=sys.stderr)
