"""What made each artefact: one entry per executed notebook in ``results/<dataset>/manifest.json``.

The file is ``{"entries": {NAME: ENTRY}}``; NAME is the executed copy without its suffix, such as
``03_train_cra_seed2024``, and ENTRY holds::

    notebook     path of the source notebook, relative to the repository
    executed     path of the executed copy, relative to the manifest's folder
    parameters   {NAME: value} as injected
    seed         the SEED parameter, or null
    commit       {"hash": git revision or null, "dirty": true where the working copy differs}
    inputs       {path: sha256} of the files it was told to read
    outputs      {path: sha256} of all artefacts it left behind: figures, tables, a run's files
    device       {"cpu": name, "gpu": name or null, "cores": count}
    versions     {"python": ..., distribution: version, ...}
    started      seconds since 1970
    seconds      duration
    exit_state   "ok", "cell failed", "bad input" or "kernel died"
    error        null, or the sentence that went to the console
    digest       of the entry; one that was changed by hand or by accident is not used
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from cra_lib.data.machine import processor_name
from cra_lib.paths import atomic, sha256

DISTRIBUTIONS = (
    "cra-lib", "numpy", "torch", "torchvision", "lightning", "transformers", "scikit-learn",
    "spacy", "av", "h5py", "pandas", "papermill", "snakemake",
)  # fmt: skip
"""Distributions whose versions can change a number."""


def hashes(paths: Iterable[Path], relative_to: Path) -> dict[str, str]:
    """Path -> digest of every file that exists; paths below ``relative_to`` are shortened."""
    table = {}
    for path in map(Path, paths):
        if path.is_file():
            inside = path.is_relative_to(relative_to)
            table[str(path.relative_to(relative_to) if inside else path)] = sha256(path)
    return table


def made_by(
    manifest: Path,
    executed: Path,
    parameters: Mapping[str, Any],
    started: float,
    told: Iterable[Path],
    root: Path,
) -> dict[str, str]:
    """Path -> digest of everything that one notebook run has left behind.

    That is what it was told to make, its executed copy and page, what the run before it made and
    is still there, and every file of the results that is newer than its start: of one run for the
    notebooks of a variant, outside of ``runs/`` for the others, so that notebooks at work at the
    same time do not claim each other's files.

    Args:
        started: seconds since 1970.
        told: files that the caller expects of it.
        root: paths below it are shortened.
    """
    results = manifest.parent
    variant, seed = parameters.get("VARIANT"), parameters.get("SEED")
    own = results / "runs" / f"{variant}" / f"seed{seed}" if variant else results
    fresh = [
        path
        for path in own.rglob("*")
        if path.is_file() and path.stat().st_mtime >= started - 1 and _is_artefact(path, own)
    ]
    before = read_manifest(manifest).get(executed.stem, {}).get("outputs", {})
    kept = [root / name for name in before]
    copies = [executed, executed.with_suffix(".html")]
    return dict(sorted(hashes([*told, *kept, *fresh, *copies], root).items()))


def _is_artefact(path: Path, own: Path) -> bool:
    """False for the state of tools, half-written files, and what others make at the same time."""
    inside = path.relative_to(own).parts
    others = {"runs", "notebooks", "pages", "resume", "tensorboard"}
    return (
        inside[0] not in others
        and not any(part.startswith(".") for part in inside)
        and inside[-1] not in ("manifest.json", "report.html")
    )


def git_state(root: Path) -> dict[str, Any]:
    """Revision of the working copy and whether tracked or new files differ from it."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    return {"hash": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the distributions that can change a number, without importing."""
    table = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            table[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return table


@cache
def device() -> dict[str, Any]:
    """Names of the processor and of the first GPU (asked of the driver: torch stays unloaded)."""
    return {"cpu": processor_name(), "gpu": _gpu_name(), "cores": os.cpu_count()}


def _gpu_name() -> str | None:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout else None


def read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """Name -> entry; empty where nothing has run yet. Damaged entries are left out."""
    return _read(path)[0]


def damaged_entries(path: Path) -> list[str]:
    """One sentence for each entry, or for the whole file, that is not as it was written."""
    return _read(path)[1]


def _read(path: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    if not Path(path).is_file():
        return {}, []
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))["entries"].items()
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        return {}, [f"{path}: not a manifest ({error!s:.80}); it begins anew."]
    entries, damaged = {}, []
    for name, stored in found:
        digest = stored.pop("digest", None) if isinstance(stored, dict) else None
        if digest == _digest(stored):
            entries[name] = stored
        else:
            damaged.append(f"{path}: entry {name!r} is not as it was written, and left out.")
    return entries, damaged


def _digest(entry: object) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()[:16]


def record(path: Path, name: str, entry: dict[str, Any]) -> None:
    """Add or replace one entry; safe while other processes do the same.

    A file that cannot be read is kept as ``manifest.damaged.json``.
    """
    with _locked(path):
        entries, damaged = _read(path)
        if damaged:
            shutil.copyfile(path, path.with_name(f"{path.stem}.damaged{path.suffix}"))
        plain = json.loads(json.dumps(entry))
        entries = dict(sorted((entries | {name: plain}).items()))
        signed = {key: {**value, "digest": _digest(value)} for key, value in entries.items()}
        with atomic(path) as partial:
            partial.write_text(json.dumps({"entries": signed}, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the manifest's lock file; the system releases it even if this process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
