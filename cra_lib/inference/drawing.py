"""An answer as a card of HTML, as lines for a terminal, and as a strip of frames.

No drawing library: the card is one SVG and some bars, so that `cra ask` and a notebook show it at
once. Every text that comes from outside is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO
from typing import NamedTuple, Protocol

import numpy as np

from cra_lib.records import Span

LEVELS = "▁▂▃▄▅▆▇█"
PLAIN_LEVELS = "_.:-=+*#"
SHOWN_CHOICES = 8
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#8A8A8A"
"""The colours that figures give to predictions, unsmoothed weights and everything else."""


class Alternative(NamedTuple):
    """The second-best answer."""

    choice: str
    index: int
    probability: float
    """Among all choices."""
    span: Span
    """Where the model looks when the best answer is not offered, in seconds."""


class Drawable(Protocol):
    """What is drawn of an `Answer`, which explains each."""

    question: str
    choice: str
    choices: tuple[str, ...]
    span: Span
    frame_weights: tuple[float, ...]
    raw_weights: tuple[float, ...]
    frame_times: tuple[float, ...]
    duration: float
    alternative: Alternative | None
    guessing: tuple[str, ...]
    notes: tuple[str, ...]
    thumbnails: np.ndarray | None

    def ranked(self) -> list[tuple[str, float]]: ...


def clock(seconds: float) -> str:
    """Seconds as people write them.

    >>> clock(7.25), clock(3661)
    ('7.2 s', '1:01:01')
    """
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def interval_words(answer: Drawable) -> str:
    """Where the evidence is, in words."""
    start, end = answer.span
    return f"{clock(start)} to {clock(end)} of {clock(answer.duration)}"


def weight_line(answer: Drawable, plain: bool = False) -> tuple[str, str]:
    """Frame weights as one character a frame, and a line that marks the interval's frames."""
    levels = PLAIN_LEVELS if plain else LEVELS
    top = max(answer.frame_weights) or 1.0
    steps = [round(weight / top * (len(levels) - 1)) for weight in answer.frame_weights]
    start, end = answer.span
    inside = ["^" if start - 1e-6 <= t <= end + 1e-6 else " " for t in answer.frame_times]
    return "".join(levels[step] for step in steps), "".join(inside).rstrip()


def text_lines(answer: Drawable, width: int = 60, plain: bool = False) -> list[str]:
    """The answer for a terminal of ``width`` columns."""
    shown = answer.ranked()[:SHOWN_CHOICES]
    room = min(max(len(choice) for choice, _ in shown), max(width - 30, 12))
    block = "#" if plain else "█"
    lines = [f"{answer.question}", f"answer    {answer.choice}"]
    for choice, probability in shown:
        bar = block * round(16 * probability)
        lines.append(f"          {choice[:room]:<{room}} {100 * probability:5.1f} % {bar}".rstrip())
    if rest := len(answer.choices) - len(shown):
        lines.append(f"          and {rest} more")
    weights, marks = weight_line(answer, plain)
    lines += [f"evidence  {interval_words(answer)}", f"weights   {weights}", f"          {marks}"]
    if other := answer.alternative:
        start, end = other.span
        lines.append(f"else      {other.choice}, then looking at {clock(start)} to {clock(end)}")
    lines += [f"guessing  {reason}" for reason in answer.guessing]
    return [*lines, *(f"note      {note}" for note in answer.notes)]


def strip_frames(answer: Drawable, wanted: int = 12, height: int = 72) -> np.ndarray | None:
    """Frames side by side, those inside the interval framed in blue: uint8 [height, W, 3]."""
    if answer.thumbnails is None:
        return None
    places = list(evenly(len(answer.frame_times), wanted))
    start, end = answer.span
    inside = [k for k, t in enumerate(answer.frame_times) if start <= t <= end]
    if inside and not set(inside) & set(places):  # the evidence itself is always shown
        nearest = min(range(len(places)), key=lambda p: abs(places[p] - inside[0]))
        places[nearest] = max(inside, key=lambda k: answer.frame_weights[k])
    return np.concatenate([_tile(answer, place, height) for place in places], axis=1)


def _tile(answer: Drawable, place: int, height: int) -> np.ndarray:
    from PIL import Image

    frame = Image.fromarray(answer.thumbnails[place])
    width = max(8, min(4 * height, round(frame.width * height / frame.height)))
    tile = np.full((height, width + 2, 3), 255, np.uint8)
    tile[:, 1:-1] = np.asarray(frame.resize((width, height)))
    start, end = answer.span
    if start <= answer.frame_times[place] <= end:
        colour = [int(BLUE[k : k + 2], 16) for k in (1, 3, 5)]
        tile[:4, 1:-1] = tile[-4:, 1:-1] = tile[:, 1:5] = tile[:, -5:-1] = colour
    return tile


def evenly(count: int, wanted: int) -> Sequence[int]:
    """``wanted`` places spread over ``count``, or all of them.

    >>> list(evenly(32, 4))
    [4, 12, 20, 28]
    """
    if count <= wanted:
        return range(count)
    return [int((place + 0.5) * count / wanted) for place in range(wanted)]


def png(pixels: np.ndarray) -> bytes:
    """uint8 [H, W, 3] as a PNG file."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def html_card(answer: Drawable) -> str:
    """The whole answer as a piece of HTML that needs nothing else."""
    return (
        '<div class="cra-answer" style="font:14px/1.4 system-ui,sans-serif;max-width:760px;'
        'color:#222;background:#fff;padding:12px;border:1px solid #ddd;border-radius:6px">'
        f'<p style="margin:0 0 4px">{escape(answer.question)}</p>'
        f'<p style="margin:0 0 8px"><b style="font-size:16px">{escape(answer.choice)}</b> '
        f'<span style="color:#555">evidence: {interval_words(answer)}</span></p>'
        f"{_warnings(answer)}{_strip_html(answer)}{weights_svg(answer)}{bars_html(answer)}</div>"
    )


def _warnings(answer: Drawable) -> str:
    lines = [f"<b>Guessing:</b> {escape(reason)}" for reason in answer.guessing]
    lines += [escape(note) for note in answer.notes]
    style = "margin:0 0 8px;padding:6px 8px;background:#FFF4DC;border-left:4px solid #E69F00"
    return f'<p style="{style}">{"<br>".join(lines)}</p>' if lines else ""


def _strip_html(answer: Drawable) -> str:
    strip = strip_frames(answer)
    if strip is None:
        return ""
    data = base64.b64encode(png(strip)).decode()
    told = f"Frames of the video; those from {interval_words(answer)} are framed in blue"
    return f'<img alt="{told}" style="width:100%;display:block" src="data:image/png;base64,{data}">'


def weights_svg(answer: Drawable, width: int = 720, height: int = 110) -> str:
    """Weights over time with the interval behind them, as SVG."""
    span, end = max(answer.duration, 1e-6), height - 22
    top = max(*answer.frame_weights, *answer.raw_weights) or 1.0

    def x(seconds: float) -> float:
        return round(width * min(max(seconds / span, 0), 1), 1)

    def curve(weights: tuple[float, ...]) -> str:
        points = zip(answer.frame_times, weights, strict=True)
        return " ".join(f"{x(t)},{end - (end - 6) * w / top:.1f}" for t, w in points)

    left, right = x(answer.span[0]), x(answer.span[1])
    ticks = "".join(
        f'<text x="{x(t)}" y="{height - 6}" font-size="11" fill="#555" '
        f'text-anchor="{anchor}">{clock(t)}</text>'
        for t, anchor in ((0, "start"), (span / 2, "middle"), (span, "end"))
    )
    told = f"Frame weights over time; the interval is {interval_words(answer)}"
    return (
        f'<svg role="img" aria-label="{told}" viewBox="0 0 {width} {height}" '
        'style="width:100%;display:block;margin:4px 0 8px">'
        f'<rect x="{left}" y="0" width="{max(right - left, 3):.1f}" height="{end}" fill="{BLUE}" '
        f'opacity="0.18"/><line x1="0" y1="{end}" x2="{width}" y2="{end}" stroke="{GREY}"/>'
        f'<polyline points="{curve(answer.raw_weights)}" fill="none" stroke="{ORANGE}" '
        'stroke-dasharray="4 3"/>'
        f'<polyline points="{curve(answer.frame_weights)}" fill="none" stroke="{BLUE}" '
        f'stroke-width="2"/>{ticks}</svg>'
    )


def bars_html(answer: Drawable) -> str:
    """Choices with bars, the most probable first."""
    rows, cell = [], "border:none"
    for place, (choice, probability) in enumerate(answer.ranked()[:SHOWN_CHOICES]):
        colour, percent = (BLUE if place == 0 else GREY), f"{100 * probability:.1f}"
        rows.append(
            f'<tr><td style="{cell};padding:2px 8px 2px 0;text-align:left">{escape(choice)}</td>'
            f'<td style="{cell};width:60%;padding:2px 0"><div style="height:12px;'
            f'background:{colour};width:{max(probability * 100, 0.5):.1f}%"></div></td>'
            f'<td style="{cell};padding:2px 0 2px 8px;text-align:right">{percent} %</td></tr>'
        )
    rest = len(answer.choices) - len(rows)
    more = f'<p style="margin:0;color:#555">and {rest} more</p>' if rest else ""
    table = '<table style="width:100%;border-collapse:collapse;margin:0">'
    return f"{table}{''.join(rows)}</table>{more}{_other(answer)}"


def _other(answer: Drawable) -> str:
    other = answer.alternative
    if other is None:
        return ""
    start, end = other.span
    return (
        f'<p style="margin:6px 0 0;color:#555">Without that answer it would say '
        f"<b>{escape(other.choice)}</b> and look at {clock(start)} to {clock(end)}.</p>"
    )
