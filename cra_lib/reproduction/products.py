"""What belongs to what: each job leaves a record of what it was made from and what it made.

A record (``record_<stage>.json``, in the run's folder or in that of the results) holds::

    stage      prepare, sample, train, evaluate, figures or report
    settings   digest of the settings that the stage depends on
    code       digest of the code that it ran
    reads      {file: {"sha256": ..., "size": bytes, "mtime_ns": ...}} of what it was made from
    files      the same for everything that it made
    pages      the same for the executed copy of its notebook

Products whose record is missing, or says something else than what is asked for and what lies there
now, are not used: the workflow makes them again, report and check leave them out by name. Files are
named relative to ``results`` or ``data``, so that a folder that moved keeps its records.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cra_lib.paths import DataFiles, ResultFiles, atomic
from cra_lib.reproduction.manifest import sha256

LARGE = 256_000_000
"""Bytes from which a file with the recorded size and time of change counts as unchanged: hashing
the features of a large dataset at every call would take minutes."""
PARTS = ("reads", "files", "pages")
APART = {"runs", "notebooks", "resume", "tensorboard", ".workflow"}
"""Folders that are no product of the stage in whose folder they lie."""


@dataclass(frozen=True)
class Job:
    """One stage, for one variant and seed where it has several: what it reads and makes."""

    stage: str
    name: str
    """As it is called in messages, such as ``train cra seed2024``."""
    home: Path
    """Folder of its record."""
    settings: str
    """The settings that it depends on, as text."""
    code: str
    """Digest of its code."""
    results: ResultFiles
    data: DataFiles
    reads: tuple[Path, ...] = ()
    makes: tuple[Path, ...] = ()
    """What it must leave behind; everything else that it writes is recorded, too."""
    folders: tuple[Path, ...] = ()
    """Where whatever it writes belongs to it."""
    not_its_own: tuple[str, ...] = ()
    """Patterns of file names there that another stage leaves for good."""
    keeps_data: bool = False
    """Whether files in the dataset's folder may be the user's own, who may replace them."""

    @property
    def record(self) -> Path:
        return record_path(self.home, self.stage)


def record_path(home: Path, stage: str) -> Path:
    """Where a stage leaves its record."""
    return home / f"record_{stage}.json"


def digest_of(text: str) -> str:
    """Short digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def recorded(job: Job, pages: Iterable[Path] = ()) -> Iterator[None]:
    """Run a job in this block; its record is gone while it runs and written if it succeeds."""
    before, old = _states(job.folders), (read_record(job.record) or {}).get("files", {})
    job.record.unlink(missing_ok=True)
    yield
    now = _states(job.folders)
    changed_now = {path for path, state in now.items() if before.get(path) != state}
    written = {p for p in changed_now if not any(map(p.match, job.not_its_own))}
    content = {
        "stage": job.stage,
        "settings": digest_of(job.settings),
        "code": job.code,
        "reads": _facts(job, job.reads),
        "files": _still_made(job, old) | _facts(job, {*job.makes, *written}),
        "pages": _facts(job, pages),
    }
    with atomic(job.record) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _still_made(job: Job, old: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What an earlier run of the job made and this one found good enough to keep."""
    path_of = job_path(job)
    kept = {name: facts for name, facts in old.items() if path_of(name).is_file()}
    if not job.keeps_data:
        return kept  # with the old digest: a file that was changed stays known as that
    own = {name for name in kept if name.startswith("data/")}
    return kept | _facts(job, map(path_of, own))


def _states(folders: Iterable[Path]) -> dict[Path, tuple[int, int, int]]:
    """File -> what changes when it is written, of all products below some folders."""
    found = {}
    for folder in folders:
        for path in _products(folder):
            state = path.stat()
            found[path] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return found


def _products(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and path.name not in APART:
            yield from _products(path)
        elif path.is_file() and not path.name.startswith((".", "record_", "manifest")):
            yield path


def _facts(job: Job, paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    table = {}
    for path in sorted(set(paths)):
        if path.is_file():
            state = path.stat()
            facts = {"sha256": sha256(path), "size": state.st_size, "mtime_ns": state.st_mtime_ns}
            table[_name(job, path)] = facts
    return table


def _name(job: Job, path: Path) -> str:
    for word, root in (("results", job.results.root), ("data", job.data.root)):
        if path.is_relative_to(root):
            return f"{word}/{path.relative_to(root).as_posix()}"
    return path.as_posix()


def job_path(job: Job) -> Callable[[str], Path]:
    """A function from the names in a job's record to files."""
    roots = {"results": job.results.root, "data": job.data.root}

    def path_of(name: str) -> Path:
        word, _, rest = name.partition("/")
        return roots[word] / rest if word in roots else Path(name)

    return path_of


def read_record(path: Path) -> dict[str, Any] | None:
    """A record, or None where there is none that can be read: both mean the same."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for part in PARTS:
            for name, facts in content[part].items():
                if not isinstance(name, str) or set(facts) != {"sha256", "size", "mtime_ns"}:
                    return None
        words = [content[word] for word in ("stage", "settings", "code")]
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    return content if all(isinstance(word, str) for word in words) else None


def problems(job: Job, *, code: bool = True) -> list[str]:
    """Why what lies there is not what the job would make; empty where it is, or something is
    missing, which the workflow makes anyway.

    Args:
        code: whether other code counts.
    """
    if not all(path.exists() for path in job.makes):
        return []
    record = read_record(job.record)
    if record is None or record["stage"] != job.stage:
        return [f"{_name(job, job.makes[0])} has no readable record of how it was made"]
    found = []
    if record["settings"] != digest_of(job.settings):
        found.append("it was made with other settings")
    if code and record["code"] != job.code:
        found.append("it was made by other code")
    found += [f"it was made from another {name}" for name in changed(job, record["reads"])]
    found += [f"{name} is not the file that was made" for name in changed(job, record["files"])]
    return found


def changed(job: Job, table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of a record's files that are there and differ from it."""
    path_of = job_path(job)
    return [name for name, facts in table.items() if _differs(path_of(name), facts)]


def changed_pages(job: Job) -> list[str]:
    """Names of executed notebooks and their pages that were changed since they were made."""
    return changed(job, (read_record(job.record) or {}).get("pages", {}))


def _differs(path: Path, facts: Mapping[str, Any]) -> bool:
    if not path.is_file():
        return False
    state = path.stat()
    if state.st_size != facts["size"]:
        return True
    if state.st_size > LARGE and state.st_mtime_ns == facts["mtime_ns"]:
        return False
    return _hashed(path, state.st_mtime_ns, state.st_size, state.st_ino) != facts["sha256"]


@lru_cache(maxsize=4096)
def _hashed(path: Path, mtime_ns: int, size: int, inode: int) -> str:
    """Each version of a file is hashed once per process."""
    return sha256(path)


def set_aside(job: Job, folder: Path) -> list[Path]:
    """Move files that are not what the job made out of the way, so that it makes them again.

    Files that may be the user's own stay where they are.
    """
    record = read_record(job.record)
    moved = []
    for name in changed(job, record["files"]) if record else ():
        path = job_path(job)(name)
        if path.is_file() and not (job.keeps_data and name.startswith("data/")):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
            moved.append(target)
    return moved


def refusal(job: Job, found: list[str]) -> str:
    """One sentence about products that cannot be used."""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{job.name}: {found[0]}{more}"
