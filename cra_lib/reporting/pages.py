"""The repository's pages beside the report, so that its links hold wherever the folder goes.

``results/<dataset>/pages/`` gets README, DEVIATIONS and docs/ as HTML. Links among them stay links,
pictures are carried along, and what else a page points at in the repository becomes plain text.
"""

from __future__ import annotations

import re
from html import escape
from mimetypes import guess_type
from pathlib import Path

from cra_lib.paths import ResultFiles, atomic, repository_root
from cra_lib.reporting.origins import data_address

STYLE = """body { max-width: 62rem; margin: 0 auto; padding: 1rem; line-height: 1.55;
font-family: system-ui, sans-serif; color-scheme: light dark; }
img { max-width: 100%; } pre, .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { border-bottom: 1px solid #8888; padding: .3rem .6rem; text-align: left;
vertical-align: top; } code { overflow-wrap: anywhere; }"""


def write_pages(results: ResultFiles) -> dict[str, str]:
    """Write all pages; name such as "DEVIATIONS" -> address relative to the report.

    Empty where the repository is not at hand (the library alone was installed).
    """
    root = repository_root()
    sources = [root / "README.md", root / "DEVIATIONS.md", *sorted(root.glob("docs/*.md"))]
    sources = [source for source in sources if source.is_file()]
    names = {source.name: f"{source.stem}.html" for source in sources}
    for source in sources:
        with atomic(results.root / "pages" / names[source.name]) as partial:
            partial.write_text(_page(source, names), encoding="utf-8")
    return {source.stem: f"pages/{names[source.name]}" for source in sources}


def _page(source: Path, names: dict[str, str]) -> str:
    from nbconvert.filters import markdown2html

    body = markdown2html(source.read_text(encoding="utf-8"))
    body = re.sub(
        r'<a href="([^"]*)"([^>]*)>(.*?)</a>', lambda m: _link(m, names), body, flags=re.S
    )
    body = re.sub(r'src="([^"]*)"', lambda m: f'src="{_picture(source, m[1])}"', body)
    body = body.replace("<table>", '<div class="scroll" tabindex="0"><table>')
    body = body.replace("</table>", "</table></div>")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(source.stem)}</title><style>{STYLE}</style></head>\n"
        f'<body><p><a href="../report.html">Report</a></p>\n{body}</body></html>\n'
    )


def _link(match: re.Match, names: dict[str, str]) -> str:
    address, rest, text = match.groups()
    path, _, part = address.partition("#")
    if "://" in address or not path:
        return match[0]
    known = names.get(Path(path).name) if not path.startswith("results/") else None
    if known is None:
        return text
    return f'<a href="{known}{"#" + part if part else ""}"{rest}>{text}</a>'


def _picture(source: Path, address: str) -> str:
    path = source.parent / address
    if not path.is_file():
        return address
    return data_address(path.read_bytes(), guess_type(path.name)[0] or "image/png")
