"""The report's tables beside those of notebook 05: verdicts, claims, runs, notebooks, machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cra_lib.datasets import dataset_named
from cra_lib.paths import ResultFiles, claims_yaml, expected_json, published_csv
from cra_lib.records import InputError
from cra_lib.reporting.looks import in_order, look
from cra_lib.reporting.origins import commit_of
from cra_lib.reporting.tables.reading import read_runtimes
from cra_lib.reporting.tables.writing import to_html
from cra_lib.reproduction.check import GOOD, HEADS, Cell, compare_all, numbers_of
from cra_lib.reproduction.claims import Claim, Outcome, outcome_text, read_claims
from cra_lib.reproduction.obtained import read_runs
from cra_lib.reproduction.record import outcomes_of
from cra_lib.reproduction.runs import changed_copies

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


def judged_claims(dataset: str, results: ResultFiles) -> list[tuple[Claim, Outcome]]:
    """The claims that are asked of a dataset and that these results have a figure for."""
    claims = [claim for claim in read_claims(claims_yaml()) if dataset in claim.datasets]
    outcomes = outcomes_of(claims, read_runs([results], dataset_named(dataset).evaluated))
    found = [(claim, outcomes[claim.id]) for claim in claims]
    return [(claim, outcome) for claim, outcome in found if outcome.figure is not None]


def claims_html(judged: Sequence[tuple[Claim, Outcome]]) -> str:
    """What these results say about each claim; nothing where there is none."""
    rows = [
        {
            "claim": claim.statement,
            "outcome": outcome_text(claim, outcome),
            "source": claim.source,
        }
        for claim, outcome in judged
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
