"""Commands behind reproduce.sh: the whole pipeline, one notebook, the check of its numbers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from cra_lib.cli.telling import failures_told
from cra_lib.cli.training import note_unused
from cra_lib.datasets import DATASETS, dataset_named
from cra_lib.inference.settings import parse_settings
from cra_lib.paths import ResultFiles, result_files
from cra_lib.records import InputError

if TYPE_CHECKING:
    from cra_lib.reproduction.expected import Expected

Dataset = Annotated[str, typer.Argument(help="shapes, nextgqa or star.")]
Results = Annotated[str | None, typer.Option(help="Results folder; default results/DATASET.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `cra` command."""
    app.command()(reproduce)
    app.command()(notebook)
    app.command()(report)
    app.command()(check)
    app.command()(claims)


def reproduce(
    dataset: Dataset = "shapes",
    profile: Annotated[
        str | None,
        typer.Option(
            help="quick, paper, frozen, bias, annotation (no training; taken where no frame "
            "features and no videos are found), or a YAML file."
        ),
    ] = None,
    variants: Annotated[str | None, typer.Option(help="Names, separated by commas.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Numbers, separated by commas.")] = None,
    cores: Annotated[int | None, typer.Option(help="CPU cores to use; default all.")] = None,
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Folder of datasets.")] = None,
    results: Results = None,
    force: Annotated[bool, typer.Option("--force", help="Run every stage again.")] = False,
    executor: Annotated[str, typer.Option(help="Snakemake executor, such as slurm.")] = "local",
    train_from: Annotated[
        str | None, typer.Option(help="nextgqa: official, or nextoe to build training questions.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Weights of the frame encoder.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="section.name=value for all runs; repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
) -> None:
    """Run every stage that is stale, from the data to the report.

    Exit status: 0 done, 1 a cell failed, 2 bad or missing input, 4 a kernel died.
    """
    from cra_lib.reproduction import bias_study, make_plan, run_plan

    if profile == bias_study.PROFILE:
        _reproduce_study(dataset, variants, seeds, cores, data, results)
    overrides = parse_settings(settings or [])
    plan = make_plan(
        dataset,
        profile=profile,
        variants=variants,
        seeds=seeds,
        cores=cores,
        data=data,
        results=results,
        force=force,
        executor=executor,
        train_from=train_from,
        weights=weights,
        settings=overrides,
    )
    note_unused((plan.config(*run) for run in plan.runs), overrides)
    raise typer.Exit(run_plan(plan, _say, dry_run=dry_run))


def _reproduce_study(
    dataset: str, variants: str | None, seeds: str | None, cores: int | None,
    data: str | None, results: str | None,
) -> NoReturn:  # fmt: skip
    """Every bias study of the repository in place of the pipeline."""
    from cra_lib.cli.study import narrowed, run_and_show
    from cra_lib.reproduction.bias_study import STUDIES, read_study, study_file
    from cra_lib.reproduction.planning import available_cores

    if dataset != "shapes":
        raise InputError(
            f"The profile 'bias' is for shapes, whose confounders are known, not {dataset}."
        )
    places = [Path(place) if place else None for place in (data, results)]
    studies = [narrowed(read_study(study_file(name)), variants, seeds) for name in STUDIES]
    raise typer.Exit(run_and_show(studies, *places, cores or available_cores()))


def _say(line: str) -> None:
    print(line, flush=True)


def notebook(
    name: Annotated[str, typer.Argument(help="Such as 03_train, or a path.")],
    files: Annotated[
        list[str] | None,
        typer.Argument(help="After --: the files it reads; after --made: those it writes."),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="May be repeated."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The executed copy; default results/DATASET/notebooks/NAME[_VARIANT_seedK]."
        ),
    ] = None,
    html: Annotated[bool, typer.Option(help="Also write a page beside it.")] = True,
) -> None:
    """Run one notebook with parameters; keep its executed copy and record it in the manifest.

    Exit status: 0 done, 1 a cell failed, 2 bad or missing input, 4 the kernel died.
    """
    from cra_lib.paths import clone_file
    from cra_lib.reproduction.notebook import (
        copy_name,
        declared_parameters,
        parse_parameters,
        run_notebook,
    )
    from cra_lib.reproduction.planning import notebook_job
    from cra_lib.reproduction.processes import die_with_leader, job_mark
    from cra_lib.reproduction.products import recorded

    source = Path(name)
    if source.suffix != ".ipynb":
        source = clone_file("notebooks", f"{name}.ipynb")
    values = parse_parameters(source, parameters or [])
    results = result_files(str(values.get("DATASET") or "shapes"), values.get("RESULTS_DIR"))
    out = out or results.notebooks / copy_name(source, values)
    label, started = out.stem, time.time()
    inputs, made = _split_files(files or [])
    defaults = {name: each.default for name, each in declared_parameters(source).items()}
    job = notebook_job(source, defaults | values)
    record = recorded(job, [out, out.with_suffix(".html")]) if job else nullcontext()
    die_with_leader()
    _say(f"{label}: started")
    with failures_told(label), job_mark(results.root / ".workflow", label), record:
        run_notebook(
            source,
            out,
            values,
            manifest_path=results.manifest,
            inputs=inputs,
            outputs=made,
            html=html,
            say=lambda line: _say(f"{label}: {line}"),
            expected=_expected(source, defaults | values, results),
        )
    _say(f"{label}: done in {time.time() - started:.0f} s; executed copy: {out}")


def _expected(source: Path, values: Mapping[str, Any], results: ResultFiles) -> float:
    """Seconds that a notebook will take, by earlier runs or its profile; 0 where nobody knows."""
    from cra_lib.config.profiles import named_profile
    from cra_lib.reproduction.manifest import read_manifest
    from cra_lib.reproduction.plan import STAGES
    from cra_lib.reproduction.progress import expected_seconds

    profile, dataset = str(values.get("PROFILE", "")), str(values.get("DATASET", ""))
    try:
        cost = named_profile(dataset, profile).get("cost") or {}
    except InputError:  # a notebook without these parameters, or no clone
        cost = {}
    stage = next((stage for stage, name in STAGES.items() if name == source.stem), "")
    entries = read_manifest(results.manifest).values()
    return expected_seconds(entries, source.stem, profile, cost.get(stage, 0))


def _split_files(files: list[str]) -> tuple[list[Path], list[Path]]:
    """What stands before and after ``--made``."""
    cut = files.index("--made") if "--made" in files else len(files)
    return [Path(name) for name in files[:cut]], [Path(name) for name in files[cut + 1 :]]


def check(
    dataset: Dataset = "shapes",
    results: Annotated[
        list[str] | None,
        typer.Option(help="Results folder, repeatable; default results/DATASET."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Add the obtained numbers to the recorded ones.")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(help="The runs' profile, a name or a YAML file; default: their manifest's."),
    ] = None,
    power: Annotated[
        bool, typer.Option("--power", help="Also print the smallest drops that are noticed.")
    ] = False,
) -> None:
    """Compare the obtained numbers with the recorded seeds, or with the published numbers.

    Exit status: 0 all as expected, 2 nothing to compare or a run that cannot be used, 3 a number
    outside.
    """
    from cra_lib.paths import expected_json, published_csv
    from cra_lib.reproduction import check as checks
    from cra_lib.reproduction.expected import read_expected
    from cra_lib.reproduction.obtained import read_runs
    from cra_lib.reproduction.runs import unusable_runs

    entry = dataset_named(dataset)
    folders = [result_files(dataset, folder) for folder in results or [None]]
    path = expected_json(dataset)
    if record:
        _record(dataset, folders, path, profile)
    cells = checks.compare_all(dataset, folders, path, published_csv(), profile)
    expected = read_expected(path, dataset)
    _say(checks.as_text(cells))
    for note in checks.notes(cells, expected, read_runs(folders, entry.evaluated)):
        _say(note)
    if power and expected is not None:
        _say("\n" + checks.power_text(expected, max((cell.runs for cell in cells), default=1)))
    reasons = [reason for folder in folders for reason in unusable_runs(folder)]
    for reason in reasons:
        _say(reason)
    broken = _check_claims(dataset, folders, expected)
    counts = {verdict: sum(c.verdict == verdict for c in cells) for verdict in checks.VERDICTS}
    _say("\n" + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    raise typer.Exit(3 if counts["outside"] or broken else 2 if reasons else 0)


def _check_claims(dataset: str, folders: list[ResultFiles], expected: Expected | None) -> bool:
    """Print what the runs say about each claim; whether one that was recorded as holding fails."""
    from cra_lib.paths import claims_yaml
    from cra_lib.reproduction.claims import broken, outcome_text, read_claims
    from cra_lib.reproduction.obtained import read_runs
    from cra_lib.reproduction.record import outcomes_of

    claims = [claim for claim in read_claims(claims_yaml()) if dataset in claim.datasets]
    outcomes = outcomes_of(claims, read_runs(folders, dataset_named(dataset).evaluated))
    _say("\nClaims (results/claims.yaml)")
    for claim in claims:
        _say(f"  {claim.id}: {claim.statement}")
        _say(f"    {outcome_text(claim, outcomes[claim.id])}")
    recorded = expected.claims if expected else {}
    lost = broken(claims, recorded, outcomes)
    for claim in lost:
        _say(f"{claim.id}: recorded as holding, fails here.")
    return bool(lost)


def claims(
    write: Annotated[
        bool, typer.Option("--write", help="Fill the marked places of README, DEVIATIONS, docs.")
    ] = False,
) -> None:
    """List the claims with what is recorded about them; --write brings the texts up to date."""
    from cra_lib.paths import claims_yaml, expected_json, repository_root
    from cra_lib.reproduction.claims import Outcome, outcome_text, read_claims
    from cra_lib.reproduction.expected import read_expected
    from cra_lib.reproduction.prose import fill_pages

    known = read_claims(claims_yaml())
    files = {dataset: read_expected(expected_json(dataset), dataset) for dataset in DATASETS}
    for claim in known:
        _say(f"{claim.id}: {claim.statement} ({claim.source})")
        for dataset in claim.datasets:
            recorded = files[dataset].claims.get(claim.id) if files[dataset] else None
            outcome = Outcome(**recorded) if recorded else Outcome("not recorded yet")
            _say(f"  {dataset}: {outcome_text(claim, outcome)}")
    if write and files["shapes"]:
        for path in fill_pages(repository_root(), {c.id: c for c in known}, files["shapes"]):
            _say(f"Brought up to date: {path}")


def _record(dataset: str, folders: list[ResultFiles], path: Path, profile: str | None) -> None:
    """Write a file of results/expected and, for the embedded dataset, what texts quote of it."""
    from cra_lib.paths import atomic, claims_yaml, repository_root
    from cra_lib.reproduction.claims import read_claims
    from cra_lib.reproduction.prose import fill_pages
    from cra_lib.reproduction.record import record, with_results

    known = read_claims(claims_yaml())
    asked = [claim for claim in known if dataset in claim.datasets]
    expected = record(dataset, folders, path, profile, asked)
    _say(f"Recorded: {path}")
    if not dataset_named(dataset).is_made_here:
        return
    page, changed = repository_root() / "README.md", []
    before = page.read_text(encoding="utf-8") if page.is_file() else ""
    if before and (text := with_results(before, expected)) != before:
        with atomic(page) as partial:
            partial.write_text(text, encoding="utf-8")
        changed.append(page)
    changed += fill_pages(repository_root(), {claim.id: claim for claim in known}, expected)
    for written in dict.fromkeys(changed):
        _say(f"Brought up to date: {written}")


def report(dataset: Dataset = "shapes", results: Results = None) -> None:
    """Write the report: one self-contained page with tables, figures and verdicts."""
    from cra_lib.reporting.report import write_report
    from cra_lib.reproduction.plan import read_plan
    from cra_lib.reproduction.products import recorded

    files = result_files(dataset, results)
    plan = read_plan(files)
    job = plan.job("report") if plan else None
    with recorded(job) if job else nullcontext():
        _say(f"Report: {write_report(dataset, files)}")
