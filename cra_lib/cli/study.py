"""The bias study: models trained where a confounder's strength is known, from data to page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from cra_lib.cli.telling import failures_told
from cra_lib.cli.training import DataDir, parse_seeds
from cra_lib.paths import DataFiles, clone_file, data_files, result_files
from cra_lib.records import InputError, read_json

if TYPE_CHECKING:
    from cra_lib.config import RunConfig
    from cra_lib.reproduction.bias_study import Study


def register(app: typer.Typer) -> None:
    """Add this module's command to the `cra` command."""
    app.command()(bias)


def bias(
    variants: Annotated[
        str | None, typer.Option(help="Names, separated by commas; default: the study's.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Such as 1,2 or 2024-2028; default: the study's.")
    ] = None,
    strengths: Annotated[
        str | None, typer.Option(help="Such as 0,0.95; default: the study's.")
    ] = None,
    study_file: Annotated[
        Path | None,
        typer.Option("--study", help="A file of workflow/studies; default: shapes-bias.yaml."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each.")] = 2,
    data_dir: DataDir = None,
    results_dir: Annotated[
        Path | None, typer.Option("--results", help="Default: results/shapes.")
    ] = None,
    show: Annotated[bool, typer.Option(help="Run notebook 07 on what is there.")] = True,
) -> NoReturn:
    """Train variants at several strengths of the known confounders of `shapes`, and show it.

    What is finished is skipped, what was killed goes on. Exit status: 0 all done, 1 a run failed,
    2 bad input.
    """
    from cra_lib.reproduction.bias_study import read_study

    study = narrowed(read_study(study_file), variants, seeds, strengths)
    raise typer.Exit(run_and_show([study], data_dir, results_dir, jobs, show=show))


def narrowed(
    study: Study, variants: str | None, seeds: str | None, strengths: str | None = None
) -> Study:
    """A study of what an option names, where one does."""
    if variants:
        from cra_lib.config import check_variant

        names = variants.replace(",", " ").split()
        study = study._replace(variants=tuple(map(check_variant, names)))
    if seeds:
        study = study._replace(seeds=tuple(parse_seeds(seeds)))
    if strengths:
        study = study._replace(strengths=parse_strengths(strengths))
    return study


def run_and_show(
    studies: Iterable[Study], data_dir: Path | None, results_dir: Path | None, jobs: int, *,
    show: bool = True,
) -> int:  # fmt: skip
    """Train what studies lack, then show all of it; the command's exit status."""
    failed = [name for s in studies for name in run_study(s, data_dir, results_dir, jobs)]
    if show:
        show_studies(data_dir, results_dir)
    return 1 if failed else 0


def show_studies(data_dir: Path | None, results_dir: Path | None) -> None:
    """Run notebook 07 on the runs that are there; its copy and page lie beside them."""
    from cra_lib.reproduction.bias_study import study_results
    from cra_lib.reproduction.notebook import run_notebook

    folder = study_results(result_files("shapes", results_dir))
    source = clone_file("notebooks", "07_bias_study.ipynb")
    out = folder.notebooks / source.name
    places = {"DATA_DIR": data_dir, "RESULTS_DIR": results_dir}
    values = {name: str(path.resolve()) for name, path in places.items() if path}
    with failures_told(source.stem):
        run_notebook(
            source, out, values, manifest_path=folder.manifest, html=True,
            say=lambda line: print(f"{source.stem}: {line}", flush=True),
        )  # fmt: skip
    print(f"{source.stem}: done; page: {out.with_suffix('.html')}", flush=True)


def parse_strengths(text: str) -> tuple[float, ...]:
    """Numbers from 0 to 1.

    >>> parse_strengths("0,0.95")
    (0.0, 0.95)
    """
    from cra_lib.reproduction.bias_study import are_strengths

    try:
        numbers = tuple(float(word) for word in text.replace(",", " ").split())
    except ValueError:
        numbers = ()
    if not are_strengths(numbers):
        raise InputError(f"--strengths takes numbers from 0 to 1, such as 0,0.95; got {text!r}.")
    return numbers


def run_study(
    study: Study, data_dir: Path | None, results_dir: Path | None, jobs: int
) -> dict[str, str]:
    """Prepare each strength's dataset, then train and score what is missing; what failed."""
    from cra_lib.inference.settings import parse_settings
    from cra_lib.reproduction.bias_study import SPLITS
    from cra_lib.reproduction.workspace import merge_sections, resolve_config
    from cra_lib.training.sweep import Job, sweep

    usual, results = data_files("shapes", data_dir), result_files("shapes", results_dir)
    todo = []
    for strength in study.strengths:
        changes = merge_sections(parse_settings(study.changes(strength)), {"train": {"threads": 1}})
        data = study.data(usual, strength)
        for seed in study.seeds:
            for variant in study.variants:
                config = resolve_config("shapes", study.base, variant, seed, changes)
                run = study.run(results, variant, strength, seed)
                todo.append(Job(config, data, run, SPLITS))
        prepare_world(todo[-1].config, data, jobs)
    return sweep(todo, jobs)


def prepare_world(config: RunConfig, data: DataFiles, workers: int) -> None:
    """The dataset of one strength and noise, with features and dictionaries, unless it is there."""
    from cra_lib.cli.causal import sample_dictionaries
    from cra_lib.data.prepare import Features, prepare_dataset
    from cra_lib.data.shapes.habits import DEFAULT_BIAS

    strength = DEFAULT_BIAS if config.data.bias is None else config.data.bias
    noise = config.data.noise or 0.0
    reference = data.root / "reference.json"
    before = read_json(reference).get("settings", {}) if reference.is_file() else {}
    dictionaries = (data.language_confounders, data.visual_confounders)
    is_there = before.get("bias") == [strength, strength] and before.get("noise", 0.0) == noise
    if is_there and all(path.is_file() for path in dictionaries):
        return
    print(f"shapes at strength {strength}, noise {noise:g}: preparing {data.root}", flush=True)
    prepare_dataset("shapes", config.data, data, features=Features(), workers=workers, say=print)
    sample_dictionaries(config, data, data.root / "confounders_card.json")
