"""Profiles: what a run of a dataset trains, and with which settings.

A profile is a file of workflow/profiles, or any YAML file of the same form. A dataset that has no
file there gets what its entry in the table of datasets gives, so that entry and reader suffice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cra_lib.config import read_profile
from cra_lib.datasets import Dataset, dataset_named
from cra_lib.paths import profile_path
from cra_lib.records import InputError

ANNOTATION = "annotation"
"""The profile that trains nothing: what can be shown of a dataset without its frames."""
PROFILES = ("quick", "paper", "frozen", ANNOTATION)
_WITHOUT_MODELS = {"parser": "rules", "node_encoder": "hashed"}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "quick": {"variants": ["cra", "post-hoc"], "settings": {"train": {"epochs": 1}}},
    "paper": {"variants": ["cra", "cra-released", "no-causal", "post-hoc", "ng+"], "settings": {}},
    "frozen": {"variants": ["frozen-cra", "frozen-post-hoc"], "settings": {}},
    ANNOTATION: {"variants": ["random"], "settings": {"causal": _WITHOUT_MODELS}},
}
"""What a dataset without files of its own gets; its encoder is added to the settings."""


def is_profile_file(profile: str) -> bool:
    """Whether a profile is named by its file."""
    return profile.endswith((".yaml", ".yml"))


def profile_place(dataset: str, profile: str) -> str:
    """Where a profile comes from, for messages.

    Raises:
        InputError: the command runs outside of a clone.
    """
    return profile if is_profile_file(profile) else str(profile_path(dataset, profile))


def named_profile(dataset: str, profile: str) -> dict[str, Any]:
    """The content of a profile.

    Args:
        profile: one of PROFILES, or a YAML file.

    Raises:
        InputError: an unknown dataset or profile, or a file that is no mapping.
    """
    entry, path = dataset_named(dataset), Path(profile_place(dataset, profile))
    has_files = is_profile_file(profile) or any(path.parent.glob(f"{entry.name}-*.yaml"))
    return read_profile(path) if has_files else default_profile(entry, profile)


def default_profile(entry: Dataset, profile: str) -> dict[str, Any]:
    """What a dataset gets that has no file in workflow/profiles.

    Raises:
        InputError: an unknown profile.
    """
    if profile not in _DEFAULTS:
        raise InputError(f"Unknown profile {profile!r}: choose one of {', '.join(PROFILES)}.")
    chosen = _DEFAULTS[profile]
    settings = {"data": {"encoder": entry.encoder}, **chosen["settings"]}
    return {"variants": [*chosen["variants"]], "seeds": [2024], "cost": {}, "settings": settings}
