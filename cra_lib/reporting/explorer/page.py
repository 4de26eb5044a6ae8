"""The page itself: a template, a style and a script of ours around the packed document."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections.abc import Callable
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from cra_lib.paths import atomic
from cra_lib.records import InputError
from cra_lib.reporting.explorer.gathering import Exploration
from cra_lib.reporting.explorer.packing import pack

STRIP_FRAMES, STRIP_HEIGHT = 8, 72
"""Frames of a video's strip, and their height in pixels."""
SCRIPTS = ("data.js", "list.js", "question.js")
"""Parts of the page's script, in order."""


def write_explorer(
    path: Path,
    exploration: Exploration,
    *,
    report: str = "",
    strips: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write the page, and beside it a folder with one strip of frames a video where asked for.

    Videos are not copied: the page plays them from where they lie, by an address relative to it.

    Args:
        report: address of the report relative to the page, to link to; empty for none.
        strips: also keep eight small frames of each video, for readers who lack the videos.
        say: told of videos that cannot be read.

    Raises:
        InputError: predictions or annotation that cannot be shown.
        OSError: the place cannot be written to.
    """
    path = Path(path)
    document = pack(exploration) | {"report": report}
    names = document["questions"]["videos"]
    document["addresses"] = [_address(path, exploration.videos.get(name)) for name in names]
    document["strips"] = [""] * len(names)
    if strips and exploration.videos and _can_decode(say):
        folder = path.with_name(f"{path.stem}_frames")
        document["strips"] = [
            _address(path, _strip(folder, name, exploration.videos.get(name), say))
            for name in names
        ]
    with atomic(path) as partial:
        partial.write_text(render(document), encoding="utf-8")
    return path


def _can_decode(say: Callable[[str], None]) -> bool:
    """Whether frames can be read and written here; the evaluator alone cannot."""
    missing = [name for name in ("av", "PIL") if find_spec(name) is None]
    if missing:
        say(f"no strips of frames: {missing[0]!r} is not installed (pip install 'cra-lib[full]')")
    return not missing


def render(document: dict[str, Any]) -> str:
    """The page as text.

    Nothing of the document can act in it: ``<`` is written so that no tag ends the data, the
    script puts text in as text, and the page's policy runs no script but the one whose hash it
    names, neither inline handlers nor addresses.
    """
    parts = files("cra_lib.reporting.explorer")
    template, style, *scripts = (
        parts.joinpath(name).read_text(encoding="utf-8")
        for name in ("page.html", "page.css", *SCRIPTS)
    )
    script = "\n".join(scripts)
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    values = {
        "title": html.escape(document["title"]),
        "style-hash": _hash(style),
        "script-hash": _hash(script),
        "style": style,
        "script": script,
        "data": data.replace("<", "\\u003c"),
    }
    pieces = template.split("@@")  # once over the template: what is filled in is not looked at
    pieces[1::2] = [values[name] for name in pieces[1::2]]
    return "".join(pieces)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _address(page: Path, file: Path | None) -> str:
    """A file's path as seen from the page; empty where there is no file."""
    if file is None:
        return ""
    return Path(os.path.relpath(Path(file).resolve(), page.parent.resolve())).as_posix()


def _strip(folder: Path, name: str, video: Path | None, say: Callable[[str], None]) -> Path | None:
    """The picture of one video's frames side by side, made anew where the video is newer.

    It is named by a hash, because a video's name may be no name of a file.
    """
    if video is None:
        return None
    path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.jpg"
    if path.exists() and path.stat().st_mtime >= video.stat().st_mtime:
        return path
    from PIL import Image

    try:
        frames = _frames(video)
    except InputError as problem:
        say(f"no strip of frames: {problem}")
        return None
    strip = Image.fromarray(np.concatenate(frames, axis=1))
    width = max(1, round(strip.width * STRIP_HEIGHT / strip.height))
    with atomic(path) as partial:
        strip.resize((width, STRIP_HEIGHT)).save(partial, quality=70)
    return path


def _frames(video: Path) -> np.ndarray:
    """Frames spread evenly over a video, none at its ends: uint8 [8, H, W, 3]."""
    from cra_lib.video.frames import probe, read_frames

    length = probe(video).duration
    times = (np.arange(STRIP_FRAMES) + 0.5) * length / STRIP_FRAMES
    return read_frames(video, times.tolist())
