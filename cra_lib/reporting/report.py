"""The report: one HTML page that holds everything, to be opened without a server or a network.

Read are the figures, tables, score checks, run times and the manifest below ``results/<dataset>``;
what is missing is named on the page instead of stopping it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cra_lib.paths import ResultFiles, atomic, require
from cra_lib.reporting.figures.catalogue import FIGURES, SECTIONS, TABLES
from cra_lib.reporting.figures.style import DPI
from cra_lib.reporting.gaps import missing, without_training
from cra_lib.reporting.lead import found, tiles
from cra_lib.reporting.origins import read_examples, read_origins
from cra_lib.reporting.pages import write_pages
from cra_lib.reporting.report_tables import (
    claims_html,
    judged_claims,
    marked,
    notebook_rows,
    provenance,
    run_table,
    verdict_table,
    verdicts,
)
from cra_lib.reporting.tables.building import interval_meaning
from cra_lib.reporting.tables.reading import left_out, read_scores
from cra_lib.reporting.tables.writing import to_html
from cra_lib.reproduction.check import VERDICTS
from cra_lib.reproduction.manifest import damaged_entries, read_manifest

PAGE_SCALE = 130 / DPI
"""Pixels of the page for one pixel of a figure."""
OUTSIDE_LINKS = {
    "Paper": "https://arxiv.org/abs/2503.07635",
    "Authors' code": "https://github.com/WissingChen/CRA-GQA",
}
"""What the report is about; followed by a reader, never by the page."""


class Picture(NamedTuple):
    """One figure of the page."""

    name: str
    caption: str
    alt: str
    source: str
    """The PNG as a data address."""
    width: int
    """Width on the page, in pixels of the page."""
    pdf: str
    """Address of the PDF relative to the page; empty where there is none."""


class Chart(NamedTuple):
    """One table of the page."""

    name: str
    caption: str
    html: str


def write_report(dataset: str, results: ResultFiles) -> Path:
    """Write ``report.html`` from whatever lies below ``results``; returns its path.

    Raises:
        InputError: the folder does not exist, or a file in it is damaged.
    """
    require(results.root, f"Results of {dataset}", f"Run ./reproduce.sh {dataset} first.")
    page = render(page_facts(dataset, results) | {"pages": write_pages(results)})
    with atomic(results.report) as partial:
        partial.write_text(page, encoding="utf-8")
    return results.report


def render(facts: Mapping[str, Any], template: str = "report.html") -> str:
    """A page as text; everything that is not HTML on purpose is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("cra_lib.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(facts) + "\n"


def page_facts(dataset: str, results: ResultFiles) -> dict[str, Any]:
    """Everything that the template shows."""
    entries = read_manifest(results.manifest)
    cells, note = verdicts(dataset, results)
    untrained = without_training(results)
    counts = {name: sum(c.verdict == name for c in cells) for name in VERDICTS}
    judged = judged_claims(dataset, results)
    seeds = fewest_seeds(results)
    over = interval_meaning(seeds)
    pictures, charts = read_pictures(results, over), read_charts(results, over)
    return {
        "dataset": dataset,
        "over": over,
        "sections": [
            {
                "id": section,
                "heading": heading,
                "pictures": [pictures[n] for n in pictures if FIGURES[n].section == section],
                "absent": [
                    item.otherwise
                    for name, item in FIGURES.items()
                    if item.section == section and item.otherwise and name not in pictures
                ],
                "charts": [charts[n] for n in charts if TABLES[n].section == section],
            }
            for section, heading in SECTIONS.items()
        ],
        "found": found(results, judged),
        "one_seed": seeds == 1 and not untrained,
        "tiles": tiles(results),
        "explorer": results.explorer.name if results.explorer.exists() else "",
        "counts": counts,
        "verdicts": marked(to_html(verdict_table(cells))) if cells else "",
        "verdict_note": note,
        "claims": claims_html(judged),
        "missing": [
            *untrained,
            *left_out(results),
            *damaged_entries(results.manifest),
            *missing(dataset, pictures, charts, cells, trains=not untrained),
        ],
        "runs": to_html(run_table(results, entries)),
        "origins": read_origins(results, entries),
        "examples": read_examples(results),
        "outside": OUTSIDE_LINKS,
        "notebooks": notebook_rows(entries, results),
        **provenance(entries),
    }


def fewest_seeds(results: ResultFiles) -> int:
    """Seeds of the variant that has the fewest on the test split; 1 before any scoring."""
    scores = read_scores(results)
    seeds = scores[scores["split"] == "test"].groupby("variant")["seed"].nunique()
    return 1 if seeds.empty else int(seeds.min())


def read_pictures(results: ResultFiles, over: str) -> dict[str, Picture]:
    """The catalogue's figures that exist, in the catalogue's order."""
    pictures = {}
    for name, item in FIGURES.items():
        png, pdf = (results.figures / f"{name}.{suffix}" for suffix in ("png", "pdf"))
        if png.exists():
            address = f"{results.figures.name}/{pdf.name}" if pdf.exists() else ""
            caption = item.caption.format(over=over)
            pictures[name] = picture_of(png.read_bytes(), name, caption, item.alt, address)
    return pictures


def picture_of(png: bytes, name: str, caption: str, alt: str, pdf: str = "") -> Picture:
    """A PNG as part of a page."""
    data = base64.b64encode(png).decode()
    # The header of every PNG holds its width in bytes 16 to 19.
    width = round(int.from_bytes(png[16:20], "big") * PAGE_SCALE)
    return Picture(name, caption, alt, f"data:image/png;base64,{data}", width, pdf)


def read_charts(results: ResultFiles, over: str) -> dict[str, Chart]:
    """The catalogue's tables that exist, in the catalogue's order."""
    return {
        name: Chart(name, item.caption.format(over=over), path.read_text(encoding="utf-8"))
        for name, item in TABLES.items()
        if (path := results.tables / f"{name}.html").exists()
    }
