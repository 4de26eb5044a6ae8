"""Runs with settings of their own: how they are named, so that none stands in another's place.

``runs/<variant>/seed<k>`` holds what the plan asks for. A run with other settings is an experiment;
its folder is named after them, such as ``no-causal@model.heads=4,train.max_steps=5``, and so is its
row in tables and figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from cra_lib.config import MACHINE, RunConfig
from cra_lib.reproduction.products import digest_of

MARK = "@"
LONGEST = 100
"""Characters of a name; what is longer ends with a digest."""


def run_name(config: RunConfig, planned: RunConfig) -> str:
    """The variant, and after an @ the settings in which a run differs from the planned one."""
    found = differences(config, planned)
    words = [f"{name}={value}" for name, value in found.items()]
    return name_of(config.variant, words) if words else config.variant


def name_of(start: str, words: Iterable[str]) -> str:
    """``start@word,word`` as a file name; with a digest where letters had to be left out.

    >>> name_of("cra", ["train.epochs=3", "model.width=64"])
    'cra@train.epochs=3,model.width=64'
    """
    exact = ",".join(words)
    name = f"{start}{MARK}{re.sub(r'[^a-zA-Z0-9_.,=+-]', '_', exact)}"
    if len(name) > LONGEST or not name.endswith(exact):
        name = f"{name[: LONGEST - 9]}-{digest_of(exact)[:8]}"
    return name


def differences(config: RunConfig, planned: RunConfig) -> dict[str, Any]:
    """``section.name`` -> value of every setting that is not the planned one.

    Which device computed it, and with how many threads, makes no other run.
    """
    ours, theirs = config.model_dump(mode="json"), planned.model_dump(mode="json")
    return {
        f"{section}.{name}": value
        for section, values in ours.items()
        if isinstance(values, dict)
        for name, value in values.items()
        if value != theirs[section][name] and name not in MACHINE
    }


def is_experiment(name: str) -> bool:
    """Whether a run's name is that of an experiment.

    >>> is_experiment("cra"), is_experiment("cra@train.epochs=3")
    (False, True)
    """
    return MARK in name


def variant_of(name: str) -> str:
    """The variant that a run's name starts with.

    >>> variant_of("ng+@train.epochs=3")
    'ng+'
    """
    return name.partition(MARK)[0]
