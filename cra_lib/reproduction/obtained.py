"""What runs have left in results folders: one `Run` for each variant, seed and split.

Nothing here imports torch: the instruction set comes from the run's runtime.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cra_lib import records
from cra_lib.config import run_config
from cra_lib.config.files import load_config
from cra_lib.config.profiles import named_profile, settings_from
from cra_lib.datasets import dataset_named
from cra_lib.inference.settings import first_difference, split_label
from cra_lib.paths import ResultFiles, RunFiles
from cra_lib.records import InputError
from cra_lib.reproduction.manifest import read_manifest, sha256
from cra_lib.reproduction.runs import FoundRun, read_scores_file, usable_runs

CHECKED = ("Acc@QA", "Acc@GQA", "mIoP", "mIoU")
"""Metrics that are recorded and compared."""


@dataclass(frozen=True)
class Run:
    """Scores of one trained model on one split."""

    variant: str
    seed: int
    split: str
    rule: str
    """The span rule that is reported."""
    values: dict[str, float]
    """Metric of CHECKED -> percent."""
    questions: int
    """Questions scored; 0 where the report does not say."""
    instruction_set: str
    """Such as "avx2", or "unknown"."""
    files: RunFiles
    dataset: str = ""
    """Empty where the report does not say."""

    @cached_property
    def predictions_hash(self) -> str | None:
        """SHA-256 of the predictions file; None where it is gone."""
        path = self.files.predictions(self.split)
        return sha256(path) if path.is_file() else None


def read_runs(folders: Iterable[ResultFiles], splits: Sequence[str]) -> list[Run]:
    """Every scored run below the folders that may stand in a table (`runs.usable_runs`).

    Raises:
        InputError: a damaged plan.
    """
    runs = []
    for results in folders:
        for run in usable_runs(results):
            present = [split for split in splits if run.files.scores(split).is_file()]
            runs += [_read_run(run, split) for split in present]
    return runs


def _read_run(run: FoundRun, split: str) -> Run:
    files = run.files
    report = read_scores_file(files.scores(split))
    header, rules = report["header"], report["rules"]
    rule = header.get("rule") or next(iter(rules))
    values = {m: float(rules[rule][m]) for m in CHECKED if rules[rule].get(m) is not None}
    runtime = read_json(files.runtime) if files.runtime.is_file() else {}
    return Run(
        run.variant,
        run.seed,
        split,
        rule,
        values,
        int(header.get("questions") or 0),
        runtime.get("instruction_set", "unknown"),
        files,
        header.get("dataset") or "",
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: the file is damaged or holds something else.
    """
    content = records.read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(content).__name__}.")
    return content


def profile_of(dataset: str, folders: Iterable[ResultFiles]) -> str:
    """The profile whose settings the notebooks of these folders ran with; else the default.

    Raises:
        InputError: they ran with different ones.
    """
    ran = {
        str(entry["parameters"]["PROFILE"]): results.root
        for results in folders
        for entry in read_manifest(results.manifest).values()
        if entry.get("seed") and "PROFILE" in entry["parameters"]
    }
    names = {settings_from(dataset, word): place for word, place in ran.items()}
    if len(names) > 1:
        places = ", ".join(f"{name} in {place}" for name, place in names.items())
        raise InputError(f"These results come from different profiles ({places}).")
    return next(iter(names), dataset_named(dataset).default_profile)


def check_settings(dataset: str, profile: str, runs: Iterable[Run]) -> None:
    """Refuse runs that were not trained with the settings of a profile.

    Args:
        profile: its name, or a YAML file.

    Raises:
        InputError: naming the first setting that differs.
    """
    settings = named_profile(dataset, profile).get("settings") or {}
    for folder, (variant, seed) in {r.files.root: (r.variant, r.seed) for r in runs}.items():
        config = RunFiles(folder).config
        if config.is_file():
            name, changes = split_label(variant)
            asked = run_config(dataset, name, seed, profile=settings, overrides=changes)
            saved = load_config(config).model_dump(mode="json")
            change = first_difference(saved, asked.model_dump(mode="json"))
            if change:
                raise InputError(
                    f"{config} has {change.name} = {change.saved!r}, but the profile "
                    f"{profile!r}, whose numbers are compared, has {change.asked!r}; "
                    "name the folder of that profile's runs with --results."
                )
