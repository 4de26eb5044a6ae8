"""Figures about scores: methods side by side, ablation, bias study, question types.

``scores`` is the tidy table of `tables.read_scores`: one row a variant, seed, split and metric,
with ``value`` and the ends ``low`` and ``high`` of its 95 % bootstrap interval, all in percent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cra_lib.evaluator.metrics import HEADLINE
from cra_lib.reporting.figures.style import PAGE, blank, percent_axis, styled, with_data
from cra_lib.reporting.looks import BLACK, GREY, in_order, look


def mean_scores(scores: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Value averaged over seeds and interval ends, one row for each combination of ``keys``."""
    return scores.groupby(list(keys), sort=False)[["value", "low", "high"]].mean().reset_index()


def say_one_seed(figure: Figure, seeds: int) -> None:
    """Write above a figure of single seeds what its intervals do not support."""
    if seeds == 1:
        note = "one seed: lines cover the test videos alone and support no claim between methods"
        figure.suptitle(note, fontsize=7, color=GREY)


def fewest_seeds(scores: pd.DataFrame) -> int:
    """Seeds of the variant that has the fewest."""
    return int(scores.groupby("variant")["seed"].nunique().min()) if len(scores) else 1


def draw_interval(axes: Axes, place: float, row, style, upright: bool = True) -> None:
    """One score as a marker with its interval as a line through it."""
    low, high = (row.value if pd.isna(end) else end for end in (row.low, row.high))
    ends, middle = ((place, place), (low, high)), (place, row.value)
    line, point = (ends, middle) if upright else (ends[::-1], middle[::-1])
    axes.plot(*line, color=style.colour, linewidth=1.6, solid_capstyle="butt")
    # no edge around the marker: on a short interval it would look like a gap in the line
    axes.plot(*point, style.marker, color=style.colour, markeredgewidth=0, markersize=5)


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
            axes.axvline(references[metric], color=GREY, linestyle="--", linewidth=1, zorder=0.8)
        axes.set(xlabel=f"{metric} (%)", ylim=(-0.6, len(variants) - 0.4))
        axes.set_xlim(left=0)
        axes.set_yticks(range(len(variants)), [look(variant).label for variant in variants])
    say_one_seed(figure, fewest_seeds(scores))
    return with_data(figure, means[means.metric.isin(metrics)])


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
    say_one_seed(figure, int(ablation["seeds"].min()) if len(ablation) else 1)
    return with_data(figure, ablation)


@styled
def bias_study(
    scores: pd.DataFrame,
    splits: Sequence[str] = ("test_iid", "test", "test_ood"),
    metrics: Sequence[str] = HEADLINE,
    references: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Every variant where the bias holds, is absent, and is reversed (embedded dataset).

    Args:
        references: split -> name of a computed answerer -> its Acc@QA; grey lines with names.
    """
    means = mean_scores(scores[scores.split.isin(splits)], ["variant", "split", "metric"])
    variants = in_order(means.variant)
    figure = blank(PAGE, 2.9)
    for axes, metric in zip(figure.subplots(1, len(metrics)), metrics, strict=True):
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
        if metric == "Acc@QA":
            _draw_references(axes, splits, references or {})
    for variant in variants:
        style = look(variant)
        figure.axes[0].plot([], [], style.marker, color=style.colour, label=style.label)
    figure.legend(loc="outside lower center", ncols=5, columnspacing=1.2)
    say_one_seed(figure, fewest_seeds(scores))
    return with_data(figure, means)


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


def _draw_references(
    axes: Axes, splits: Sequence[str], references: Mapping[str, Mapping[str, float]]
) -> None:
    """A thin grey line a computed answerer over all splits, named where it ends on the right."""
    values = {
        label: [references.get(split, {}).get(name, np.nan) for split in splits]
        for name, label in REFERENCE_NAMES.items()
    }
    ends = {}
    for label, line in values.items():
        if known := [value for value in line if not np.isnan(value)]:
            axes.plot(range(len(splits)), line, "_-", color=GREY, linewidth=0.8, zorder=0.8)
            ends[label] = known[-1]
    top = axes.get_ylim()[1]
    right = len(splits) - 0.5
    for (label, end), place in zip(ends.items(), apart(ends.values(), 0.055 * top), strict=True):
        axes.annotate(
            label,
            (len(splits) - 1, end),
            (right + 0.1, place),
            fontsize=6.5,
            va="center",
            color=BLACK,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.4},
        )


def apart(values: Iterable[float], gap: float) -> list[float]:
    """Places for labels near ``values``, at least ``gap`` from each other, in the same order.

    >>> apart([20.0, 16.0, 12.0, 60.0], 5)
    [22.0, 17.0, 12.0, 60.0]
    """
    values = list(values)
    places = list(values)
    lowest = -np.inf
    for index in np.argsort(values, kind="stable"):
        places[index] = lowest = float(max(values[index], lowest + gap))
    return places


@styled
def by_type(table: pd.DataFrame, metric: str = "Acc@GQA") -> Figure:
    """One metric by question type (rows of ``table``) for every variant (columns)."""
    import seaborn as sns

    variants = in_order(table.columns)
    figure = blank(PAGE, 2.5)
    axes = figure.add_subplot()
    tidy = table.rename_axis("type").reset_index().melt("type", variants, "variant", metric)
    sns.barplot(
        tidy,
        x="type",
        y=metric,
        hue="variant",
        hue_order=variants,
        palette={variant: look(variant).colour for variant in variants},
        saturation=1,
        edgecolor="white",
        linewidth=0.4,
        legend=False,
        ax=axes,
    )
    for bars, variant in zip(axes.containers, variants, strict=True):
        bars.set_label(look(variant).label)
    axes.set(xlabel="question type", ylabel=f"{metric} (%)")
    axes.grid(axis="x", visible=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return with_data(figure, tidy)
