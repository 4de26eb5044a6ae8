"""How fast the evaluator is on NExT-GQA's test split, and how much faster than a plain loop.

Run it as a script; it reads the packaged annotation::

    python tests/benchmarks/bench_evaluator.py

Predictions are made up: only their number and shape matter here. Each time is the best of several
runs, on one thread.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cra_lib.evaluator.annotations import read_stamps, read_truths
from cra_lib.evaluator.metrics import METRICS, TruthTable, question_scores, summarise, truth_table
from cra_lib.evaluator.packaged import packaged_dataset
from cra_lib.evaluator.spans import post_hoc_spans
from cra_lib.paths import DataFiles
from cra_lib.records import Prediction, Truth, write_predictions

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 5


def best_seconds(work: Callable[[], object]) -> float:
    """Seconds of the fastest of several calls."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def made_up(truths: dict[str, Truth], stamps: dict[str, tuple[float, ...]]) -> list[Prediction]:
    """A prediction with answer, probabilities and weights for every question."""
    generator = np.random.default_rng(0)
    predictions = []
    for key, truth in truths.items():
        weights = generator.dirichlet(np.full(32, 0.5)).round(7)
        chances = generator.dirichlet(np.ones(5))
        predictions.append(
            Prediction(
                key,
                int(chances.argmax()),
                tuple(chances.round(6).tolist()),
                frame_weights=tuple(weights.tolist()),
                frame_times=stamps[truth.video_id],
            )
        )
    return predictions


def loop_walk(weights: list[float], times: tuple[float, ...]) -> tuple[float, float]:
    """The post-hoc rule for one question, frame by frame."""
    low, high = min(weights), max(weights)
    weights = [(w - low) / (high - low) for w in weights]
    floor = 1.3 * sum(weights) / len(weights)
    peak = weights.index(1.0)
    ends = [peak, peak]
    for side, frames in enumerate((range(peak - 1, 0, -1), range(peak + 1, len(weights)))):
        for frame in frames:
            distance = abs(times[frame] - times[peak])
            if weights[frame] / (1 + distance / 10) >= floor:
                ends[side] = frame
            elif distance > 10:
                break
    return times[ends[0]], times[ends[1]]


def loop_overlap(span: tuple[float, float], segment: tuple[float, float]) -> tuple[float, float]:
    """IoU and IoP of one pair."""
    if span[0] == span[1]:
        return 0.0, float(segment[0] <= span[0] <= segment[1])
    shared = min(span[1], segment[1]) - max(span[0], segment[0])
    hull = max(span[1], segment[1]) - min(span[0], segment[0])
    return shared / hull, shared / (span[1] - span[0])


def loop_scores(predictions: list[Prediction], truths: dict[str, Truth]) -> list[float]:
    """METRICS of the post-hoc rule, question by question."""
    totals = [0.0] * len(METRICS)
    for prediction in predictions:
        truth = truths[prediction.key]
        span = loop_walk(list(prediction.frame_weights), prediction.frame_times)
        overlaps = [loop_overlap(span, segment) for segment in truth.segments]
        iou, iop = (max(0.0, *values) for values in zip(*overlaps, strict=True))
        right = prediction.answer == truth.answer
        row = (
            right and iop >= 0.5,
            right,
            iop,
            iop >= 0.3,
            iop >= 0.5,
            iou,
            iou >= 0.3,
            iou >= 0.5,
        )
        totals = [total + 100.0 * value for total, value in zip(totals, row, strict=True)]
    return [total / len(truths) for total in totals]


def array_scores(
    weights: np.ndarray, times: np.ndarray, answers: np.ndarray, table: TruthTable
) -> list[float]:
    """The same through `spans` and `metrics`."""
    scores = question_scores(post_hoc_spans(weights, times), answers, table)
    result = summarise(scores)
    return [result[name] for name in METRICS]


def run_command(files: DataFiles, path: Path) -> tuple[float, float]:
    """Wall and CPU seconds of `cra evaluate` in a new process, with everything it can add."""
    command = [sys.executable, "-c", "from cra_lib.cli import main; main()", "evaluate", str(path)]
    options = ["--truth", str(files.root), "--split", "test", "--by-type", "--bootstrap", "1000"]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, busy


def main() -> None:
    """Print every measurement with its target."""
    files = packaged_dataset("nextgqa")
    truths, stamps = read_truths(files, "test"), read_stamps(files.stamps("test"))
    predictions = made_up(truths, stamps)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.jsonl"
        write_predictions(path, predictions)
        runs = [run_command(files, path) for _ in range(REPEATS)]
    whole, busy = (min(column) for column in zip(*runs, strict=True))
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"cra evaluate, all rules, types, blind rows, 1,000 resamplings, {len(truths)} questions:"
    )
    print(f"{whole:.2f} s, of them {busy:.2f} s busy (target 3), peak {memory:.0f} MB (target 400)")

    weights = np.array([p.frame_weights for p in predictions])
    times = np.array([p.frame_times for p in predictions])
    answers, table = np.array([p.answer for p in predictions]), truth_table(truths)
    plain, ours = loop_scores(predictions, truths), array_scores(weights, times, answers, table)
    np.testing.assert_allclose(ours, plain, atol=1e-9)
    loop = best_seconds(lambda: loop_scores(predictions, truths))
    fast = best_seconds(lambda: array_scores(weights, times, answers, table))
    print(f"spans and scores of one rule: {fast * 1e3:.1f} ms (target 100)")
    print(f"the same in a plain loop: {loop * 1e3:.0f} ms, ratio {loop / fast:.1f}")


if __name__ == "__main__":
    main()
