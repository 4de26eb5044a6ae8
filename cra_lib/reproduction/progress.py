"""Where a running notebook stands: lines with epoch or cell, and the time left.

A notebook under `cra notebook` has no front end that could move a bar, so a line says now and then
at which cell it is; what it prints about epochs and steps is passed on.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from statistics import fmean
from typing import Any

PROGRESS_LINE = re.compile(r"\s*(epoch|step)\b", re.IGNORECASE)
"""Printed lines of a notebook that are passed on to the console while it runs."""
QUIET = 10.0
"""Seconds without a line after which one says where the notebook is ..."""
PATIENCE = 0.05
"""... or this share of its time so far, if that is more: hours need no line every ten seconds."""


def duration(seconds: float) -> str:
    """
    >>> [duration(s) for s in (0.4, 75, 600, 8000, 400000)]
    ['1 s', '75 s', '10 min', '2.2 h', '4.6 days']
    """
    for limit, size, unit in ((120, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            amount = seconds / size
            return f"{amount:.1f} {unit}" if unit == "h" else f"{max(1, round(amount))} {unit}"
    return f"{seconds / 86400:.1f} days"


def expected_seconds(
    entries: Iterable[Mapping[str, Any]], notebook: str, profile: str, cost: float = 0.0
) -> float:
    """Seconds that a notebook will take: as measured here before, else ``cost``.

    Args:
        entries: of the manifest.
        notebook: its stem, such as "03_train".
        profile: its PROFILE parameter.
        cost: what the profile says; 0 where it says nothing.
    """
    measured = [
        entry["seconds"]
        for entry in entries
        if notebook
        and entry["notebook"] == f"notebooks/{notebook}.ipynb"
        and entry["exit_state"] == "ok"
        and entry["parameters"].get("PROFILE") == profile
    ]
    return fmean(measured) if measured else cost


class Progress:
    """What a notebook prints goes in, lines for the console come out.

    A stream for papermill's ``stdout_file``, and a hook for nbclient's ``on_cell_start``.
    """

    def __init__(self, say: Callable[[str], None], cells: int = 0, expected: float = 0.0):
        """
        Args:
            cells: code cells that will run.
            expected: seconds that all of them will take; 0 where nobody knows.
        """
        self.say, self.cells, self.expected = say, cells, expected
        self.cell = 0
        self.started = self.last = time.monotonic()
        self.rest = ""
        self.first: tuple[float, int] | None = None

    def cell_started(self, cell: Mapping[str, Any], cell_index: int) -> None:
        """Count the code cells that have begun."""
        if cell["cell_type"] == "code" and "".join(cell["source"]).strip():
            self.cell += 1

    def write(self, text: str) -> None:
        """Pass on complete epoch lines, each with cell and time left where they are known."""
        *lines, self.rest = (self.rest + text).split("\n")
        for line in filter(PROGRESS_LINE.match, lines):
            place = f"  ({self._place()})" if self.cell else ""
            self._tell(line.strip() + place + self._epochs_left(line))

    def flush(self) -> None:
        """Incomplete lines wait for their end."""

    @contextmanager
    def watched(self, quiet: float = QUIET) -> Iterator[None]:
        """Meanwhile, break a silence with a line."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(min(1.0, quiet / 4)):
                now = time.monotonic()
                if self.cell and now - self.last >= max(quiet, PATIENCE * (now - self.started)):
                    self._tell(self._place() + self._seconds_left())

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _tell(self, line: str) -> None:
        self.last = time.monotonic()
        self.say(line)

    def _place(self) -> str:
        return f"cell {self.cell} of {max(self.cells, self.cell)}"

    def _seconds_left(self) -> str:
        gone = time.monotonic() - self.started
        if not self.expected:
            return f", after {duration(gone)}"
        if gone < self.expected:
            return f", about {duration(self.expected - gone)} left"
        return f", after {duration(gone)} ({duration(self.expected)} were expected)"

    def _epochs_left(self, line: str) -> str:
        """From the second line on: by the pace since the first, which started up as well."""
        counted = re.search(r"(\d+)\s*/\s*(\d+)", line)
        if not counted:
            return ""
        now, (done, total) = time.monotonic(), map(int, counted.groups())
        if self.first is None or done <= self.first[1]:
            self.first = now, done
            return ""
        pace = (now - self.first[0]) / (done - self.first[1])
        return f"  about {duration(pace * (total - done))} left" if done < total else ""
