"""Profiles: what a run of a dataset trains, and with which settings.

A profile is a file of workflow/profiles, or any YAML file of the same form. A dataset that has no
file there gets what its entry in the table of datasets gives, so that entry and reader suffice.

A profile may stand on another one of its dataset, ``base: quick``, and say only what it changes:
other variants with the same settings are then one set of numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cra_lib.config.files import read_profile
from cra_lib.config.variants import merge
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
        InputError: an unknown dataset or profile, a file that is no mapping, or a base that is
            none.
    """
    content = _read(dataset, profile)
    if "base" not in content:
        return content
    base = _read(dataset, str(content.pop("base")))
    if "base" in base:
        raise InputError(
            f"{profile_place(dataset, profile)}: its base stands on another profile itself; name "
            f"that one, {base['base']!r}, and the settings that differ."
        )
    layers = [layer.get("settings") or {} for layer in (base, content)]
    for layer in layers:
        check_sections(layer, profile_place(dataset, profile))
    return {**base, **content, "settings": merge(*layers)}


def settings_from(dataset: str, profile: str) -> str:
    """The first of PROFILES that has a profile's settings; itself, where none has them.

    One that cannot be read any more is itself.
    """
    asked = _settings(dataset, profile)
    same = (name for name in PROFILES if asked and _settings(dataset, name) == asked)
    return next(same, profile)


def _settings(dataset: str, profile: str) -> tuple[object, object] | None:
    """Settings and overrides of a profile; None for one that is not there."""
    try:
        content = named_profile(dataset, profile)
    except InputError:
        return None
    return content.get("settings") or {}, content.get("overrides") or {}


def _read(dataset: str, profile: str) -> dict[str, Any]:
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


def check_sections(layer: object, where: str) -> None:
    """
    Raises:
        InputError: not settings by section.
    """
    if layer is None:
        return
    bad = [layer] if not isinstance(layer, dict) else layer.values()
    if not isinstance(layer, dict) or not all(isinstance(values, dict) for values in bad):
        raise InputError(f"{where}: expected settings by section, such as train: {{epochs: 3}}.")
