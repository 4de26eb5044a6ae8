"""Score files set among the published results, so that only like is compared with like.

``results/published.csv`` has one row a published result. Beside the metrics (percent, empty where
not published) it says what a fair comparison needs:

* ``dataset``, ``split``, ``subset`` (all, or a question type) and ``kind``: main, human, ablation,
  log (the authors' training log), by type, or same-video;
* ``supervision``: weak (no intervals seen), pre-trained grounding, zero-shot, validation grounding;
* ``span_rule``: how the interval was read off, where known; "(inferred)" where only the numbers
  say so;
* ``grade``: P copied from a paper's table, R read in a repository or log, S second hand;
* ``source`` and ``note``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cra_lib.datasets import DATASETS
from cra_lib.evaluator.metrics import METRICS
from cra_lib.evaluator.readers import read_json_object
from cra_lib.evaluator.score_text import table_text
from cra_lib.paths import require
from cra_lib.records import InputError, open_text

ABOUT = ("method", "backbone", "supervision", "span_rule")
"""What a leaderboard row says about itself before its metrics."""

SAME_VIDEO = "same-video IoU"


def read_published(path: Path) -> list[dict[str, Any]]:
    """The published rows; metrics as float, None where empty or where the file has no such column.

    Raises:
        InputError: the file is missing or no csv, lacks a column about its rows, or a metric is no
            number.
    """
    require(path, "Published results", "Give their file with --published.")
    with open_text(path, newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    needed = {"dataset", "split", "kind", "subset", "grade", "source", *ABOUT}
    if missing := sorted(needed - set(rows[0] if rows else ())):
        raise InputError(f"{path}: no column {missing[0]!r}; is it a file of published results?")
    for number, row in enumerate(rows, start=2):
        for name in (*METRICS, SAME_VIDEO):
            try:
                row[name] = float(row[name]) if row.get(name) else None
            except ValueError:
                raise InputError(
                    f"{path}, row {number}: {name!r} should be a number, got {row[name]!r}."
                ) from None
    return rows


def main_rows(
    rows: Iterable[Mapping[str, Any]], dataset: str, split: str, kinds: Sequence[str] = ("main",)
) -> list[dict[str, Any]]:
    """The rows of a dataset's main tables for a split as it is called here; may be none."""
    known = DATASETS.get(dataset)
    there = known.published_as.get(split, split) if known else split
    wanted = dataset, there, "all"
    return [
        dict(row)
        for row in rows
        if (row["dataset"], row["split"], row["subset"]) == wanted and row["kind"] in kinds
    ]


def scored_rows(path: Path) -> list[dict[str, Any]]:
    """One leaderboard row for each rule of a score file, and for each of its blind intervals.

    Raises:
        InputError: the file is no score report.
    """
    report = read_json_object(path)
    if not isinstance(report.get("header"), dict) or not isinstance(report.get("rules"), dict):
        raise InputError(
            f"{path}: expected a score report; write one with `cra evaluate ... --json FILE`."
        )
    header = report["header"]
    name = header.get("name") or header.get("variant") or path.stem
    about = {"source": str(path), "grade": "ours", "split": header.get("split", "")}
    rows = [
        {"method": f"> {name}", "span_rule": rule, **about, **values}
        for rule, values in report["rules"].items()
    ]
    blind = report.get("blind", {})
    rows += [
        {"method": f"> {name} (answers)", "span_rule": f"blind: {row}", **about, **values}
        for row, values in blind.items()
    ]
    return rows


def board(
    published: Iterable[Mapping[str, Any]],
    score_files: Sequence[Path],
    dataset: str,
    split: str,
    sort: str = "Acc@GQA",
) -> list[dict[str, Any]]:
    """Published rows and score files of one dataset and split, best first.

    Raises:
        InputError: an unknown metric, nothing published, or a score file of another split.
    """
    if sort not in METRICS:
        raise InputError(f"Unknown metric {sort!r}; the metrics are: {', '.join(METRICS)}.")
    published = list(published)
    rows = main_rows(published, dataset, split, ("main", "human"))
    if not rows:
        known = sorted({f"{row['dataset']} {row['split']}" for row in published})
        raise InputError(f"Nothing published for {dataset} {split}; there are: {', '.join(known)}.")
    for path in score_files:
        ours = scored_rows(path)
        if ours and ours[0]["split"] not in ("", split):
            raise InputError(f"{path} scores split {ours[0]['split']!r}, not {split!r}.")
        rows += ours
    columns = (*ABOUT, *METRICS, "grade", "source")
    chosen = [{name: row.get(name) for name in columns} for row in rows]
    return sorted(chosen, key=lambda row: -1.0 if row[sort] is None else row[sort], reverse=True)


def board_text(rows: Sequence[Mapping[str, Any]], dataset: str, split: str) -> str:
    """The leaderboard as a table; rows that start with > come from score files."""
    cells = [
        [row["method"], *(row[name] or "" for name in ABOUT[1:]), *(row[m] for m in METRICS)]
        for row in rows
    ]
    title = f"{dataset} {split}; rows with > are from score files; - is not published"
    headings = ("method", "backbone", "supervision", "span rule", *METRICS)
    return f"{title}\n{table_text(headings, cells)}"
