"""What the site shows beside the pages of docs/: README and its like, API, a finished run.

MkDocs reads one folder; these hooks add the rest as it stands in the repository, so that every
page is written once and its links hold on the forge, on a disk and on the site.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

import griffe
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "DEVIATIONS.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md")
"""Pages outside docs/, by their path in the repository, which is also theirs on the site."""
LIBRARY = "cra_lib"
EXECUTED = (
    "report.html",
    "explorer.html",
    "explorer_frames/*",
    "notebooks/*.html",
    "figures/*.pdf",
    "figures/*.csv",
    "tables/*.csv",
    "pages/*.html",
)
"""What a run leaves that can be read; everything of it is self-contained or lies beside it."""
LINK = re.compile(r"(```.*?```|`[^`\n]*`)|(!?\[[^\]]*\])\(([^)#\s]+)(#[^)]*)?\)", re.S)
FORMULA = re.compile(r"(```.*?```|`[^`\n]*`)|\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.S)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put one page a room of the library where the navigation says ``api/``."""
    for entry in config.nav:
        if entry.get("API") == "api/":
            entry["API"] = [{room: f"api/{room}.md"} for room in api_pages()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/, those made here, and the files that they link to."""
    for path in PAGES:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    for room, modules in api_pages().items():
        files.append(File.generated(config, f"api/{room}.md", content=api_text(room, modules)))
    runs = {}
    for report in sorted(ROOT.glob("results/*/report.html")):
        folder = report.parent
        runs[folder.name] = [path for pattern in EXECUTED for path in sorted(folder.glob(pattern))]
        for path in runs[folder.name]:
            files.append(
                File.generated(config, str(path.relative_to(ROOT)), abs_src_path=str(path))
            )
    files.append(File.generated(config, "run.md", content=run_text(runs)))
    for path in sorted(linked_files()):
        if path.is_dir():
            name, text = f"{path.relative_to(ROOT)}.md", folder_text(path)
            files.append(File.generated(config, name, content=text))
        elif files.get_file_from_path(str(path.relative_to(ROOT))) is None:
            name = str(path.relative_to(ROOT))
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they are on the site; formulas as MathML, which no script has to draw."""
    here = page.file.src_uri
    return FORMULA.sub(formula, LINK.sub(lambda match: link(match, here), markdown))


def formula(match: re.Match) -> str:
    """A formula between dollar signs as MathML; code is left alone."""
    code, block, inline = match.groups()
    return code or convert(block or inline, display="block" if block else "inline")


def link(match: re.Match, here: str) -> str:
    """A link of a page with its target's place on the site; code and addresses are left alone."""
    code, text, target, anchor = match.groups()
    if code or ":" in target:
        return match[0]
    path = source_of(here).parent / target
    place = site_place(Path(os.path.normpath(path)))
    start = posixpath.dirname(here) or "."
    return f"{text}({posixpath.relpath(place, start)}{anchor or ''})"


def source_of(place: str) -> Path:
    """The file in the repository behind a page of the site."""
    return ROOT / place if place in PAGES else ROOT / "docs" / place


def site_place(path: Path) -> str:
    """Where a file of the repository is on the site; a folder is a page of its files."""
    docs = ROOT / "docs"
    place = path.relative_to(docs if path.is_relative_to(docs) else ROOT).as_posix()
    return f"{place}.md" if path.is_dir() else place


def linked_files() -> set[Path]:
    """Files and folders outside docs/ that some page links to and that are no pages."""
    found = set()
    for source in (*(ROOT / page for page in PAGES), *ROOT.glob("docs/*.md")):
        for code, _, target, _ in LINK.findall(source.read_text(encoding="utf-8")):
            path = Path(os.path.normpath(source.parent / target)) if target else None
            if not code and path and ":" not in target and path.exists():
                found.add(path)
    outside = {path for path in found if not path.is_relative_to(ROOT / "docs")}
    return outside - {ROOT / page for page in PAGES}


def folder_text(folder: Path) -> str:
    """A page with the files of a folder in full."""
    parts = [f"# {folder.relative_to(ROOT)}"]
    for path in sorted(folder.iterdir()):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            parts.append(f"## {path.name}\n\n```{path.suffix[1:]}\n{text}```")
    return "\n\n".join(parts) + "\n"


def api_pages() -> dict[str, list[str]]:
    """Room of the library -> its modules by full name."""
    rooms: dict[str, list[str]] = {}
    for path in sorted((ROOT / LIBRARY).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] != "__main__" and len(parts) > 1 and parts != (LIBRARY, "__init__"):
            module = ".".join(parts).removesuffix(".__init__")
            rooms.setdefault(parts[1], []).append(module)
    return rooms


def api_text(room: str, modules: list[str]) -> str:
    """The page of one room: each module with what it offers."""
    return "\n\n".join([f"# {room}", *map(api_entry, modules)]) + "\n"


def api_entry(module: str) -> str:
    """A module in full; a package that passes on what its modules offer, without that."""
    init = ROOT.joinpath(*module.split("."), "__init__.py")
    passes_on = init.exists() and "__all__" in init.read_text(encoding="utf-8")
    return f"::: {module}" + ("\n    options: {members: false}" if passes_on else "")


def run_text(runs: dict[str, list[Path]]) -> str:
    """The page that leads to report, explorer and notebooks of the runs that lie in results/."""
    lines = ["# A run", ""]
    if not runs:
        lines.append("This site was built where no run had finished. `./reproduce.sh` makes one")
        lines.append("in minutes; built again, the site shows its report and notebooks here.")
    for dataset, paths in runs.items():
        lines += [f"## {dataset}", "", "Its report, every question with every answer, and the"]
        lines += ["notebooks as they ran.", ""]
        for path in paths:
            if path.suffix == ".html":
                name = {"report": "Report", "explorer": "Every question"}.get(path.stem, path.stem)
                lines.append(f"- [{name}]({path.relative_to(ROOT).as_posix()})")
        lines.append("")
    return "\n".join(lines) + "\n"


class Examples(griffe.Extension):
    """Docstrings as Markdown: examples at the prompt are code, ``::`` before code is a colon."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """A docstring with its examples in fences."""
    blocks = re.split(r"\n{2,}", docstring)
    fenced = (f"```pycon\n{b}\n```" if b.startswith(">>>") else b for b in blocks)
    return re.sub(r"::(?=\n\n)", ":", "\n\n".join(fenced))
