"""Lines about a running notebook: its place, the time left, and not too many of them."""

from __future__ import annotations

import re
import time

import pytest

from cra_lib.reproduction.progress import Progress, expected_seconds

CODE = {"cell_type": "code", "source": "x = 1"}


@pytest.mark.parametrize(
    ("expected", "wanted"),
    [
        (100.0, r"cell 1 of 3, about (99|100) s left"),
        (0.0, r"cell 1 of 3, after 1 s"),
        (0.01, r"cell 1 of 3, after 1 s \(1 s were expected\)"),
    ],
)
def test_a_silence_is_broken_with_cell_and_time_left(expected, wanted):
    said: list[str] = []
    progress = Progress(said.append, cells=3, expected=expected)
    with progress.watched(quiet=0.05):
        time.sleep(0.1)
        assert not said, "no cell has begun"
        progress.cell_started(CODE, 0)
        time.sleep(0.2)
    assert said and all(re.fullmatch(wanted, line) for line in said)
    count = len(said)
    time.sleep(0.1)
    assert len(said) == count, "nothing is said after the end"


def test_who_prints_epochs_is_not_asked_in_between():
    said: list[str] = []
    progress = Progress(said.append, cells=2)
    progress.cell_started(CODE, 0)
    with progress.watched(quiet=0.5):
        for number in range(1, 7):
            progress.write(f"epoch {number}/6\nof no interest\n")
            time.sleep(0.02)
    assert len(said) == 6 and all(line.startswith("epoch") for line in said)


def test_only_code_is_counted():
    progress = Progress(print, cells=2)
    for cell in ({"cell_type": "markdown", "source": "# A"}, CODE, {**CODE, "source": " "}, CODE):
        progress.cell_started(cell, 0)
    assert progress.cell == 2


def test_what_was_measured_here_counts_more_than_the_profile():
    ran = {"notebook": "notebooks/03_train.ipynb", "exit_state": "ok", "seconds": 10.0}
    ran["parameters"] = {"PROFILE": "quick"}
    entries = [ran, ran | {"seconds": 20.0}, ran | {"exit_state": "cell failed", "seconds": 900.0}]
    assert expected_seconds(entries, "03_train", "quick", 150) == 15
    assert expected_seconds(entries, "03_train", "paper", 150) == 150
    assert expected_seconds(entries, "", "quick", 14) == 14, "the report has no notebook"
