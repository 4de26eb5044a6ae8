"""Many runs from one call: variants x seeds, each trained, predicted and scored.

Every worker process takes one run after the other, on one thread: as many runs at a time as there
are cores cost less than the same runs one by one, and a run's numbers do not depend on how many
there are. What is finished is skipped, what was killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import NamedTuple

import torch

from cra_lib.config import RunConfig
from cra_lib.config.files import load_config
from cra_lib.inference.predict import predict_run, score_run
from cra_lib.inference.settings import first_difference
from cra_lib.paths import DataFiles, RunFiles, require
from cra_lib.records import InputError
from cra_lib.training.log import instruction_set, read_runtime
from cra_lib.training.loop import fit, say
from cra_lib.training.setup import wants_cuda


class Job(NamedTuple):
    """One run of a sweep."""

    config: RunConfig
    data: DataFiles
    run: RunFiles
    splits: tuple[str, ...]
    """Splits to predict and score."""

    @property
    def name(self) -> str:
        return f"{self.config.variant}, seed {self.config.seed}"


def sweep(
    jobs: Iterable[Job], workers: int = 1, log: Callable[[str], None] = say
) -> dict[str, str]:
    """Run what is not finished yet; a run that fails does not stop the others.

    Args:
        workers: processes; each trains on one thread.
        log: receives a line for every run.

    Returns:
        Name of each run that failed -> what it said.

    Raises:
        InputError: a finished run in the way, of other settings or another instruction set.
    """
    waiting = [job for job in jobs if not is_finished(job)]
    log(f"{len(waiting)} runs to do")
    failed: dict[str, str] = {}
    # Started afresh, not forked: a fork would inherit torch's threads in the middle of their work.
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        running: dict[Future, Job] = {pool.submit(run_job, job): job for job in waiting}
        for number, future in enumerate(as_completed(running), start=1):
            name = running[future].name
            try:
                outcome = future.result()
            except (InputError, FloatingPointError, OSError, SystemExit) as error:
                outcome = failed[name] = str(error)
            log(f"[{number}/{len(waiting)}] {name}: {outcome}")
    return failed


def is_finished(job: Job) -> bool:
    """Whether the run is there, with its scores.

    Raises:
        InputError: it was made with other settings, or on another instruction set.
    """
    if not job.run.weights.exists() or job.run.resume.exists():
        return False
    before, now = (c.model_dump(mode="json") for c in (load_config(job.run.config), job.config))
    if change := first_difference(before, now):
        raise InputError(
            f"{job.run.root} holds a run with {change.name} = {change.saved!r}, not "
            f"{change.asked!r}; choose another results folder."
        )
    made_on = read_runtime(job.run).get("instruction_set", "unknown")
    here = _instruction_set(job)
    if made_on != here:
        raise InputError(
            f"{job.run.root} holds a run made with {made_on} instructions, and this is {here}; "
            "choose another results folder for each."
        )
    return all(is_scored(job.run, split) for split in job.splits)


def is_scored(run: RunFiles, split: str) -> bool:
    """Whether `score_run` was here."""
    return run.scores(split).exists() and run.video_scores(split).exists()


def run_job(job: Job) -> str:
    """Train unless that is done, then predict and score each split; one line about it.

    Raises:
        InputError: settings or data that do not fit.
        FloatingPointError: the loss became NaN or infinite.
    """
    if not job.run.weights.exists() or job.run.resume.exists():
        for split in job.splits:  # of an earlier model
            job.run.scores(split).unlink(missing_ok=True)
        fit(job.config, job.data, job.run, log=lambda line: None)
    require(job.run.weights, "Trained model", "The training was stopped; call this again.")
    shown = []
    for split in job.splits:
        if not is_scored(job.run, split):
            predict_run(job.run, job.data, split)
            report = score_run(job.run, job.data, split)
            scores = report["rules"][job.config.span.rule]
            shown.append(f"{split} {scores['Acc@QA']:.1f} / {scores['Acc@GQA']:.1f}")
    seconds = read_runtime(job.run)["seconds"]
    return f"{', '.join(shown)} (Acc@QA / Acc@GQA), trained in {seconds:.0f} s"


def _instruction_set(job: Job) -> str:
    kind = "cuda" if wants_cuda(job.config.train.accelerator) else "cpu"
    return instruction_set(torch.device(kind))
