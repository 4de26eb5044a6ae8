"""The page of an executed notebook: self-contained, with contents, links on, and set formulas."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from cra_lib.data.machine import absent
from cra_lib.paths import atomic

GRAMMARS = "rfc3987_syntax"
"""What jsonschema checks web addresses with: building its grammars takes a second in every process
that reads notebooks, and no notebook is checked for addresses."""


def write_html(notebook: Path) -> Path:
    """The page of an executed notebook, beside it; nothing in it is fetched from the net."""
    with absent(GRAMMARS):
        import nbformat
        from nbconvert import HTMLExporter

    content = nbformat.read(notebook, as_version=4)
    _drop_widgets(content)
    formulas: list[str] = []
    for cell in content.cells:
        if cell.cell_type == "markdown":
            cell.source = _set_formulas_aside(cell.source, formulas)
    page, _ = HTMLExporter(template_name="lab", embed_images=True).from_notebook_node(content)
    # MathJax, RequireJS and Mermaid would be fetched; the formulas become MathML instead.
    fetched = r'<script[^>]*(?:\bsrc=|type="(?:module|text/x-mathjax)).*?</script>'
    page = re.sub(fetched, "", page, flags=re.S)
    out = notebook.with_suffix(".html")
    with atomic(out) as partial:
        page = with_contents(_put_formulas_back(page, formulas), content.cells, notebook)
        partial.write_text(page, encoding="utf-8")
    return out


STYLE = """<style>
nav[aria-label="Contents"] { max-width: 60rem; margin: 1rem auto; padding: 0 1rem; }
nav[aria-label="Contents"] a { color: var(--jp-content-link-color, #0969da);
  text-decoration: underline; }
nav[aria-label="Contents"] ul { columns: 16rem; }
.jp-Cell .highlight, .jp-InputArea-editor, .jp-RenderedHTMLCommon, .jp-OutputArea-output,
.formula { overflow-x: auto; min-width: 0; max-width: 100%; }
.jp-InputArea, .jp-OutputArea-child, .jp-Cell-inputWrapper { min-width: 0; max-width: 100%; }
.formula { display: block; }
.jp-RenderedMarkdown td code { overflow-wrap: anywhere; white-space: normal; }
</style>
"""
"""For a narrow page: what is wider than it scrolls on its own."""
NEXT = {
    "01_prepare_data": "02_sample_causal_features",
    "03_train": "04_evaluate",
    "04_evaluate": "05_figures",
}
"""Notebook -> the one to read after it; 02 leads to as many as there are variants."""


def with_contents(page: str, cells: Iterable[Any], notebook: Path) -> str:
    """The page with a list of what is in it, and links to the report and the next notebook.

    An entry is the bold phrase that opens a cell of prose.
    """
    rows = []
    for cell in cells:
        opening = re.match(r"\*\*(.+?)\*\*", cell.source, re.S)
        if cell.cell_type == "markdown" and opening and f'id="cell-id={cell.id}"' in page:
            phrase = re.sub(r"[`$\\]|formula\d+token", "", opening[1]).strip().rstrip(".:")
            rows.append(f'<li><a href="#cell-id={cell.id}">{escape(phrase)}</a></li>')
    stem = notebook.stem
    links = []
    if notebook.parent.name == "notebooks":  # of a results folder, with the report above it
        links.append('<a href="../report.html">Report</a>')
        for name, follower in NEXT.items():
            if stem.startswith(name):
                run = stem.removeprefix(name) if follower == "04_evaluate" else ""
                links.append(f'Next: <a href="{follower}{run}.html">{follower}{run}</a>')
    shown = (
        f'{STYLE}<nav aria-label="Contents"><p>{" &middot; ".join(links)}</p>'
        f"<ul>{''.join(rows)}</ul></nav>"
    )
    return re.sub(r"(<main\b[^>]*>)", lambda match: shown + match[1], page, count=1)


def _drop_widgets(content: Any) -> None:
    """Show widgets, such as bars of progress, as their text: their drawing would be fetched."""
    content.metadata.pop("widgets", None)
    for cell in content.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)


def _set_formulas_aside(markdown: str, formulas: list[str]) -> str:
    """Markdown with a token for each formula between dollar signs; MathML goes to ``formulas``.

    nbconvert's sanitizer breaks MathML inside Markdown, hence the detour. Code is left alone.
    """
    from latex2mathml.converter import convert

    def replace(match: re.Match) -> str:
        code, block, inline = match.groups()
        if code:
            return code
        formula = convert(block or inline, display="block" if block else "inline")
        formulas.append(f'<span class="formula">{formula}</span>' if block else formula)
        return f"formula{len(formulas) - 1}token"

    pattern = r"(```.*?```|`[^`]*`)|\$\$(.+?)\$\$|\$([^$\n]+?)\$"
    return re.sub(pattern, replace, markdown, flags=re.S)


def _put_formulas_back(page: str, formulas: list[str]) -> str:
    token = re.compile(r"formula(\d+)token")
    page = re.sub(r"<[^>]*>", lambda tag: token.sub("formula", tag[0]), page)  # heading anchors
    return token.sub(lambda match: formulas[int(match[1])], page)
