"""Figures about scores: methods side by side, ablation, bias study, faithfulness, calibration.

``scores`` is the tidy table of `tables.read_scores`: one row a variant, seed, split and metric,
with ``value`` and the ends ``low`` and ``high`` of its 95 % bootstrap interval, all in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cra_lib.evaluator.metrics import HEADLINE
from cra_lib.reporting.figures.style import COLUMN, PAGE, blank, percent_axis, styled
from cra_lib.reporting.looks import BLACK, BLUE, GREY, ORANGE, SKY, VERMILLION, in_order, look

FAITHFULNESS = {
    "right and grounded": BLUE,
    "right but ungrounded": ORANGE,
    "wrong but grounded": SKY,
    "wrong and ungrounded": "#CCCCCC",
}


def mean_scores(scores: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Value and interval ends averaged over seeds, one row for each combination of ``keys``."""
    return scores.groupby(list(keys), sort=False)[["value", "low", "high"]].mean().reset_index()


def draw_interval(axes: Axes, place: float, row, style, upright: bool = True) -> None:
    """One score as a marker with its interval as a line through it."""
    low, high = (row.value if pd.isna(end) else end for end in (row.low, row.high))
    ends, middle = ((place, place), (low, high)), (place, row.value)
    line, point = (ends, middle) if upright else (ends[::-1], middle[::-1])
    axes.plot(*line, color=style.colour, linewidth=1.6, solid_capstyle="butt")
    axes.plot(
        *point,
        style.marker,
        color=style.colour,
        markeredgecolor="white",
        markeredgewidth=0.5,
        markersize=6,
    )


@styled
def score_points(
    scores: pd.DataFrame,
    split: str,
    metrics: Sequence[str] = HEADLINE,
    references: Mapping[str, float] | None = None,
) -> Figure:
    """All variants on one split: a panel a metric, a row a variant, intervals as lines.

    Args:
        references: metric -> what can be had without looking at the video; a dashed line.
    """
    means = mean_scores(scores[scores.split == split], ["variant", "metric"])
    variants = in_order(means.variant)[::-1]
    figure = blank(PAGE, 0.65 + 0.24 * len(variants))
    for axes, metric in zip(figure.subplots(1, len(metrics), sharey=True), metrics, strict=True):
        for row in means[means.metric == metric].itertuples():
            draw_interval(axes, variants.index(row.variant), row, look(row.variant), upright=False)
        if metric in (references or {}):
            axes.axvline(references[metric], color=GREY, linestyle="--", linewidth=1, zorder=0)
        axes.set(xlabel=f"{metric} (%)", ylim=(-0.6, len(variants) - 0.4))
        axes.set_xlim(left=0)
        axes.set_yticks(range(len(variants)), [look(variant).label for variant in variants])
    return figure


@styled
def ablation_bars(ablation: pd.DataFrame, metrics: Sequence[str] = HEADLINE) -> Figure:
    """What each change costs against the full model, in points, with paired 95 % intervals.

    Args:
        ablation: rows of `tables.ablation`: variant, metric, difference, low, high.
    """
    variants = in_order(ablation.variant)[::-1]
    figure = blank(PAGE, 0.65 + 0.26 * len(variants))
    for axes, metric in zip(figure.subplots(1, len(metrics), sharey=True), metrics, strict=True):
        for row in ablation[ablation.metric == metric].itertuples():
            place, style = variants.index(row.variant), look(row.variant)
            axes.barh(place, row.difference, height=0.6, color=style.colour)
            axes.plot((row.low, row.high), (place, place), color=BLACK, linewidth=1.2)
        axes.axvline(0, color=BLACK, linewidth=0.8)
        axes.set(xlabel=f"{metric}: difference to CRA\n(percentage points)")
        axes.set_yticks(range(len(variants)), [look(variant).label for variant in variants])
        axes.grid(axis="y", visible=False)
    return figure


@styled
def bias_study(
    scores: pd.DataFrame,
    splits: Sequence[str] = ("test_iid", "test", "test_ood"),
    metrics: Sequence[str] = HEADLINE,
    references: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Every variant where the bias holds, is absent, and is reversed (embedded dataset).

    Args:
        references: split -> name of a computed answerer -> its Acc@QA; drawn as grey lines.
    """
    means = mean_scores(scores[scores.split.isin(splits)], ["variant", "split", "metric"])
    variants = in_order(means.variant)
    figure = blank(PAGE, 2.9)
    for axes, metric in zip(figure.subplots(1, len(metrics)), metrics, strict=True):
        if metric == "Acc@QA":
            _draw_references(axes, splits, references or {})
        for number, variant in enumerate(variants):
            shift = (number - (len(variants) - 1) / 2) * 0.75 / len(variants)
            rows = means[(means.variant == variant) & (means.metric == metric)].set_index("split")
            for place, split in enumerate(splits):
                if split in rows.index:
                    draw_interval(axes, place + shift, rows.loc[split], look(variant))
        axes.set_xticks(range(len(splits)), [SPLIT_NAMES.get(split, split) for split in splits])
        axes.set(xlabel="split and its bias", ylabel=f"{metric} (%)")
        axes.set_xlim(-0.5, len(splits) - 0.5)
        axes.grid(axis="x", visible=False)
        percent_axis(axes, top=None)
    _legend(figure, variants)
    return figure


SPLIT_NAMES = {
    "test_iid": "test_iid\nas trained",
    "test": "test\nnone",
    "test_ood": "test_ood\nreversed",
}
"""Split of the embedded dataset -> its tick label, with the bias of its questions."""
REFERENCE_NAMES = {
    "chance": "chance",
    "blind": "best without video",
    "scene_and_text": "best from scene",
    "events_without_times": "best without times",
    "frames_without_order": "best without order",
}
REFERENCE_LINES = (":", "-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)))
"""Line styles of the computed answerers."""


def _draw_references(
    axes: Axes, splits: Sequence[str], references: Mapping[str, Mapping[str, float]]
) -> None:
    """A grey line a split and computed answerer; the legend names each answerer once."""
    named: set[str] = set()
    for place, split in enumerate(splits):
        for (name, label), line in zip(REFERENCE_NAMES.items(), REFERENCE_LINES, strict=True):
            value = references.get(split, {}).get(name)
            if value is not None:
                ends = (place - 0.45, place + 0.45), (value, value)
                label = None if name in named else label
                axes.plot(*ends, color=GREY, linestyle=line, linewidth=1, label=label, zorder=0)
                named.add(name)


def _legend(figure: Figure, variants: Sequence[str]) -> None:
    """One legend below all panels: the variants' markers, then lines that panels have named."""
    handles, labels = [], []
    for axes in figure.axes:
        more, names = axes.get_legend_handles_labels()
        handles, labels = handles + more, labels + names
    for variant in reversed(variants):
        style = look(variant)
        [handle] = figure.axes[0].plot([], [], style.marker, color=style.colour, markersize=6)
        handles, labels = [handle, *handles], [style.label, *labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=5, columnspacing=1.2)


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
    return figure


@styled
def calibration(reports: Mapping[str, Mapping]) -> Figure:
    """Accuracy against confidence of the chosen answer; on the diagonal a model knows itself.

    Args:
        reports: variant -> the ``calibration`` part of its score report; empty ones are left out.
    """
    figure = blank(COLUMN, 3.3)
    axes = figure.add_subplot()
    axes.plot((0, 100), (0, 100), color=GREY, linewidth=1)
    for variant in in_order(name for name, report in reports.items() if report):
        bins = [one for one in reports[variant]["bins"] if one["questions"]]
        style = look(variant)
        label = f"{style.label}, {reports[variant]['error']:.1f}"
        axes.plot(
            [one["confidence"] for one in bins],
            [one["accuracy"] for one in bins],
            style.line,
            color=style.colour,
            label=label,
        )
        sizes = [6 + 60 * one["questions"] / sum(o["questions"] for o in bins) for one in bins]
        axes.scatter(
            [one["confidence"] for one in bins],
            [one["accuracy"] for one in bins],
            sizes,
            color=style.colour,
            marker=style.marker,
        )
    axes.set(xlabel="confidence in the chosen answer (%)", ylabel="answers that are right (%)")
    axes.set(xlim=(0, 100), ylim=(0, 100))
    title = "method, expected calibration error (%)"
    figure.legend(loc="outside lower center", ncols=2, title=title, columnspacing=1)
    return figure


@styled
def same_video_overlap(overlaps: Mapping[str, float], truth: float) -> Figure:
    """How much the intervals for different questions on one video overlap, against the truth."""
    variants = in_order(overlaps)[::-1]
    figure = blank(COLUMN, 0.75 + 0.24 * len(variants))
    axes = figure.add_subplot()
    colours = [look(variant).colour for variant in variants]
    bars = axes.barh(range(len(variants)), [overlaps[v] for v in variants], color=colours)
    numbers = axes.bar_label(bars, [f"{overlaps[variant]:.0f}" for variant in variants], padding=3)
    for number in numbers:  # readable also where the line of the truth runs through it
        number.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})
    axes.axvline(truth, color=BLACK, linestyle="--", linewidth=1.2)
    axes.annotate(
        f"truth {truth:.0f}",
        (truth, 1),
        (3, 2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
    )
    axes.set_yticks(range(len(variants)), [look(variant).label for variant in variants])
    axes.set(xlabel="mean IoU of two questions\non one video (%)", xlim=(0, 100))
    axes.grid(axis="y", visible=False)
    return figure


@styled
def iop_histogram(overlaps: Mapping[str, Sequence[float]]) -> Figure:
    """IoP of every question, per variant; the dashed line is where a question counts as grounded.

    Args:
        overlaps: variant -> IoP of each question, 0 to 1.
    """
    figure = blank(COLUMN, 2.8)
    axes = figure.add_subplot()
    bins = np.linspace(0, 1, 11)
    for variant in in_order(overlaps):
        style = look(variant)
        heights, _ = np.histogram(overlaps[variant], bins)
        axes.stairs(
            100 * heights / max(1, len(overlaps[variant])),
            bins,
            color=style.colour,
            linestyle=style.line,
            linewidth=1.4,
            label=style.label,
        )
    axes.axvline(0.5, color=VERMILLION, linestyle="--", linewidth=0.9)
    axes.set(xlabel="IoP of the predicted interval", ylabel="questions (%)", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@styled
def by_type(table: pd.DataFrame, metric: str = "Acc@GQA") -> Figure:
    """One metric by question type (rows of ``table``) for every variant (columns)."""
    variants = in_order(table.columns)
    figure = blank(PAGE, 2.5)
    axes = figure.add_subplot()
    width = 0.8 / len(variants)
    for number, variant in enumerate(variants):
        places = np.arange(len(table)) + (number - (len(variants) - 1) / 2) * width
        axes.bar(
            places,
            table[variant],
            width,
            color=look(variant).colour,
            label=look(variant).label,
            edgecolor="white",
            linewidth=0.4,
        )
    axes.set_xticks(range(len(table)), table.index)
    axes.set(xlabel="question type", ylabel=f"{metric} (%)")
    axes.grid(axis="x", visible=False)
    figure.legend(loc="outside lower center", ncols=5)
    return figure
