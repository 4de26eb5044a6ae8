"""Obtained against recorded: verdicts, exit status, what is recorded, and wrong files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cra_lib.cli import app
from cra_lib.config import run_config
from cra_lib.config.files import save_config
from cra_lib.evaluator.metrics import METRICS
from cra_lib.evaluator.video_scores import VideoScores, write_video_scores
from cra_lib.paths import ResultFiles, published_csv
from cra_lib.records import InputError
from cra_lib.reproduction import make_plan, manifest
from cra_lib.reproduction.check import (
    Cell,
    as_text,
    compare_all,
    notes,
    power_text,
    read_published,
)
from cra_lib.reproduction.expected import Key, read_expected
from cra_lib.reproduction.obtained import read_runs
from cra_lib.reproduction.record import markdown_table, record
from cra_lib.reproduction.runs import unusable_runs
from cra_lib.reproduction.verdicts import Spread

SEEDS = (1, 2, 3, 4)


def write_run(
    results: ResultFiles, seed: int, value: float, on: str = "avx2", variant: str = "cra"
) -> None:
    """Scores of the test split of one run, with all files that belong to them."""
    run = results.run(variant, seed)
    run.root.mkdir(parents=True, exist_ok=True)
    scores = {"Acc@QA": value, "Acc@GQA": value - 10, "mIoP": 50.0 + seed / 10, "mIoU": 35.0}
    report = {
        "header": {"rule": "merged", "questions": 200},
        "rules": {"post-hoc": dict.fromkeys(scores, 0.0), "merged": scores},
    }
    run.scores("test").write_text(json.dumps(report))
    run.runtime.write_text(json.dumps({"instruction_set": on}))
    run.predictions("test").write_text(json.dumps({"key": f"{variant}{seed}{value}{on}_0"}) + "\n")
    generator = np.random.default_rng(seed)
    sums = 5 * np.clip(generator.normal(value, 10, (40, len(METRICS))), 0, 100)
    by_video = VideoScores(tuple(map(str, range(40))), np.full(40, 5), sums)
    write_video_scores(run.video_scores("test"), by_video)


@pytest.fixture
def results(tmp_path) -> ResultFiles:
    """One variant, four seeds, on one instruction set."""
    files = ResultFiles(tmp_path / "results" / "shapes")
    for seed in SEEDS:
        write_run(files, seed, 70.0 + seed)
    return files


@pytest.fixture
def recorded(results, tmp_path, monkeypatch) -> Path:
    """The file that recording these results leaves, in a repository of its own."""
    monkeypatch.setenv("CRA_ROOT", str(tmp_path))
    profiles = tmp_path / "workflow" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "shapes-quick.yaml").write_text("settings: {}\n")
    path = tmp_path / "results" / "expected" / "shapes.json"
    record("shapes", [results], path)
    return path


def compared(results: ResultFiles, path: Path) -> dict[str, Cell]:
    cells = compare_all("shapes", results, path, path.with_name("none.csv"))
    return {cell.metric: cell for cell in cells}


def test_the_same_runs_again_are_identical(results, recorded):
    cells = compared(results, recorded)
    assert {cell.verdict for cell in cells.values()} == {"identical"}
    cell = cells["Acc@QA"]
    assert (cell.obtained, cell.runs, cell.seeds) == (72.5, 4, 4)
    assert cell.known == pytest.approx((72.5, np.std([1, 2, 3, 4], ddof=1), 4))


def test_other_predictions_are_within_or_outside(results, recorded):
    for seed in SEEDS:
        write_run(results, seed, 71.0 + seed, on="avx512")
    assert {cell.verdict for cell in compared(results, recorded).values()} == {"within"}
    for seed in SEEDS:
        write_run(results, seed, 20.0 + seed, on="avx512")
    cells = compared(results, recorded)
    assert cells["Acc@QA"].verdict == cells["Acc@GQA"].verdict == "outside"
    assert cells["mIoU"].verdict == "within", "equal seeds still leave room for one question"


def test_one_new_seed_gets_a_wider_interval_than_four(results, recorded, tmp_path):
    lone = ResultFiles(tmp_path / "lone")
    write_run(lone, 9, 73.0)
    wide, narrow = (compared(r, recorded)["Acc@QA"].interval for r in (lone, results))
    assert wide[0] < narrow[0] and wide[1] > narrow[1]


def test_recording_adds_instruction_sets_and_replaces_seeds(results, recorded, tmp_path):
    other = ResultFiles(tmp_path / "other")
    known = read_expected(recorded, "shapes")
    before = known.intervals[Key("cra", "test", "Acc@QA", "merged")]
    write_run(other, 1, 75.0, on="avx512")
    record("shapes", [other], recorded)
    write_run(results, 2, 80.0)
    expected = record("shapes", [results], recorded)
    values = expected.cells[Key("cra", "test", "Acc@QA", "merged")]
    assert values == {"avx2": {1: 71.0, 2: 80.0, 3: 73.0, 4: 74.0}, "avx512": {1: 75.0}}
    assert read_expected(recorded, "shapes") == expected, "what is read is what was written"
    assert expected.intervals[Key("cra", "test", "Acc@QA", "merged")] == before, "not all at hand"
    whole = record("shapes", [results, other], recorded)
    low, high = whole.intervals[Key("cra", "test", "Acc@QA", "merged")]
    assert low < 75 < high
    assert "| `cra` | 4 | 74.6 ± 3.4 [" in markdown_table(whole)


def test_the_table_shows_what_is_recorded(results, recorded):
    cells = list(compared(results, recorded).values())
    text = as_text(cells)
    assert text.splitlines()[0].split() == [
        "variant", "split", "metric", "obtained", "seeds", "recorded", "mean", "sd", "from", "to",
        "verdict",
    ]  # fmt: skip
    assert "identical" in text and " 1.29 " in text
    assert "4 new seeds, 4 cells" in power_text(read_expected(recorded, "shapes"), 4)


def test_seeds_and_splits_without_record_are_named(results, recorded, tmp_path):
    files = ResultFiles(tmp_path / "new")
    write_run(files, 7, 73.0)
    write_run(files, 7, 73.0, variant="ng")
    run = files.run("cra", 7)
    run.scores("val").write_text(run.scores("test").read_text())
    cells = compare_all("shapes", files, recorded, tmp_path / "none.csv")
    runs = read_runs([files], ("val", "test"))
    said = " ".join(notes(cells, read_expected(recorded, "shapes"), runs))
    assert "Seeds that were not recorded, judged as future runs: 7." in said
    assert "Splits that were not recorded, not judged: val." in said
    assert "Variants that were not recorded, not judged: ng." in said
    assert {c.verdict for c in cells if c.split == "val" or c.variant == "ng"} == {"-"}


@pytest.mark.parametrize(
    ("cell", "verdict"),
    [
        (Cell("cra", "test", "mIoU", 18.2, 18.0, 1, interval=(16.2, 20.2)), "within"),
        (Cell("cra", "test", "mIoU", 18.2, 12.0, 1, interval=(16.2, 20.2)), "outside"),
        (Cell("cra", "test", "mIoU", obtained=12.0, runs=1), "-"),
        (Cell("cra", "test", "mIoU", known=Spread(12.0, 1.0, 3), seeds=3), "not run"),
        (Cell("cra", "test", "mIoU", obtained=1.0, runs=1, is_identical=True), "identical"),
    ],
)
def test_verdict_of_a_cell(cell, verdict):
    assert cell.verdict == verdict


def test_nothing_obtained_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="run ./reproduce.sh shapes first"):
        compare_all("shapes", ResultFiles(tmp_path), tmp_path / "a", tmp_path / "b")


def test_damaged_scores_are_named_and_left_out(results):
    path = results.run("cra", 1).scores("test")
    path.write_text("{")
    assert {run.seed for run in read_runs([results], ["test"])} == {2, 3, 4}
    assert "scores_test.json: not valid JSON" in unusable_runs(results)[0]


WRONG = {
    "{": "not valid JSON",
    '{"cells": []}': r"format 1, expected 2 .* record the runs again: `cra check shapes --record`",
    '{"format": 2, "dataset": "star"}': "holds numbers of 'star', not of 'shapes'",
    '{"format": 2, "dataset": "shapes", "profile": "quick"}': "damaged .*'cells'",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_of_expected_numbers_is_one_sentence(results, tmp_path, text):
    path = tmp_path / "expected.json"
    path.write_text(text)
    with pytest.raises(InputError, match=WRONG[text]):
        compare_all("shapes", results, path, path)


def test_another_profile_is_refused(results, recorded):
    entry = {"seed": 1, "parameters": {"PROFILE": "paper"}, "commit": None}
    manifest.record(results.manifest, "03_train", entry)
    with pytest.raises(InputError, match="records the profile 'quick', but .* come from 'paper'"):
        compared(results, recorded)


def test_a_profile_with_the_settings_of_the_recorded_one_adds_to_it(results, recorded, tmp_path):
    frozen = tmp_path / "workflow" / "profiles" / "shapes-frozen.yaml"
    frozen.write_text("base: quick\nvariants: [frozen-cra]\n")
    other = ResultFiles(tmp_path / "other")
    write_run(other, 9, 70.0)
    expected = record("shapes", [other], recorded, "frozen")
    assert expected.profile == "quick"
    assert expected.seeds(Key("cra", "test", "Acc@QA", "merged")) == [*SEEDS, 9]


def test_only_what_the_plan_trains_is_missed(results, recorded, monkeypatch):
    """Two profiles share a file of recorded numbers; a run of one lacks nothing of the other."""
    profile = recorded.parents[2] / "workflow" / "profiles" / "shapes-quick.yaml"
    profile.write_text("variants: [cra, ng+]\nseeds: [1]\nsettings: {}\n")
    write_run(results, 1, 50.0, variant="ng+")
    record("shapes", [results], recorded)
    shutil.rmtree(results.run("ng+", 1).root)
    table = compare_all("shapes", results, recorded, recorded.with_name("none.csv"))
    assert {cell.variant for cell in table if cell.verdict == "not run"} == {"ng+"}
    monkeypatch.setattr("cra_lib.reproduction.planning.stage_digest", lambda stage, entry: "")
    make_plan(variants="cra", seeds="1", results=str(results.root)).save()
    monkeypatch.setattr("cra_lib.reproduction.runs.problems", lambda job, code: [])
    table = compare_all("shapes", results, recorded, recorded.with_name("none.csv"))
    assert {cell.variant for cell in table} == {"cra"}


def test_runs_of_a_profile_of_one_s_own_are_no_runs_of_quick(
    results, recorded, tmp_path, monkeypatch
):
    monkeypatch.setattr("cra_lib.reproduction.planning.stage_digest", lambda stage, entry: "")
    mine = tmp_path / "mine.yaml"
    own = "base: quick\nvariants: [cra]\nseeds: [1, 2, 3, 4]\n"
    mine.write_text(f"{own}settings:\n  train: {{epochs: 2}}\n")
    plan = make_plan(profile=str(mine), results=str(results.root))
    plan.save()
    ran = {"seed": 1, "parameters": {"PROFILE": plan.profile_word}, "commit": None}
    manifest.record(results.manifest, "03_train", ran)
    with pytest.raises(InputError, match="come from 'mine', with other settings; nothing is rec"):
        compared(results, recorded)
    with pytest.raises(InputError, match=r"come from '.*mine\.yaml', with other settings"):
        compare_all("shapes", results, recorded, tmp_path / "none.csv", str(mine))
    mine.write_text(own)
    assert compare_all("shapes", results, recorded, tmp_path / "none.csv", str(mine))


def test_other_settings_are_refused(results, recorded):
    save_config(run_config("shapes", "cra", 3), results.run("cra", 3).config)
    assert compared(results, recorded)
    changed = run_config("shapes", "cra", 3, overrides={"train": {"epochs": 2}})
    save_config(changed, results.run("cra", 3).config)
    with pytest.raises(InputError, match="seed3/config.yaml has train.epochs = 2"):
        compared(results, recorded)


def test_other_questions_are_refused(results, recorded):
    path = results.run("cra", 3).scores("test")
    path.write_text(path.read_text().replace('"questions": 200', '"questions": 90'))
    with pytest.raises(InputError, match="has 90 questions, the recorded split test 200"):
        compared(results, recorded)


def test_a_run_without_an_instruction_set_is_not_recorded(results, recorded):
    results.run("cra", 3).runtime.write_text("{}")
    before = recorded.read_text()
    with pytest.raises(InputError, match="seed3/runtime.json: no instruction_set"):
        record("shapes", [results], recorded)
    assert recorded.read_text() == before


@pytest.mark.parametrize(("change", "status"), [(0.0, 0), (-50.0, 3)])
def test_the_command_ends_with_the_verdict(results, recorded, change, status):
    for seed in SEEDS:
        write_run(results, seed, 70.0 + seed + change)
    done = CliRunner().invoke(app, ["check", "shapes", "--results", str(results.root), "--power"])
    assert done.exit_code == status, done.output
    assert f"{2 if change else 0} outside" in done.output and "Smallest drop" in done.output


def test_the_command_records_several_folders(results, recorded, tmp_path):
    other = ResultFiles(tmp_path / "other")
    write_run(other, 5, 70.0, on="avx512")
    folders = ["--results", str(results.root), "--results", str(other.root)]
    done = CliRunner().invoke(app, ["check", "shapes", "--record", *folders])
    assert done.exit_code == 0, done.output
    assert f"Recorded: {recorded}" in done.output.splitlines()
    expected = read_expected(recorded, "shapes")
    assert expected.seeds(Key("cra", "test", "Acc@QA", "merged")) == [1, 2, 3, 4, 5]
    assert expected.provenance["avx512"]["seeds"] == [5]


def test_results_of_another_dataset_are_refused(results, tmp_path):
    path = results.run("cra", 1).scores("test")
    path.write_text(path.read_text().replace('"rule"', '"dataset": "shapes", "rule"', 1))
    with pytest.raises(InputError, match=r"seed1/scores_test.json is about shapes, not star"):
        compare_all("star", results, tmp_path / "none.json", tmp_path / "none.csv")


def test_the_public_val_of_star_is_our_test():
    numbers = read_published(published_csv(), "star")
    assert numbers["CRA", "test", "Acc@GQA"] == 26.8 and {key[1] for key in numbers} == {"test"}


def test_published_numbers_stand_beside_obtained_ones(tmp_path):
    files = ResultFiles(tmp_path)
    path = files.run("cra", 1).scores("test")
    path.parent.mkdir(parents=True)
    scores = {"Acc@QA": 61.0, "Acc@GQA": 10.0, "mIoP": 28.6, "mIoU": 14.2}
    path.write_text(json.dumps({"header": {"rule": "post-hoc"}, "rules": {"post-hoc": scores}}))
    published = published_csv()
    cells = compare_all("nextgqa", files, tmp_path / "none.json", published)
    by_metric = {cell.metric: cell for cell in cells}
    assert by_metric["Acc@QA"].published == 61.1 and by_metric["Acc@QA"].verdict == "within"
    assert by_metric["Acc@GQA"].verdict == "outside"
    assert as_text(cells).splitlines()[0].split()[3] == "published"
