"""What one call of reproduce.sh will do, checked before anything runs.

The Snakefile asks a `Plan` for files, parameters and digests; nothing here knows of Snakemake.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from cra_lib.config import RunConfig, check_variant, read_profile, run_config
from cra_lib.datasets import DATASETS, Dataset, dataset_named
from cra_lib.paths import (
    DataFiles,
    ResultFiles,
    data_files,
    expected_json,
    profile_path,
    published_csv,
    repository_root,
    require,
    result_files,
)
from cra_lib.records import InputError
from cra_lib.reproduction.fingerprint import DRAWING, code_digest, notebook_code

PROFILES = ("quick", "paper")
STAGES = {
    "prepare": "01_prepare_data",
    "sample": "02_sample_causal_features",
    "train": "03_train",
    "evaluate": "04_evaluate",
    "ask": "06_ask_a_video",
    "figures": "05_figures",
    "report": "",
}
"""Stage -> its notebook; report and explorer are made by ``cra report`` and ``cra explore``."""
PER_RUN = ("train", "evaluate")
"""Stages with one job for each variant and seed."""
PROFILE_KEYS = {"variants", "seeds", "cost", "settings"}


@dataclass(frozen=True)
class Plan:
    """Everything that the stages need to know; travels to them as one JSON file."""

    dataset: str
    profile: str
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    cores: int
    data_dir: str
    """The DATA_DIR parameter of the notebooks, absolute."""
    results_dir: str
    """The RESULTS_DIR parameter of the notebooks, absolute."""
    force: bool = False
    executor: str = "local"
    cost: dict[str, float] = field(default_factory=dict)
    """Stage -> expected seconds of one job; and ``disk_gb``."""
    digests: dict[str, str] = field(default_factory=dict)
    """Stage -> digest of the code that it runs, taken once so that all jobs agree."""

    @cached_property
    def data(self) -> DataFiles:
        return data_files(self.dataset, self.data_dir)

    @cached_property
    def results(self) -> ResultFiles:
        return ResultFiles(Path(self.results_dir))

    @property
    def folder(self) -> Path:
        """Where the workflow keeps its own state."""
        return self.results.root / ".workflow"

    @property
    def runs(self) -> list[tuple[str, int]]:
        return [(variant, seed) for variant in self.variants for seed in self.seeds]

    @property
    def threads(self) -> int:
        """Threads of one training: all trainings at once, as far as the cores go."""
        return max(1, self.cores // len(self.runs))

    @property
    def on_gpu(self) -> bool:
        """Whether a training takes a GPU where there is one."""
        return any(self.config(*run).train.accelerator != "cpu" for run in self.runs)

    def num_jobs(self, stage: str) -> int:
        return len(self.runs) if stage in PER_RUN else 1

    @cached_property
    def settings(self) -> dict[str, Any]:
        return read_profile(profile_path(self.dataset, self.profile)).get("settings", {})

    def config(self, variant: str, seed: int) -> RunConfig:
        return run_config(self.dataset, variant, int(seed), profile=self.settings)

    @property
    def evaluated_splits(self) -> tuple[str, ...]:
        """Splits with public truths that notebook 04 predicts."""
        return DATASETS[self.dataset].evaluated

    def given(self) -> list[str]:
        """Annotation files that the user has put into the dataset's folder."""
        patterns = DATASETS[self.dataset].given
        return sorted(str(path) for pattern in patterns for path in self.data.root.glob(pattern))

    def prepared(self) -> list[str]:
        """What the first stage leaves behind.

        Only files that it makes itself: the workflow deletes a stage's products before it runs
        the stage again, and a user's features must survive that.
        """
        files = [self.results.data_card]
        if DATASETS[self.dataset].is_made_here:
            encoder = self.config(self.variants[0], self.seeds[0]).data.encoder
            for split in DATASETS[self.dataset].splits:
                files += [self.data.questions(split), self.data.features(encoder, split)]
            files += [self.data.segments(split) for split in self.evaluated_splits]
            files.append(self.data.root / "reference.json")
        return [str(path) for path in files]

    def sampled(self) -> list[str]:
        """What the second stage leaves behind."""
        files = self.data.visual_confounders, self.data.language_confounders
        return [str(path) for path in (self.results.confounders_card, *files)]

    def scored(self, variant: str, seed: int | str) -> list[str]:
        """What the evaluation of one run leaves behind."""
        folder = f"{self.results.root}/runs/{variant}/seed{seed}"  # Snakemake's wildcards, too
        kinds = ("predictions", "jsonl"), ("scores", "json")
        return [
            f"{folder}/{kind}_{split}.{suffix}"
            for split in self.evaluated_splits
            for kind, suffix in kinds
        ]

    @property
    def asked_page(self) -> Path:
        """The executed copy of notebook 06, which nothing else depends on."""
        return self.results.notebooks / "06_ask_a_video.html"

    def asked(self) -> list[str]:
        """What notebook 06 waits for: the first run of `cra`; without one it asks the model that
        comes with the library."""
        runs = [run for run in self.runs if run[0] == "cra"][:1]
        return [path for run in runs for path in self.scored(*run)]

    def products(self) -> list[str]:
        """Everything that must be there in the end; a deleted file is made again."""
        pages = self.results.report, self.results.explorer, self.asked_page
        files = [*self.prepared(), *self.sampled(), *map(str, pages)]
        for variant, seed in self.runs:
            run = self.results.run(variant, seed)
            files += [str(run.config), str(run.weights), *self.scored(variant, seed)]
        return files

    def references(self) -> list[str]:
        """Files that the report compares with, where they exist."""
        files = published_csv(), expected_json(self.dataset)
        return [str(path) for path in files if path.is_file()]

    def parameters(self, **more: str | int) -> str:
        """The ``-p NAME=VALUE`` part of a notebook's command line."""
        values = {
            "DATASET": self.dataset,
            "PROFILE": self.profile,
            "DATA_DIR": self.data_dir,
            "RESULTS_DIR": self.results_dir,
            **more,
        }
        return " ".join(f"-p '{name}={value}'" for name, value in values.items())

    def settings_of(self, stage: str, variant: str = "", seed: int | str = 0) -> str:
        """The settings that a stage depends on, as one comparable text."""
        config = self.config(variant or self.variants[0], int(seed)).model_dump(mode="json")
        if stage in ("prepare", "sample"):
            config = {name: config[name] for name in ("dataset", "data", "causal")}
        elif stage == "ask":
            config = {"dataset": self.dataset, "profile": self.profile, "reads": self.asked()}
        elif stage in ("figures", "report"):
            config = {"variants": self.variants, "seeds": self.seeds, "profile": self.profile}
        return json.dumps(config, sort_keys=True)

    def save(self) -> Path:
        """Write the plan where the Snakefile finds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "plan.json"
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, values: dict[str, Any]) -> Plan:
        """The plan that `save` wrote."""
        lists = {name: tuple(values[name]) for name in ("variants", "seeds")}
        return cls(**{**values, **lists})


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
) -> Plan:
    """Check every word of a command line and lay the profile under it.

    Args:
        variants: names separated by commas; None takes the profile's.
        seeds: numbers separated by commas; None takes the profile's.
        data: folder of the datasets, or of this dataset.

    Raises:
        InputError: an unknown name or a bad value, with what would have been right.
    """
    entry = dataset_named(dataset)
    profile = profile or entry.default_profile
    _choose("profile", profile, PROFILES)
    chosen = _checked_profile(dataset, profile)
    names = _words(variants) if variants is not None else chosen["variants"]
    numbers = _numbers(seeds) if seeds is not None else chosen["seeds"]
    cores = cores if cores is not None else available_cores()
    if cores < 1:
        raise InputError(f"--cores must be at least 1, got {cores}.")
    root = repository_root()
    plan = Plan(
        dataset=dataset,
        profile=profile,
        variants=tuple(dict.fromkeys(check_variant(name) for name in names)),
        seeds=tuple(dict.fromkeys(numbers)),
        cores=cores,
        data_dir=str(Path(data or root / "data").resolve()),
        results_dir=str(result_files(dataset, results).root.resolve()),
        force=force,
        executor=executor,
        cost=chosen.get("cost", {}),
        digests={stage: _digest(stage, entry) for stage in STAGES},
    )
    for variant, seed in plan.runs:
        plan.config(variant, seed)  # refuses a profile with a bad setting
    if not entry.is_made_here:
        _require_annotation(plan, entry)
    return plan


def _digest(stage: str, dataset: Dataset) -> str:
    """Digest of the code that a stage runs; drawing counts only where it is the product."""
    root = repository_root()
    if stage == "report":
        return code_digest("import cra_lib.reporting.report, cra_lib.reporting.explorer", root)
    notebook = root / "notebooks" / f"{STAGES[stage]}.ipynb"
    require(notebook, f"Notebook of the stage {stage!r}", "Run from a complete clone.")
    # The table of datasets names its readers in words, which no one who looks for imports sees.
    reader = f"import {dataset.reader.partition(':')[0]}" if stage == "prepare" else ""
    left_out = () if stage == "figures" else DRAWING
    return code_digest(f"{notebook_code(notebook)}\n{reader}", root, left_out)


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
    path = profile_path(dataset, profile)
    chosen = read_profile(path)
    unknown = set(chosen) - PROFILE_KEYS
    if unknown or not chosen.get("variants") or not chosen.get("seeds"):
        raise InputError(
            f"{path}: expected variants, seeds, cost and settings; "
            f"found {', '.join(sorted(chosen))}."
        )
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
    if not numbers or min(numbers) < 0:
        raise InputError(f"--seeds takes numbers separated by commas, got {text!r}.")
    return numbers


def _require_annotation(plan: Plan, dataset: Dataset) -> None:
    require(
        plan.data.root / dataset.marks[0],
        f"The {plan.dataset} annotation",
        f"It comes from {dataset.source}; put it there or name its folder with --data. "
        "`cra doctor` lists everything that a run needs.",
    )
