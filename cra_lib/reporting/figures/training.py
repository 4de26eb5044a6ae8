"""Figures about training: the loss terms, the validation scores, the learned filter."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cra_lib.reporting.figures.style import COLUMN, PAGE, blank, styled, with_data
from cra_lib.reporting.looks import BLUE, CYCLE, in_order, look

LOSS_NAMES = {
    "loss": "total",
    "loss_answer": "answer (VQA)",
    "loss_question": "question (VQ)",
    "loss_alignment_answer": "alignment, VQA",
    "loss_alignment_question": "alignment, VQ",
}
"""Column of history.csv -> its name in the legend."""


@styled
def training_curves(history: pd.DataFrame) -> Figure:
    """One run: loss terms, validation metrics and the filter's sigma over the epochs."""
    learned = history["sigma"].notna().any() if "sigma" in history else False
    figure = blank(PAGE, 2.3)
    panels = figure.subplots(1, 3 if learned else 2)
    losses = {name: label for name, label in LOSS_NAMES.items() if _filled(history, name)}
    _curves(panels[0], history, losses, "loss per sample (nats)")
    metrics = {name: name.removeprefix("val_") for name in history if name.startswith("val_")}
    _curves(panels[1], history, metrics, "validation score (%)")
    panels[1].set_ylim(0, 100)
    if learned:
        panels[2].plot(history["epoch"], history["sigma"], "o-", color=BLUE)
        panels[2].set(xlabel="epoch", ylabel="learned $\\sigma$ of the filter (frames)")
        panels[2].set_ylim(0, 1.15 * history["sigma"].max())
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return with_data(figure, history)


@styled
def validation_curves(histories: Mapping[str, pd.DataFrame], metric: str = "Acc@QA") -> Figure:
    """All variants: one validation metric over the epochs; a line is the mean over seeds, a band
    reaches from the lowest seed to the highest."""
    import seaborn as sns

    variants = in_order(histories)
    column = f"val_{metric}"
    tidy = pd.concat(
        [histories[name][["epoch", "seed", column]].assign(variant=name) for name in variants],
        ignore_index=True,
    )
    figure = blank(COLUMN, 2.5)
    axes = figure.add_subplot()
    for variant in variants:
        style = look(variant)
        sns.lineplot(
            tidy[tidy["variant"] == variant],
            x="epoch",
            y=column,
            errorbar=("pi", 100),
            color=style.colour,
            marker=style.marker,
            linestyle=style.line,
            markersize=4,
            markeredgewidth=0,
            label=style.label,
            legend=False,
            ax=axes,
        )
    axes.set(xlabel="epoch", ylabel=f"validation {metric} (%)")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return with_data(figure, tidy)


def _filled(history: pd.DataFrame, name: str) -> bool:
    """True where the column exists and some run of the loss was not zero or empty."""
    return name in history and history[name].fillna(0).abs().max() > 0


def _curves(axes: Axes, history: pd.DataFrame, columns: Mapping[str, str], label: str) -> None:
    lines = ("-", "--", "-.", ":", (0, (1, 1)))
    for (name, short), colour, line in zip(columns.items(), CYCLE, lines, strict=False):
        axes.plot(history["epoch"], history[name], color=colour, linestyle=line, label=short)
    axes.set(xlabel="epoch", ylabel=label)
    axes.set_ylim(bottom=0)
    axes.legend()
