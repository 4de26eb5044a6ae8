"""Recorded numbers: ``results/expected/<dataset>.json``, version 2.

Written by ``cra check --record`` from real runs, one cell and one run a line::

    {"format": 2, "dataset": "shapes", "profile": "quick",
     "questions": {"test": 358, "test@data.bias=0.95": 358, ...},
     "provenance": {"avx2": {"seeds": [...], "commit": {...}, "device": {...}, "versions": {...}}},
     "cells": [{"variant": "cra", "split": "test", "metric": "Acc@QA", "rule": "post-hoc",
                "values": {"avx2": {"2024": 87.15, ...}, "avx512": {...}},
                "interval": [84.0, 90.1]}, ...],
     "predictions": [{"variant": "cra", "seed": 2024, "split": "test", "instruction_set": "avx2",
                      "sha256": "..."}, ...],
     "claims": {"eci-no-effect": {...}, ...}}

Values are percentages. ``interval`` is the 95 % interval of the mean over seeds and videos together
(of the runs that were at hand together when it was last computed; else null), ``predictions`` and
``claims`` may be empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from cra_lib.paths import atomic
from cra_lib.records import InputError
from cra_lib.reproduction.obtained import CHECKED, Run, read_json
from cra_lib.reproduction.verdicts import Spread, effective_count, spread

FORMAT = 2


class Key(NamedTuple):
    """What a cell of the tables is about."""

    variant: str
    split: str
    metric: str
    rule: str


Values = dict[str, dict[int, float]]
"""Instruction set -> seed -> percent."""


@dataclass
class Expected:
    """Everything recorded about one dataset."""

    dataset: str
    profile: str
    cells: dict[Key, Values] = field(default_factory=dict)
    intervals: dict[Key, list[float] | None] = field(default_factory=dict)
    questions: dict[str, int] = field(default_factory=dict)
    """Split, as `asked_in` names it, -> questions."""
    predictions: dict[tuple[str, int, str, str], str] = field(default_factory=dict)
    """Variant, seed, split, instruction set -> SHA-256 of the predictions file."""
    provenance: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)

    def flat(self, key: Key) -> list[tuple[str, int, float]]:
        """Instruction set, seed and value of every recorded run of a cell."""
        return [
            (name, seed, value)
            for name, seeds in self.cells[key].items()
            for seed, value in seeds.items()
        ]

    def seeds(self, key: Key) -> list[int]:
        """Recorded seeds of a cell, each once."""
        return sorted({seed for _, seed, _ in self.flat(key)})

    def by_seed(self, variant: str, split: str, metric: str) -> dict[int, float]:
        """Values of a cell; a seed's runs on several instruction sets count as one, their mean."""
        found: dict[int, list[float]] = {}
        for key in self.cells:
            if key[:3] == (variant, split, metric):
                for _, seed, value in self.flat(key):
                    found.setdefault(seed, []).append(value)
        return {seed: fmean(values) for seed, values in found.items()}

    def fall(self, variant: str, metric: str = "Acc@QA") -> dict[int, float]:
        """By how many points a metric falls from test_iid to test_ood, seed by seed."""
        high, low = (self.by_seed(variant, split, metric) for split in ("test_iid", "test_ood"))
        return {seed: high[seed] - low[seed] for seed in sorted(high.keys() & low.keys())}

    def spread(self, key: Key) -> Spread:
        """Mean, standard deviation and worth of a cell's recorded values."""
        values = [value for *_, value in self.flat(key)]
        asked = self.questions.get(asked_in(key.variant, key.split), 0)
        return spread(values, self.worth(key.variant), asked)

    def worth(self, variant: str) -> float:
        """Independent runs that the variant's recorded runs are worth, all cells together."""
        keys = [key for key in self.cells if key.variant == variant]
        flats = {key: {(n, s): v for n, s, v in self.flat(key)} for key in keys}
        common = sorted(set.intersection(*map(set, flats.values())))
        if not common:
            return float(min(len(self.seeds(key)) for key in keys))
        table = np.array([[flats[key][run] for key in keys] for run in common])
        return effective_count([seed for _, seed in common], table)

    def hashes(self, variant: str, seed: int, split: str) -> set[str]:
        """Recorded predictions of one run, one hash for each instruction set."""
        return {
            h for (v, s, p, _), h in self.predictions.items() if (v, s, p) == (variant, seed, split)
        }


def asked_in(variant: str, split: str) -> str:
    """A split's name among the recorded counts: a run with other data has splits of its own.

    >>> asked_in("cra", "test"), asked_in("cra@data.bias=0.95", "test")
    ('test', 'test@data.bias=0.95')
    """
    changes = variant.partition("@")[2].split(",")
    return "@".join([split, *(change for change in changes if change.startswith("data."))])


def add_runs(expected: Expected, runs: Iterable[Run]) -> None:
    """Add recorded values, or replace those of the same variant, seed and instruction set.

    Raises:
        InputError: a run that does not say its instruction set, or scored other questions.
    """
    for run in runs:
        if run.instruction_set == "unknown":
            raise InputError(
                f"{run.files.runtime}: no instruction_set, so these numbers cannot be recorded; "
                "train the run again (`cra sweep`)."
            )
        known = expected.questions.setdefault(asked_in(run.variant, run.split), run.questions)
        check_questions(run, known)
        for metric, value in run.values.items():
            values = expected.cells.setdefault(Key(run.variant, run.split, metric, run.rule), {})
            values.setdefault(run.instruction_set, {})[run.seed] = round(value, 4)
        if run.predictions_hash:
            name = run.variant, run.seed, run.split, run.instruction_set
            expected.predictions[name] = run.predictions_hash


def check_questions(run: Run, known: int) -> None:
    """Refuse a run on other questions than those recorded.

    Raises:
        InputError: naming the file and both counts.
    """
    if known and run.questions and run.questions != known:
        raise InputError(
            f"{run.files.scores(run.split)} has {run.questions} questions, the recorded split "
            f"{run.split} {known}; results of another data set or size are not comparable."
        )


def read_expected(path: Path, dataset: str) -> Expected | None:
    """The recorded numbers; None where nothing was recorded.

    Raises:
        InputError: a damaged file, another format, or another dataset's numbers.
    """
    if not path.is_file():
        return None
    content = read_json(path)
    if content.get("format") != FORMAT:
        raise InputError(
            f"{path}: format {content.get('format', 1)}, expected {FORMAT} (values of every seed); "
            f"record the runs again: `cra check {dataset} --record`."
        )
    if content.get("dataset") != dataset:
        raise InputError(f"{path} holds numbers of {content.get('dataset')!r}, not of {dataset!r}.")
    try:
        return _parsed(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: damaged ({type(error).__name__}: {error}); restore it from git, or record "
            f"the runs again: `cra check {dataset} --record`."
        ) from None


def _parsed(content: Mapping[str, Any]) -> Expected:
    expected = Expected(content["dataset"], content["profile"])
    for cell in content["cells"]:
        key = Key(*(cell[name] for name in Key._fields))
        expected.cells[key] = {
            name: {int(seed): float(value) for seed, value in seeds.items()}
            for name, seeds in cell["values"].items()
        }
        expected.intervals[key] = cell.get("interval")
    for row in content.get("predictions", []):
        name = row["variant"], int(row["seed"]), row["split"], row["instruction_set"]
        expected.predictions[name] = row["sha256"]
    expected.questions = {name: int(count) for name, count in content["questions"].items()}
    expected.provenance = dict(content.get("provenance", {}))
    expected.claims = dict(content.get("claims", {}))
    return expected


def write_expected(path: Path, expected: Expected) -> None:
    """Write the file, one cell, run and claim a line."""
    head = {
        "format": FORMAT,
        "dataset": expected.dataset,
        "profile": expected.profile,
        "questions": expected.questions,
        "provenance": expected.provenance,
    }
    order = sorted(expected.cells, key=lambda key: (*key[:2], CHECKED.index(key.metric)))
    cells = [
        {
            **key._asdict(),
            "values": {n: dict(sorted(v.items())) for n, v in sorted(expected.cells[key].items())},
            "interval": expected.intervals.get(key),
        }
        for key in order
    ]
    names = ("variant", "seed", "split", "instruction_set")
    predictions = [
        dict(zip(names, name, strict=True)) | {"sha256": digest}
        for name, digest in sorted(expected.predictions.items())
    ]
    parts = [json.dumps(head, indent=1).removesuffix("\n}")]
    parts += [f' "cells": {_lines(cells)}', f' "predictions": {_lines(predictions)}']
    claims = ",\n".join(f"  {json.dumps(n)}: {json.dumps(c)}" for n, c in expected.claims.items())
    parts.append(f' "claims": {{\n{claims}\n }}' if claims else ' "claims": {}')
    with atomic(path) as partial:
        partial.write_text(",\n".join(parts) + "\n}\n", encoding="utf-8")


def _lines(rows: list[dict[str, Any]]) -> str:
    return "[\n" + ",\n".join("  " + json.dumps(row) for row in rows) + "\n ]" if rows else "[]"
