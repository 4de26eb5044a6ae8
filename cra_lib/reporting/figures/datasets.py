"""Figures about the data: what is asked, how long the evidence is, what could mislead a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cra_lib.records import Span
from cra_lib.reporting.figures.style import COLUMN, PAGE, blank, styled
from cra_lib.reporting.looks import BLACK, CYCLE, TRUTH


@styled
def question_counts(counts: pd.DataFrame) -> Figure:
    """Questions per split (rows of ``counts``) and type (columns), as stacked bars."""
    figure = blank(COLUMN, 0.9 + 0.32 * len(counts))
    axes = figure.add_subplot()
    left = np.zeros(len(counts))
    for place, kind in enumerate(counts.columns):
        values = counts[kind].to_numpy(float)
        # Colours repeat after eight types; the hatch tells the second round from the first.
        look = {
            "facecolor": CYCLE[place % len(CYCLE)],
            "hatch": "////" if place >= len(CYCLE) else "",
        }
        axes.barh(
            counts.index,
            values,
            left=left,
            height=0.7,
            edgecolor="white",
            linewidth=0,
            label=kind,
            **look,
        )
        left += values
    for row, total in enumerate(left):
        axes.annotate(
            f"{total:,.0f}", (total, row), (3, 0), textcoords="offset points", va="center"
        )
    axes.set(xlabel="questions", xlim=(0, left.max() * 1.17 if len(left) else 1))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.legend(
        ncols=min(5, len(counts.columns)),
        loc="lower left",
        bbox_to_anchor=(0, 1),
        handlelength=1,
        columnspacing=1,
    )
    return figure


@styled
def segment_ratios(ratios: Mapping[str, Sequence[float]]) -> Figure:
    """Length of the evidence relative to its video, one outline a split (Fig. 1c of the paper)."""
    figure = blank()
    axes = figure.add_subplot()
    bins = np.linspace(0, 1, 41)
    for (split, values), colour, line in zip(
        ratios.items(), CYCLE, ("-", "--", "-.", ":") * 2, strict=False
    ):
        heights, _ = np.histogram(np.clip(values, 0, 1), bins)
        share = 100 * heights / max(len(values), 1)
        label = f"{split} (mean {np.mean(values):.2f})"
        axes.stairs(share, bins, color=colour, linestyle=line, linewidth=1.4, label=label)
    axes.set(xlabel="segment length / video length", ylabel="segments (%)", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


@styled
def answer_cooccurrence(shares: pd.DataFrame) -> Figure:
    """How often each answer is right when a word is in the question (Fig. 1b of the paper).

    Args:
        shares: one row an answer, one column a word, percent of the questions with that word.
    """
    figure = blank(COLUMN, 0.8 + 0.3 * len(shares))
    axes = figure.add_subplot()
    height = 0.8 / len(shares.columns)
    rows = np.arange(len(shares))
    for place, (word, colour) in enumerate(zip(shares.columns, CYCLE, strict=False)):
        hatch = "" if place == 0 else "////"
        axes.barh(
            rows + (place - (len(shares.columns) - 1) / 2) * height,
            shares[word],
            height,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0,
            label=word,
        )
    axes.set_yticks(rows, [shorten(str(answer), 28, placeholder="...") for answer in shares.index])
    axes.set(xlabel="questions with the word (%)")
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.legend(title="word in the question", ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


@styled
def evidence_strip(
    frames: np.ndarray, times: Sequence[float], segments: Sequence[Span], duration: float
) -> Figure:
    """Frames ``[N, H, W, 3]`` of one video at ``times``, and its evidence on a bar of seconds."""
    figure = blank(PAGE, PAGE / max(len(frames), 4) + 0.55)
    parts = figure.subfigures(2, 1, height_ratios=[PAGE / max(len(frames), 4), 0.55])
    draw_frames(parts[0], frames, times, segments)
    axes = parts[1].add_subplot()
    draw_spans(axes, {"evidence": (segments, TRUTH)}, duration)
    axes.plot(times, [0.5] * len(times), "|", color=BLACK, markersize=9)
    axes.set_xlabel("time (s); ticks mark the frames above")
    return figure


def draw_frames(
    figure: Figure, frames: np.ndarray, times: Sequence[float], segments: Sequence[Span] = ()
) -> None:
    """Frames side by side with their time below; a frame inside a segment gets a thick border."""
    panels = figure.subplots(1, len(frames), squeeze=False)[0]
    for axes, frame, time in zip(panels, frames, times, strict=True):
        axes.imshow(frame)
        axes.set(xticks=[], yticks=[], xlabel=f"{time:.1f} s")
        inside = any(start <= time <= end for start, end in segments)
        border = {"color": TRUTH, "linewidth": 3} if inside else {"color": "#BBBBBB"}
        for spine in axes.spines.values():
            spine.set(visible=True, **border)


def draw_spans(axes: Axes, rows: Mapping[str, tuple[Sequence[Span], str]], duration: float) -> None:
    """One row a name: its intervals as bars over the seconds of the video, clipped to it."""
    for place, (_, (spans, colour)) in enumerate(reversed(rows.items())):
        for start, end in spans:
            start, end = max(0.0, start), min(duration, end)
            # an instant is drawn as a sliver: a bar of no width would be invisible
            length = max(end - start, 0.004 * duration)
            axes.barh(place + 0.5, length, left=start, height=0.7, color=colour)
    axes.set_yticks([place + 0.5 for place in range(len(rows))], list(reversed(rows)))
    axes.set(xlim=(0, duration), ylim=(0, len(rows)))
    axes.grid(axis="y", visible=False)
