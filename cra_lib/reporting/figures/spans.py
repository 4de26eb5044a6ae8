"""Figures about grounding: where predicted intervals lie, and what the model looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure, SubFigure

from cra_lib.records import Prediction, Question, Span, Truth
from cra_lib.reporting.figures.datasets import draw_frames, draw_spans
from cra_lib.reporting.figures.style import PAGE, blank, styled, with_data
from cra_lib.reporting.looks import BLACK, BLUE, GREY, ORANGE, TRUTH, in_order, look

PREDICTED = BLUE
"""Predicted intervals have this colour in every figure over one video."""


@styled
def span_distributions(histograms: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Where intervals start and how long they are: a row a method, the truth on top (Fig. 4).

    Args:
        histograms: variant (and "truth") -> shares in percent over equal bins of the video, under
            "start" and "length".
    """
    import seaborn as sns

    rows = ["truth", *in_order(set(histograms) - {"truth"})]
    figure = blank(PAGE, 1.0 + 0.24 * len(rows))
    tidy = []
    for axes, part in zip(figure.subplots(1, 2, sharey=True), ("start", "length"), strict=True):
        shares = pd.DataFrame({look(name).label: histograms[name][part] for name in rows}).T
        used = _used(shares)
        shown = shares.iloc[:, used]
        bar = {"label": "questions (%)", "pad": 0.02}
        sns.heatmap(
            shown, ax=axes, cmap="Blues", vmin=0, linewidths=0.5, linecolor="white", cbar_kws=bar
        )
        edges = np.arange(used.start, used.stop + 1) / shares.shape[1]
        step = max(1, len(edges) // 6)
        places = range(0, len(edges), step)
        axes.set_xticks(places, [f"{edges[place]:.2g}" for place in places], rotation=0)
        axes.set(xlabel=f"{part} of the interval / video length", ylabel="")
        axes.axhline(1, color=BLACK, linewidth=1)
        axes.tick_params(length=0)
        tidy.append(shares.rename_axis("method").reset_index().assign(part=part))
    return with_data(figure, pd.concat(tidy))


def _used(shares: pd.DataFrame) -> slice:
    """The bins from the first to the last in which any row has half a percent."""
    filled = np.flatnonzero((shares >= 0.5).any(axis=0))
    return slice(filled[0], filled[-1] + 1) if len(filled) else slice(0, shares.shape[1])


class Case(NamedTuple):
    """One question with what is needed to draw it."""

    question: Question
    truth: Truth
    prediction: Prediction
    span: Span
    """The interval that the tables report."""
    frames: np.ndarray
    """Some frames of the video, ``[N, H, W, 3]``."""
    times: Sequence[float]
    """When those frames are shown, in seconds."""


def case_of(
    key: str,
    asked: tuple[Sequence[Question], Mapping[str, Truth]],
    predictions: Mapping[str, Prediction],
    rule: str,
    clip: tuple[np.ndarray, Sequence[float]],
) -> Case:
    """The case of one question.

    Args:
        asked: questions and truths of its split.
        rule: which of the prediction's intervals to draw.
        clip: frames of its video and their seconds.
    """
    questions, truths = asked
    [question] = [question for question in questions if question.key == key]
    prediction = predictions[key]
    return Case(question, truths[key], prediction, prediction.spans[rule], *clip)


@styled
def attention_over_time(cases: Mapping[str, Case]) -> Figure:
    """Frame weights with and without smoothing over real frames, and the truth (Fig. 6).

    Args:
        cases: what came of a question, such as "wrong" -> its case; one block each.
    """
    frames = max(len(case.frames) for case in cases.values())
    tall = PAGE / max(frames, 4)
    figure = blank(PAGE, len(cases) * (tall + 2.3))
    blocks = np.atleast_1d(figure.subfigures(len(cases), 1))
    for number, (block, outcome) in enumerate(zip(blocks, cases, strict=True)):
        _draw_weights(block, cases[outcome], outcome, tall, named=number == 0)
    return figure


def _draw_weights(block: SubFigure, case: Case, outcome: str, tall: float, named: bool) -> None:
    """Frames, curves of weight and intervals of one question; ``named``: with the legend."""
    parts = block.subfigures(2, 1, height_ratios=[tall, 2.3])
    draw_frames(parts[0], case.frames, case.times, case.truth.segments)
    upper, lower = parts[1].subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1.4, 0.5]})
    weights = {
        "without smoothing": (case.prediction.raw_weights, ORANGE, "--", "s"),
        "with smoothing": (case.prediction.frame_weights, BLUE, "-", "o"),
    }
    for label, (values, colour, line, marker) in weights.items():
        if values is not None:
            upper.plot(
                case.prediction.frame_times,
                values,
                line,
                color=colour,
                label=label,
                marker=marker,
                markersize=2.5,
            )
    num_frames = len(case.prediction.frame_times or ())
    if num_frames:
        upper.axhline(1 / num_frames, color=GREY, linewidth=0.8, linestyle=":", label="uniform")
    for start, end in case.truth.segments:
        upper.axvspan(max(0, start), min(case.truth.duration, end), color=TRUTH, alpha=0.15)
    upper.set(ylabel="frame weight", xlim=(0, case.truth.duration))
    upper.set_ylim(bottom=0)
    if named:
        upper.legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    rows = {"truth": (case.truth.segments, TRUTH), "predicted": ([case.span], PREDICTED)}
    draw_spans(lower, rows, case.truth.duration)
    lower.set_xlabel("time (s)")
    block.suptitle(f"{outcome.upper()}: {_caption(case)}", fontsize=7.5)


@styled
def answer_strips(cases: Sequence[Case]) -> Figure:
    """One strip a question: frames, true and predicted interval, and what was answered."""
    tall = PAGE / max(len(cases[0].frames), 4)
    figure = blank(PAGE, len(cases) * (tall + 1.15))
    for part, case in zip(np.atleast_1d(figure.subfigures(len(cases), 1)), cases, strict=True):
        _draw_strip(part, case, tall)
    return figure


def _draw_strip(part: SubFigure, case: Case, tall: float) -> None:
    above, below = part.subfigures(2, 1, height_ratios=[tall, 1.15])
    draw_frames(above, case.frames, case.times, case.truth.segments)
    axes = below.add_subplot()
    rows = {"truth": (case.truth.segments, TRUTH), "predicted": ([case.span], PREDICTED)}
    draw_spans(axes, rows, case.truth.duration)
    axes.set_xlabel(f"time (s)\n{_caption(case)}")
    axes.xaxis.label.set_color(BLACK)


def _caption(case: Case) -> str:
    """Question, answer and verdict in two lines, for below a strip."""
    choices, answer, right = case.question.choices, case.prediction.answer, case.truth.answer
    said = "nothing" if answer is None else choices[answer]
    verdict = "right" if answer == right else f"wrong, it is: {choices[right]}"
    asked = shorten(case.question.text, 100, placeholder="...")
    answered = shorten(f"answered: {said} ({verdict})", 110, placeholder="...")
    return f"{asked}?\n{answered}"
