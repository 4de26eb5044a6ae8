"""The tables of the paper and of the report, as DataFrames with readable headings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from cra_lib.data.doctor import examine
from cra_lib.data.download import readable
from cra_lib.evaluator.blind import BLIND_ROWS
from cra_lib.evaluator.metrics import HEADLINE, METRICS
from cra_lib.paths import DataFiles
from cra_lib.reporting.looks import in_order, look
from cra_lib.reporting.tables.reading import Report

TYPE_ORDER = ("CW", "CH", "TN", "TP", "TC", "DC", "DL", "DO")
OUTCOMES = (
    "right and grounded",
    "right but ungrounded",
    "wrong but grounded",
    "wrong and ungrounded",
    "faithful rate",
)


CARD_NAMES = {
    "videos": "videos",
    "questions": "questions",
    "segments": "segments",
    "mean_segment_s": "segment (s)",
    "mean_video_s": "video (s)",
    "mean_ratio": "segment / video",
}
"""Entry of a split in data_card.json -> heading."""


def dataset_table(
    card: Mapping[str, Any], counted: Mapping[str, Mapping[str, int]] | None = None
) -> pd.DataFrame:
    """One row a split of a data card: counts, and mean lengths where evidence is annotated.

    Args:
        counted: split -> what its authors count, in columns of their own.
    """
    rows, whole = [], ["videos", "questions", "segments"]
    theirs = {f"{name} (authors)": name for name in whole if counted}
    for split, facts in card["splits"].items():
        ours = {head: facts.get(name) or None for name, head in CARD_NAMES.items()}
        known = (counted or {}).get(split, {})
        rows.append({"split": split} | ours | {head: known.get(n) for head, n in theirs.items()})
    return pd.DataFrame(rows).astype(dict.fromkeys((*whole, *theirs), "Int64"))


def answer_table(counts: Counter[str], top: int = 10) -> pd.DataFrame:
    """The most frequent answers of some questions: how often each is right, in percent of all."""
    total = max(1, counts.total())
    rows = [(answer, n, 100 * n / total) for answer, n in counts.most_common(top)]
    return pd.DataFrame(rows, columns=["answer", "questions", "share (%)"])


def answers_in_words(counts: Counter[str], words: Sequence[str]) -> str:
    """One sentence about the answers of questions that mention every one of some words."""
    asked, total = " and ".join(f'"{word}"' for word in words), counts.total()
    if not total:
        return f"No training question mentions both {asked}."
    [(answer, most)] = counts.most_common(1)
    return (
        f"{total:,} training questions mention both {asked}: {len(counts):,} different answers, "
        f'the most frequent one ("{answer}") to {100 * most / total:.1f} % of them.'
    )


def missing_table(dataset: str, files: DataFiles) -> pd.DataFrame:
    """What is not there of a dataset's files and models, as `cra doctor` finds it: a row each."""
    rows = [
        {
            "missing": finding.name,
            "size": "unknown" if finding.size is None else readable(finding.size),
            "what it is": finding.purpose,
            "works without it": finding.without.replace("`", ""),
            "from": finding.source.replace("`", "") or "its authors",
        }
        for finding in examine(dataset, files)
        if finding.status != "present"
    ]
    return pd.DataFrame(rows, columns=["missing", "size", "what it is", "works without it", "from"])


def question_counts(card: Mapping[str, Any]) -> pd.DataFrame:
    """Questions per split (rows) and type (columns) of a data card."""
    counts = {split: facts["types"] for split, facts in card["splits"].items()}
    kinds = {kind for types in counts.values() for kind in types}
    order = [kind for kind in TYPE_ORDER if kind in kinds] + sorted(kinds - set(TYPE_ORDER))
    return pd.DataFrame(counts).T.reindex(columns=order).fillna(0).astype(int)


def main_table(
    scores: pd.DataFrame, split: str, published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """All metrics of every method on one split; over several seeds as mean +- sd.

    Published rows, where there are any, come first and are marked so.
    """
    ours = scores[scores["split"] == split]
    rows = []
    for _, row in (published if published is not None else pd.DataFrame()).iterrows():
        backbone = f", {row.backbone}" if isinstance(row.backbone, str) and row.backbone else ""
        rule = row.span_rule if isinstance(row.span_rule, str) else ""
        numbers = {metric: row[metric] for metric in METRICS}
        rows.append(
            {"method": f"{row.method}{backbone}", "from": "published", "span": rule} | numbers
        )
    for variant in in_order(ours["variant"]):
        mine = ours[ours["variant"] == variant]
        cells = {metric: _cell(mine[mine["metric"] == metric]["value"]) for metric in METRICS}
        rule = mine["rule"].iloc[0]
        rows.append({"method": look(variant).label, "from": "this run", "span": rule} | cells)
    table = pd.DataFrame(rows, columns=["method", "from", "span", *METRICS])
    return table.drop(columns="from") if (table["from"] == "this run").all() else table


def _cell(values: pd.Series) -> float | str:
    """One seed: the number; several: mean and standard deviation."""
    if len(values) == 1:
        return float(values.iloc[0])
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}" if len(values) else np.nan


def interval_table(scores: pd.DataFrame, split: str) -> pd.DataFrame:
    """Means over seeds as ``value [low, high]``; one seed's intervals are over videos alone."""
    ours = scores[(scores["split"] == split) & scores["metric"].isin(HEADLINE)]
    means = ours.groupby(["variant", "metric"])[["value", "low", "high"]].mean()
    rows = []
    for variant in in_order(ours["variant"]):
        cells = {metric: with_interval(*means.loc[variant, metric]) for metric in HEADLINE}
        seeds = ours[ours["variant"] == variant]["seed"].nunique()
        rows.append({"method": look(variant).label, "seeds": seeds, **cells})
    return pd.DataFrame(rows, columns=["method", "seeds", *HEADLINE])


def interval_meaning(seeds: int) -> str:
    """What the intervals of a report cover, and what can be claimed from them.

    Args:
        seeds: of the variant that has the fewest.
    """
    if seeds > 1:
        return f"over seeds and test videos together ({seeds} seeds or more)"
    return "over the test videos of one seed, which support no claim between methods"


def with_interval(value: float, low: float, high: float) -> str:
    """
    >>> with_interval(48.06, 45.0, 51.24)
    '48.1 [45.0, 51.2]'
    """
    ends = "" if np.isnan(low) else f" [{low:.1f}, {high:.1f}]"
    return "" if np.isnan(value) else f"{value:.1f}{ends}"


def seed_table(scores: pd.DataFrame, split: str) -> pd.DataFrame:
    """Mean and sample standard deviation over seeds; one seed has no deviation."""
    ours = scores[(scores["split"] == split) & scores["metric"].isin(HEADLINE)]
    rows = []
    for variant in in_order(ours["variant"]):
        mine = ours[ours["variant"] == variant]
        row: dict[str, object] = {"method": look(variant).label, "seeds": mine["seed"].nunique()}
        for metric in HEADLINE:
            values = mine[mine["metric"] == metric]["value"]
            row |= {metric: values.mean(), f"{metric} sd": values.std(ddof=1)}
        rows.append(row)
    return pd.DataFrame(rows)


def ablation_table(ablation: pd.DataFrame) -> pd.DataFrame:
    """Differences to CRA in points as ``difference [low, high]`` from `reading.ablation`."""
    found = ablation.set_index(["variant", "metric"])
    rows = []
    for variant in in_order(ablation["variant"]):
        cells = {}
        for metric in HEADLINE:
            if (variant, metric) in found.index:
                row = found.loc[(variant, metric)]
                cells[metric] = f"{row.difference:+.1f} [{row.low:+.1f}, {row.high:+.1f}]"
        seeds = int(ablation.loc[ablation["variant"] == variant, "seeds"].iloc[0])
        rows.append({"method": look(variant).label, "seeds": seeds, **cells})
    return pd.DataFrame(rows, columns=["method", "seeds", *HEADLINE])


def bias_table(scores: pd.DataFrame, splits: Sequence[str]) -> pd.DataFrame:
    """Headline scores of every method on every split, with intervals, a column a split."""
    rows = []
    keys = ["metric", "variant", "split"]
    means = scores[scores["split"].isin(splits)].groupby(keys)[["value", "low", "high"]].mean()
    for metric in HEADLINE:
        for variant in in_order(scores["variant"]):
            cells = {
                split: with_interval(*means.loc[(metric, variant, split)])
                for split in splits
                if (metric, variant, split) in means.index
            }
            rows.append({"metric": metric, "method": look(variant).label, **cells})
    return pd.DataFrame(rows, columns=["metric", "method", *splits])


def type_table(reports: Sequence[Report], split: str, metric: str = "Acc@GQA") -> pd.DataFrame:
    """One metric by question type (rows) and variant (columns), averaged over seeds."""
    rows = [
        {"type": kind, "variant": report.variant, "value": scores[metric]}
        for report in reports
        if report.split == split
        for kind, scores in report.content["by_type"].get(report.rule, {}).items()
    ]
    table = pd.DataFrame(rows, columns=["type", "variant", "value"])
    table["value"] = table["value"].astype(float)
    wide = table.pivot_table(index="type", columns="variant", values="value", sort=False)
    return wide.reindex(columns=in_order(wide.columns))


def faithfulness_table(reports: Sequence[Report], split: str) -> pd.DataFrame:
    """The four outcomes and the faithful rate per variant (rows), averaged over seeds."""
    rows = {
        (report.variant, report.seed): report.content["faithfulness"][report.rule]
        for report in reports
        if report.split == split and report.rule in report.content["faithfulness"]
    }
    table = pd.DataFrame(rows).T.reindex(columns=list(OUTCOMES)).astype(float)
    means = table.groupby(level=0).mean() if len(table) else table
    return means.reindex(in_order(means.index))


def blind_table(reports: Sequence[Report], split: str, variant: str = "cra") -> pd.DataFrame:
    """Scores of intervals that ignore the video, with the answers of one variant."""
    mine = [r for r in reports if r.split == split and r.variant == variant]
    rows = []
    for name in BLIND_ROWS:
        found = [
            report.content["blind"][name] for report in mine if name in report.content["blind"]
        ]
        if found:
            means = {
                m: fmean(one[m] if one[m] is not None else np.nan for one in found) for m in METRICS
            }
            rows.append({"interval": name, **means})
    return pd.DataFrame(rows, columns=["interval", *METRICS])


def reference_table(reference: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Acc@QA of the computed answerers (rows) per split (columns)."""
    table = pd.DataFrame(reference)
    table.index = [str(name).replace("_", " ") for name in table.index]
    return table.rename_axis("answerer").reset_index()


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """A table by variant (rows or columns) with the variants' names as readers know them."""
    names = {v: look(v).label for v in [*table.index.astype(str), *table.columns.astype(str)]}
    known = {name: label for name, label in names.items() if name != label}
    return table.rename(index=known, columns=known).rename_axis(
        index=lambda name: name or "method", columns=None
    )
