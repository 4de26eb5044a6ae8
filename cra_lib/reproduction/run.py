"""Run a plan with Snakemake: one run at a time per dataset, resumable after a kill, quiet.

Snakemake decides what is stale and keeps its log in ``.workflow/snakemake.log``; the console shows
the plan, one line when a notebook starts and ends, its epochs, and what went wrong.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from cra_lib.paths import remove_unfinished, repository_root
from cra_lib.records import InputError
from cra_lib.reproduction.manifest import damaged_entries, read_manifest
from cra_lib.reproduction.missing import listed, missing_inputs, unpack_annotation
from cra_lib.reproduction.plan import PER_RUN, STAGES, Plan
from cra_lib.reproduction.processes import (
    LEADER,
    WORKFLOW,
    killed_jobs,
    killed_with_parent,
    lock_descriptor,
    only_run,
)
from cra_lib.reproduction.products import refusal, set_aside
from cra_lib.reproduction.progress import duration, expected_seconds

EXIT_CODES = {"cell failed": 1, "bad input": 2, "kernel died": 4}
"""Exit state of a notebook -> exit status of the whole run."""


def run_plan(plan: Plan, say: Callable[[str], None] = print, *, dry_run: bool = False) -> int:
    """Show the plan, do what is stale, say where the report is; the exit status.

    Raises:
        InputError: another run is at work on this dataset, or something is missing.
    """
    _check_executor(plan.executor)
    with only_run(plan.folder):
        plan_file = plan.save()
        remove_unfinished(plan.results.root, plan.data.root)
        wrong = plan.not_as_planned()
        again = [str(job.makes[0]) for job, _ in wrong]
        waiting = waiting_jobs(plan, plan_file, again)
        for line in describe(plan, waiting):
            say(line)
        for sentence in damaged_entries(plan.results.manifest):
            say(sentence)
        for job, reasons in wrong if not plan.force else ():
            say(f"To be made again: {refusal(job, reasons)}.")
        if not waiting:
            say(f"Nothing to do. Report: {plan.results.report}")
            return 0
        if lacking := missing_inputs(plan):
            for line in listed(lacking):
                say(line)
            say("Put them there (or name their folder with --data); `cra doctor` says more.")
            return EXIT_CODES["bad input"]
        _check_disk(plan)
        if dry_run:
            return 0
        unpack_annotation(plan)
        for path in (p for job, _ in wrong for p in set_aside(job, plan.folder / "set-aside")):
            say(f"Kept aside: {path}")
        _forget_stale_progress(plan)
        started = time.time()
        status = _snakemake(plan, plan_file, again)
        if status != 0:
            return explain_failure(plan, started, say, status)
        say(f"Done in {duration(time.time() - started)}. Report: {plan.results.report}")
        return 0


def describe(plan: Plan, waiting: Counter[str]) -> list[str]:
    """The plan as lines: stages, jobs, expected time and disk."""
    head = f"{plan.dataset}, profile {plan.profile}: {', '.join(plan.variants)}"
    seeds = ", ".join(map(str, plan.seeds))
    lines = [head, f"seeds {seeds}; {plan.cores} cores; results in {plan.results.root}", ""]
    if plan.note:
        lines[:0] = [plan.note, ""]
    lines.append(f"  {'stage':<10}{'jobs':>5}{'to do':>7}   expected")
    total, entries = 0.0, list(read_manifest(plan.results.manifest).values())
    for stage in plan.stages:
        notebook, known = STAGES[stage], plan.cost.get(stage, 0)
        seconds = expected_seconds(entries, notebook, plan.profile_word, known)
        jobs = plan.num_jobs(stage)
        abreast = min(plan.cores, jobs) if plan.executor == "local" else jobs
        cost = seconds * -(-waiting[stage] // abreast)
        total += cost
        expected = duration(cost) if waiting[stage] else "-"
        lines.append(f"  {stage:<10}{jobs:>5}{waiting[stage]:>7}   {expected}")
    sizes = {"disk": "disk_gb", "memory": "memory_gb", "GPU memory": "gpu_gb"}
    needs = [f"{what} {plan.cost[key]:g} GB" for what, key in sizes.items() if key in plan.cost]
    lines.append(", ".join([f"  total about {duration(total)}", *needs]))
    if not plan.cost.get("measured", True):
        lines.append("  these are estimates, nothing of this size was measured (docs/training.md)")
    if plan.overrides:
        lines.append(f"  settings of this call: {json.dumps(plan.overrides)}")
    return [*lines, ""]


def _command(plan: Plan, plan_file: Path, *more: str) -> list[str]:
    command = [
        sys.executable, "-m", "snakemake",
        "--snakefile", str(repository_root() / "workflow" / "Snakefile"),
        "--directory", str(plan.folder),
        "--configfile", str(plan_file),
        "--cores", str(plan.cores),
        "--quiet", "all",
        "--nolock",  # `_only_run` locks, and its lock does not outlive a killed run
        "--rerun-incomplete",
        "--keep-going",
        "--max-checksum-file-size", "10TB",  # what is newer but the same is not stale
    ]  # fmt: skip
    if plan.executor != "local":
        command += ["--executor", plan.executor, "--jobs", str(len(plan.runs))]
    return [*command, *(["--forceall"] if plan.force else []), *more]


def _forced(again: Iterable[str]) -> list[str]:
    """Options that make the jobs of some products run, whatever Snakemake thinks of them."""
    return ["--forcerun", *again] if again else []


def _first(plan: Plan) -> list[str]:
    """Options that start the longest trainings first, two passes a step: no core ends up idle."""
    slow = [run for run in plan.trained_runs if plan.config(*run).model.baseline == "gaussian"]
    files = [plan.model(*run)[0] for run in slow]
    return ["--prioritize", *files] if files else []


def _environment() -> dict[str, str]:
    """Notebooks and jobs import the cra_lib that planned them, installed or not."""
    search = [str(repository_root()), os.environ.get("PYTHONPATH", "")]
    own = {"PYTHONPATH": os.pathsep.join(filter(None, search)), WORKFLOW: "1"}
    return os.environ | own


def waiting_jobs(plan: Plan, plan_file: Path, again: Sequence[str] = ()) -> Counter[str]:
    """Stage -> number of its jobs that are stale or missing, or make a product of ``again``."""
    if plan.force:
        return Counter({stage: plan.num_jobs(stage) for stage in plan.stages})
    done = subprocess.run(
        _command(plan, plan_file, "--summary", *_forced(again)),
        capture_output=True,
        text=True,
        env=_environment(),
    )
    if done.returncode != 0:
        raise InputError(f"The workflow cannot be planned: {_last_lines(done.stderr)}")
    rows = csv.DictReader(io.StringIO(done.stdout), delimiter="\t")
    stale = [row for row in rows if row["plan"] != "no update"]
    # One job has several products; those of a run share its folder.
    jobs = {(row["rule"], _run_folder(row["rule"], row["output_file"])) for row in stale}
    return Counter(rule for rule, _ in jobs)


def _run_folder(rule: str, product: str) -> str:
    return str(Path(product).parent) if rule in PER_RUN else ""


def _snakemake(plan: Plan, plan_file: Path, again: Sequence[str] = ()) -> int:
    """Run the stale jobs in a session of their own; a signal to us ends them all."""
    is_local = plan.executor == "local"
    limit = ["--resources", "gpu=1"] if is_local else []
    leader = {LEADER: str(os.getpid())} if is_local else {}
    with open(plan.folder / "snakemake.log", "w", encoding="utf-8") as log:
        worker = subprocess.Popen(
            _command(plan, plan_file, *limit, *_first(plan), *_forced(again)),
            stderr=log,
            env=_environment() | leader,
            start_new_session=True,
            preexec_fn=killed_with_parent,
            pass_fds=[lock_descriptor(plan.folder)],
        )
        (plan.folder / "group").write_text(str(worker.pid), encoding="utf-8")

        def stop(number: int, frame: object) -> None:
            os.killpg(worker.pid, signal.SIGTERM)
            raise SystemExit(128 + number)

        ends = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
        previous = {number: signal.signal(number, stop) for number in ends}
        try:
            return worker.wait()
        finally:
            with suppress(ProcessLookupError):  # jobs that outlived a killed Snakemake
                os.killpg(worker.pid, signal.SIGTERM)
            for number, handler in previous.items():
                signal.signal(number, handler)


def explain_failure(plan: Plan, started: float, say: Callable[[str], None], status: int = 1) -> int:
    """Repeat what the failed notebooks said; the exit status of the first one.

    Args:
        status: how Snakemake ended; negative is the signal that ended it.
    """
    entries = read_manifest(plan.results.manifest).values()
    failed = [e for e in entries if e["exit_state"] != "ok" and e["started"] >= started - 1]
    failed.sort(key=lambda entry: entry["started"])
    for entry in failed:
        say(f"{Path(entry['executed']).stem}: {entry['exit_state']}. {entry['error']}")
        say(f"  kept: {plan.results.root / entry['executed']}")
    killed = [] if status < 0 else killed_jobs(plan.folder)
    for name in killed:
        say(
            f"{name}: its process was killed, most often for want of memory; "
            "a second call goes on where it was."
        )
    if failed:
        return EXIT_CODES[failed[0]["exit_state"]]
    if killed:
        return EXIT_CODES["kernel died"]
    log = plan.folder / "snakemake.log"
    say(_without_a_word(plan, log, status))
    say(f"Its log: {log}")
    return 1


def _without_a_word(plan: Plan, log: Path, status: int) -> str:
    """Why a run stopped of which no notebook says so."""
    if status < 0:
        name = signal.Signals(-status).name
        return f"The workflow was ended by {name}; a second call goes on where it was."
    if plan.executor != "local":
        folder = plan.folder / ".snakemake" / f"{plan.executor}_logs"
        return (
            "A job on the cluster ended without a word, as one does that the scheduler ends; a "
            f"second call repeats what is missing. What the jobs said: {folder}"
        )
    return f"The workflow stopped: {_last_lines(log.read_text(encoding='utf-8'))}"


def _last_lines(text: str, count: int = 8) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return "\n".join(lines[-count:]) or "no reason given"


def _forget_stale_progress(plan: Plan) -> None:
    """Remove half-trained runs that were begun with other code or settings."""
    for variant, seed in plan.trained_runs:
        run = plan.results.run(variant, seed)
        now = plan.digests["train"] + plan.settings_of("train", variant, seed)
        mark = run.root / ".begun-with"
        if run.resume.exists() and (not mark.exists() or mark.read_text("utf-8") != now):
            shutil.rmtree(run.resume)
        run.root.mkdir(parents=True, exist_ok=True)
        mark.write_text(now, encoding="utf-8")


def _check_disk(plan: Plan) -> None:
    needed = plan.cost.get("disk_gb", 0) * 1e9
    for folder in (plan.results.root, Path(plan.data_dir)):
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise InputError(
                f"{folder} has {free / 1e9:.1f} GB free and this run needs about "
                f"{needed / 1e9:.1f} GB; free some space or choose another place with --data."
            )


def _check_executor(name: str) -> None:
    """Cluster executors are plugins of Snakemake.

    Raises:
        InputError: it, or Snakemake itself, is not installed.
    """
    if find_spec("snakemake") is None:
        raise InputError(
            "The workflow needs snakemake, which is not installed; run: pip install 'cra-lib[full]'"
        )
    plugin = f"snakemake-executor-plugin-{name}"
    try:
        if name != "local":
            metadata.version(plugin)
    except metadata.PackageNotFoundError:
        raise InputError(
            f"--executor {name} needs {plugin}, which is not installed; run: pip install {plugin}"
        ) from None
