"""Made-up annotation, predictions of every kind for it, and the command line run in process."""

from __future__ import annotations

import csv
import json
import sys
from types import SimpleNamespace

import pytest

from cra_lib import cli
from cra_lib.evaluator.annotations import write_questions, write_segments, write_stamps
from cra_lib.paths import DataFiles
from cra_lib.records import Prediction, Question, Span, write_predictions

NUM_FRAMES = 32


@pytest.fixture
def command(capsys, monkeypatch):
    """Runs `cra ...`; gives exit code, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["cra", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return SimpleNamespace(code=stop.value.code or 0, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def benchmark_files(tmp_path):
    """Thirty questions in two splits, and five prediction files for val."""
    files = DataFiles(tmp_path / "truth")
    files.root.mkdir()
    for split, first in (("val", 0), ("test", 10)):
        questions = [
            Question(str(first + n // 3), str(n % 3), "why", tuple("abcde"), n % 5, "CW")
            for n in range(30)
        ]
        videos = sorted({question.video_id for question in questions})
        segments = {
            v: {"duration": 40.0, "location": {str(q): [[10, 20]] for q in range(3)}, "fps": 8.0}
            for v in videos
        }
        write_questions(files.questions(split), questions)
        write_segments(files.segments(split), segments)
        write_stamps(files.stamps(split), {v: [1.0 + n for n in range(NUM_FRAMES)] for v in videos})
    keys = [f"{n // 3}_{n % 3}" for n in range(30)]
    found = SimpleNamespace(root=tmp_path, truth=files.root, keys=keys)
    found.content = {
        "answers.json": {key: {"prediction": n % 4} for n, key in enumerate(keys)},
        "spans.json": {key: [12.0, 18.5] for key in keys},
        "weights.json": {key: [1.0 if 12 <= f <= 17 else 0.25 for f in range(32)] for key in keys},
    }
    for name, content in found.content.items():
        (tmp_path / name).write_text(json.dumps(content))
    lines = [Prediction(k, n % 4, spans={"merged": Span(10, 20)}) for n, k in enumerate(keys)]
    write_predictions(tmp_path / "lines.jsonl", lines)
    with open(tmp_path / "table.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", "prediction", "start", "end"])
        writer.writerows([key, n % 4, 12.0, 18.5] for n, key in enumerate(keys))
    return found
