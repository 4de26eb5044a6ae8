"""Obtained against expected numbers: does this machine's run say what ours said?

``results/expected/<dataset>.json`` is written by ``cra check --record`` from a real run::

    {"dataset": "shapes", "profile": "quick",
     "provenance": {"seeds": [2024], "commit": {...}, "device": {...}, "versions": {...}},
     "cells": [{"variant": "cra", "split": "test", "metric": "Acc@QA", "rule": "post-hoc",
                "value": 75.1, "tolerance": 4.2, "interval": [70.9, 79.4]}, ...]}

Values are percentages, means over the seeds. Where nothing was recorded, the published number is
what an obtained one is compared with.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from cra_lib.datasets import dataset_named
from cra_lib.evaluator import leaderboard
from cra_lib.paths import ResultFiles, atomic
from cra_lib.records import InputError, read_json

CHECKED = ("Acc@QA", "Acc@GQA", "mIoP", "mIoU")
"""Metrics that are recorded and compared."""
LEAST_TOLERANCE = 3.0
"""Points by which a training on another machine may differ, whatever the interval says."""
PUBLISHED_TOLERANCE = 2.0
"""Points around a published number: the spread that the authors' own logs show between runs."""
METHODS = {
    "cra": "CRA", "cra-released": "CRA", "post-hoc": "PH", "post-hoc-released": "PH",
    "ng": "NG", "ng+": "NG+", "ng+-released": "NG+",
}  # fmt: skip
"""Variant -> method in results/published.csv."""

Key = tuple[str, str, str]
"""Variant, split, metric."""


@dataclass(frozen=True)
class Cell:
    """One number of the tables, from up to three sources; None where a source has none."""

    variant: str
    split: str
    metric: str
    published: float | None
    obtained: float | None
    expected: float | None
    tolerance: float | None

    @property
    def verdict(self) -> str:
        """``ok``, ``outside``, ``not run``, or ``-`` where there is nothing to compare with."""
        reference = self.published if self.expected is None else self.expected
        if self.obtained is None:
            return "not run"
        if reference is None or self.tolerance is None:
            return "-"
        return "ok" if abs(self.obtained - reference) <= self.tolerance + 1e-9 else "outside"


def read_obtained(results: ResultFiles, splits: Iterable[str]) -> dict[Key, dict[str, Any]]:
    """(variant, split, metric) -> value and interval (means over seeds), rule and seeds."""
    found: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for split in splits:
        for path in sorted(results.root.glob(f"runs/*/seed*/scores_{split}.json")):
            report = read_json(path)
            rule = report["header"].get("rule") or next(iter(report["rules"]))
            for metric in CHECKED:
                value = report["rules"][rule].get(metric)
                if value is not None:
                    seed = int(path.parent.name.removeprefix("seed"))
                    interval = report.get("intervals", {}).get(rule, {}).get(metric)
                    cell = {"value": value, "interval": interval, "rule": rule, "seed": seed}
                    found[path.parent.parent.name, split, metric].append(cell)
    return {key: _mean_cell(cells) for key, cells in sorted(found.items())}


def _mean_cell(cells: list[dict[str, Any]]) -> dict[str, Any]:
    intervals = [cell["interval"] for cell in cells if cell["interval"]]
    return {
        "rule": cells[0]["rule"],
        "value": round(fmean(cell["value"] for cell in cells), 2),
        "interval": [round(fmean(ends), 2) for ends in zip(*intervals, strict=True)] or None,
        "seeds": sorted(cell["seed"] for cell in cells),
    }


def read_expected(path: Path) -> dict[Key, dict[str, Any]]:
    """(variant, split, metric) -> recorded cell; empty where nothing was recorded."""
    if not path.is_file():
        return {}
    return {(c["variant"], c["split"], c["metric"]): c for c in read_json(path)["cells"]}


def read_published(path: Path, dataset: str) -> dict[tuple[str, str, str], float]:
    """(method, split, metric) -> number of the Temp[CLIP] rows of the main tables."""
    if not path.is_file():
        return {}
    numbers = {}
    for row in leaderboard.read_published(path):
        main = row["kind"] == "main" and row["subset"] == "all"
        if main and row["dataset"] == dataset and row["backbone"] == "Temp[CLIP]":
            for metric in CHECKED:
                if row[metric] is not None:
                    numbers[row["method"], row["split"], metric] = row[metric]
    return numbers


def compare_all(
    dataset: str, results: ResultFiles, expected_path: Path, published_path: Path
) -> list[Cell]:
    """Every number that was obtained or expected, variant by variant.

    Raises:
        InputError: nothing was obtained yet.
    """
    obtained = read_obtained(results, dataset_named(dataset).evaluated)
    if not obtained:
        raise InputError(f"No scores in {results.root}; run ./reproduce.sh {dataset} first.")
    expected = read_expected(expected_path)
    published = read_published(published_path, dataset)
    cells = []
    for key in sorted(obtained.keys() | expected.keys(), key=_table_order):
        variant, split, metric = key
        wanted = expected.get(key, {})
        print_value = published.get((METHODS.get(variant, ""), split, metric))
        tolerance = wanted.get("tolerance", PUBLISHED_TOLERANCE if print_value else None)
        value = obtained.get(key, {}).get("value")
        cells.append(Cell(*key, print_value, value, wanted.get("value"), tolerance))
    return cells


def _table_order(key: Key) -> tuple[str, str, int]:
    return key[0], key[1], CHECKED.index(key[2])


def as_text(cells: Iterable[Cell]) -> str:
    """The table that ``./reproduce.sh check`` prints."""
    head = ("variant", "split", "metric", "published", "obtained", "expected", "tolerance")
    lines = [f"{head[0]:<18}{head[1]:<10}{head[2]:<9}" + "".join(f"{h:>11}" for h in head[3:])]
    lines[0] += "  verdict"
    for cell in cells:
        numbers = (cell.published, cell.obtained, cell.expected, cell.tolerance)
        shown = "".join("          -" if n is None else f"{n:>11.2f}" for n in numbers)
        lines.append(f"{cell.variant:<18}{cell.split:<10}{cell.metric:<9}{shown}  {cell.verdict}")
    return "\n".join(lines)


def expected_of(
    obtained: dict[Key, dict[str, Any]], header: dict[str, Any], tolerance: float | None = None
) -> dict[str, Any]:
    """The document to record: a cell's tolerance is half its 95 % interval, 3 points at least.

    Args:
        header: dataset, profile and provenance.
        tolerance: the same number for every cell instead.
    """
    cells = []
    for (variant, split, metric), cell in obtained.items():
        low, high = cell["interval"] or (0.0, 0.0)
        points = (
            round(max(LEAST_TOLERANCE, (high - low) / 2), 2) if tolerance is None else tolerance
        )
        cells.append(
            {"variant": variant, "split": split, "metric": metric, "rule": cell["rule"],
             "value": cell["value"], "tolerance": points, "interval": cell["interval"]}
        )  # fmt: skip
    return {**header, "cells": cells}


def record_expected(path: Path, document: dict[str, Any]) -> None:
    """Write ``results/expected/<dataset>.json``, one cell a line."""
    head = {name: value for name, value in document.items() if name != "cells"}
    lines = ",\n".join("  " + json.dumps(cell) for cell in document["cells"])
    text = json.dumps(head, indent=1).rstrip("}").rstrip() + f',\n "cells": [\n{lines}\n ]\n}}\n'
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def markdown_table(document: dict[str, Any], split: str = "test") -> str:
    """The recorded numbers of one split as the README shows them."""
    rows: dict[str, dict[str, str]] = defaultdict(dict)
    for cell in document["cells"]:
        if cell["split"] == split:
            shown = f"{cell['value']:.1f}"
            if cell["interval"]:
                shown += f" [{cell['interval'][0]:.1f}, {cell['interval'][1]:.1f}]"
            rows[cell["variant"]][cell["metric"]] = shown
    lines = [f"| variant | {' | '.join(CHECKED)} |", "|---|" + "---|" * len(CHECKED)]
    for variant, cells in rows.items():
        values = " | ".join(cells.get(metric, "-") for metric in CHECKED)
        lines.append(f"| `{variant}` | {values} |")
    return "\n".join(lines)


BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def with_results(readme: str, document: dict[str, Any]) -> str:
    """The README with its results table replaced by the recorded numbers."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{markdown_table(document)}\n{END}{after}"
