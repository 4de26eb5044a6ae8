"""What one call of reproduce.sh will do, checked before anything runs.

The Snakefile asks a `Plan` for files, parameters and digests; nothing here knows of Snakemake.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from cra_lib.config import MACHINE, RunConfig, run_config
from cra_lib.config.files import load_config
from cra_lib.datasets import DATASETS
from cra_lib.paths import (
    RUN_NAME,
    DataFiles,
    ResultFiles,
    RunFiles,
    atomic,
    data_files,
)
from cra_lib.records import InputError
from cra_lib.reproduction.experiments import is_experiment
from cra_lib.reproduction.layout import Layout
from cra_lib.reproduction.products import Job, problems, read_record, record_path

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
OF_MODELS = ("train", "ask")
"""Stages that a plan without a model to train leaves out."""
WITHOUT_SETTINGS = ("ask", "figures", "report")
"""Stages whose settings are their inputs."""
Sections = dict[str, dict[str, Any]]
"""Section -> setting -> value."""


@dataclass(frozen=True)
class Plan(Layout):
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
    """Stage -> expected seconds of one job; ``disk_gb`` and the like; ``measured``, false where all
    of this is estimated."""
    digests: dict[str, str] = field(default_factory=dict)
    """Stage -> digest of the code that it runs, taken once so that all jobs agree."""
    settings: Sections = field(default_factory=dict)
    """The profile's settings."""
    overrides: Sections = field(default_factory=dict)
    """Settings that win over everything, also over a variant's."""
    weights: str = ""
    """The WEIGHTS parameter of notebook 01: where the frame encoder's weights lie."""
    from_file: bool = False
    """Whether the profile is not one of workflow/profiles."""
    note: str = ""
    """Why this profile was chosen, where nobody asked for it."""

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

    @cached_property
    def trained_runs(self) -> list[tuple[str, int]]:
        """The runs that have a model; `random` has none."""
        return [run for run in self.runs if self.config(*run).model.is_trained]

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of this plan, in order."""
        return tuple(s for s in STAGES if self.trained_runs or s not in OF_MODELS)

    @property
    def threads(self) -> int:
        """Threads of one training: all trainings at once, as far as the cores go."""
        return max(1, self.cores // len(self.runs))

    @property
    def on_gpu(self) -> bool:
        """Whether a training takes a GPU where there is one."""
        return any(self.config(*run).train.accelerator != "cpu" for run in self.trained_runs)

    def runs_of(self, stage: str) -> list[tuple[str, int]]:
        """The runs that a stage has a job for; ``("", 0)`` where one job is for all."""
        if stage not in PER_RUN:
            return [("", 0)]
        return self.trained_runs if stage == "train" else self.runs

    def num_jobs(self, stage: str) -> int:
        return len(self.runs_of(stage))

    def config(self, variant: str, seed: int | str) -> RunConfig:
        """The settings of one run; those of an experiment lie in its folder."""
        if is_experiment(variant):
            return load_config(self.results.run(variant, int(seed)).config)
        given = {"profile": self.settings, "overrides": self.overrides}
        return run_config(self.dataset, variant, int(seed), **given)

    @property
    def profile_word(self) -> str:
        """The PROFILE parameter of the notebooks: a name, or the file that `save` writes."""
        own = self.from_file or self.overrides
        return str(self.folder / "profile.yaml") if own else self.profile

    def parameters(self, **more: str | int) -> str:
        """The ``-p NAME=VALUE`` part of a notebook's command line."""
        values = {
            "DATASET": self.dataset,
            "PROFILE": self.profile_word,
            "DATA_DIR": self.data_dir,
            "RESULTS_DIR": self.results_dir,
            **more,
        }
        return " ".join(f"-p '{name}={value}'" for name, value in values.items())

    def settings_of(self, stage: str, variant: str = "", seed: int | str = 0) -> str:
        """The settings that a stage depends on, as one comparable text."""
        if stage in ("figures", "report"):
            chosen = {"variants": self.variants, "seeds": self.seeds, "profile": self.profile}
            chosen["experiments"] = {
                f"{name}, seed {number}": read_record(record_path(run.root, "evaluate"))
                for name, number, run in self.experiments()
            }
            return json.dumps(chosen, sort_keys=True)
        if stage == "ask":
            chosen = {"dataset": self.dataset, "profile": self.profile, "reads": self.asked()}
            return json.dumps(chosen, sort_keys=True)
        return stage_settings(stage, self.config(variant or self.variants[0], seed))

    def experiments(self) -> list[tuple[str, int, RunFiles]]:
        """Runs with settings of their own that lie beside the planned ones."""
        return [run for run in run_folders(self.results) if is_experiment(run[0])]

    def job(
        self, stage: str, variant: str = "", seed: int | str = 0, config: RunConfig | None = None
    ) -> Job:
        """What a stage reads and makes, to record it or to compare it with its record.

        Args:
            config: settings of the run; None takes the planned ones.
        """
        name, number = variant or self.variants[0], int(seed or self.seeds[0])
        config = config or self.config(name, number)
        per_run = stage in PER_RUN
        run = self.results.run(name, number)
        known = DATASETS[self.dataset].is_made_here
        places = {"train": (run.root,), "evaluate": (run.root,), "ask": (), "report": ()}
        return Job(
            stage=stage,
            name=f"{stage} {name}, seed {number}" if per_run else stage,
            home=run.root if per_run else self.results.root,
            settings="" if stage in WITHOUT_SETTINGS else stage_settings(stage, config),
            code=self.digests.get(stage, ""),
            results=self.results,
            data=self.data,
            reads=tuple(self.reads(stage, config, run)),
            makes=tuple(map(Path, self.makes(stage, name, number))),
            # Notebook 03 predicts the validation split, to see that the model is the one it kept.
            not_its_own=("predictions_*", "scores_*") if stage == "train" else (),
            folders=places.get(stage, (self.results.root, self.data.root)),
            keeps_data=not known,
        )

    def jobs(self) -> list[Job]:
        """All jobs of the plan, in the order of the stages."""
        return [self.job(stage, *run) for stage in self.stages for run in self.runs_of(stage)]

    def not_as_planned(self) -> list[tuple[Job, list[str]]]:
        """Jobs whose products lie there, but are not what they would make; and why."""
        found = [(job, problems(job)) for job in self.jobs()]
        return [(job, reasons) for job, reasons in found if reasons]

    def save(self) -> Path:
        """Write the plan where the Snakefile finds it, and its profile for the notebooks."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.profile_word != self.profile:
            profile = {
                "variants": list(self.variants), "seeds": list(self.seeds), "cost": self.cost,
                "settings": self.settings, "overrides": self.overrides,
            }  # fmt: skip
            with atomic(Path(self.profile_word)) as partial:
                partial.write_text(yaml.safe_dump(profile, sort_keys=False), encoding="utf-8")
        path = plan_path(self.results)
        with atomic(path) as partial:
            partial.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, values: dict[str, Any]) -> Plan:
        """The plan that `save` wrote."""
        lists = {name: tuple(values[name]) for name in ("variants", "seeds")}
        return cls(**{**values, **lists})


def stage_settings(stage: str, config: RunConfig) -> str:
    """The settings that one stage of a run depends on, as text; where it computes is none."""
    content = config.model_dump(mode="json")
    if stage in ("prepare", "sample"):
        causal = {"causal": content["causal"], "width": config.model.width}
        content = {name: content[name] for name in ("dataset", "data")}
        content |= causal if stage == "sample" else {}
    else:
        content["train"] = {k: v for k, v in content["train"].items() if k not in MACHINE}
    return json.dumps(content, sort_keys=True)


def run_folders(results: ResultFiles) -> list[tuple[str, int, RunFiles]]:
    """Name, seed and files of every run below ``results``, in a fixed order."""
    found = []
    for folder in sorted(results.root.glob("runs/*/seed*")):
        seed = folder.name.removeprefix("seed")
        if folder.is_dir() and seed.isdecimal() and RUN_NAME.fullmatch(folder.parent.name):
            found.append((folder.parent.name, int(seed), RunFiles(folder)))
    return found


def plan_path(results: ResultFiles) -> Path:
    """Where the last plan for a folder of results lies."""
    return results.root / ".workflow" / "plan.json"


def read_plan(results: ResultFiles) -> Plan | None:
    """The last plan for a folder of results, wherever that folder lies now; None without one.

    Raises:
        InputError: the file is damaged.
    """
    path = plan_path(results)
    if not path.is_file():
        return None
    try:
        plan = Plan.load(json.loads(path.read_text(encoding="utf-8")))
        plan = replace(plan, results_dir=str(results.root.resolve()))
        plan.jobs()  # every field is looked at
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: not a plan of the workflow ({error!s:.100}); delete it, or run "
            "./reproduce.sh, which writes it anew."
        ) from None
    return plan
