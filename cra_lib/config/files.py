"""Settings in files: a profile's YAML, and the config.yaml beside a run's results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cra_lib.config import RunConfig, explain
from cra_lib.records import InputError


def read_profile(path: Path) -> dict[str, Any]:
    """A profile's YAML as a plain dict.

    Raises:
        InputError: the file is missing or not a mapping.
    """
    path = Path(path)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "none"
        raise InputError(f"No profile {path.stem!r} in {path.parent}; those there are: {known}.")
    try:
        profile = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not plain YAML ({' '.join(str(error).split()):.200}).") from None
    if not isinstance(profile, dict):
        raise InputError(f"{path}: expected settings by section, got {type(profile).__name__}.")
    return profile


def save_config(config: RunConfig, path: Path) -> None:
    """Write the settings as YAML, every value spelt out."""
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), "utf-8")


# Settings that are no more; the config.yaml of an older run may still name them.
_RETIRED = (("data", "num_frames"), ("causal", "n_init"), ("train", "strategy"))


def load_config(path: Path) -> RunConfig:
    """Read what `save_config` wrote, now or earlier; an InputError names an unknown setting."""
    given = read_profile(path)
    for section, name in _RETIRED:
        if isinstance(given.get(section), dict):
            given[section].pop(name, None)
    try:
        return RunConfig.model_validate(given)
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error)}") from None
