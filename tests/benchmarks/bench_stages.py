"""What an evaluation and a preparation of shapes take: python tests/benchmarks/bench_stages.py

    bench_stages.py --run RUN [--data DIR] [--rounds 3] [--videos 60]
                    [--before CLONE [--before-python PYTHON]] [--write]

RUN is a finished run of the quick profile (results/shapes/runs/cra/seed2024), DIR the data that it
was trained on. Each round evaluates it with notebook 04, and prepares a small edition with notebook
01 (VIDEOS videos for training, a tenth of that in each other split) in an empty folder, with the
clone of before and with this one in turns, so that both meet the same machine. Prints medians of
wall and processor seconds, children included; where the machine is busy, trust the latter. Exit
status 1 if the two did not leave the same bytes. --write puts the figures into
results/expected/benchmarks.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import yaml

from cra_lib.data.machine import processor_name
from cra_lib.paths import atomic, expected_json

ROOT = Path(__file__).resolve().parents[2]
KEPT = ("*.mp4", "*.h5", "predictions_*", "scores_*", "*.png", "*.pdf")
"""Products whose bytes are compared."""


def spent(command: list[str], clone: Path) -> tuple[float, float]:
    """Wall and processor seconds of a command that works with a clone's library.

    Raises:
        SystemExit: it failed.
    """
    own = {"CRA_ROOT": str(clone), "PYTHONPATH": str(clone)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def digests(folder: Path) -> dict[str, str]:
    files = {path for pattern in KEPT for path in folder.rglob(pattern)}
    names = {str(path.relative_to(folder)): path for path in files}
    return {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in sorted(names.items())}


def evaluation(python: str, clone: Path, options: argparse.Namespace, place: Path):
    """Seconds of notebook 04 on a copy of the run, and what it leaves."""
    run = place / "runs" / "cra" / "seed2024"
    left = ("predictions_*", "scores_*", "record_*", "*.pdf", "*.png")
    shutil.copytree(options.run, run, ignore=shutil.ignore_patterns(*left))
    given = [f"DATA_DIR={options.data}", f"RESULTS_DIR={place}"]
    words = [word for value in given for word in ("-p", value)]
    return spent([python, "-m", "cra_lib", "notebook", "04_evaluate", *words], clone), digests(run)


def preparation(python: str, clone: Path, options: argparse.Namespace, place: Path):
    """Seconds of notebook 01 in an empty folder, and what it leaves."""
    profile = yaml.safe_load((ROOT / "workflow/profiles/shapes-quick.yaml").read_text())
    sizes = {"train_videos": options.videos, "eval_videos": max(1, options.videos // 10)}
    profile["settings"]["data"] |= sizes
    (place / "small.yaml").write_text(yaml.safe_dump(profile))
    given = [f"PROFILE={place / 'small.yaml'}", f"DATA_DIR={place / 'data'}"]
    words = [w for value in [*given, f"RESULTS_DIR={place / 'results'}"] for w in ("-p", value)]
    took = spent([python, "-m", "cra_lib", "notebook", "01_prepare_data", *words], clone)
    return took, digests(place)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--before-python", default=sys.executable)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    sides = {"now": (sys.executable, ROOT)}
    if options.before:
        sides = {"before": (options.before_python, options.before.resolve()), **sides}
    report: dict = {"machine": f"{processor_name()}, {os.cpu_count()} cores"}
    same = True
    for name, measure in {"evaluate": evaluation, "prepare": preparation}.items():
        times, made = {side: [] for side in sides}, {}
        for _ in range(options.rounds):
            for side, (python, clone) in sides.items():
                with tempfile.TemporaryDirectory() as folder:
                    seconds, made[side] = measure(python, clone, options, Path(folder))
                times[side].append(seconds)
                print(name, side, [round(value, 1) for value in seconds], flush=True)
        same &= len({json.dumps(found) for found in made.values()}) == 1
        report[name] = {
            side: {"wall": round(median(w for w, _ in each), 1),
                   "processor": round(median(p for _, p in each), 1)}
            for side, each in times.items()
        }  # fmt: skip
    report |= {"rounds": options.rounds, "videos": options.videos, "same bytes": same}
    print(json.dumps(report, indent=1))
    if options.write:
        path = expected_json("benchmarks")
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        with atomic(path) as partial:
            text = json.dumps({**known, "stages": report}, indent=1)
            partial.write_text(text + "\n", encoding="utf-8")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
