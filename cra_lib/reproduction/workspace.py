"""What every notebook opens first: the settings of its run and the folders it works in."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cra_lib import __version__
from cra_lib.config import RunConfig, read_profile, run_config
from cra_lib.paths import (
    SPLITS,
    DataFiles,
    ResultFiles,
    dataset_dir,
    profile_path,
    repository_root,
)
from cra_lib.records import InputError


class Workspace(NamedTuple):
    """Settings and folders of one notebook."""

    config: RunConfig
    data: DataFiles
    results: ResultFiles

    @property
    def settings(self) -> pd.DataFrame:
        """Every setting with its value, a row each."""
        rows = [
            {"section": section, "setting": name, "value": str(value)}
            for section, values in self.config.model_dump(mode="json").items()
            if isinstance(values, dict)
            for name, value in values.items()
        ]
        return pd.DataFrame(rows).set_index(["section", "setting"])


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
    if dataset not in SPLITS:
        raise InputError(f"Unknown dataset {dataset!r}: choose one of {', '.join(SPLITS)}.")
    settings = read_profile(profile_path(dataset, profile)).get("settings") or {}
    overrides = {"train": dict(train or {})}
    config = run_config(dataset, variant, seed, profile=settings, overrides=overrides)
    root = repository_root()
    data = DataFiles(dataset_dir(data_dir or root / "data", dataset))
    results = ResultFiles(Path(results_dir or root / "results" / dataset))
    versions = f"cra-lib {__version__}, Python {platform.python_version()}"
    print(f"{versions}: {dataset}, profile {profile}, data in {data.root}")
    return Workspace(config, data, results)
