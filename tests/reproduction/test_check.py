"""Obtained against expected: verdicts, exit status, and what is recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cra_lib.paths import ResultFiles
from cra_lib.records import InputError
from cra_lib.reproduction.check import (
    Cell,
    as_text,
    compare_all,
    expected_of,
    read_expected,
    read_obtained,
    record_expected,
)

HEADER = {"dataset": "shapes", "profile": "quick", "provenance": {}}


@pytest.fixture
def results(tmp_path) -> ResultFiles:
    """One variant, two seeds, scores of the test split."""
    files = ResultFiles(tmp_path / "results")
    for seed, value in ((1, 70.0), (2, 74.0)):
        scores = {"Acc@QA": value, "Acc@GQA": 40.0, "mIoP": 50.0, "mIoU": 35.0}
        report = {
            "header": {"rule": "merged"},
            "rules": {"post-hoc": dict.fromkeys(scores, 0.0), "merged": scores},
            "intervals": {"merged": {"Acc@QA": [value - 5, value + 5]}},
        }
        path = files.run("cra", seed).scores("test")
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(report))
    return files


def write_expected(path: Path, results: ResultFiles, **change: float) -> Path:
    document = expected_of(read_obtained(results, ["test"]), HEADER)
    for cell in document["cells"]:
        cell["value"] += change.get(cell["metric"].replace("@", ""), 0.0)
    record_expected(path, document)
    return path


def test_seeds_are_averaged_and_the_reported_rule_counts(results):
    cell = read_obtained(results, ["test"])["cra", "test", "Acc@QA"]
    assert cell["value"] == 72.0 and cell["rule"] == "merged" and cell["seeds"] == [1, 2]
    assert cell["interval"] == [67.0, 77.0]


def test_tolerance_is_half_the_interval_and_three_points_at_least(results, tmp_path):
    expected = read_expected(write_expected(tmp_path / "expected.json", results))
    assert expected["cra", "test", "Acc@QA"]["tolerance"] == 5.0
    assert expected["cra", "test", "mIoU"]["tolerance"] == 3.0


def test_verdicts(results, tmp_path):
    path = write_expected(tmp_path / "expected.json", results, AccQA=4.9, AccGQA=-3.1)
    cells = compare_all("shapes", results, path, tmp_path / "none.csv")
    verdicts = {cell.metric: cell.verdict for cell in cells}
    assert verdicts == {"Acc@QA": "ok", "Acc@GQA": "outside", "mIoP": "ok", "mIoU": "ok"}
    assert "outside" in as_text(cells)


@pytest.mark.parametrize(
    ("published", "obtained", "expected", "tolerance", "verdict"),
    [
        (18.2, 18.0, None, 2.0, "ok"),
        (18.2, 12.0, None, 2.0, "outside"),
        (18.2, 12.0, 12.5, 2.0, "ok"),
        (None, 12.0, None, None, "-"),
        (None, None, 12.0, 3.0, "not run"),
    ],
)
def test_verdict_of_a_cell(published, obtained, expected, tolerance, verdict):
    cell = Cell("cra", "test", "mIoU", published, obtained, expected, tolerance)
    assert cell.verdict == verdict


def test_nothing_obtained_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="run ./reproduce.sh shapes first"):
        compare_all("shapes", ResultFiles(tmp_path), tmp_path / "a", tmp_path / "b")


def test_damaged_scores_are_named(results):
    path = results.run("cra", 1).scores("test")
    path.write_text("{")
    with pytest.raises(InputError, match="scores_test.json: not valid JSON"):
        read_obtained(results, ["test"])


@pytest.mark.parametrize(("change", "status"), [(0.0, 0), (50.0, 3)])
def test_the_command_ends_with_the_verdict(results, tmp_path, monkeypatch, change, status):
    from typer.testing import CliRunner

    from cra_lib.cli import app

    (tmp_path / "results" / "expected").mkdir(parents=True)
    write_expected(tmp_path / "results" / "expected" / "shapes.json", results, mIoU=change)
    monkeypatch.setenv("CRA_ROOT", str(tmp_path))
    done = CliRunner().invoke(app, ["check", "shapes", "--results", str(results.root)])
    assert done.exit_code == status, done.output
    assert "within tolerance" in done.output


def test_published_numbers_stand_beside_obtained_ones(repository, tmp_path):
    files = ResultFiles(tmp_path)
    path = files.run("cra", 1).scores("test")
    path.parent.mkdir(parents=True)
    scores = {"Acc@QA": 61.0, "Acc@GQA": 10.0, "mIoP": 28.6, "mIoU": 14.2}
    path.write_text(json.dumps({"header": {"rule": "post-hoc"}, "rules": {"post-hoc": scores}}))
    published = repository / "results" / "published.csv"
    cells = compare_all("nextgqa", files, tmp_path / "none.json", published)
    by_metric = {cell.metric: cell for cell in cells}
    assert by_metric["Acc@QA"].published == 61.1 and by_metric["Acc@QA"].verdict == "ok"
    assert by_metric["Acc@GQA"].verdict == "outside"
