"""Tables on disk: Markdown for readers of the repository, CSV for programs, HTML for the report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from cra_lib.paths import atomic


@dataclass(frozen=True)
class SavedTable:
    """A table on disk; as the last line of a notebook cell it shows what the files hold."""

    markdown: Path
    html: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.markdown.read_text(encoding="utf-8")


@dataclass(frozen=True)
class ShownTable:
    """A table as a notebook shows it without saving it: rounded, and empty where nothing is."""

    table: pd.DataFrame

    def _repr_html_(self) -> str:
        return to_html(self.table)

    def __repr__(self) -> str:
        return to_markdown(self.table)


def cell_text(value: object, digits: int = 1) -> str:
    """What a cell shows: counts in full, other numbers rounded, nothing for missing.

    >>> [cell_text(value) for value in (5553, 18.24, None, "post-hoc")]
    ['5,553', '18.2', '', 'post-hoc']
    """
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    if isinstance(value, int) or type(value).__name__.startswith("int"):
        return f"{value:,}"
    return str(value)


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """Named rows become a first column; a plain numbering disappears."""
    return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()


def _texts(flat: pd.DataFrame) -> list[list[str]]:
    """The cells of each row; a column of fractions below one has two decimals instead of one."""
    columns = []
    for name in flat.columns:
        values = flat[name].tolist()
        floats = [v for v in values if isinstance(v, float) and v == v]
        # Ends of an interval around zero are no fractions.
        digits = 2 if floats and min(floats) >= 0 and 0 < max(floats) < 1 else 1
        columns.append([cell_text(value, digits) for value in values])
    return [list(row) for row in zip(*columns, strict=True)]


def to_markdown(table: pd.DataFrame) -> str:
    """A pipe table; number columns are aligned right."""
    flat = _flat(table)
    ends = ["---:" if number else "---" for number in _is_number(flat)]
    lines = [[str(name) for name in flat.columns], ends]
    lines += _texts(flat)
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def to_html(table: pd.DataFrame, caption: str = "") -> str:
    """A plain HTML table without style of its own; heads are marked for screen readers."""
    flat = _flat(table)
    kinds = ["number" if number else "text" for number in _is_number(flat)]
    pairs = list(zip(kinds, map(str, flat.columns), strict=True))
    head = "".join(f'<th scope="col" class="{kind}">{escape(name)}</th>' for kind, name in pairs)
    rows = []
    for row in _texts(flat):
        first, *rest = map(escape, row)
        cells = "".join(
            f'<td class="{kind}">{text}</td>' for kind, text in zip(kinds[1:], rest, strict=True)
        )
        rows.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    body = "\n".join(rows)
    return f"<table>{title}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>\n"


def _is_number(table: pd.DataFrame) -> list[bool]:
    # Numbers with interval, deviation or unit; a sentence that begins with a number is text.
    numeric = re.compile(r"[+-]?\d([^a-zA-Z]|e[+-]\d|\bto\b)*$")
    return [
        all(numeric.match(text) for text in map(cell_text, table[name]) if text) and place > 0
        for place, name in enumerate(table.columns)
    ]


def write_table(table: pd.DataFrame, folder: Path, name: str) -> SavedTable:
    """Write ``folder/name.md``, ``.csv`` (full precision) and ``.html``."""
    texts = {
        "md": to_markdown(table),
        "csv": _flat(table).to_csv(index=False, lineterminator="\n"),
        "html": to_html(table),
    }
    for suffix, text in texts.items():
        with atomic(Path(folder) / f"{name}.{suffix}") as partial:
            partial.write_text(text, encoding="utf-8")
    return SavedTable(Path(folder) / f"{name}.md", texts["html"])
