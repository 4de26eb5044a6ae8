"""The runs in a folder of results, and which of them may stand in a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cra_lib.config import VARIANTS
from cra_lib.config.files import load_config
from cra_lib.paths import DataFiles, ResultFiles, RunFiles
from cra_lib.records import InputError, is_finite_number, read_json, read_predictions
from cra_lib.reproduction.experiments import is_experiment, variant_of
from cra_lib.reproduction.plan import PER_RUN, Plan, read_plan, run_folders
from cra_lib.reproduction.products import Job, changed, changed_pages, problems, read_record


class FoundRun(NamedTuple):
    """One run below a folder of results."""

    variant: str
    """Its name: a variant, or ``variant@settings`` for a run with settings of its own."""
    seed: int
    files: RunFiles
    problem: str
    """Why it must not be used, as a sentence; empty where it may."""


def find_runs(results: ResultFiles) -> list[FoundRun]:
    """Every run, each compared with the plan and with the records of its own making.

    Where there was no plan (notebooks run by hand), a run without a record is taken as it is.

    Raises:
        InputError: the plan is damaged.
    """
    plan = read_plan(results)
    return [FoundRun(*run, _problem(results, plan, *run)) for run in run_folders(results)]


def usable_runs(results: ResultFiles, experiments: bool = True) -> Iterator[FoundRun]:
    """The runs that may stand in a table.

    Args:
        experiments: also those with settings of their own.
    """
    for run in find_runs(results):
        if not run.problem and (experiments or not is_experiment(run.variant)):
            yield run


def unusable_runs(results: ResultFiles) -> list[str]:
    """One sentence for each run that is left out."""
    return [run.problem for run in find_runs(results) if run.problem]


def changed_copies(results: ResultFiles) -> set[str]:
    """Names of the notebooks whose executed copy or page is not the one that the run left."""
    plan = read_plan(results)
    found = [name for job in plan.jobs() for name in changed_pages(job)] if plan else []
    return {Path(name).stem for name in found}


def _problem(
    results: ResultFiles, plan: Plan | None, variant: str, seed: int, run: RunFiles
) -> str:
    name = f"{variant}, seed {seed}"
    try:
        found = _reasons(results, plan, variant, seed, run)
    except InputError as error:
        found = [str(error)]
    if not found:
        return ""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    again = "train it again" if is_experiment(variant) else "./reproduce.sh makes it again"
    return f"{name} is left out: {found[0]}{more}; {again}."


def _reasons(
    results: ResultFiles, plan: Plan | None, variant: str, seed: int, run: RunFiles
) -> list[str]:
    base = variant_of(variant)
    if base not in VARIANTS:
        return [f"{base!r} is not a variant"]
    if run.config.exists():
        config = load_config(run.config)
        if (config.variant, config.seed) != (base, seed):
            return [f"{run.config} is of {config.variant}, seed {config.seed}"]
    if plan is None:
        return _changes(results, run)
    found = []
    for stage in PER_RUN:
        job = plan.job(stage, variant, seed)
        # An experiment has a row of its own, whatever code made it.
        found += problems(job, code=not is_experiment(variant))
    return found


def _changes(results: ResultFiles, run: RunFiles) -> list[str]:
    """What the records of a run say about its files, where nobody planned it."""
    nowhere = DataFiles(results.root / "no data")
    found = []
    for stage in PER_RUN:
        job = Job(stage, stage, run.root, "", "", results, nowhere)
        record = read_record(job.record)
        if record is None and stage == "evaluate":
            _read_through(run)
        files = changed(job, record["files"]) if record else []
        found += [f"{name} is not the file that was made" for name in files]
    return found


def _read_through(run: RunFiles) -> None:
    """
    Raises:
        InputError: scores or predictions that cannot be read.
    """
    for path in sorted(run.root.glob("scores_*.json")):
        read_scores_file(path)
        predictions = run.predictions(path.stem.removeprefix("scores_"))
        for _ in read_predictions(predictions) if predictions.exists() else ():
            pass


def read_scores_file(path: Path) -> dict[str, Any]:
    """A score report, checked as far as tables and figures read it.

    Raises:
        InputError: not what `cra_lib.evaluator.scores` documents, with the first place.
    """
    content = read_json(path)
    if place := _misfit(content):
        raise InputError(
            f"{path}: no score report ({place}); it should be as notebook 04 or `cra predict` "
            "wrote it; run one of them again."
        )
    return content


def _misfit(content: object) -> str:
    """The first place of a score report that is not as it should be; empty for a good one."""
    if not isinstance(content, dict):
        return f"a {type(content).__name__} instead of an object"
    for name in ("header", "rules", "intervals", "by_type", "faithfulness", "blind"):
        needed = name in ("header", "rules")
        if (needed and name not in content) or not isinstance(content.get(name, {}), dict):
            return f'"{name}" should be an object'
    if not content["rules"]:
        return '"rules" is empty'
    chosen = content["header"].get("rule")
    if chosen is not None and chosen not in content["rules"]:
        return f'header "rule" is {chosen!r}, which "rules" has not'
    return _odd_number(content["rules"]) or _odd_interval(content.get("intervals", {}))


def _odd_number(rules: dict[str, Any]) -> str:
    for rule, scores in rules.items():
        if not isinstance(scores, dict):
            return f'rules, "{rule}" should be an object'
        for metric, value in scores.items():
            if value is not None and not is_finite_number(value):
                return f'rules, "{rule}", "{metric}" should be a number, got {value!r:.40}'
    return ""


def _odd_interval(intervals: dict[str, Any]) -> str:
    for rule, table in intervals.items():
        if not isinstance(table, dict) or not all(map(_is_interval, table.values())):
            return f'intervals, "{rule}" should hold [low, high] for each metric'
    return ""


def _is_interval(ends: object) -> bool:
    return isinstance(ends, list) and len(ends) == 2 and all(map(is_finite_number, ends))
