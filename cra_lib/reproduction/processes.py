"""One run at a time in a folder of results, and nothing left of a run that was killed."""

from __future__ import annotations

import ctypes
import fcntl
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cra_lib.paths import is_alive
from cra_lib.records import InputError

LEADER = "CRA_LEADER"
"""Environment variable: the process without which a job on this machine has no purpose."""
WORKFLOW = "CRA_WORKFLOW"
"""Environment variable that is set for jobs of the workflow, on this machine or another."""
_LOCKS: dict[Path, int] = {}


def lock_descriptor(folder: Path) -> int:
    """The descriptor of the lock that `only_run` holds, for a worker to inherit."""
    return _LOCKS[folder]


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold the lock of a workflow's folder, which the workers inherit.

    The system releases it when the last holder ends, so a killed run leaves no stale lock. Workers
    that outlived their killed run are ended first: their products would be half a run's.

    Raises:
        InputError: another run is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+", encoding="utf-8") as lock:
        if not _try_lock(lock):
            lock.seek(0)
            owner = lock.read().strip()
            if not owner.isdecimal() or is_alive(int(owner)):
                raise InputError(
                    f"Another run (process {owner or 'unknown'}) is at work in "
                    f"{folder.parent}; wait for it, or end it first."
                )
            _end_group(folder)
            _wait_for(lock, folder)
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        _end_jobs(folder)
        _LOCKS[folder] = lock.fileno()
        try:
            yield
        finally:
            _LOCKS.pop(folder)


def _try_lock(lock: io.TextIOWrapper) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_group(folder: Path) -> None:
    """End the process group of a run whose leader was killed."""
    with suppress(OSError, ValueError, OverflowError):  # gone by themselves
        os.killpg(int((folder / "group").read_text(encoding="utf-8")), signal.SIGKILL)


def _wait_for(lock: io.TextIOWrapper, folder: Path) -> None:
    for _ in range(100):
        if _try_lock(lock):
            return
        time.sleep(0.1)
    raise InputError(f"Processes of a killed run are still at work in {folder.parent}.")


def _end_jobs(folder: Path) -> None:
    """End notebooks, with their kernels, that a killed run has left behind on this machine."""
    import psutil

    for mark in running_jobs(folder):
        with suppress(OSError, ValueError, psutil.Error):
            host, number, began = mark.read_text(encoding="utf-8").split()
            job = psutil.Process(int(number))
            # A number that another process has got since is not ours to end.
            if host == os.uname().nodename and f"{job.create_time():.2f}" == began:
                family = [*job.children(recursive=True), job]
                for process in family:
                    process.kill()
                psutil.wait_procs(family, timeout=10)
        mark.unlink(missing_ok=True)


@contextmanager
def job_mark(folder: Path, name: str) -> Iterator[None]:
    """Leave a file while a job of the workflow runs: one that was killed cannot say so itself."""
    if WORKFLOW not in os.environ:  # a notebook that somebody runs by hand is theirs to end
        yield
        return
    import psutil

    mark = folder / "running" / name
    mark.parent.mkdir(parents=True, exist_ok=True)
    began = psutil.Process().create_time()
    mark.write_text(f"{os.uname().nodename} {os.getpid()} {began:.2f}\n", encoding="utf-8")
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def running_jobs(folder: Path) -> list[Path]:
    """The marks of jobs that run, or were killed."""
    return sorted((folder / "running").glob("*"))


def killed_jobs(folder: Path) -> list[str]:
    """Names of jobs that ended without a word; those of other machines cannot be asked."""
    names = []
    for mark in running_jobs(folder):
        with suppress(OSError, ValueError):
            host, number, _ = mark.read_text(encoding="utf-8").split()
            if host != os.uname().nodename or not is_alive(int(number)):
                names.append(mark.name)
    return names


def die_with_leader() -> None:
    """End this process (SIGTERM) once the one named by ``CRA_LEADER`` is gone."""
    leader = os.environ.get(LEADER, "")
    if not leader.isdecimal():
        return

    def watch() -> None:
        while is_alive(int(leader)):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def killed_with_parent() -> None:
    """Ask the system to end this process when its parent dies (Linux; nothing elsewhere)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
