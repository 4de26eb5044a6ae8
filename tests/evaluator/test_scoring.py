"""`score_files`: what `cra evaluate` does as one call, without anything heavy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from cra_lib.evaluator import score_files
from cra_lib.evaluator.comparison import compare_files
from cra_lib.evaluator.packaged import packaged_dataset
from cra_lib.evaluator.scoring import blind_files, read_benchmark
from cra_lib.records import InputError

BLOCKED = (
    "torch",
    "transformers",
    "matplotlib",
    "lightning",
    "lightning_fabric",
    "pandas",
    "seaborn",
)
WITHOUT = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"blocked: {{name}}")
sys.meta_path.insert(0, Block())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Answers and intervals for every question of NExT-GQA's test split."""
    folder = tmp_path_factory.mktemp("predictions")
    truths = read_benchmark("nextgqa:test").truths
    answers = {key: (n % 3 and truth.answer) or 0 for n, (key, truth) in enumerate(truths.items())}
    spans = {key: [0.4 * t.duration, 0.6 * t.duration] for key, t in truths.items()}
    (folder / "answers.json").write_text(json.dumps(answers))
    (folder / "spans.json").write_text(json.dumps(spans))
    return folder


def test_the_documented_example_runs_without_torch(folder, repository):
    page = (repository / "docs" / "evaluator.md").read_text()
    example = next(b for b in re.findall(r"```python\n(.*?)```", page, re.S) if "score_files" in b)
    assert len(example.splitlines()) <= 10
    script = f"{WITHOUT}\n{example}\nprint(accuracy, low, high, len(unfaithful))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    accuracy, low, high, unfaithful = map(float, done.stdout.splitlines()[-1].split())
    assert low < accuracy < high and 0 < unfaithful < 5553
    assert "split test; rules given; 5553 questions on 990 videos" in done.stdout


def test_a_folder_scores_like_the_packaged_files(folder, shared_data):
    paths = [folder / "answers.json", folder / "spans.json"]
    packaged = score_files(paths, "nextgqa", "test").report
    unpacked = score_files(paths, shared_data / "nextgqa", "test").report
    assert packaged.pop("header") | {"truth": ""} == unpacked.pop("header") | {"truth": ""}
    assert packaged == unpacked
    fifth = packaged["blind"]["middle fifth"]
    assert packaged["rules"]["given"]["Acc@GQA"] == pytest.approx(fifth["Acc@GQA"], abs=0.3)


def test_a_folder_wins_over_a_packaged_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nextgqa").mkdir()
    with pytest.raises(InputError, match="No split 'val' to score in nextgqa; there are: none"):
        read_benchmark("nextgqa", "val")
    assert packaged_dataset("nextgqa").root != tmp_path / "nextgqa"


def test_comparison_and_blind_rows_are_calls_too(folder):
    both = [folder / "answers.json", folder / "spans.json"]
    compared = compare_files(both, both, "nextgqa:test", bootstrap=20)
    assert compared.result["metrics"]["Acc@GQA"]["difference"] == 0.0 and compared.notes == []
    rows, benchmark, notes = blind_files("nextgqa:test", answers=folder / "answers.json")
    assert len(benchmark.truths) == 5553 and notes == []
    assert rows["middle fifth"]["Acc@QA"] == pytest.approx(71.0, abs=8)
