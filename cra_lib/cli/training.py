"""Commands that train a model and predict with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cra_lib.datasets import dataset_named
from cra_lib.records import InputError


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `cra` command."""
    app.command()(train)
    app.command()(predict)


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
    profile: Annotated[str, typer.Option(help="Settings: quick, paper, or a YAML file.")] = "quick",
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
) -> None:
    """Train one model; a run that was killed goes on where it was."""
    from cra_lib.paths import data_files, result_files
    from cra_lib.reproduction.workspace import resolve_config

    overrides = parse_settings(settings or [])
    if max_steps is not None:
        overrides.setdefault("train", {})["max_steps"] = max_steps
    config = resolve_config(dataset, profile, variant, seed, overrides)
    run = result_files(dataset, results_dir).run(variant, seed)
    from cra_lib.training import fit

    try:
        fit(config, data_files(dataset, data_dir), run, fresh=fresh)
    except FloatingPointError as error:
        print(f"cra: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


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
    from cra_lib.evaluator.metrics import HEADLINE
    from cra_lib.inference.predict import predict_run, run_settings, score_run
    from cra_lib.paths import RunFiles, data_files

    run = RunFiles(run_dir)
    dataset = dataset_named(run_settings(run).dataset)
    data = data_files(dataset.name, data_dir)
    chosen = split or [name for name in dataset.splits if data.segments(name).exists()]
    if unknown := [name for name in chosen if name not in dataset.splits]:
        raise InputError(
            f"{dataset.name} has no split {unknown[0]!r}; "
            f"its splits are {', '.join(dataset.splits)}."
        )
    for name in chosen:
        predictions = predict_run(run, data, name, precision=precision)
        print(f"{run.predictions(name)}: {len(predictions)} questions")
        if score and data.segments(name).exists():
            report = score_run(run, data, name)
            for rule, values in report["rules"].items():
                shown = "  ".join(f"{key} {values[key]:.2f}" for key in HEADLINE)
                print(f"  {rule:<9} {shown}")


def parse_settings(pairs: list[str]) -> dict[str, dict[str, Any]]:
    """``section.name=value`` options as sections; values are read as YAML.

    >>> parse_settings(["train.epochs=3", "model.smoothing=none"])
    {'train': {'epochs': 3}, 'model': {'smoothing': 'none'}}
    """
    import yaml

    sections: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        section, dot, key = name.partition(".")
        if not (equals and dot and key):
            raise InputError(f"--set expects section.name=value, got {pair!r}.")
        try:
            sections.setdefault(section, {})[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set {name}: not a YAML value: {value!r}.") from None
    return sections
