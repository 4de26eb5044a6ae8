"""Figures about faithfulness: the four outcomes, calibration, whether intervals differ, IoP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cra_lib.reporting.figures.style import COLUMN, blank, styled, with_data
from cra_lib.reporting.looks import BLACK, BLUE, GREY, ORANGE, SKY, in_order, look

FAITHFULNESS = {
    "right and grounded": BLUE,
    "right but ungrounded": ORANGE,
    "wrong but grounded": SKY,
    "wrong and ungrounded": "#CCCCCC",
}
THIN = 10
"""A bin of the calibration with fewer questions than this says nothing and is not drawn."""


@styled
def faithfulness_square(shares: Mapping[str, float]) -> Figure:
    """One model: answers right or wrong against evidence found or missed, percent of questions."""
    figure = blank(COLUMN, 2.0)
    axes = figure.add_subplot()
    cells = np.array(
        [
            [shares["right and grounded"], shares["right but ungrounded"]],
            [shares["wrong but grounded"], shares["wrong and ungrounded"]],
        ]
    )
    axes.imshow(cells, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(cells):
        colour = "white" if value > 50 else BLACK
        axes.text(column, row, f"{value:.1f} %", ha="center", va="center", color=colour, size=11)
    axes.set_xticks([0, 1], ["grounded\n(IoP $\\geq$ 0.5)", "not grounded"])
    axes.set_yticks([0, 1], ["right\nanswer", "wrong\nanswer"])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    return figure


@styled
def faithfulness_bars(shares: pd.DataFrame) -> Figure:
    """The four outcomes for every variant (rows of ``shares``), stacked to 100 %."""
    variants = in_order(shares.index)[::-1]
    figure = blank(COLUMN, 1.05 + 0.25 * len(variants))
    axes = figure.add_subplot()
    left = np.zeros(len(variants))
    for outcome, colour in FAITHFULNESS.items():
        values = shares.loc[variants, outcome].to_numpy(float)
        bars = axes.barh(range(len(variants)), values, left=left, color=colour, label=outcome)
        dark = colour == BLUE
        texts = [f"{value:.0f}" if value >= 8 else "" for value in values]
        axes.bar_label(bars, texts, label_type="center", color="white" if dark else BLACK, size=7)
        left += values
    axes.set_yticks(range(len(variants)), [look(variant).label for variant in variants])
    axes.set(xlabel="questions (%)", xlim=(0, 100))
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=2, handlelength=1)
    return with_data(figure, shares.rename_axis("variant").reset_index())


@styled
def calibration(reports: Mapping[str, Mapping]) -> Figure:
    """Accuracy against confidence of the chosen answer; on the diagonal a model knows itself.

    Bins with fewer than `THIN` questions are left out above; below, every bin shows its count.

    Args:
        reports: variant -> the ``calibration`` part of its score report; empty ones are left out.
    """
    figure = blank(COLUMN, 4.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot((0, 100), (0, 100), color=GREY, linewidth=1)
    rows = []
    for variant in in_order(name for name, report in reports.items() if report):
        bins = pd.DataFrame(reports[variant]["bins"]).query("questions > 0")
        label = f"{look(variant).label}, {reports[variant]['error']:.1f}"
        _draw_bins(upper, bins[bins["questions"] >= THIN], variant, "accuracy", label)
        _draw_bins(lower, bins, variant, "questions")
        rows.append(bins.assign(variant=variant))
    upper.set(ylabel="answers that are right (%)", xlim=(0, 100), ylim=(0, 100))
    lower.set(xlabel="confidence in the chosen answer (%)", ylabel="questions")
    lower.set_ylim(bottom=0)
    title = "method, expected calibration error (%)"
    figure.legend(loc="outside lower center", ncols=2, title=title, columnspacing=1)
    return with_data(figure, pd.concat(rows) if rows else pd.DataFrame())


def _draw_bins(
    axes: Axes, bins: pd.DataFrame, variant: str, column: str, label: str | None = None
) -> None:
    style = look(variant)
    axes.plot(
        bins["confidence"],
        bins[column],
        color=style.colour,
        linestyle=style.line,
        marker=style.marker,
        markersize=4,
        label=label,
    )


@styled
def same_video_overlap(overlaps: Mapping[str, float], truth: float) -> Figure:
    """How much the intervals for different questions on one video overlap, against the truth."""
    import seaborn as sns

    variants = in_order(overlaps)
    labels = [look(variant).label for variant in variants]
    table = pd.DataFrame({"method": labels, "overlap": [overlaps[name] for name in variants]})
    figure = blank(COLUMN, 0.85 + 0.24 * len(variants))
    axes = figure.add_subplot()
    colours = {look(variant).label: look(variant).colour for variant in variants}
    sns.barplot(
        table, x="overlap", y="method", hue="method", palette=colours, saturation=1, ax=axes
    )
    for place, overlap in enumerate(table["overlap"]):  # beside the axes, clear of the dashed line
        axes.annotate(
            f"{overlap:.0f}",
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            annotation_clip=False,
        )
    axes.axvline(truth, color=BLACK, linestyle="--", linewidth=1.2)
    above = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    axes.annotate(f"annotation {truth:.0f}", (truth, 1), (0, 3), ha="center", **above)
    axes.set(xlabel="mean IoU of two questions\non one video (%)", ylabel="", xlim=(0, 100))
    axes.grid(axis="y", visible=False)
    return with_data(figure, table)


@styled
def iop_curves(overlaps: Mapping[str, Sequence[float]]) -> Figure:
    """Share of the questions whose IoP is above each value; at 0.5 a question counts as grounded.

    Args:
        overlaps: variant -> IoP of each question, 0 to 1.
    """
    import seaborn as sns

    figure = blank(COLUMN, 2.9)
    axes = figure.add_subplot()
    for variant in in_order(overlaps):
        style = look(variant)
        sns.ecdfplot(
            x=np.asarray(overlaps[variant]),
            complementary=True,
            stat="percent",
            color=style.colour,
            linestyle=style.line,
            label=style.label,
            ax=axes,
        )
    axes.axvline(0.5, color=BLACK, linestyle=":", linewidth=1)
    above = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    axes.annotate("grounded from here", (0.5, 1), (3, -3), va="top", fontsize=7, **above)
    axes.set(xlabel="IoP of the predicted interval", ylabel="questions with more (%)")
    axes.set(xlim=(0, 1), ylim=(0, 100))
    figure.legend(loc="outside lower center", ncols=2)
    rows = [pd.DataFrame({"variant": name, "iop": overlaps[name]}) for name in in_order(overlaps)]
    return with_data(figure, pd.concat(rows) if rows else pd.DataFrame())
