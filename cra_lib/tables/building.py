"""The tables of the paper and of the report, as DataFrames with readable headings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import numpy as np
import pandas as pd

from cra_lib.blind import BLIND_ROWS
from cra_lib.figures.style import in_order, look
from cra_lib.metrics import METRICS
from cra_lib.records import Question, Truth
from cra_lib.tables.reading import Report

HEADLINE = ("Acc@QA", "Acc@GQA", "mIoU")
TYPE_ORDER = ("CW", "CH", "TN", "TP", "TC", "DC", "DL", "DO")
OUTCOMES = (
    "right and grounded",
    "right but ungrounded",
    "wrong but grounded",
    "wrong and ungrounded",
    "faithful rate",
)


def dataset_statistics(
    questions: Mapping[str, Sequence[Question]], truths: Mapping[str, Mapping[str, Truth]]
) -> pd.DataFrame:
    """One row a split: counts, and mean lengths where the evidence is annotated.

    Args:
        questions: split -> its questions.
        truths: split -> its truths; a split without annotated evidence is left out.
    """
    rows = []
    for split, asked in questions.items():
        known = truths.get(split, {})
        spans = [span for truth in known.values() for span in truth.segments]
        durations = {truth.video_id: truth.duration for truth in known.values()}
        lengths = [span.end - span.start for span in spans]
        ratios = segment_ratios(known)
        rows.append(
            {
                "split": split,
                "videos": len({question.video_id for question in asked}),
                "questions": len(asked),
                "segments": len(spans) or np.nan,
                "segment (s)": fmean(lengths) if lengths else np.nan,
                "video (s)": fmean(durations.values()) if durations else np.nan,
                "segment / video": fmean(ratios) if ratios else np.nan,
            }
        )
    return pd.DataFrame(rows).astype({"segments": "Int64"})


def segment_ratios(truths: Mapping[str, Truth]) -> list[float]:
    """Length of every annotated segment relative to its video, as annotated (not clipped)."""
    return [
        (span.end - span.start) / truth.duration
        for truth in truths.values()
        for span in truth.segments
    ]


def question_counts(questions: Mapping[str, Iterable[Question]]) -> pd.DataFrame:
    """Questions per split (rows) and type (columns)."""
    rows = [(split, question.type) for split, asked in questions.items() for question in asked]
    table = pd.DataFrame(rows, columns=["split", "type"])
    kinds = [kind for kind in TYPE_ORDER if kind in set(table["type"])]
    kinds += sorted(set(table["type"]) - set(kinds))
    return pd.crosstab(table["split"], table["type"]).reindex(list(questions))[kinds]


def answer_cooccurrence(
    questions: Iterable[Question], words: Sequence[str], top: int = 8
) -> pd.DataFrame:
    """Percent of the questions with each word that have each right answer (Fig. 1b).

    Rows are the ``top`` answers whose shares differ most between the words. A question that holds
    several of the words is left out: it says nothing about their difference.
    """
    found = []
    for question in questions:
        held = set(question.text.lower().replace("?", " ").split()) & set(words)
        if len(held) == 1 and question.answer is not None:
            found.append((question.choices[question.answer].strip(), held.pop()))
    pairs = pd.DataFrame(found, columns=["answer", "word"])
    counts = pd.crosstab(pairs["answer"], pairs["word"]).reindex(columns=list(words), fill_value=0)
    shares = 100 * counts / counts.sum().clip(lower=1)
    spread = (shares.max(axis=1) - shares.min(axis=1)).sort_values(ascending=False, kind="stable")
    chosen = shares.loc[spread.index[:top]]
    return chosen.sort_values(list(words)[0], ascending=False, kind="stable")


def main_table(
    scores: pd.DataFrame, split: str, published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """All metrics of every method on one split; over several seeds as mean +- sd.

    Published rows, where there are any, come first and are marked so.
    """
    ours = scores[scores["split"] == split]
    rows = []
    for _, row in (published if published is not None else pd.DataFrame()).iterrows():
        backbone = f", {row.backbone}" if isinstance(row.backbone, str) else ""
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
    """The headline scores as ``value [low, high]``: averages over seeds of the 95 % intervals."""
    ours = scores[(scores["split"] == split) & scores["metric"].isin(HEADLINE)]
    means = ours.groupby(["variant", "metric"])[["value", "low", "high"]].mean()
    rows = []
    for variant in in_order(ours["variant"]):
        cells = {metric: with_interval(*means.loc[variant, metric]) for metric in HEADLINE}
        rows.append({"method": look(variant).label, **cells})
    return pd.DataFrame(rows, columns=["method", *HEADLINE])


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
        rows.append({"method": look(variant).label, **cells})
    return pd.DataFrame(rows, columns=["method", *HEADLINE])


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
    return table.rename(index=known, columns=known)
