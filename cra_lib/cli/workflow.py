"""Commands behind reproduce.sh: the whole pipeline, one notebook, the check of its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cra_lib.datasets import dataset_named
from cra_lib.paths import ResultFiles, result_files

Dataset = Annotated[str, typer.Argument(help="shapes, nextgqa or star.")]
Results = Annotated[str | None, typer.Option(help="Results folder; default results/DATASET.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `cra` command."""
    app.command()(reproduce)
    app.command()(notebook)
    app.command()(report)
    app.command()(check)


def reproduce(
    dataset: Dataset = "shapes",
    profile: Annotated[str | None, typer.Option(help="quick or paper.")] = None,
    variants: Annotated[str | None, typer.Option(help="Names, separated by commas.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Numbers, separated by commas.")] = None,
    cores: Annotated[int | None, typer.Option(help="CPU cores to use; default all.")] = None,
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Folder of datasets.")] = None,
    results: Results = None,
    force: Annotated[bool, typer.Option("--force", help="Run every stage again.")] = False,
    executor: Annotated[str, typer.Option(help="Snakemake executor, such as slurm.")] = "local",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
) -> None:
    """Run every stage that is stale, from the data to the report.

    Exit status: 0 done, 1 a cell failed, 2 bad or missing input, 4 a kernel died.
    """
    from cra_lib.reproduction import make_plan, run_plan

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
    )
    raise typer.Exit(run_plan(plan, _say, dry_run=dry_run))


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
    import time

    from cra_lib.paths import clone_file
    from cra_lib.reproduction.notebook import (
        CellFailed,
        KernelDied,
        copy_name,
        parse_parameters,
        run_notebook,
    )

    source = Path(name)
    if source.suffix != ".ipynb":
        source = clone_file("notebooks", f"{name}.ipynb")
    values = parse_parameters(source, parameters or [])
    results = result_files(str(values.get("DATASET") or "shapes"), values.get("RESULTS_DIR"))
    out = out or results.notebooks / copy_name(source, values)
    label, started = out.stem, time.time()
    inputs, made = _split_files(files or [])
    _say(f"{label}: started")
    try:
        run_notebook(
            source,
            out,
            values,
            manifest_path=results.manifest,
            inputs=inputs,
            outputs=made,
            html=html,
            say=lambda line: _say(f"{label}: {line}"),
        )
    except (CellFailed, KernelDied) as problem:
        typer.echo(f"{label}: {problem.exit_state}. {problem}", err=True)
        raise typer.Exit(problem.exit_code) from None
    except OSError as problem:  # such as a full disk, which leaves no room for the copy either
        typer.echo(f"{label}: {problem}", err=True)
        raise typer.Exit(1) from None
    _say(f"{label}: done in {time.time() - started:.0f} s; executed copy: {out}")


def _split_files(files: list[str]) -> tuple[list[Path], list[Path]]:
    """What stands before and after ``--made``."""
    cut = files.index("--made") if "--made" in files else len(files)
    return [Path(name) for name in files[:cut]], [Path(name) for name in files[cut + 1 :]]


def check(
    dataset: Dataset = "shapes",
    results: Results = None,
    record: Annotated[
        bool, typer.Option("--record", help="Make the obtained numbers the expected ones.")
    ] = False,
    tolerance: Annotated[
        float | None, typer.Option(help="With --record: points allowed, the same everywhere.")
    ] = None,
) -> None:
    """Compare the obtained numbers with the expected and the published ones.

    Exit status: 0 all within tolerance, 2 nothing to compare, 3 some outside.
    """
    from cra_lib.paths import expected_json, published_csv
    from cra_lib.reproduction.check import as_text, compare_all

    files = result_files(dataset, results)
    if record:
        _record(dataset, files, tolerance)
    cells = compare_all(dataset, files, expected_json(dataset), published_csv())
    _say(as_text(cells))
    counts = {v: sum(c.verdict == v for c in cells) for v in ("ok", "outside", "not run")}
    _say(f"\n{counts['ok']} within tolerance, {counts['outside']} outside, "
         f"{counts['not run']} not run")  # fmt: skip
    raise typer.Exit(3 if counts["outside"] else 0)


def _record(dataset: str, files: ResultFiles, tolerance: float | None) -> None:
    """Write results/expected/DATASET.json and, for the embedded dataset, the README's table."""
    from cra_lib.paths import atomic, expected_json, repository_root
    from cra_lib.reproduction import manifest
    from cra_lib.reproduction.check import expected_of, read_obtained, record_expected, with_results

    entry = dataset_named(dataset)
    splits = [split for split in entry.evaluated if split != "val" or not entry.is_made_here]
    obtained = read_obtained(files, splits)
    entries = manifest.read_manifest(files.manifest).values()
    trained = [entry for entry in entries if entry["seed"]]
    profiles = sorted({str(entry["parameters"].get("PROFILE")) for entry in trained})
    header = {
        "dataset": dataset,
        "profile": ", ".join(profiles),
        "provenance": {
            "seeds": sorted({seed for cell in obtained.values() for seed in cell["seeds"]}),
            # Of the run, not of the working copy that records it.
            "commit": trained[-1]["commit"] if trained else None,
            "device": manifest.device(),
            "versions": manifest.versions(),
        },
    }
    document = expected_of(obtained, header, tolerance)
    record_expected(expected_json(dataset), document)
    readme = repository_root() / "README.md"
    if entry.is_made_here:
        text = with_results(readme.read_text(encoding="utf-8"), document)
        with atomic(readme) as partial:
            partial.write_text(text, encoding="utf-8")


def report(dataset: Dataset = "shapes", results: Results = None) -> None:
    """Write the report: one self-contained page with tables, figures and verdicts."""
    from cra_lib.reporting.report import write_report

    files = result_files(dataset, results)
    _say(f"Report: {write_report(dataset, files)}")
