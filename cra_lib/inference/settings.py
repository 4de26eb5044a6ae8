"""Settings on a command line and in a folder's name; were two runs made with the same ones?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import yaml

from cra_lib.records import InputError


class Change(NamedTuple):
    """One setting that two runs do not share."""

    name: str
    """section.name"""
    saved: Any
    asked: Any


def first_difference(
    saved: Mapping[str, Any], asked: Mapping[str, Any], prefix: str = ""
) -> Change | None:
    """The first setting in which saved settings differ from those asked for; MACHINE aside.

    Args:
        saved: section -> settings, as `RunConfig.model_dump` writes them.
    """
    from cra_lib.config import MACHINE  # commands that only parse settings start without it

    for name, value in asked.items():
        old = saved.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if found := first_difference(old, value, f"{prefix}{name}."):
                return found
        elif old != value and name not in MACHINE:
            return Change(f"{prefix}{name}", old, value)
    return None


def split_label(label: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """A variant's name with the settings that it departs by, as folders of runs spell it.

    >>> split_label("cra@model.smoothing=softmax,train.epochs=3")
    ('cra', {'model': {'smoothing': 'softmax'}, 'train': {'epochs': 3}})

    Raises:
        InputError: a part that is no section.name=value.
    """
    variant, at, changes = label.partition("@")
    return variant, parse_settings(changes.split(",")) if at else {}


def label_of(variant: str, pairs: Iterable[str]) -> str:
    """The label that `split_label` takes apart; pairs are ``section.name=value``."""
    changes = ",".join(sorted(pairs))
    return f"{variant}@{changes}" if changes else variant


def parse_settings(pairs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """``section.name=value`` options as sections; values are read as YAML.

    >>> parse_settings(["train.epochs=3", "model.smoothing=none"])
    {'train': {'epochs': 3}, 'model': {'smoothing': 'none'}}

    Raises:
        InputError: a pair of another form.
    """
    sections: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        section, dot, key = name.partition(".")
        if not (equals and dot and key):
            raise InputError(f"A setting is section.name=value, as train.epochs=3; got {pair!r}.")
        try:
            sections.setdefault(section, {})[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"Setting {name}: not a YAML value: {value!r}.") from None
    return sections
