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
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cra_lib.datasets import DATASETS
from cra_lib.evaluator.metrics import METRICS
from cra_lib.evaluator.spans import RULES
from cra_lib.paths import require
from cra_lib.records import InputError, is_finite_number, open_text, read_json

ABOUT = ("method", "backbone", "supervision", "span_rule")
"""What a leaderboard row says about itself before its metrics."""

SAME_VIDEO = "same-video IoU"
OURS = ">"
"""Begins the method of a row that comes from a score file."""
BLIND = "blind: "
DESCRIBED = "described"
"""Marks a span rule that differs from the released one."""
SHORT = {"weak": "w", "pre-trained grounding": "p", "zero-shot": "z", "validation grounding": "v",
         "unclear": "u", "human": "h"}  # fmt: skip
"""Supervision -> its letter in the table."""
WIDTH = 100
_TEXT_COLUMNS = ((2, "#"), (22, "method"), (13, "backbone"), (3, "sup"), (14, "span rule"))
_METRIC = 4


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


def published_rows(
    rows: Iterable[Mapping[str, Any]], dataset: str, split: str
) -> tuple[list[dict[str, Any]], str]:
    """The rows to stand among, and what they are in words.

    A split that no main table publishes shows the authors' training logs instead, named so.

    Raises:
        InputError: there is neither; the sentence lists what there is, by our names of splits.
    """
    rows = list(rows)
    known = DATASETS.get(dataset)
    aliases = known.published_as if known else {}
    if split in aliases.values() and split not in aliases:
        ours = next(name for name, papers in aliases.items() if papers == split)
        raise InputError(
            f"What papers on {dataset} call {split} is the split {ours} here, and nobody has "
            f"published our {split}; give --split {ours}."
        )
    if found := main_rows(rows, dataset, split, ("main", "human")):
        return found, "published main tables"
    if found := main_rows(rows, dataset, split, ("log",)):
        return found, f"no main table publishes {split}: the authors' training log"
    there = {(row["dataset"], row["split"]) for row in rows if row["kind"] == "main"}
    ours = {(d, s): next((o for o, p in DATASETS[d].published_as.items() if p == s), s)
            if d in DATASETS else s for d, s in there}  # fmt: skip
    names = ", ".join(sorted(f"{d} {name}" for (d, _), name in ours.items()))
    raise InputError(f"Nothing published for {dataset} {split}; there are main tables of: {names}.")


def read_report(path: Path) -> dict[str, Any]:
    """A score report from its file.

    Raises:
        InputError: the file cannot be read or is none; the sentence names the part at fault.
    """
    remedy = "write one with `cra evaluate ... --json FILE`"
    report = read_json(require(path, "Score report", f"{remedy.capitalize()}."))
    parts = ("header", "rules")
    if not isinstance(report, dict) or not all(isinstance(report.get(p), dict) for p in parts):
        raise InputError(f"{path}: expected a score report; {remedy}.")
    for part in ("rules", "blind"):
        for name, values in report.get(part, {}).items():
            if not isinstance(values, dict):
                raise InputError(f"{path}: {part}, {name!r} holds no scores; {remedy}.")
            for metric in METRICS:
                value = values.get(metric)
                if value is not None and not is_finite_number(value):
                    raise InputError(
                        f"{path}: {metric} of {name!r} should be a number, got {value!r:.60}; "
                        f"{remedy}."
                    )
    return report


def differs_as_released(rule: str, header: Mapping[str, Any]) -> bool:
    """Were intervals read off by a rule of ours where published rows use the released one?"""
    known = RULES.get(rule)
    return bool(known and known.differs_as_released and header.get("windows") == "described")


def scored_rows(path: Path) -> list[dict[str, Any]]:
    """One leaderboard row for each rule of a score file, and for each of its blind intervals.

    A rule that is not the released one says so: ``windows (described)``.

    Raises:
        InputError: the file is no score report.
    """
    report = read_report(path)
    header = report["header"]
    name = header.get("name") or header.get("variant") or path.stem
    about = {"source": str(path), "grade": "ours", "split": header.get("split", "")}
    rows = [
        {
            "method": f"{OURS} {name}",
            "span_rule": f"{rule} ({DESCRIBED})" if differs_as_released(rule, header) else rule,
            **about,
            **values,
        }
        for rule, values in report["rules"].items()
    ]
    return rows + [
        {"method": f"{OURS} {name} (blind)", "span_rule": f"{BLIND}{row}", **about, **values}
        for row, values in report.get("blind", {}).items()
    ]


def board(
    published: Iterable[Mapping[str, Any]],
    score_files: Sequence[Path],
    dataset: str,
    split: str,
    sort: str = "Acc@GQA",
) -> list[dict[str, Any]]:
    """Published rows and score files of one dataset and split, best first, with their ``rank``.

    Equal scores share a rank; blind rows, people and rows without the metric have none.

    Raises:
        InputError: an unknown metric, nothing published, or a score file of another split.
    """
    if sort not in METRICS:
        raise InputError(f"Unknown metric {sort!r}; the metrics are: {', '.join(METRICS)}.")
    rows: list[Mapping[str, Any]] = list(published_rows(published, dataset, split)[0])
    for path in score_files:
        ours = scored_rows(path)
        if ours and ours[0]["split"] not in ("", split):
            raise InputError(
                f"{path} scores split {ours[0]['split']!r}, not {split!r}; give --split "
                f"{ours[0]['split']}."
            )
        rows += ours
    columns = (*ABOUT, *METRICS, "grade", "source")
    chosen = [{name: row.get(name) for name in columns} for row in rows]
    chosen.sort(key=lambda row: -math.inf if row[sort] is None else row[sort], reverse=True)
    competing = [row[sort] for row in chosen if _competes(row, sort)]
    return [
        {"rank": competing.index(row[sort]) + 1 if _competes(row, sort) else None, **row}
        for row in chosen
    ]


def _competes(row: Mapping[str, Any], sort: str) -> bool:
    blind = (row["span_rule"] or "").startswith(BLIND)
    return not blind and row["supervision"] != "human" and row[sort] is not None


def board_text(
    rows: Sequence[Mapping[str, Any]], dataset: str, split: str, about: str = "published"
) -> str:
    """The leaderboard as a table of at most WIDTH columns, with a legend of its short forms.

    As many metrics are shown as fit; ``--csv`` has all of them.
    """
    room = WIDTH - sum(width + 1 for width, _ in _TEXT_COLUMNS)
    shown = list(METRICS.values())[: room // (_METRIC + 1)]
    lines = [f"{dataset} {split}; {about}; rows with {OURS} are from score files"]
    heading = [name.ljust(width) for width, name in _TEXT_COLUMNS]
    lines.append(" ".join([*heading, *(m.short.rjust(_METRIC) for m in shown)]))
    lines.append("-" * len(lines[-1]))
    for row in rows:
        rule = (
            (row["span_rule"] or "")
            .removeprefix(BLIND)
            .replace(f" ({DESCRIBED})", "*")
            .replace(" (inferred)", "?")
        )
        supervision = row["supervision"] or ""
        rank = "" if row["rank"] is None else str(row["rank"])
        texts = (rank, row["method"], row["backbone"] or "", SHORT.get(supervision, ""), rule)
        cells = [_fitted(t, width) for t, (width, _) in zip(texts, _TEXT_COLUMNS, strict=True)]
        numbers = ["-" if row[m.name] is None else f"{row[m.name]:.1f}" for m in shown]
        lines.append(" ".join([*cells, *(text.rjust(_METRIC) for text in numbers)]).rstrip())
    legend = ", ".join(f"{short} {name}" for name, short in SHORT.items())
    lines += [
        "",
        f"sup: {legend}; {', '.join(f'{m.short} is {m.name}' for m in shown if m.short != m.name)}",
        "? the rule is inferred from the numbers",
    ]
    if any(DESCRIBED in (row["span_rule"] or "") for row in rows):
        lines.append(
            "* our described windows, not the released rule of published rows: they may score "
            "points higher on the same weights; `cra evaluate --official` compares like with like"
        )
    return "\n".join(part for line in lines for part in wrapped(line))


def wrapped(line: str) -> list[str]:
    """A line of prose in lines of at most WIDTH characters; tables are not touched."""
    return textwrap.wrap(line, WIDTH, subsequent_indent="  ") if len(line) > WIDTH else [line]


def _fitted(text: str, width: int) -> str:
    return (text if len(text) <= width else f"{text[: width - 1]}…").ljust(width)
