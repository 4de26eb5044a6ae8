"""What every notebook opens first: the settings of its run and the folders it works in."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cra_lib import __version__
from cra_lib.config import RunConfig, run_config
from cra_lib.config.files import load_config
from cra_lib.config.profiles import check_sections, named_profile, profile_place
from cra_lib.datasets import Dataset, dataset_named
from cra_lib.paths import (
    DataFiles,
    ResultFiles,
    RunFiles,
    data_files,
    require,
    result_files,
)
from cra_lib.reproduction.experiments import is_experiment, run_name
from cra_lib.reproduction.plan import read_plan

if TYPE_CHECKING:
    import pandas as pd


class Workspace(NamedTuple):
    """Settings and folders of one notebook."""

    config: RunConfig
    data: DataFiles
    results: ResultFiles
    run: RunFiles
    """The folder of this run; named after its settings where they are not the planned ones."""

    @property
    def dataset(self) -> Dataset:
        """What the table of datasets says about this one."""
        return dataset_named(self.config.dataset)

    @property
    def settings(self) -> pd.DataFrame:
        """Every setting with its value, a row each."""
        import pandas as pd

        rows = [
            {"section": section, "setting": name, "value": str(value)}
            for section, values in self.config.model_dump(mode="json").items()
            if isinstance(values, dict)
            for name, value in values.items()
        ]
        return pd.DataFrame(rows).set_index(["section", "setting"])


def resolve_config(
    dataset: str,
    profile: str,
    variant: str = "cra",
    seed: int = 2024,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> RunConfig:
    """The settings of a run: the library's, then the profile's, the variant's, then ``overrides``.

    Args:
        profile: a name in workflow/profiles, or a YAML file.

    Raises:
        InputError: an unknown dataset, profile, variant or setting.
    """
    name = dataset_named(dataset).name
    content, where = named_profile(name, profile), profile_place(name, profile)
    layers = [content.get(part) for part in ("settings", "overrides")]
    for layer in layers:
        check_sections(layer, where)
    given = merge_sections(layers[1] or {}, overrides or {})
    return run_config(name, variant, seed, profile=layers[0] or {}, overrides=given)


def merge_sections(*layers: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Settings laid over each other, section by section; None says nothing."""
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for section, values in layer.items():
            given = {name: value for name, value in values.items() if value is not None}
            merged[section] = merged.get(section, {}) | given
    return {section: values for section, values in merged.items() if values}


def open_workspace(
    dataset: str,
    profile: str,
    data_dir: str = "",
    results_dir: str = "",
    variant: str = "cra",
    seed: int = 2024,
    train: Mapping[str, Any] | None = None,
) -> Workspace:
    """`find_workspace` for a notebook; prints one line about it."""
    _show_tables_whole()
    work = find_workspace(dataset, profile, data_dir, results_dir, variant, seed, train)
    versions = f"cra-lib {__version__}, Python {platform.python_version()}"
    print(f"{versions}: {dataset}, profile {profile}, data in {work.data.root}")
    if is_experiment(work.run.root.parent.name):
        print(f"Settings of its own, so its folder is {work.run.root}")
    return work


def find_workspace(
    dataset: str,
    profile: str,
    data_dir: str | Path | None = "",
    results_dir: str | Path | None = "",
    variant: str = "cra",
    seed: int = 2024,
    train: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workspace:
    """The settings and folders that a notebook's parameters, or a command's options, name.

    Args:
        data_dir: folder of the datasets or of this one; "" is ``data`` of the repository.
        results_dir: "" is ``results/<dataset>`` of the repository.
        train: training settings that win over the profile's; None values are ignored.
        overrides: the same for all sections.

    Raises:
        InputError: an unknown dataset, profile, variant or setting.
    """
    data, results = data_files(dataset, data_dir), result_files(dataset, results_dir)
    if is_experiment(variant):
        run = results.run(variant, seed)
        config = load_config(require(run.config, "Experiment", "`cra train --set` makes one."))
    else:
        given = merge_sections(overrides or {}, {"train": dict(train or {})})
        config = resolve_config(dataset, profile, variant, seed, given)
        planned = planned_config(results, dataset, profile, variant, seed)
        run = results.run(run_name(config, planned), seed)
    return Workspace(config, data, results, run)


def planned_config(
    results: ResultFiles, dataset: str, profile: str, variant: str, seed: int
) -> RunConfig:
    """What ``runs/<variant>/seed<k>`` is for: the last plan's settings, else the profile's.

    Raises:
        InputError: an unknown name, or a damaged plan.
    """
    plan = read_plan(results)
    if plan is not None and plan.dataset == dataset:
        return plan.config(variant, seed)
    return resolve_config(dataset, profile, variant, seed)


def usual_profile(dataset: str, results_dir: str | Path | None = None) -> str:
    """The profile of the last reproduction there that trained anything, else the dataset's."""
    plan = read_plan(result_files(dataset, results_dir))
    trained = plan is not None and plan.trained_runs
    return plan.profile_word if trained else dataset_named(dataset).default_profile


def _show_tables_whole() -> None:
    """pandas cuts long texts and tables by default; a question or a setting has to be readable."""
    import pandas as pd

    for option, value in {"max_colwidth": None, "max_rows": 200, "max_columns": 50}.items():
        pd.set_option(f"display.{option}", value)
    pd.set_option("display.width", 120)
