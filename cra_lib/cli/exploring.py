"""The command that makes the explorer, from our runs or from anybody's predictions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cra_lib.cli.scoring import Fractions, Split, StampsOption
from cra_lib.paths import DataFiles, ResultFiles, data_files, result_files
from cra_lib.records import InputError

if TYPE_CHECKING:
    from cra_lib.reporting.explorer import Exploration


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `cra` command."""
    app.command()(explore)


def explore(
    predictions: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files or run folders, one a method, as PATH or NAME=PATH; several files of one "
            "method with commas. None: the runs below --results."
        ),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="With files: as for cra evaluate, a folder or such as nextgqa:test."),
    ] = None,
    split: Split = None,
    videos: Annotated[
        Path | None, typer.Option(help="Folder of the videos. Default: videos/ in the data.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The page. Default: explorer.html here, or beside the report."),
    ] = None,
    frames: Annotated[
        bool, typer.Option(help="Keep eight small frames of each video beside the page.")
    ] = True,
    fractions: Fractions = False,
    stamps: StampsOption = None,
    dataset: Annotated[str, typer.Option(help="Without files: whose runs.")] = "shapes",
    results: Annotated[
        Path | None, typer.Option(help="Without files: default results/DATASET.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Without files: folder of datasets.")] = None,
) -> None:
    """Make one page to look at every question: video, evidence, intervals, weights, choices."""
    from cra_lib.reporting.explorer import write_explorer

    if predictions:
        if truth is None:
            raise InputError("Predictions are explored with --truth, such as nextgqa:test.")
        exploration = _of_files(predictions, truth, split, videos, fractions, stamps)
        page = out or Path("explorer.html")
    else:
        files = result_files(dataset, results)
        exploration = _of_results(dataset, files, data_files(dataset, data), videos)
        page = out or files.explorer
    # The workflow makes the report after this page, which it links to.
    report = "report.html" if page.with_name("report.html").exists() or not predictions else ""
    write_explorer(page, exploration, report=report, strips=frames, say=_note)
    print(f"Explorer: {page}")


def _of_results(
    dataset: str, results: ResultFiles, data: DataFiles, videos: Path | None
) -> Exploration:
    from cra_lib.reporting.explorer import of_results
    from cra_lib.video.frames import find_videos

    folder = videos or data.root / "videos"
    # No videos are no mistake here: features may have come without them.
    found = find_videos(folder) if videos or folder.is_dir() else {}
    return of_results(dataset, results, data, found)


def _of_files(
    predictions: list[str],
    truth: str,
    split: str | None,
    videos: Path | None,
    fractions: bool,
    stamps: StampsOption,
) -> Exploration:
    from cra_lib.evaluator.readers import read_any
    from cra_lib.evaluator.scoring import read_benchmark, read_side
    from cra_lib.reporting.explorer import of_files
    from cra_lib.video.frames import find_videos

    benchmark = read_benchmark(truth, split)
    methods = {}
    for words in predictions:
        name, paths = _named(words)
        if name in methods:
            raise InputError(f"Two methods are named {name!r}; give names as NAME=PATH.")
        parts = [read_any(path, benchmark.split, benchmark.truths) for path in paths]
        side = read_side(parts, benchmark, fractions=fractions, stamps=stamps, remedy="correct it")
        for note in side.notes:
            _note(f"{name}: {note}")
        methods[name] = side.predictions
    folder = videos or benchmark.files.root / "videos"
    found = find_videos(folder) if videos or folder.is_dir() else {}
    return of_files(benchmark, methods, found)


def _named(words: str) -> tuple[str, list[Path]]:
    """The name and the files of one method.

    >>> _named("ours=a.json,b.json"), _named("runs/ng+/seed7")[0]
    (('ours', [PosixPath('a.json'), PosixPath('b.json')]), 'ng+')
    """
    name, given, rest = words.partition("=")
    if not given or Path(words).exists():
        name, rest = "", words
    paths = [Path(word) for word in rest.split(",") if word]
    if not paths:
        raise InputError(f"No file in {words!r}; expected PATH or NAME=PATH.")
    if not name:
        inside = paths[0] if not paths[0].suffix else paths[0].parent
        is_run = inside.name.startswith("seed")
        name = inside.resolve().parent.name if is_run else paths[0].stem
    return name, paths


def _note(line: str) -> None:
    print(f"cra: note: {line}", file=sys.stderr)
