"""What a report does not show, and why, in sentences for its top."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cra_lib.paths import ResultFiles
from cra_lib.reporting.figures.catalogue import FIGURES, FROM_ANNOTATION, TABLES
from cra_lib.reporting.looks import in_order, look
from cra_lib.reproduction.check import Cell
from cra_lib.reproduction.plan import read_plan


def without_training(results: ResultFiles) -> list[str]:
    """What the page is of where its run had nothing to train; empty where it had."""
    plan = read_plan(results)
    if plan is None or plan.trained_runs:
        return []
    why = "no frame features and no videos were found" if plan.note else "this was asked for"
    return [
        f"Annotation alone (profile {plan.profile}; {why}): nothing was trained. Here are the "
        "data, their oddities, question graphs and linguistic confounders, chance, and what "
        "intervals get that ignore the video, beside all published rows. What more needs, how "
        "large that is and where it comes from stands in the table of what is missing."
    ]


def missing(
    dataset: str,
    pictures: Collection[str],
    charts: Collection[str],
    cells: Iterable[Cell],
    trains: bool = True,
) -> list[str]:
    """What this page would show after a complete run, one sentence each.

    Args:
        pictures, charts: names of the figures and tables that are there.
        trains: whether the run has a model; without one, less is expected of it.
    """
    notes = []
    absent, absent_tables = (
        [n for n, item in items.items() if dataset in item.datasets and n not in found]
        for items, found in ((FIGURES, pictures), (TABLES, charts))
    )
    if not trains:
        absent, absent_tables = (
            [name for name in names if name in FROM_ANNOTATION] for names in (absent, absent_tables)
        )
    if absent:
        notes.append(f"Figures that this run did not make: {', '.join(absent)}.")
    if absent_tables:
        notes.append(f"Tables that this run did not make: {', '.join(absent_tables)}.")
    idle = in_order(cell.variant for cell in cells if cell.verdict == "not run")
    if idle and trains:
        names = ", ".join(look(variant).label for variant in idle)
        notes.append(f"Expected but not run: {names}.")
    return notes
