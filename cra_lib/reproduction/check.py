"""Obtained against expected numbers: does this machine's run say what ours said?

Each cell (variant, split, metric) of a run gets a verdict: ``identical`` where the predictions are
the recorded ones to the byte, ``within`` or ``outside`` the prediction interval of the recorded
seeds (`verdicts` has the rule), ``not run``, or ``-`` where there is nothing to compare with. Where
nothing was recorded for a dataset, the published number with PUBLISHED_TOLERANCE stands in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from cra_lib.config.profiles import named_profile, settings_from
from cra_lib.datasets import dataset_named
from cra_lib.evaluator import leaderboard
from cra_lib.paths import ResultFiles, profile_path
from cra_lib.records import InputError
from cra_lib.reproduction.expected import (
    Expected,
    Key,
    asked_in,
    check_questions,
    read_expected,
)
from cra_lib.reproduction.obtained import CHECKED, Run, check_settings, profile_of, read_runs
from cra_lib.reproduction.plan import read_plan
from cra_lib.reproduction.verdicts import POWER, Spread, prediction_interval, smallest_drop

PUBLISHED_TOLERANCE = 2.0
"""Points around a published number: the spread that the authors' own logs show between runs."""
METHODS = {
    "cra": "CRA", "cra-released": "CRA", "post-hoc": "PH", "post-hoc-released": "PH",
    "ng": "NG", "ng+": "NG+", "ng+-released": "NG+",
    "frozen-cra": "CRA on FrozenBiLM", "frozen-cra-released": "CRA on FrozenBiLM",
    "frozen-post-hoc": "PH on FrozenBiLM", "frozen-ng": "NG on FrozenBiLM",
    "frozen-ng+": "NG+ on FrozenBiLM", "frozen-ng+-released": "NG+ on FrozenBiLM",
}  # fmt: skip
"""Variant -> method in results/published.csv, with its backbone where that is not Temp[CLIP]."""
BACKBONES = {"Temp[CLIP]": "", "FrozenBiLM": " on FrozenBiLM"}
GOOD = ("identical", "within")
VERDICTS = (*GOOD, "outside", "not run")


@dataclass(frozen=True)
class Cell:
    """One number of the tables, from up to three sources; None where a source has none."""

    variant: str
    split: str
    metric: str
    published: float | None = None
    obtained: float | None = None
    """Mean over the runs at hand."""
    runs: int = 0
    """Seeds at hand."""
    known: Spread | None = None
    """Mean, deviation and worth of the recorded runs."""
    seeds: int = 0
    """Recorded seeds."""
    interval: tuple[float, float] | None = None
    """Where the obtained mean should lie."""
    is_identical: bool = False
    """The predictions are the recorded ones, byte for byte."""

    @property
    def verdict(self) -> str:
        """One of VERDICTS, or ``-`` where there is nothing to compare with."""
        if self.obtained is None:
            return "not run"
        if self.is_identical:
            return "identical"
        if self.interval is None:
            return "-"
        low, high = self.interval
        return "within" if low - 1e-6 <= self.obtained <= high + 1e-6 else "outside"


def compare_all(
    dataset: str,
    results: ResultFiles | Sequence[ResultFiles],
    expected_path: Path,
    published_path: Path,
    profile: str | None = None,
) -> list[Cell]:
    """Every number that was obtained or expected, variant by variant.

    Args:
        profile: what the runs were trained with, a name or a YAML file; None asks the manifests.

    Raises:
        InputError: nothing was obtained yet, a damaged file, or runs that are not comparable:
            another profile, other settings or other questions.
    """
    folders = [results] if isinstance(results, ResultFiles) else list(results)
    runs = read_runs(folders, dataset_named(dataset).evaluated)
    if not runs:
        places = ", ".join(str(folder.root) for folder in folders)
        raise InputError(f"No scores in {places}; run ./reproduce.sh {dataset} first.")
    if other := next((run for run in runs if run.dataset not in ("", dataset)), None):
        raise InputError(
            f"{other.files.scores(other.split)} is about {other.dataset}, not {dataset}; "
            f"run cra check {other.dataset}."
        )
    expected = read_expected(expected_path, dataset)
    if expected is None:
        return _against_published(runs, read_published(published_path, dataset))
    refuse_other_profiles(expected, folders, runs, expected_path, profile)
    asked = _asked_for(dataset, expected.profile, folders)
    cells = compare_with(expected, runs)
    return [cell for cell in cells if cell.runs or not asked or cell.variant in asked]


def _asked_for(dataset: str, profile: str, folders: Iterable[ResultFiles]) -> set[str]:
    """Variants that the folders' plans train, or else the profile's; others need not be there."""
    if plans := [plan for plan in map(read_plan, folders) if plan]:
        return {variant for plan in plans for variant in plan.variants}
    path = profile_path(dataset, profile)
    return set(named_profile(dataset, profile).get("variants") or ()) if path.is_file() else set()


def refuse_other_profiles(
    expected: Expected,
    folders: Sequence[ResultFiles],
    runs: Sequence[Run],
    path: Path,
    profile: str | None = None,
) -> None:
    """Refuse runs of another profile, with other settings, or on other questions.

    Raises:
        InputError: saying what differs.
    """
    dataset, recorded = expected.dataset, expected.profile
    ran = settings_from(dataset, profile) if profile else profile_of(dataset, folders)
    is_known = profile or any(folder.manifest.is_file() for folder in folders)
    # A profile of one's own is recorded by its file's name.
    if is_known and recorded not in (ran, Path(profile or "").stem):
        raise InputError(
            f"{path} records the profile {recorded!r}, but these results come from "
            f"{_named(ran, folders)!r}, with other settings; nothing is recorded to compare them "
            f"with. ./reproduce.sh {dataset} --profile {recorded} makes what can be compared."
        )
    check_settings(dataset, profile or recorded, runs)
    for run in runs:
        check_questions(run, expected.questions.get(asked_in(run.variant, run.split), 0))


def _named(profile: str, folders: Sequence[ResultFiles]) -> str:
    """A profile by the name that its user gave: the workflow keeps a file of its own for it."""
    for plan in filter(None, map(read_plan, folders)):
        if plan.profile_word == profile:
            return plan.profile
    return profile


def compare_with(expected: Expected, runs: Sequence[Run]) -> list[Cell]:
    """The cells of ``expected`` and of the runs; obtained and recorded ones are judged together."""
    obtained = _by_key(runs)
    worth = {
        variant: expected.worth(variant) for variant in {key.variant for key in expected.cells}
    }
    judged = [key for key in expected.cells.keys() & obtained.keys() if worth[key.variant] >= 2]
    cells = []
    for key in sorted(expected.cells.keys() | obtained.keys(), key=_table_order):
        mine = obtained.get(key, [])
        known = expected.spread(key) if key in expected.cells else None
        seeds = len({run.seed for run in mine})
        interval = prediction_interval(known, seeds, len(judged)) if key in judged else None
        cells.append(
            Cell(
                key.variant,
                key.split,
                key.metric,
                obtained=_mean(mine, key.metric),
                runs=seeds,
                known=known,
                seeds=len(expected.seeds(key)) if known else 0,
                interval=interval,
                is_identical=bool(mine and known) and all(_is_recorded(expected, r) for r in mine),
            )
        )
    return cells


def _by_key(runs: Iterable[Run]) -> dict[Key, list[Run]]:
    found: dict[Key, list[Run]] = defaultdict(list)
    for run in runs:
        for metric in run.values:
            found[Key(run.variant, run.split, metric, run.rule)].append(run)
    return found


def _mean(runs: Sequence[Run], metric: str) -> float | None:
    return fmean(run.values[metric] for run in runs) if runs else None


def _is_recorded(expected: Expected, run: Run) -> bool:
    hashes = expected.hashes(run.variant, run.seed, run.split)
    return bool(hashes) and run.predictions_hash in hashes


def read_published(path: Path, dataset: str) -> dict[tuple[str, str, str], float]:
    """(method, split, metric) -> number of the Temp[CLIP] rows of the main tables.

    STAR's test answers are not public: what is called test here is what papers report as val.
    """
    if not path.is_file():
        return {}
    numbers = {}
    ours = {theirs: split for split, theirs in dataset_named(dataset).published_as.items()}
    for row in leaderboard.read_published(path):
        main = row["kind"] == "main" and row["subset"] == "all"
        if main and row["dataset"] == dataset and row["backbone"] in BACKBONES:
            split = ours.get(row["split"], row["split"])
            method = row["method"] + BACKBONES[row["backbone"]]
            for metric in CHECKED:
                if row[metric] is not None:
                    numbers[method, split, metric] = row[metric]
    return numbers


def _against_published(
    runs: Sequence[Run], published: Mapping[tuple[str, str, str], float]
) -> list[Cell]:
    cells = []
    for key, mine in sorted(_by_key(runs).items(), key=lambda item: _table_order(item[0])):
        number = published.get((METHODS.get(key.variant, ""), key.split, key.metric))
        ends = (
            None if number is None else (number - PUBLISHED_TOLERANCE, number + PUBLISHED_TOLERANCE)
        )
        mean, seeds = _mean(mine, key.metric), len({run.seed for run in mine})
        cells.append(Cell(*key[:3], published=number, obtained=mean, runs=seeds, interval=ends))
    return cells


def _table_order(key: Key) -> tuple[str, str, int, str]:
    return key.variant, key.split, CHECKED.index(key.metric), key.rule


def as_text(cells: Sequence[Cell]) -> str:
    """The table that ``./reproduce.sh check`` prints."""
    is_published = any(cell.published is not None for cell in cells)
    heads = ("published", *HEADS) if is_published else HEADS
    lines = [_line(("variant", "split", "metric"), heads) + "  verdict"]
    for cell in cells:
        numbers = ((cell.published,) if is_published else ()) + numbers_of(cell)
        shown = [
            _shown(number, digits) for number, digits in zip(numbers, _digits(heads), strict=True)
        ]
        lines.append(_line((cell.variant, cell.split, cell.metric), shown) + f"  {cell.verdict}")
    return "\n".join(lines)


HEADS = ("obtained", "seeds", "recorded", "mean", "sd", "from", "to")
"""Numbers of a cell: mean and seeds obtained; seeds, mean, sd recorded; ends of the interval."""


def numbers_of(cell: Cell) -> tuple[float | None, ...]:
    """The values under HEADS."""
    mean, sd = (cell.known.mean, cell.known.sd) if cell.known else (None, None)
    return (cell.obtained, cell.runs, cell.seeds, mean, sd, *(cell.interval or (None, None)))


def _digits(heads: Sequence[str]) -> list[int]:
    return [0 if head in ("seeds", "recorded") else 2 for head in heads]


def _shown(number: float | None, digits: int) -> str:
    return "-" if number is None or number != number else f"{number:.{digits}f}"


def _line(names: Sequence[str], numbers: Sequence[str]) -> str:
    left = f"{names[0]:<18}{names[1]:<10}{names[2]:<9}"
    return left + "".join(f"{number:>10}" for number in numbers)


def notes(cells: Sequence[Cell], expected: Expected | None, runs: Sequence[Run]) -> list[str]:
    """What a reader of the table should know: new seeds, splits and variants without record."""
    said = []
    if expected is None:
        return ["Nothing is recorded for this dataset; numbers are held to the published ones."]
    known = {seed for key in expected.cells for seed in expected.seeds(key)}
    if fresh := sorted({run.seed for run in runs} - known):
        shown = ", ".join(map(str, fresh))
        said.append(f"Seeds that were not recorded, judged as future runs: {shown}.")
    for what, mine, recorded in (
        ("Splits", {r.split for r in runs}, {key.split for key in expected.cells}),
        ("Variants", {r.variant for r in runs}, {key.variant for key in expected.cells}),
    ):
        if other := sorted(mine - recorded):
            said.append(f"{what} that were not recorded, not judged: {', '.join(other)}.")
    if lone := sorted({c.variant for c in cells if c.known and c.seeds < 2}):
        said.append(f"One recorded seed has no spread, so there is no verdict: {', '.join(lone)}.")
    return said


def power_text(expected: Expected, runs: int = 1) -> str:
    """The smallest drop of every cell that a check of ``runs`` seeds finds with chance POWER."""
    judged = [key for key in expected.cells if expected.worth(key.variant) >= 2]
    lines = [
        f"Smallest drop in points that one cell alone shows in {POWER:.0%} of checks, "
        f"{runs} new seed{'s' if runs > 1 else ''}, {len(judged)} cells:",
        _line(("variant", "split", "metric"), ("recorded", "mean", "sd", "drop")),
    ]
    for key in sorted(judged, key=_table_order):
        known = expected.spread(key)
        drop = smallest_drop(known, runs, len(judged))
        shown = [f"{number:.2f}" for number in known[:2]]
        shown.append(f"{drop:.2f}" if drop < known.mean else "none")
        numbers = (str(len(expected.seeds(key))), *shown)
        lines.append(_line(key[:3], numbers))
    return "\n".join(lines)
