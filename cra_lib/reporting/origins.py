"""Where each figure and table of the report comes from, carried by the page itself.

A page that was mailed has no folder beside it, so the code of the cell, the commit and the numbers
drawn are in it; links to the executed notebook and the files work where the folder is there.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cra_lib.paths import ResultFiles
from cra_lib.reporting.figures.catalogue import FIGURES, TABLES
from cra_lib.reporting.looks import in_order, look
from cra_lib.reproduction.runs import usable_runs

SHOWN = re.compile(r"\bshow\(\s*\"(\w+)\"")
"""What a notebook's cell puts on its shelf, by name."""
LARGEST_DATA = 150_000
"""Bytes of a CSV that the page carries; a larger one is only linked."""
EXAMPLE_WIDTH = 900
"""Width of the pictures of examples on the page, in pixels."""


class Origin(NamedTuple):
    """How one figure or table was made."""

    notebook: str
    page: str
    """Address of its cell in the executed notebook, relative to the report; empty without one."""
    code: str
    """The cell."""
    commit: str
    data: str
    """The numbers as a data address; empty where there are none or too many."""
    file: str
    """Address of the same numbers relative to the report; empty where there are none."""


class Example(NamedTuple):
    """Examples of one run."""

    label: str
    source: str
    """The picture as a data address."""
    page: str
    """Address of the executed notebook 04 relative to the report; empty without one."""


def data_address(content: bytes, kind: str) -> str:
    """Bytes as an address that needs no file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def read_origins(
    results: ResultFiles, entries: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, str], Origin]:
    """("figure" or "table", name) -> its origin, for all whose executed notebook is there."""
    found = {}
    for name, entry in entries.items():
        executed = results.root / entry["executed"]
        if not executed.is_file():
            continue
        for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            for shown in SHOWN.findall(source) if cell["cell_type"] == "code" else ():
                for kind, items in (("figure", FIGURES), ("table", TABLES)):
                    if shown in items and name.startswith(items[shown].notebook):
                        page = _page(results, entry["executed"], cell.get("id", ""))
                        numbers = _numbers(results, kind, shown)
                        about = name, page, source, commit_of(entry), *numbers
                        found[kind, shown] = Origin(*about)
    return found


def commit_of(entry: Mapping[str, Any]) -> str:
    """The commit of one run in words."""
    commit = entry["commit"]
    dirty = " with uncommitted changes" if commit["dirty"] else ""
    return f"{commit['hash'] or 'unknown'}{dirty}"


def _page(results: ResultFiles, executed: str, cell: str) -> str:
    page = Path(executed).with_suffix(".html")
    if not (results.root / page).is_file():
        return ""
    return f"{page.as_posix()}#cell-id={cell}" if cell else page.as_posix()


def _numbers(results: ResultFiles, kind: str, name: str) -> tuple[str, str]:
    path = (results.figures if kind == "figure" else results.tables) / f"{name}.csv"
    if not path.is_file():
        return "", ""
    content = path.read_bytes()
    data = data_address(content, "text/csv") if len(content) <= LARGEST_DATA else ""
    return data, path.relative_to(results.root).as_posix()


def read_examples(results: ResultFiles) -> list[Example]:
    """The examples that notebook 04 has drawn, of each variant's first seed."""
    runs: dict[str, tuple[int, Path]] = {}
    for variant, seed, run, _ in usable_runs(results):
        picture = run.root / "examples.png"
        if picture.is_file():
            runs[variant] = min(runs.get(variant, (seed, picture)), (seed, picture))
    examples = []
    for variant in in_order(runs):
        seed, picture = runs[variant]
        page = f"{results.notebooks.name}/04_evaluate_{variant}_seed{seed}.html"
        examples.append(
            Example(
                f"{look(variant).label}, seed {seed}",
                data_address(_smaller(picture), "image/webp"),
                page if (results.root / page).is_file() else "",
            )
        )
    return examples


def _smaller(picture: Path) -> bytes:
    """A PNG as a WebP of at most `EXAMPLE_WIDTH`: six strips of frames are large otherwise."""
    from PIL import Image

    with Image.open(picture) as image:
        image = image.convert("RGB")
        image.thumbnail((EXAMPLE_WIDTH, 10_000))
        written = io.BytesIO()
        image.save(written, "webp", quality=80)
    return written.getvalue()
