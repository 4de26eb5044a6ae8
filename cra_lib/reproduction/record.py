"""``cra check --record``: add real runs to the recorded numbers, and show them in the README."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from cra_lib.config.profiles import settings_from
from cra_lib.datasets import dataset_named
from cra_lib.evaluator.metrics import METRICS
from cra_lib.evaluator.statistics import crossed_differences
from cra_lib.evaluator.video_scores import VideoScores, read_video_scores, stack_seeds
from cra_lib.paths import ResultFiles, repository_root
from cra_lib.records import InputError
from cra_lib.reproduction import manifest
from cra_lib.reproduction.claims import Claim, Outcome, evaluate, overlaps_of, sources_of
from cra_lib.reproduction.expected import Expected, Key, add_runs, read_expected, write_expected
from cra_lib.reproduction.obtained import CHECKED, Run, check_settings, profile_of, read_runs

SAMPLES = 2000
"""Resamplings of the recorded intervals."""


def record(
    dataset: str,
    folders: Sequence[ResultFiles],
    path: Path,
    profile: str | None = None,
    claims: Iterable[Claim] = (),
) -> Expected:
    """Add the runs of the folders to the recorded ones and write the file.

    A run replaces the recorded one of its variant, seed and instruction set. Numbers of a profile
    with other settings are not mixed: they replace everything.

    Args:
        profile: a name, or a YAML file; None asks the folders' manifests.
        claims: those that are asked of this dataset; what these runs say is recorded, too.

    Raises:
        InputError: no runs, or runs that do not fit each other or the profile.
    """
    profile = profile or profile_of(dataset, folders)
    runs = read_runs(folders, recorded_splits(dataset))
    if not runs:
        places = ", ".join(str(folder.root) for folder in folders)
        raise InputError(f"No scores in {places}; run ./reproduce.sh {dataset} first.")
    check_settings(dataset, profile, runs)
    name = Path(settings_from(dataset, profile)).stem
    expected = _known_of(path, dataset, name) or Expected(dataset, name)
    add_runs(expected, runs)
    _add_intervals(expected, runs)
    for instruction_set in {run.instruction_set for run in runs}:
        expected.provenance[instruction_set] = _provenance(expected, folders, instruction_set)
    for name, outcome in outcomes_of(claims, runs).items():
        # Fewer seeds than were at hand once do not replace what more of them said.
        if outcome.seeds >= expected.claims.get(name, {}).get("seeds", 1):
            expected.claims[name] = outcome._asdict()
    write_expected(path, expected)
    return expected


def outcomes_of(claims: Iterable[Claim], runs: Sequence[Run]) -> dict[str, Outcome]:
    """What runs say about each claim."""
    sources, overlaps = sources_of(runs), overlaps_of(runs)
    return {claim.id: evaluate(claim, sources, overlaps) for claim in claims}


def recorded_splits(dataset: str) -> list[str]:
    """Splits whose numbers are recorded: those that training does not select on."""
    entry = dataset_named(dataset)
    return [split for split in entry.evaluated if split != "val" or not entry.is_made_here]


def _known_of(path: Path, dataset: str, profile: str) -> Expected | None:
    """What was recorded for this profile; nothing where the file is of an older format."""
    if path.is_file() and '"format"' not in path.read_text(encoding="utf-8")[:200]:
        return None
    known = read_expected(path, dataset)
    return known if known and known.profile == profile else None


def _provenance(expected: Expected, folders: Sequence[ResultFiles], instruction_set: str) -> dict:
    entries = [
        entry
        for folder in folders
        for entry in manifest.read_manifest(folder.manifest).values()
        if entry["seed"]
    ]
    seeds = {
        s for key in expected.cells for name, s, _ in expected.flat(key) if name == instruction_set
    }
    return {
        "seeds": sorted(seeds),
        # Of the runs where a notebook noted it; else of the working copy that records them.
        "commit": entries[-1]["commit"] if entries else manifest.git_state(repository_root()),
        "device": manifest.device(),
        "versions": manifest.versions(),
    }


def _add_intervals(expected: Expected, runs: Iterable[Run]) -> None:
    """95 % intervals over seeds and videos, of the cells whose recorded runs are all here.

    Others keep theirs: one of fewer seeds is the wider one.
    """
    groups: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.variant, run.split, run.rule].append(run)
    for (variant, split, rule), mine in groups.items():
        here = {(run.instruction_set, run.seed) for run in mine}
        keys = [Key(variant, split, metric, rule) for metric in CHECKED]
        keys = [key for key in keys if key in expected.cells]
        whole = all({(n, s) for n, s, _ in expected.flat(key)} <= here for key in keys)
        found = stacked(mine) if whole else None
        for key in keys:
            expected.intervals.setdefault(key, None)
            if found is not None:
                ends = crossed_differences(*found, SAMPLES)[list(METRICS).index(key.metric)]
                expected.intervals[key] = [round(ends.low, 2), round(ends.high, 2)]


def stacked(runs: Iterable[Run]) -> tuple[np.ndarray, np.ndarray] | None:
    """Sums ``[S, V, M]`` of S seeds over V videos, and questions ``[V]``; None where files lack.

    Runs of one seed on several instruction sets count as one, their average.

    Raises:
        InputError: runs on other videos.
    """
    by_seed: dict[int, list[VideoScores]] = defaultdict(list)
    for run in runs:
        path = run.files.video_scores(run.split)
        if not path.is_file():
            return None
        by_seed[run.seed].append(read_video_scores(path))
    averages = []
    for ones in by_seed.values():
        sums, questions = stack_seeds(ones)
        averages.append(VideoScores(ones[0].videos, questions, sums.mean(axis=0)))
    return stack_seeds(averages)


def markdown_table(expected: Expected, split: str = "test") -> str:
    """The recorded numbers of one split as the README shows them: mean, sd over seeds, interval.

    Variants that depart from their settings (``cra@...``) are for DEVIATIONS.md.
    """
    rows: dict[str, dict[str, str]] = defaultdict(dict)
    seeds: dict[str, int] = {}
    for key in sorted(expected.cells):
        if key.split == split and "@" not in key.variant:
            values = [value for *_, value in expected.flat(key)]
            rows[key.variant][key.metric] = _cell_text(values, expected.intervals.get(key))
            seeds[key.variant] = len(expected.seeds(key))
    lines = [f"| variant | seeds | {' | '.join(CHECKED)} |", "|---|---|" + "---|" * len(CHECKED)]
    for variant, cells in rows.items():
        shown = " | ".join(cells.get(metric, "-") for metric in CHECKED)
        lines.append(f"| `{variant}` | {seeds[variant]} | {shown} |")
    return "\n".join(lines)


def _cell_text(values: Sequence[float], interval: Sequence[float] | None) -> str:
    text = f"{fmean(values):.1f}"
    if len(values) > 1:
        text += f" ± {stdev(values):.1f}"
    low, high = np.clip(interval or (0, 0), 0, 100)
    return text + (f" [{low:.1f}, {high:.1f}]" if interval else "")


BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def with_results(readme: str, expected: Expected) -> str:
    """The README with its results table replaced by the recorded numbers."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{markdown_table(expected)}\n{END}{after}"
