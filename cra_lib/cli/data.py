"""Commands that prepare datasets and video features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cra_lib.datasets import DATASETS, Dataset, dataset_named
from cra_lib.paths import data_files


class TrainFrom(StrEnum):
    """Where NExT-GQA's training questions come from."""

    official = "official"
    nextoe = "nextoe"


class Selection(StrEnum):
    """What selects STAR's best epoch."""

    described = "described"
    released = "released"


DatasetName = Annotated[str, typer.Argument(help="shapes, nextgqa or star.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the datasets, or of this dataset; default: data."),
]
Encoder = Annotated[
    str, typer.Option(help="clip-vit-l14, resnet50, swin_t, shapes-clip or pixels.")
]
Weights = Annotated[Path | None, typer.Option(help="Folder or file of the encoder's weights.")]
Workers = Annotated[int, typer.Option(min=1, help="Videos handled at the same time.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Go on without videos that are damaged.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]

features_app = typer.Typer(help="Video features.", no_args_is_help=True)


def prepare(
    dataset: DatasetName,
    data_dir: DataDir = None,
    train_from: Annotated[TrainFrom, typer.Option(help="NExT-GQA only.")] = TrainFrom.official,
    selection: Annotated[Selection, typer.Option(help="STAR only.")] = Selection.described,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be fetched, and stop.")
    ] = False,
    mirror: Annotated[
        list[str] | None, typer.Option(help="Address of a folder with the same files; repeatable.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Fetch nothing.")] = False,
    encoder: Annotated[
        str | None, typer.Option(help="Also extract features of videos/ (shapes: shapes-clip).")
    ] = None,
    weights: Weights = None,
    device: Device = "auto",
    workers: Workers = 2,
    skip_bad: SkipBad = False,
    seed: Annotated[int | None, typer.Option(help="Of what is drawn at random.")] = None,
) -> None:
    """Bring a dataset into normal form below --data, check all of it, and write its data card."""
    entry, files = dataset_named(dataset), data_files(dataset, data_dir)
    if dry_run:
        _print_plan(entry, files.root, train_from, mirror or [])
        return
    from cra_lib.config import run_config
    from cra_lib.data.prepare import Features, prepare_dataset

    if not (entry.is_made_here or offline):
        from cra_lib.data.download import fetch_missing, missing

        fetch_missing(
            missing(dataset, files.root, train_from), files.root, mirror or [], typer.echo
        )
    wanted = encoder not in (None, "none") or (encoder is None and entry.is_made_here)
    named = entry.encoder if encoder in (None, "none") else encoder
    asked = {"train_from": str(train_from), "selection": str(selection), "encoder": named}
    card = prepare_dataset(
        dataset,
        run_config(dataset, overrides={"data": asked}).data,
        files,
        features=Features(weights, device, partial(_progress, "extracting")) if wanted else None,
        seed=seed,
        workers=workers,
        skip_bad=skip_bad,
        say=typer.echo,
    )
    _print_card(card, files.root)


def _print_plan(dataset: Dataset, root: Path, train_from: str, mirrors: list[str]) -> None:
    from cra_lib.data.download import free_space, missing, plan, readable

    if dataset.is_made_here:
        typer.echo(f"{dataset.name} is rendered, not fetched: less than 50 MB into {root}")
        return
    for line in plan(missing(dataset.name, root, train_from), mirrors):
        typer.echo(line)
    typer.echo(f"into {root} ({readable(free_space(root))} free); nothing was fetched or written")


def _print_card(card: dict[str, Any], root: Path) -> None:
    from cra_lib.data.card import dataset_table

    for row in dataset_table(card):
        typer.echo("  ".join(f"{name} {value}" for name, value in row.items() if value is not None))
    for warning in card["warnings"]:
        typer.echo(f"note: {warning}")
    typer.echo(f"written: {root / 'data_card.json'}")


def doctor(
    dataset: Annotated[str | None, typer.Argument(help="One dataset; default: all.")] = None,
    data_dir: DataDir = None,
) -> None:
    """List every file needed: present, missing or wrong, where from, what works without it."""
    from cra_lib.data.doctor import examine, report

    healthy = True
    for name in [dataset] if dataset else DATASETS:
        files = data_files(name, data_dir)
        findings = examine(name, files)
        typer.echo(f"{name} in {files.root}")
        for line in report(findings):
            typer.echo(f"  {line}")
        healthy &= all(finding.healthy for finding in findings)
    if not healthy:
        raise typer.Exit(2)


@features_app.command("extract")
def extract(
    videos: Annotated[Path, typer.Argument(help="Folder of videos; a file's name is its id.")],
    out: Annotated[Path, typer.Option(help="The HDF5 file to write.")],
    encoder: Encoder = "clip-vit-l14",
    weights: Weights = None,
    questions: Annotated[
        Path | None, typer.Option(help="csv whose videos are wanted; default: all in the folder.")
    ] = None,
    stamps: Annotated[
        Path | None, typer.Option(help="JSON of time stamps; default: by each video's length.")
    ] = None,
    num_frames: Annotated[int, typer.Option(min=1, help="Frames a video.")] = 32,
    device: Device = "auto",
    workers: Workers = 2,
    skip_bad: SkipBad = False,
) -> None:
    """Encode the sampled frames of raw videos; a killed run goes on where it was."""
    from cra_lib.evaluator.annotations import read_questions, read_stamps
    from cra_lib.video.encoders import load_encoder
    from cra_lib.video.extract import extract_features, find_videos

    paths = find_videos(videos)
    if questions is not None:
        wanted = dict.fromkeys(question.video_id for question in read_questions(questions))
        paths = {v: paths.get(v, videos / f"{v}.mp4") for v in wanted}
    times = None if stamps is None else read_stamps(stamps)
    loaded = load_encoder(encoder, weights, device)
    with _progress("extracting") as update:
        extraction = extract_features(
            paths,
            times,
            loaded,
            out,
            num_frames=num_frames,
            workers=workers,
            skip_bad=skip_bad,
            progress=update,
        )
    extraction.report(typer.echo, skip_bad=skip_bad)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with the time left on a terminal, nothing in a log; gives `update(done, total)`."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `cra` command."""
    app.command()(prepare)
    app.command()(doctor)
    app.add_typer(features_app, name="features")
