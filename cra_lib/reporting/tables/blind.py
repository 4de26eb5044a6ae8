"""Published results beside what an interval gets that never saw the video or the question."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cra_lib.evaluator import leaderboard
from cra_lib.evaluator.metrics import METRICS
from cra_lib.evaluator.scores import blind_intervals
from cra_lib.records import InputError, Truth
from cra_lib.reporting.tables.building import with_interval

NOBODY = "none"
"""Supervision of a blind interval."""
SAME_ANSWERS = "blind Acc@GQA"
COLUMNS = ["row", "method", "supervision", "span", "metric", "value", "low", "high"]


def blind_scores(
    truths: Mapping[str, Truth], published: Path, dataset: str, split: str, samples: int = 1000
) -> pd.DataFrame:
    """One line a row of the table and metric: COLUMNS, in percent.

    Blind intervals come first, with 95 % intervals over resampled videos; then every published row
    of that split as papers call it (the authors' training log where no table has it), NaN for ends
    that nobody has published.
    """
    found = [
        {"method": name, "supervision": NOBODY, "span": "blind", "scores": scores}
        for name, scores in blind_intervals(truths, samples).items()
    ]
    try:
        rows, _ = leaderboard.published_rows(leaderboard.read_published(published), dataset, split)
    except InputError:  # nobody has published this split
        rows = []
    for row in rows:
        method = ", ".join(filter(None, (row["method"], row["backbone"])))
        scores = {m: (row[m], np.nan, np.nan) for m in METRICS if row[m] is not None}
        found.append({"method": method, "supervision": row["supervision"],
                      "span": row["span_rule"] or "", "scores": scores})  # fmt: skip
    lines = [
        (number, row["method"], row["supervision"], row["span"], metric, *values)
        for number, row in enumerate(found)
        for metric, values in row["scores"].items()
    ]
    return pd.DataFrame(lines, columns=COLUMNS)


def beside_published(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of `blind_scores` as a table, a column a metric.

    ``blind Acc@GQA`` is what the best blind interval would make of a method's right answers if
    these were independent of where the evidence lies: Acc@QA times the highest IoP@0.5 of a blind
    row. A method whose Acc@GQA is no higher has not shown that its grounding finds anything.
    """
    is_blind = scores["supervision"] == NOBODY
    best = scores[is_blind & (scores["metric"] == "IoP@0.5")]["value"].max()
    rows = []
    for _, part in scores.groupby("row"):
        about = part.iloc[0]
        cells = {each.metric: with_interval(each.value, each.low, each.high)
                 for each in part.itertuples()}  # fmt: skip
        answers = part[part["metric"] == "Acc@QA"]["value"]
        same = f"{answers.iloc[0] * best / 100:.1f}" if len(answers) else ""
        rows.append({"method": about.method, "supervision": about.supervision,
                     "span": about.span, **cells, SAME_ANSWERS: same})  # fmt: skip
    first, *rest = METRICS
    columns = ["method", "supervision", "span", first, SAME_ANSWERS, *rest]
    return pd.DataFrame(rows, columns=columns, dtype=object).fillna("")
