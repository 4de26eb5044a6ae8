"""Commands that train a model and predict with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cra_lib.datasets import dataset_named
from cra_lib.inference.settings import label_of, parse_settings
from cra_lib.paths import DataFiles, ResultFiles, RunFiles, remove_unfinished
from cra_lib.records import InputError

if TYPE_CHECKING:
    from cra_lib.config import RunConfig


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `cra` command."""
    app.command()(train)
    app.command()(predict)
    app.command()(sweep)


DataDir = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the datasets, or of this dataset; default: data."),
]
Splits = Annotated[
    list[str] | None, typer.Option("--split", help="Repeatable; default: every split with truth.")
]


def train(
    dataset: Annotated[str, typer.Argument(help="shapes, nextgqa or star.")],
    variant: Annotated[str, typer.Option(help="A row of the paper's tables, such as cra.")] = "cra",
    seed: Annotated[int, typer.Option(help="Seed of everything random in training.")] = 2024,
    profile: Annotated[
        str | None,
        typer.Option(help="quick, paper, or a YAML file; default: as last reproduced."),
    ] = None,
    data_dir: DataDir = None,
    results_dir: Annotated[
        Path | None, typer.Option("--results", help="Default: results/<dataset>.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(help="Stop after this many steps.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="section.name=value, such as train.epochs=3; repeatable."),
    ] = None,
    fresh: Annotated[bool, typer.Option(help="Forget an unfinished run.")] = False,
    score: Annotated[bool, typer.Option(help="Predict and score it, too.")] = True,
) -> None:
    """Train one model and score it; a run that was killed goes on where it was.

    With settings that are not those of ./reproduce.sh the run gets a folder and, in the next
    report, a row of its own, named after them.
    """
    from cra_lib.reproduction.planning import job_of
    from cra_lib.reproduction.products import recorded
    from cra_lib.reproduction.workspace import find_workspace, usual_profile

    overrides = parse_settings(settings or [])
    if max_steps is not None:
        overrides.setdefault("train", {})["max_steps"] = max_steps
    profile = profile or usual_profile(dataset, results_dir)
    work = find_workspace(
        dataset, profile, data_dir, results_dir, variant, seed, overrides=overrides
    )
    note_unused([work.config], overrides)
    from cra_lib.training import fit

    if is_first_process():
        remove_unfinished(work.run.root)
    try:
        with recorded(job_of("train", work)) if is_first_process() else nullcontext():
            fit(work.config, work.data, work.run, fresh=fresh)
    except FloatingPointError as error:
        print(f"cra: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if not is_first_process():
        return
    print(f"Trained: {work.run.root}")
    if score:
        evaluated = dataset_named(dataset).evaluated
        there = [s for s in evaluated if work.data.features(work.config.data.encoder, s).exists()]
        with recorded(job_of("evaluate", work)):
            _predict_splits(work.run, work.data, there, None, score=True)


def note_unused(configs: Iterable[RunConfig], overrides: Mapping[str, Mapping[str, Any]]) -> None:
    """Say which settings of a command line a run does not read, each once."""
    from cra_lib.config.unused import unused_settings

    said = (line for config in configs for line in unused_settings(config, overrides))
    for line in dict.fromkeys(said):
        print(f"cra: note: {line}", file=sys.stderr)


def is_first_process() -> bool:
    """Whether this is the process of several (Fabric's, torchrun's, SLURM's) that leaves files."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    return not any(int(os.environ.get(name) or 0) for name in ranks)


def predict(
    run_dir: Annotated[Path, typer.Argument(help="Folder of a trained model (.../seed2024).")],
    split: Splits = None,
    data_dir: DataDir = None,
    precision: Annotated[
        str | None, typer.Option(help="32-true, bf16-mixed or 16-mixed; default: as trained.")
    ] = None,
    score: Annotated[bool, typer.Option(help="Score the predictions, too.")] = True,
) -> None:
    """Predict with a trained model, and score what it says."""
    from cra_lib.inference.predict import run_settings
    from cra_lib.paths import data_files

    run = RunFiles(run_dir)
    config = run_settings(run)
    dataset = dataset_named(config.dataset)
    data = data_files(dataset.name, data_dir)
    chosen = split or [name for name in dataset.splits if data.segments(name).exists()]
    if unknown := [name for name in chosen if name not in dataset.splits]:
        raise InputError(
            f"{dataset.name} has no split {unknown[0]!r}; "
            f"its splits are {', '.join(dataset.splits)}."
        )
    as_trained = precision in (None, config.train.precision)
    with _predicting(config, data, run) if as_trained else nullcontext():
        _predict_splits(run, data, chosen, precision, score=score)


def _predicting(config: RunConfig, data: DataFiles, run: RunFiles) -> AbstractContextManager[None]:
    """A record of the predictions, where the run lies in a folder of results."""
    from cra_lib.reproduction.planning import job_of
    from cra_lib.reproduction.products import recorded
    from cra_lib.reproduction.workspace import Workspace

    runs = run.root.resolve().parent.parent
    if runs.name != "runs":
        return nullcontext()
    return recorded(job_of("evaluate", Workspace(config, data, ResultFiles(runs.parent), run)))


def _predict_splits(
    run: RunFiles, data: DataFiles, splits: list[str], precision: str | None, *, score: bool
) -> None:
    from cra_lib.evaluator.metrics import HEADLINE
    from cra_lib.inference.predict import predict_run, score_run

    for name in splits:
        predictions = predict_run(run, data, name, precision=precision)
        print(f"{run.predictions(name)}: {len(predictions)} questions")
        if score and data.segments(name).exists():
            report = score_run(run, data, name)
            print(f"{run.scores(name)}:")
            for rule, values in report["rules"].items():
                shown = "  ".join(f"{key} {values[key]:.2f}" for key in HEADLINE)
                print(f"  {rule:<9} {shown}")


def sweep(
    dataset: Annotated[str, typer.Argument(help="shapes, nextgqa or star.")],
    variants: Annotated[
        str | None, typer.Option(help="Names, separated by commas; default: the profile's.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Such as 1,2 or 2024-2033; default: the profile's.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Settings: quick, paper, or a YAML file.")] = "quick",
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each.")] = 2,
    data_dir: DataDir = None,
    results_dir: Annotated[
        Path | None, typer.Option("--results", help="Default: results/<dataset>.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="section.name=value, repeatable; part of the runs' names."),
    ] = None,
) -> None:
    """Train, predict and score variants x seeds; finished runs are skipped, killed ones go on.

    ATEN_CPU_CAPABILITY=avx2 in front makes the runs of a lesser processor (in a folder of their
    own), for `cra check --record`. Exit status: 0 all done, 1 a run failed, 2 bad input.
    """
    from cra_lib.config.profiles import named_profile
    from cra_lib.paths import data_files, result_files
    from cra_lib.reproduction.workspace import resolve_config

    overrides = parse_settings(settings or [])
    overrides["train"] = {"threads": 1} | overrides.get("train", {})
    entry, chosen = dataset_named(dataset), named_profile(dataset, profile)
    names = variants.replace(",", " ").split() if variants else chosen.get("variants") or ["cra"]
    numbers = parse_seeds(seeds) if seeds else chosen.get("seeds") or [2024]
    configs = [resolve_config(dataset, profile, name, seed, overrides) for name in names
               for seed in numbers]  # fmt: skip
    note_unused(configs, overrides)
    data, folders = data_files(dataset, data_dir), result_files(dataset, results_dir)
    splits = tuple(name for name in entry.evaluated if data.segments(name).exists())
    from cra_lib.training.sweep import Job
    from cra_lib.training.sweep import sweep as run_sweep

    changes = settings or []
    runs = [folders.run(label_of(c.variant, changes), c.seed) for c in configs]
    failed = run_sweep(
        [Job(c, data, run, splits) for c, run in zip(configs, runs, strict=True)], jobs
    )
    raise typer.Exit(1 if failed else 0)


def parse_seeds(text: str) -> list[int]:
    """Numbers and ranges, each once.

    >>> parse_seeds("1,5-7")
    [1, 5, 6, 7]
    """
    seeds: list[int] = []
    for word in text.replace(",", " ").split():
        first, dash, last = word.partition("-")
        if not (first.isdigit() and (last.isdigit() or not dash)):
            raise InputError(
                f"--seeds takes numbers and ranges, such as 1,2 or 1-10; got {text!r}."
            )
        seeds += range(int(first), int(last or first) + 1)
    if not seeds:
        raise InputError(f"--seeds takes numbers and ranges, such as 1,2 or 1-10; got {text!r}.")
    return list(dict.fromkeys(seeds))
