"""What is published beside what an interval gets that never saw the video."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from cra_lib.evaluator.blind import BLIND_ROWS
from cra_lib.reporting.figures.style import PAGE, blank, styled, with_data
from cra_lib.reporting.looks import BLACK, BLUE, CYCLE, GREY

GROUNDING = ("mIoP", "IoP@0.5", "mIoU")
"""Metrics that need no answer."""


@styled
def blind_points(table: pd.DataFrame, metrics: Sequence[str] = GROUNDING) -> Figure:
    """Blind intervals with their 95 % intervals, a row each; below, what is published of methods,
    a row for each kind of supervision and a point for each of them.

    Args:
        table: of `tables.blind_scores`: method, supervision, metric, value, low, high.
    """
    table = table[table["metric"].isin(metrics) & (table["supervision"] != "human")]
    kinds = list(dict.fromkeys(table["supervision"]))
    rows = [*BLIND_ROWS, *(kind for kind in kinds if kind != "none")][::-1]
    figure = blank(PAGE, 0.75 + 0.2 * len(rows))
    for axes, metric in zip(figure.subplots(1, len(metrics), sharey=True), metrics, strict=True):
        found = table[table["metric"] == metric]
        for row in found.itertuples():
            is_blind = row.supervision == "none"
            place = rows.index(row.method if is_blind else row.supervision)
            if is_blind:
                axes.plot((row.low, row.high), (place, place), color=BLUE, linewidth=1.6)
            colour = BLUE if is_blind else CYCLE[(kinds.index(row.supervision) + 1) % len(CYCLE)]
            axes.plot(row.value, place, "o" if is_blind else "D", color=colour, markersize=4)
        best = found[found["supervision"] == "none"]["value"].max()
        axes.axvline(best, color=GREY, linestyle="--", linewidth=1, zorder=0.8)
        if len(rows) > len(BLIND_ROWS):
            axes.axhline(len(rows) - len(BLIND_ROWS) - 0.5, color=BLACK, linewidth=0.6)
        axes.set(xlabel=f"{metric} (%)", ylim=(-0.6, len(rows) - 0.4))
        axes.set_xlim(left=0)
        axes.set_yticks(range(len(rows)), rows)
    return with_data(figure, table)
