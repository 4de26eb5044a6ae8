"""Commands that prepare datasets and video features."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cra_lib.paths import SPLITS, DataFiles, dataset_dir
from cra_lib.records import InputError

if TYPE_CHECKING:
    from cra_lib.video.extract import Extraction


class Dataset(StrEnum):
    """The datasets that can be prepared."""

    shapes = "shapes"
    nextgqa = "nextgqa"
    star = "star"


class TrainFrom(StrEnum):
    """Where NExT-GQA's training questions come from."""

    official = "official"
    nextoe = "nextoe"


class Selection(StrEnum):
    """What selects STAR's best epoch."""

    described = "described"
    released = "released"


DataDir = Annotated[Path, typer.Option("--data", help="Folder that holds (or gets) the datasets.")]
Encoder = Annotated[
    str, typer.Option(help="clip-vit-l14, resnet50, swin_t, shapes-clip or pixels.")
]
Weights = Annotated[Path | None, typer.Option(help="Folder or file of the encoder's weights.")]
Workers = Annotated[int, typer.Option(min=1, help="Videos handled at the same time.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Go on without videos that are damaged.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]

features_app = typer.Typer(help="Video features.", no_args_is_help=True)


def prepare(
    dataset: Annotated[Dataset, typer.Argument(help="Which dataset.")],
    data_dir: DataDir = Path("data"),
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
    root = dataset_dir(data_dir, dataset)
    if dry_run:
        _print_plan(dataset, root, train_from, mirror or [])
        return
    if dataset is not Dataset.shapes and not offline:
        from cra_lib.data.download import fetch_missing, missing

        fetch_missing(missing(dataset, root, train_from), root, mirror or [], typer.echo)
    drawn: dict[str, Any] = {} if seed is None else {"seed": seed}
    if dataset is Dataset.nextgqa:
        from cra_lib.data import nextgqa

        card = nextgqa.prepare(root, train_from=train_from, **drawn)
    elif dataset is Dataset.star:
        from cra_lib.data import star

        card = star.prepare(root, selection=selection, skip_bad=skip_bad, workers=workers, **drawn)
    else:
        card = _prepare_shapes(root, workers, drawn)
        encoder = encoder or "shapes-clip"
    if encoder and encoder != "none":
        _extract_splits(DataFiles(root), dataset, encoder, weights, device, workers, skip_bad)
        card = _renew_card(root, dataset, card)
    _print_card(card, root)


def _print_plan(dataset: Dataset, root: Path, train_from: str, mirrors: list[str]) -> None:
    from cra_lib.data.download import free_space, missing, plan, readable

    if dataset is Dataset.shapes:
        typer.echo(f"shapes is rendered, not fetched: less than 50 MB into {root}")
        return
    for line in plan(missing(dataset, root, train_from), mirrors):
        typer.echo(line)
    typer.echo(f"into {root} ({readable(free_space(root))} free); nothing was fetched or written")


def _prepare_shapes(root: Path, workers: int, drawn: dict[str, Any]) -> dict[str, Any]:
    from cra_lib.data.card import data_card
    from cra_lib.data.shapes import generate
    from cra_lib.evaluator.annotations import write_json

    generate(root, workers=workers, progress=sys.stderr.isatty(), **drawn)
    card = data_card(DataFiles(root), "shapes")
    write_json(root / "data_card.json", card, indent=1)
    return card


def _renew_card(root: Path, dataset: Dataset, card: dict[str, Any]) -> dict[str, Any]:
    """The card again, now with the features that were just extracted."""
    from cra_lib.data.card import add_features
    from cra_lib.evaluator.annotations import write_json

    card = add_features(card, DataFiles(root), dataset)
    write_json(root / "data_card.json", card, indent=1)
    return card


def _extract_splits(
    files: DataFiles,
    dataset: str,
    encoder: str,
    weights: Path | None,
    device: str,
    workers: int,
    skip_bad: bool,
) -> None:
    from cra_lib.video.encoders import load_encoder
    from cra_lib.video.extract import extract_dataset

    loaded = load_encoder(encoder, weights, device)
    with _progress("extracting") as update:
        done = extract_dataset(
            files, SPLITS[dataset], loaded, workers=workers, skip_bad=skip_bad, progress=update
        )
    for extraction in done.values():
        _print_extraction(extraction, skip_bad)


def _print_card(card: dict[str, Any], root: Path) -> None:
    from cra_lib.data.card import dataset_table

    for row in dataset_table(card):
        typer.echo("  ".join(f"{name} {value}" for name, value in row.items() if value is not None))
    for warning in card["warnings"]:
        typer.echo(f"note: {warning}")
    typer.echo(f"written: {root / 'data_card.json'}")


def doctor(
    dataset: Annotated[Dataset | None, typer.Argument(help="One dataset; default: all.")] = None,
    data_dir: DataDir = Path("data"),
) -> None:
    """List every file needed: present, missing or wrong, where from, what works without it."""
    from cra_lib.data.doctor import examine, report

    healthy = True
    for name in [dataset] if dataset else list(Dataset):
        findings = examine(name, data_dir)
        typer.echo(f"{name} in {dataset_dir(data_dir, name)}")
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
    _print_extraction(extraction, skip_bad)


def _print_extraction(extraction: Extraction, skip_bad: bool) -> None:
    """Odd and bad videos with their reasons, then the sum.

    Raises:
        InputError: bad videos, and they are not to be skipped.
    """
    for video_id, notes in extraction.odd.items():
        typer.echo(f"odd  {video_id}: {'; '.join(notes)}")
    for video_id, reason in extraction.bad.items():
        typer.echo(f"bad  {video_id}: {reason}")
    if extraction.bad and not skip_bad:
        raise InputError(
            f"{len(extraction.bad)} videos cannot be used (listed above), so {extraction.out} was "
            "not written; replace them and run again (the others are kept), or pass --skip-bad."
        )
    typer.echo(
        f"{extraction.out}: {extraction.done} videos, {extraction.resumed} of them from before"
        + (f", {len(extraction.bad)} left out" if extraction.bad else "")
    )


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
