"""From the words of a command line to a checked `Plan`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cra_lib.config import TrainConfig, check_variant
from cra_lib.config.profiles import (
    PROFILES,
    check_sections,
    is_profile_file,
    named_profile,
    profile_place,
    settings_from,
)
from cra_lib.datasets import Dataset, dataset_named
from cra_lib.paths import DataFiles, data_files, repository_root, require, result_files
from cra_lib.records import InputError, is_finite_number
from cra_lib.reproduction.experiments import name_of
from cra_lib.reproduction.fingerprint import ASIDE, code_digest, notebook_code
from cra_lib.reproduction.missing import parser_there_is, profile_there_is
from cra_lib.reproduction.plan import PER_RUN, STAGES, Plan, Sections
from cra_lib.reproduction.products import Job
from cra_lib.reproduction.workspace import (
    Workspace,
    find_workspace,
    merge_sections,
)

TRAIN_SETTINGS = set(TrainConfig.model_fields)
PROFILE_KEYS = {"variants", "seeds", "cost", "settings", "overrides"}


def make_plan(
    dataset: str = "shapes",
    *,
    profile: str | None = None,
    variants: str | None = None,
    seeds: str | None = None,
    cores: int | None = None,
    data: str | None = None,
    results: str | None = None,
    force: bool = False,
    executor: str = "local",
    train_from: str | None = None,
    weights: str | None = None,
    settings: Sections | None = None,
) -> Plan:
    """Check every word of a command line and lay the profile under it.

    Args:
        profile: one of PROFILES, or a YAML file; None takes the dataset's, or `annotation` where
            nothing lies there that could be trained on and no variants are named.
        variants: names separated by commas; None takes the profile's.
        seeds: numbers separated by commas; None takes the profile's.
        data: folder of the datasets, or of this dataset.
        results: default results/<dataset>, or a folder named after settings of this call's own.
        train_from: where the training questions come from.
        weights: folder or file of the frame encoder's weights.
        settings: section -> settings that win over everything.

    Raises:
        InputError: an unknown name or a bad value, with what would have been right.
    """
    entry = dataset_named(dataset)
    data_dir = str(Path(data or repository_root() / "data").resolve())
    word, note = _profile_of(entry, profile, variants, data_dir)
    chosen = _checked_profile(dataset, word)
    names = _words(variants) if variants is not None else chosen["variants"]
    numbers = _numbers(seeds) if seeds is not None else chosen["seeds"]
    nextoe = {"data": {"train_from": train_from}} if train_from else {}
    results = results or _folder_of(dataset, word, settings or {})
    plan = Plan(
        dataset=dataset,
        profile=Path(word).stem if is_profile_file(word) else word,
        variants=tuple(dict.fromkeys(check_variant(name) for name in names)),
        seeds=tuple(dict.fromkeys(numbers)),
        cores=_checked_cores(cores),
        data_dir=data_dir,
        results_dir=str(result_files(dataset, results).root.resolve()),
        force=force,
        executor=executor,
        cost=chosen.get("cost") or {},
        digests={stage: stage_digest(stage, entry) for stage in STAGES},
        settings=chosen.get("settings") or {},
        overrides=merge_sections(chosen.get("overrides") or {}, settings or {}, nextoe),
        weights=_existing(weights),
        from_file=is_profile_file(word),
        note=note,
    )
    for variant, seed in plan.runs:
        plan.config(variant, seed)  # refuses a profile with a bad setting
    return with_parser(plan)


def _profile_of(
    entry: Dataset, profile: str | None, variants: str | None, data_dir: str
) -> tuple[str, str]:
    """The profile's name or file, and a sentence where it is not the one that is usual."""
    if profile and not is_profile_file(profile):
        _choose("profile", profile, PROFILES)
    if profile or variants is not None:
        return profile or entry.default_profile, ""
    return profile_there_is(entry, data_files(entry.name, data_dir))


def _checked_cores(cores: int | None) -> int:
    cores = cores if cores is not None else available_cores()
    if cores < 1:
        raise InputError(f"--cores must be at least 1, got {cores}.")
    return cores


def with_parser(plan: Plan) -> Plan:
    """The plan with the project's own rules where its spaCy model is not installed."""
    wanted = plan.config(*plan.runs[0]).causal.parser
    if wanted == (found := parser_there_is(wanted)):
        return plan
    return replace(plan, overrides=merge_sections(plan.overrides, {"causal": {"parser": found}}))


def _folder_of(dataset: str, profile: str, settings: Sections) -> str | None:
    """A folder for results with settings of their own, so that they replace no others."""
    words = [f"{s}.{name}={value}" for s, values in settings.items() for name, value in
             values.items()]  # fmt: skip
    if is_profile_file(profile) and settings_from(dataset, profile) == profile:
        words.insert(0, Path(profile).stem)
    if not words:
        return None
    return str(repository_root() / "results" / name_of(dataset, words))


def _existing(weights: str | None) -> str:
    if weights is None:
        return ""
    remedy = "Name the folder (or file) that holds the frame encoder's weights."
    return str(require(Path(weights).expanduser(), "--weights", remedy).resolve())


def stage_digest(stage: str, dataset: Dataset) -> str:
    """Digest of the code that a stage runs; drawing counts only where it is the product."""
    root = repository_root()
    if stage == "report":
        return code_digest("import cra_lib.reporting.report, cra_lib.reporting.explorer", root)
    notebook = root / "notebooks" / f"{STAGES[stage]}.ipynb"
    require(notebook, f"Notebook of the stage {stage!r}", "Run from a complete clone.")
    # The table of datasets names its readers in words, which no one who looks for imports sees.
    reader = f"import {dataset.reader.partition(':')[0]}" if stage == "prepare" else ""
    left_out = () if stage == "figures" else ASIDE
    return code_digest(f"{notebook_code(notebook)}\n{reader}", root, left_out)


def job_of(stage: str, work: Workspace) -> Job:
    """What one stage does with a notebook's or a command's settings, with the code of today."""
    config = work.config
    plan = Plan(
        dataset=config.dataset,
        profile="",
        variants=(config.variant,),
        seeds=(config.seed,),
        cores=1,
        data_dir=str(work.data.root.resolve()),
        results_dir=str(work.results.root.resolve()),
        digests={stage: stage_digest(stage, dataset_named(config.dataset))},
    )
    # Its folder is known; looking for the dataset below it could find another.
    plan.__dict__["data"] = DataFiles(work.data.root.resolve())
    return plan.job(stage, work.run.root.parent.name, config.seed, config)


def notebook_job(notebook: Path, values: Mapping[str, Any]) -> Job | None:
    """What a stage's notebook does with some parameters; None for any other notebook.

    Raises:
        InputError: parameters that name no run.
    """
    stage = {name: stage for stage, name in STAGES.items() if name}.get(notebook.stem)
    if stage is None or "DATASET" not in values:
        return None
    training = {
        name.lower(): value for name, value in values.items() if name.lower() in TRAIN_SETTINGS
    }
    chosen = (values["DATASET"], values["PROFILE"], values["DATA_DIR"], values["RESULTS_DIR"])
    if stage in PER_RUN:
        chosen += (values["VARIANT"], values["SEED"])
    return job_of(stage, find_workspace(*chosen, train=training))


def available_cores() -> int:
    """Cores that this process may use (a container may have fewer than the machine)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _choose(what: str, value: str, known: Any) -> None:
    if value not in known:
        near = get_close_matches(value, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"Unknown {what} {value!r}: choose one of {', '.join(known)}.{hint}")


def _checked_profile(dataset: str, profile: str) -> dict[str, Any]:
    chosen, path = named_profile(dataset, profile), profile_place(dataset, profile)
    unknown = set(chosen) - PROFILE_KEYS
    lists = all(isinstance(chosen.get(name), list) for name in ("variants", "seeds"))
    if unknown or not lists or not chosen["variants"] or not chosen["seeds"]:
        raise InputError(
            f"{path}: expected variants, seeds, cost and settings; "
            f"found {', '.join(sorted(map(str, chosen)))}."
        )
    for part in ("settings", "overrides"):
        check_sections(chosen.get(part), f"{path}, {part}")
    cost = chosen.get("cost") or {}
    if not isinstance(cost, dict) or not all(
        is_finite_number(value) or (name == "measured" and isinstance(value, bool))
        for name, value in cost.items()
    ):
        raise InputError(f"{path}: cost should map stages to seconds, got {cost!r:.80}.")
    chosen["variants"] = [str(name) for name in chosen["variants"]]
    chosen["seeds"] = _numbers(",".join(map(str, chosen["seeds"])))
    return chosen


def _words(text: str) -> list[str]:
    words = [word for word in text.replace(",", " ").split() if word]
    if not words:
        raise InputError("--variants is empty; give names separated by commas, such as cra,ng+.")
    return words


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or max(numbers) >= 2**32:
        raise InputError(
            f"--seeds takes numbers from 0 to {2**32 - 1} separated by commas, got {text!r:.60}."
        )
    return numbers
