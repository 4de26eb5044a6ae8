"""The bias study: reliance on the bias of training against the strength of that bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cra_lib.reporting.figures.datasets import draw_frames
from cra_lib.reporting.figures.scores import REFERENCE_NAMES
from cra_lib.reporting.figures.style import PAGE, blank, styled, with_data
from cra_lib.reporting.looks import BLACK, GREY, in_order, look

PANELS = {
    "reliance": "fall of Acc@QA (points)",
    "grounded": "fall of Acc@GQA (points)",
    "answers": "Acc@QA without bias (%)",
}
"""Statistic of the table -> label of its axis; falls are from test_iid to test_ood."""
FEWEST_SEEDS = 3
"""Two seeds give an interval of 13 standard errors, which would be all that a panel shows."""
ANSWERERS = {"blind": "-", "scene_and_text": ":"}
"""Computed answerer -> its line."""


@styled
def reliance_by_strength(
    rows: pd.DataFrame, references: Mapping[str, Mapping[float, float]] | None = None
) -> Figure:
    """Every variant over the strength of the confounders, with intervals over seeds and videos
    where there are three seeds or more.

    Args:
        rows: variant, strength, statistic (of PANELS), figure, low, high, seeds.
        references: computed answerer -> strength -> its fall of Acc@QA; grey lines.
    """
    figure = blank(PAGE, 3.0)
    variants, strengths = in_order(rows["variant"]), sorted(rows["strength"].unique())
    for axes, (statistic, label) in zip(figure.subplots(1, 3), PANELS.items(), strict=True):
        for number, variant in enumerate(variants):
            mine = rows[(rows.variant == variant) & (rows.statistic == statistic)]
            _draw_line(axes, mine.sort_values("strength"), strengths, variant,
                       (number - (len(variants) - 1) / 2) * 0.09)  # fmt: skip
        axes.set_xticks(range(len(strengths)), [f"{strength:g}" for strength in strengths])
        axes.set(xlabel="strength of both confounders", ylabel=label)
        axes.set_xlim(-0.5, len(strengths) - 0.5)
        axes.grid(axis="x", visible=False)
        if statistic != "answers":
            axes.axhline(0, color=BLACK, linewidth=0.6, zorder=0.7)
        if statistic == "reliance":
            _draw_answerers(axes, strengths, references or {})
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, columnspacing=1.2)
    return with_data(figure, rows)


def _draw_line(
    axes: Axes, rows: pd.DataFrame, strengths: Sequence[float], variant: str, shift: float
) -> None:
    style = look(variant)
    places = np.array([strengths.index(s) for s in rows["strength"]], float) + shift
    for place, row in zip(places, rows.itertuples(), strict=True):
        if row.seeds >= FEWEST_SEEDS:
            axes.plot([place, place], [row.low, row.high], color=style.colour, linewidth=1.2)
    axes.plot(places, rows["figure"], style.marker + style.line, color=style.colour,
              markeredgewidth=0, markersize=4.5, linewidth=1, label=style.label)  # fmt: skip


def _draw_answerers(
    axes: Axes, strengths: Sequence[float], references: Mapping[str, Mapping[float, float]]
) -> None:
    """What the best answerer without the video (or with the scene alone) would lose."""
    for name, falls in references.items():
        known = [(place, falls[s]) for place, s in enumerate(strengths) if s in falls]
        if known:
            axes.plot(*zip(*known, strict=True), ANSWERERS.get(name, "-"), color=GREY,
                      linewidth=1.2, zorder=0.8, label=REFERENCE_NAMES.get(name, name))  # fmt: skip


@styled
def frames_by_noise(rows: Mapping[float, np.ndarray], times: Sequence[float]) -> Figure:
    """The same moments of one video, a row for each noise.

    Args:
        rows: noise in grey levels -> uint8 frames [N, H, W, 3] at ``times`` (seconds).
    """
    figure = blank(PAGE, len(rows) * (PAGE / max(len(times), 4) + 0.1))
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, (noise, frames) in zip(parts, rows.items(), strict=True):
        draw_frames(part, frames, times)
        part.supylabel(f"noise {noise:g}", fontsize=8)
    return figure
