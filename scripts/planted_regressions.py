"""Train `cra` with known faults and print what `cra check` makes of them.

Run:    python scripts/planted_regressions.py --data data --results results/plants   (two at a time)
Writes: RESULTS/<fault>/runs/cra/seed<k>/, in the layout of every run; finished ones are skipped.

A check that never alarms is no check. The faults are of the size that real mistakes have: a second
softmax over the frame weights, the front-door taken over the batch or left out, and a tenth of the
training questions with another choice marked as right. Expected are the recorded seeds; a fault is
caught where any cell of its runs is outside.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cra_lib.config import run_config
from cra_lib.config.profiles import named_profile
from cra_lib.datasets import DATASETS
from cra_lib.evaluator.annotations import read_questions, write_questions
from cra_lib.paths import DataFiles, ResultFiles, dataset_dir, expected_json
from cra_lib.records import InputError
from cra_lib.reproduction.check import as_text, compare_with
from cra_lib.reproduction.expected import read_expected
from cra_lib.reproduction.obtained import read_runs
from cra_lib.training.sweep import Job, sweep

FAULTS = {
    "softmax-smoothing": {"model": {"smoothing": "softmax"}},
    "batch-front-door": {"model": {"front_door": "batch"}},
    "no-front-door": {"model": {"front_door": "none"}},
    "shuffled-labels": {},
}
"""Fault -> settings that plant it; shuffled labels are in the data instead."""
SHUFFLED = 0.1


def shuffled_labels(data: DataFiles, folder: Path, share: float = SHUFFLED) -> DataFiles:
    """A view of a dataset in which a share of the training questions has another right choice."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in data.root.iterdir():
        link = folder / path.name
        if path != data.questions("train") and not link.exists():
            link.symlink_to(path.resolve())
    questions, chance = list(read_questions(data.questions("train"))), random.Random(0)
    for row in chance.sample(range(len(questions)), round(share * len(questions))):
        right, count = questions[row].answer, len(questions[row].choices)
        wrong = chance.choice([choice for choice in range(count) if choice != right])
        questions[row] = replace(questions[row], answer=wrong)
    view = DataFiles(folder)
    write_questions(view.questions("train"), questions)
    return view


def planted_jobs(data: DataFiles, results: Path, profile: str, seeds: list[int]) -> Iterator[Job]:
    """Every fault with every seed."""
    settings = named_profile("shapes", profile)["settings"]
    for fault, change in FAULTS.items():
        where = data
        if fault == "shuffled-labels":
            where = shuffled_labels(data, results / fault / "data")
        one_thread = {"train": {"threads": 1}}
        for seed in seeds:
            config = run_config(
                "shapes", profile=settings, seed=seed, overrides=change | one_thread
            )
            run = ResultFiles(results / fault).run("cra", seed)
            yield Job(config, where, run, DATASETS["shapes"].evaluated[1:])


def main() -> None:
    """Train what is missing, then one table a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="data", help="folder of the datasets, or of shapes")
    parser.add_argument("--results", type=Path, default=Path("results/plants"))
    parser.add_argument("--profile", default="quick", help="a name or a YAML file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2024])
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    expected = read_expected(expected_json("shapes"), "shapes")
    if expected is None:
        raise SystemExit("No seeds are recorded for shapes; see results/README.md.")
    data = DataFiles(dataset_dir(options.data, "shapes").resolve())
    try:
        jobs = planted_jobs(data, options.results, options.profile, options.seeds)
        failed = sweep(jobs, options.jobs)
    except InputError as error:
        raise SystemExit(str(error)) from None
    for fault in FAULTS:
        runs = read_runs([ResultFiles(options.results / fault)], DATASETS["shapes"].evaluated[1:])
        cells = [cell for cell in compare_with(expected, runs) if cell.runs]
        outside = [cell for cell in cells if cell.verdict == "outside"]
        judged = [cell for cell in cells if cell.interval]
        print(f"\n{fault}: {len(outside)} of {len(judged)} cells outside, ", end="")
        print("caught" if outside else "not caught")
        print(as_text(cells))
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
