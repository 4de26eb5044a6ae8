"""What every notebook opens first: the settings of its run and the folders it works in."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cra_lib import __version__
from cra_lib.config import RunConfig, read_profile, run_config
from cra_lib.datasets import Dataset, dataset_named
from cra_lib.paths import DataFiles, ResultFiles, data_files, profile_path, result_files

if TYPE_CHECKING:
    import pandas as pd


class Workspace(NamedTuple):
    """Settings and folders of one notebook."""

    config: RunConfig
    data: DataFiles
    results: ResultFiles

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
    is_file = profile.endswith((".yaml", ".yml"))
    path = Path(profile) if is_file else profile_path(name, profile)
    settings = read_profile(path).get("settings") or {}
    return run_config(name, variant, seed, profile=settings, overrides=overrides)


def open_workspace(
    dataset: str,
    profile: str,
    data_dir: str = "",
    results_dir: str = "",
    variant: str = "cra",
    seed: int = 2024,
    train: Mapping[str, Any] | None = None,
) -> Workspace:
    """The settings and folders that a notebook's parameters name; prints one line about them.

    Args:
        data_dir: folder of the datasets or of this one; "" is ``data`` of the repository.
        results_dir: "" is ``results/<dataset>`` of the repository.
        train: training settings that win over the profile's; None values are ignored.

    Raises:
        InputError: an unknown dataset, profile, variant or setting.
    """
    _show_tables_whole()
    config = resolve_config(dataset, profile, variant, seed, {"train": dict(train or {})})
    data, results = data_files(dataset, data_dir), result_files(dataset, results_dir)
    versions = f"cra-lib {__version__}, Python {platform.python_version()}"
    print(f"{versions}: {dataset}, profile {profile}, data in {data.root}")
    return Workspace(config, data, results)


def _show_tables_whole() -> None:
    """pandas cuts long texts and tables by default; a question or a setting has to be readable."""
    import pandas as pd

    for option, value in {"max_colwidth": None, "max_rows": 200, "max_columns": 50}.items():
        pd.set_option(f"display.{option}", value)
    pd.set_option("display.width", 120)
