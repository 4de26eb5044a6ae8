"""Figures about the data: what is asked, how long the evidence is, what could mislead a model."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import shorten

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cra_lib.records import Question, Span
from cra_lib.reporting.figures.style import COLUMN, PAGE, blank, styled, with_data
from cra_lib.reporting.looks import BLACK, BLUE, CYCLE, TRUTH


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
    return with_data(figure, counts.rename_axis("split").reset_index())


@styled
def segment_ratios(ratios: Mapping[str, Sequence[float]]) -> Figure:
    """Length of the evidence relative to its video, one row a split (Fig. 1c of the paper)."""
    import seaborn as sns

    values = {split: np.clip(np.asarray(found, float), 0, 1) for split, found in ratios.items()}
    everything = np.concatenate([*values.values(), []])
    if not everything.size:
        return blank()
    # the axis covers the tenths that occur, so that evidence of one length fills it
    low = min(0.9, np.floor(10 * everything.min()) / 10)
    top = max(low + 0.1, np.ceil(10 * everything.max()) / 10)
    bins = np.linspace(low, top, 31)
    figure = blank(COLUMN, 0.55 + 0.62 * len(values))
    panels = figure.subplots(len(values), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (split, found) in zip(panels, values.items(), strict=True):
        sns.histplot(x=found, bins=bins, stat="percent", color=BLUE, alpha=1, linewidth=0, ax=axes)
        mean = float(found.mean())
        axes.axvline(mean, color=BLACK, linestyle="--", linewidth=1)
        note = f"{split}: {len(found):,}, mean {mean:.2f}"
        axes.annotate(note, (0.01, 0.95), xycoords="axes fraction", va="top", fontsize=7)
        axes.set(xlabel="segment length / video length", ylabel="", xlim=(bins[0], bins[-1]))
    figure.supylabel("segments (%)", fontsize=8)
    rows = [pd.DataFrame({"split": split, "ratio": found}) for split, found in values.items()]
    return with_data(figure, pd.concat(rows))


@styled
def evidence_cover(cover: Mapping[str, Sequence[float]]) -> Figure:
    """Where evidence lies: a line a split, over the video from its start to its end.

    Args:
        cover: split -> percent of the questions whose evidence holds each of some even places.
    """
    figure = blank(COLUMN, 2.3)
    axes = figure.add_subplot()
    rows = []
    for (split, shares), colour in zip(cover.items(), CYCLE, strict=False):
        places = np.linspace(0, 1, len(shares))
        axes.plot(places, shares, color=colour, linestyle=("-", "--", ":")[len(rows) % 3])
        best = int(np.argmax(shares))
        label = f"{split}, at most {shares[best]:.0f} %, at {places[best]:.2f}"
        axes.lines[-1].set_label(label)
        rows.append(pd.DataFrame({"split": split, "place": places, "share": shares}))
    axes.set(xlabel="place in the video (0 start, 1 end)", xlim=(0, 1), ylim=(0, None))
    axes.set_ylabel("questions with\nevidence there (%)")
    figure.legend(loc="outside lower center", ncols=1)
    return with_data(figure, pd.concat(rows) if rows else pd.DataFrame())


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
    return with_data(figure, shares.rename_axis("answer").reset_index())


@styled
def evidence_strip(
    frames: np.ndarray,
    times: Sequence[float],
    segments: Sequence[Span],
    duration: float,
    question: Question | None = None,
) -> Figure:
    """Frames ``[N, H, W, 3]`` of one video at ``times``, and its evidence on a bar of seconds.

    Args:
        question: what is asked and what is right, written above the frames.
    """
    tall = PAGE / max(len(frames), 4)
    figure = blank(PAGE, tall + (0.55 if question is None else 0.85))
    parts = figure.subfigures(2, 1, height_ratios=[tall, 0.55])
    draw_frames(parts[0], frames, times, segments)
    axes = parts[1].add_subplot()
    draw_spans(axes, {"evidence": (segments, TRUTH)}, duration)
    axes.plot(times, [0.5] * len(times), "|", color=BLACK, markersize=9)
    axes.set_xlabel("time (s); ticks mark the frames above")
    if question is not None:
        right = "unknown" if question.answer is None else question.choices[question.answer]
        asked = shorten(f"{question.text}?", 90, placeholder="...")
        figure.suptitle(f"{asked}  {shorten(right, 50, placeholder='...')}", fontsize=8)
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


LARGEST_CLIP = 4_000_000
"""Bytes of a video that a page may carry; a larger one is named instead."""


@dataclass(frozen=True)
class PlayingVideo:
    """A video that plays where a notebook cell shows it, carried by the page itself."""

    path: Path

    def __repr__(self) -> str:
        if not self.path.is_file():
            return f"No video to play: {self.path.name} is not there."
        return f"{self.path.name}, {self.path.stat().st_size / 1000:.0f} kB"

    def _repr_html_(self) -> str:
        if not self.path.is_file() or self.path.stat().st_size > LARGEST_CLIP:
            return f"<p>{escape(repr(self))}</p>"
        data = base64.b64encode(self.path.read_bytes()).decode()
        return (
            '<video controls loop muted playsinline preload="metadata" width="288" '
            f'style="max-width: 100%" aria-label="Video {escape(self.path.stem)}" '
            f'src="data:video/mp4;base64,{data}"></video>'
        )


def playing(path: Path) -> PlayingVideo:
    """One video file as something that a notebook plays."""
    return PlayingVideo(Path(path))
