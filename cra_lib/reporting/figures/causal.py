"""Figures of the confounder dictionaries: a question's graph, its nodes, the clusters."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cra_lib.evaluator.metrics import HEADLINE
from cra_lib.reporting.figures.style import COLUMN, PAGE, blank, percent_axis, styled, with_data
from cra_lib.reporting.looks import BLACK, BLUE, GREY, ORANGE, PURPLE

PLACES = (
    (0.12, 0.5),
    (0.3, 0.92),
    (0.36, 0.68),
    (0.5, 0.3),
    (0.3, 0.08),
    (0.66, 0.56),
    (0.88, 0.84),
    (0.88, 0.24),
)
"""Where the eight nodes are drawn: question parts on the left, answer parts on the right."""
SCORE_LOOKS = ((BLUE, "o-"), (ORANGE, "s--"), (PURPLE, "^-."))
"""Colour and line of each headline score."""


@styled
def question_graph(
    texts: Sequence[str], names: Sequence[str], edges: Sequence[tuple[int, int]]
) -> Figure:
    """The eight nodes of one question-answer pair with their texts, and its directed edges."""
    figure = blank(PAGE, 3.4)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.axis("off")
    boxes = [
        _draw_node(axes, place, name, text)
        for place, name, text in zip(PLACES, names, texts, strict=True)
    ]
    for source, target in edges:
        arrow = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 2, "shrinkB": 2, "linewidth": 0.9}
        ends = {"patchA": boxes[source], "patchB": boxes[target]}
        axes.annotate("", PLACES[target], PLACES[source], arrowprops=arrow | ends, zorder=1)
    return figure


def _draw_node(axes: Axes, place: tuple[float, float], name: str, text: str) -> Patch:
    colour = ORANGE if name.startswith("answer") else BLUE
    shown = "\n".join(textwrap.wrap(text, 24)) or "(none)"
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": colour}
    label = f"{name}\n{shown}"
    drawn = axes.text(*place, label, ha="center", va="center", fontsize=7, color=BLACK, bbox=box)
    return drawn.get_bbox_patch()


@styled
def node_coverage(shares: Mapping[str, float]) -> Figure:
    """How many training pairs have a text in each node, in percent."""
    figure = blank(COLUMN, 2.2)
    axes = figure.add_subplot()
    names = list(shares)[::-1]
    axes.barh(names, [100 * shares[name] for name in names], color=BLUE, height=0.65)
    percent_axis(axes, "x")
    axes.set_xlabel("question-answer pairs with this part (%)")
    axes.grid(False, axis="y")
    return with_data(figure, pd.DataFrame({"part": shares.keys(), "share": shares.values()}))


@styled
def cluster_sizes(counts: Mapping[str, Sequence[int]]) -> Figure:
    """Items of each cluster, largest first, on a logarithmic axis; one line a modality."""
    figure = blank(COLUMN, 2.3)
    axes = figure.add_subplot()
    looks = zip((BLUE, ORANGE), ("-", "--"), strict=True)
    for (name, sizes), (colour, line) in zip(counts.items(), looks, strict=False):
        ordered = np.sort(np.asarray(sizes))[::-1]
        axes.plot(np.arange(1, len(ordered) + 1), ordered, line, color=colour, label=name)
    axes.set(xlabel="cluster, largest first", ylabel="training items", yscale="log")
    axes.legend()
    return figure


@styled
def size_study(inertia: Mapping[int, float], chosen: int) -> Figure:
    """Mean squared distance to the nearest centre for several K; the K in use is marked."""
    figure = blank(COLUMN, 2.2)
    axes = figure.add_subplot()
    sizes = sorted(inertia)
    axes.plot(sizes, [inertia[size] for size in sizes], "o-", color=BLUE)
    axes.axvline(chosen, color=GREY, linestyle=":", label=f"K = {chosen}")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set(
        xlabel="number of confounders K",
        ylabel="mean squared distance\nto the nearest centre",
        ylim=(0, None),
    )
    axes.legend()
    return with_data(figure, pd.DataFrame({"K": sizes, "distance": [inertia[k] for k in sizes]}))


@styled
def confounder_scores(scores: pd.DataFrame) -> Figure:
    """Headline scores against K, with their 95 % intervals.

    Args:
        scores: of `tables.scores_by_confounders`.
    """
    figure = blank(COLUMN, 2.6)
    axes = figure.add_subplot()
    for metric, style in zip(HEADLINE, SCORE_LOOKS, strict=True):
        line = scores[scores["metric"] == metric].sort_values("K")
        axes.fill_between(line["K"], line["low"], line["high"], color=style[0], alpha=0.15)
        axes.plot(line["K"], line["value"], style[1], color=style[0], label=metric)
    sizes = sorted(scores["K"].unique())
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    percent_axis(axes, "y")
    axes.set(xlabel="number of confounders K", ylabel="score (%)")
    figure.legend(loc="outside lower center", ncols=3)
    return with_data(figure, scores)


@styled
def frame_rows(rows: Mapping[str, Sequence[np.ndarray | None]]) -> Figure:
    """One row of frames for each centre; a grey field where a video is not at hand."""
    widest = max(map(len, rows.values()))
    figure = blank(COLUMN * 1.4, COLUMN * 1.4 / widest * len(rows))
    panels = figure.subplots(len(rows), widest, squeeze=False)
    for line, (name, frames) in zip(panels, rows.items(), strict=True):
        for axes in line:
            axes.set(xticks=[], yticks=[], facecolor="#DDDDDD")
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(f"centre {name}".replace(" (", "\n("), fontsize=7)
        for axes, frame in zip(line, frames, strict=False):
            if frame is not None:
                axes.imshow(frame)
    return figure
