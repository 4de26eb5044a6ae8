"""The report: one HTML page that holds everything, to be opened without a server or a network.

Read are the figures, tables, score checks, run times and the manifest below ``results/<dataset>``;
what is missing is named on the page instead of stopping it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cra_lib.datasets import dataset_named
from cra_lib.evaluator.metrics import HEADLINE, METRICS
from cra_lib.paths import (
    ResultFiles,
    atomic,
    claims_yaml,
    expected_json,
    published_csv,
    require,
)
from cra_lib.records import InputError
from cra_lib.reporting.figures.catalogue import FIGURES, SECTIONS, TABLES
from cra_lib.reporting.figures.style import DPI
from cra_lib.reporting.looks import in_order, look
from cra_lib.reporting.origins import commit_of, read_examples, read_origins
from cra_lib.reporting.pages import write_pages
from cra_lib.reporting.tables.building import interval_meaning, with_interval
from cra_lib.reporting.tables.reading import left_out, read_runtimes, read_scores
from cra_lib.reporting.tables.writing import to_html
from cra_lib.reproduction.check import (
    GOOD,
    HEADS,
    VERDICTS,
    Cell,
    compare_all,
    numbers_of,
)
from cra_lib.reproduction.claims import outcome_text, read_claims
from cra_lib.reproduction.manifest import damaged_entries, read_manifest
from cra_lib.reproduction.obtained import read_runs
from cra_lib.reproduction.record import outcomes_of
from cra_lib.reproduction.runs import changed_copies

PAGE_SCALE = 130 / DPI
"""Pixels of the page for one pixel of a figure."""
OUTSIDE_LINKS = {
    "Paper": "https://arxiv.org/abs/2503.07635",
    "Authors' code": "https://github.com/WissingChen/CRA-GQA",
}
"""What the report is about; followed by a reader, never by the page."""
RUN_COLUMNS = {
    "variant": "variant",
    "seed": "seed",
    "epochs": "epochs",
    "best_epoch": "epoch kept",
    "best_value": "its validation score",
    "training_seconds": "training (s)",
    "peak_memory_gb": "peak memory (GB)",
    "parameters": "parameters",
    "device": "device",
}
"""Entry of runtime.json -> heading."""


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
    counts = {name: sum(c.verdict == name for c in cells) for name in VERDICTS}
    over = interval_meaning(fewest_seeds(results))
    pictures, charts = read_pictures(results, over), read_charts(results, over)
    return {
        "dataset": dataset,
        "over": over,
        "sections": [
            {
                "id": section,
                "heading": heading,
                "pictures": [pictures[n] for n in pictures if FIGURES[n].section == section],
                "charts": [charts[n] for n in charts if TABLES[n].section == section],
            }
            for section, heading in SECTIONS.items()
        ],
        "headline": headline(results),
        "explorer": results.explorer.name if results.explorer.exists() else "",
        "counts": counts,
        "verdicts": marked(to_html(verdict_table(cells))) if cells else "",
        "verdict_note": note,
        "claims": claims_html(dataset, results),
        "missing": [
            *left_out(results),
            *damaged_entries(results.manifest),
            *missing(dataset, pictures, charts, cells),
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


def verdicts(dataset: str, results: ResultFiles) -> tuple[list[Cell], str]:
    """Obtained against expected numbers, and a sentence where there is nothing to compare."""
    try:
        cells = compare_all(dataset, results, expected_json(dataset), published_csv())
    except InputError as problem:
        return [], str(problem)
    compared = [cell for cell in cells if cell.verdict != "-"]
    if not compared:
        return [], "No expected numbers are recorded for this dataset, and none are published."
    return compared, ""


def verdict_table(cells: list[Cell]) -> pd.DataFrame:
    """One row a compared number; numbers in percent."""
    rows = [
        {
            "method": look(cell.variant).label,
            "split": cell.split,
            "metric": cell.metric,
            "published": cell.published,
            **dict(zip(HEADS, numbers_of(cell), strict=True)),
            "verdict": cell.verdict,
        }
        for cell in cells
    ]
    counts = ("seeds", "recorded")
    numbers = ["published", *(head for head in HEADS if head not in counts)]
    table = pd.DataFrame(rows).astype(dict.fromkeys(numbers, float))
    return table.dropna(axis="columns", how="all")


def claims_html(dataset: str, results: ResultFiles) -> str:
    """What these results say about each claim; nothing where none is asked of the dataset."""
    claims = [claim for claim in read_claims(claims_yaml()) if dataset in claim.datasets]
    outcomes = outcomes_of(claims, read_runs([results], dataset_named(dataset).evaluated))
    rows = [
        {
            "claim": claim.statement,
            "outcome": outcome_text(claim, outcomes[claim.id]),
            "source": claim.source,
        }
        for claim in claims
        if outcomes[claim.id].figure is not None
    ]
    return to_html(pd.DataFrame(rows)) if rows else ""


def marked(html: str) -> str:
    """The verdicts' cells with the class that gives them their colour."""
    for verdict in (*GOOD, "outside"):
        colour = "ok" if verdict in GOOD else verdict
        html = html.replace(
            f'<td class="text">{verdict}</td>', f'<td class="{colour}">{verdict}</td>'
        )
    return html


def headline(results: ResultFiles) -> list[dict[str, str]]:
    """CRA's scores on the test split, or the first variant's; empty before any scoring."""
    try:
        scores = read_scores(results)
    except InputError:  # `left_out` says which runs, and why
        return []
    scores = scores[scores["split"] == "test"]
    if scores.empty:
        return []
    variant = in_order(scores["variant"])[0]
    mine = scores[scores["variant"] == variant].groupby("metric")[["value", "low", "high"]].mean()
    return [
        {"label": f"{metric}, {look(variant).label}", "value": with_interval(*mine.loc[metric])}
        for metric in METRICS
        if metric in HEADLINE
    ]


def missing(
    dataset: str,
    pictures: Mapping[str, Picture],
    charts: Mapping[str, Chart],
    cells: list[Cell],
) -> list[str]:
    """What this page would show after a complete run, one sentence each."""
    notes = []
    absent = [n for n, item in FIGURES.items() if dataset in item.datasets and n not in pictures]
    absent_tables = [
        n for n, item in TABLES.items() if dataset in item.datasets and n not in charts
    ]
    if absent:
        notes.append(f"Figures that this run did not make: {', '.join(absent)}.")
    if absent_tables:
        notes.append(f"Tables that this run did not make: {', '.join(absent_tables)}.")
    if idle := in_order(cell.variant for cell in cells if cell.verdict == "not run"):
        names = ", ".join(look(variant).label for variant in idle)
        notes.append(f"Expected but not run: {names}.")
    return notes


def run_table(
    results: ResultFiles, entries: Mapping[str, Mapping[str, Any]] | None = None
) -> pd.DataFrame:
    """One row a training: how long, how large, where.

    Args:
        entries: of the manifest, which knows the processor by its name.
    """
    table = read_runtimes(results)
    known = [name for name in RUN_COLUMNS if name in table]
    table = table[known]
    if "variant" in table:
        order = {name: place for place, name in enumerate(in_order(table["variant"]))}
        table = table.sort_values(["variant", "seed"], key=lambda column: column.replace(order))
        runs = list(zip(table["variant"], table["seed"], strict=True))
        if "device" in table:
            names = [_device_of(entries or {}, *run) for run in runs]
            known = table["device"].tolist()
            table = table.assign(device=[a or b for a, b in zip(names, known, strict=True)])
        labels = [look(name).label for name, _ in runs]
        # a seed is a name, not an amount: no separator of thousands
        table = table.assign(variant=labels, seed=[str(seed) for _, seed in runs])
    return table.rename(columns=RUN_COLUMNS).reset_index(drop=True)


def _device_of(entries: Mapping[str, Mapping[str, Any]], variant: str, seed: int) -> str:
    """Name of the GPU or processor of a training; empty where its notebook is not recorded."""
    device = entries.get(f"03_train_{variant}_seed{seed}", {}).get("device", {})
    return device.get("gpu") or device.get("cpu") or ""


def notebook_rows(
    entries: Mapping[str, Mapping[str, Any]], results: ResultFiles
) -> list[dict[str, Any]]:
    """One row an executed notebook, with a link to its page where that exists."""
    rows = []
    altered = changed_copies(results)
    for name, entry in entries.items():
        page = Path(entry["executed"]).with_suffix(".html")
        note = "its copy was changed after it ran" if name in altered else ""
        rows.append(
            {
                "name": name,
                "page": page.as_posix() if (results.root / page).exists() else "",
                "seconds": f"{entry['seconds']:.0f}",
                "state": entry["exit_state"],
                "error": entry["error"] or note,
                "parameters": ", ".join(f"{k}={v}" for k, v in entry["parameters"].items()),
                "outputs": sorted(entry["outputs"].items()),
            }
        )
    return rows


def provenance(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Commits, devices and versions of all runs, each once."""
    commits, devices, versions = [], [], {}
    for entry in entries.values():
        device = entry["device"]
        commits.append(commit_of(entry))
        gpu = f", {device['gpu']}" if device["gpu"] else ""
        devices.append(f"{device['cpu']}, {device['cores']} cores{gpu}")
        versions |= entry["versions"]
    return {
        "commits": list(dict.fromkeys(commits)),
        "devices": list(dict.fromkeys(devices)),
        "versions": versions,
    }
