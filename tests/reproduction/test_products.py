"""Products belong to their settings, data and code: each change is noticed, and by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cra_lib.config.files import save_config
from cra_lib.paths import RunFiles
from cra_lib.records import InputError
from cra_lib.reporting.tables import left_out, read_reports
from cra_lib.reproduction import make_plan
from cra_lib.reproduction.experiments import differences, run_name
from cra_lib.reproduction.planning import job_of
from cra_lib.reproduction.products import problems, record_path, recorded, set_aside
from cra_lib.reproduction.runs import find_runs, usable_runs
from cra_lib.reproduction.workspace import find_workspace, open_workspace

SCORES = {"header": {"rule": "post-hoc"}, "rules": {"post-hoc": {"Acc@QA": 50.0}}}


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def train(run: RunFiles, config) -> None:
    """What a training leaves behind, without the training."""
    run.root.mkdir(parents=True, exist_ok=True)
    save_config(config, run.config)
    for name in ("config.json", "model.safetensors", "history.csv", "runtime.json", "README.md"):
        put(run.root / name, f"{name} of {config.variant}")


def evaluate(run: RunFiles, splits) -> None:
    for split in splits:
        put(run.predictions(split), '{"key": "a_1"}\n')
        put(run.scores(split), json.dumps(SCORES))


@pytest.fixture
def plan(tmp_path):
    """A plan whose jobs have all left something behind, with its records."""
    plan = make_plan(
        variants="cra,ng+", cores=2, data=str(tmp_path / "data"), results=str(tmp_path / "results")
    )
    plan.save()
    for job in plan.jobs():
        with recorded(job):
            for path in job.makes:
                if job.stage not in ("train", "evaluate"):
                    put(path, f"{path.name} of {job.stage}")
            if job.stage == "prepare":
                put(plan.data.root / "videos" / "one.mp4", "a video")
            if job.stage == "figures":
                put(plan.results.figures / "main_scores.png", "a figure")
                put(plan.results.tables / "main.html", "a table")
            variant, seed = job.home.parent.name, job.home.name.removeprefix("seed")
            if job.stage == "train":
                train(RunFiles(job.home), plan.config(variant, seed))
            if job.stage == "evaluate":
                evaluate(RunFiles(job.home), plan.evaluated_splits)
    assert plan.not_as_planned() == []
    return plan


def flip(path: Path) -> None:
    """Change one byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


PLANTED = {
    "data/train.csv": "prepare",
    "data/test.csv": "prepare",
    "data/gsub_val.json": "prepare",
    "data/reference.json": "prepare",
    "data/video_feature/shapes-clip/train.h5": "prepare",
    "data/video_feature/shapes-clip/test_ood.h5": "prepare",
    "data/videos/one.mp4": "prepare",
    "data/causal_feature/visual.safetensors": "sample",
    "data/causal_feature/language.safetensors": "sample",
    "results/data_card.json": "prepare",
    "results/confounders_card.json": "sample",
    "results/runs/cra/seed2024/config.yaml": "train cra, seed 2024",
    "results/runs/cra/seed2024/config.json": "train cra, seed 2024",
    "results/runs/cra/seed2024/model.safetensors": "train cra, seed 2024",
    "results/runs/ng+/seed2024/history.csv": "train ng+, seed 2024",
    "results/runs/ng+/seed2024/runtime.json": "train ng+, seed 2024",
    "results/runs/ng+/seed2024/README.md": "train ng+, seed 2024",
    "results/runs/ng+/seed2024/predictions_test.jsonl": "evaluate ng+, seed 2024",
    "results/runs/ng+/seed2024/scores_test_iid.json": "evaluate ng+, seed 2024",
    "results/figures/main_scores.png": "figures",
    "results/tables/main.html": "figures",
    "results/notebooks/05_figures.html": "figures",
    "results/report.html": "report",
}


def path_of(plan, name: str) -> Path:
    place, _, rest = name.partition("/")
    return (plan.data.root if place == "data" else plan.results.root) / rest


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_byte_is_noticed_and_its_maker_named(plan, name):
    flip(path_of(plan, name))
    found = {job.name: reasons for job, reasons in plan.not_as_planned()}
    assert any(f"{name} is not the file that was made" in r for r in found[PLANTED[name]])
    shown = [run for run in usable_runs(plan.results) if f"/{run.variant}/" in name]
    assert shown == []  # whatever a run was made from or made, it stands in no table


@pytest.mark.parametrize("stage", ["train", "evaluate"])
@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"stage": "train"}', '{"reads": 5}'])
def test_without_a_readable_record_a_run_is_left_out(plan, stage, text):
    record = record_path(plan.results.run("cra", 2024).root, stage)
    record.unlink() if text is None else record.write_text(text)
    assert [run.variant for run in usable_runs(plan.results)] == ["ng+"]
    assert "no readable record" in left_out(plan.results)[0]
    assert {report.variant for report in read_reports(plan.results)} == {"ng+"}


def test_a_changed_file_is_kept_aside_and_made_again(plan, tmp_path):
    path = plan.data.root / "videos" / "one.mp4"
    flip(path)
    (job, _), *_ = plan.not_as_planned()
    assert set_aside(job, tmp_path / "aside") == [tmp_path / "aside" / "data/videos/one.mp4"]
    assert not path.exists() and problems(job) == []  # what is missing, the workflow makes


def test_a_file_that_a_second_run_kept_is_still_known_by_its_first_digest(plan):
    job = plan.job("prepare")
    flip(plan.data.root / "videos" / "one.mp4")
    with recorded(job):
        for path in job.makes:
            put(path, "made again")
    assert problems(job) == ["data/videos/one.mp4 is not the file that was made"]


def test_other_code_settings_or_data_count(plan, tmp_path):
    from dataclasses import replace

    other = replace(plan, digests={**plan.digests, "train": "0" * 16})
    assert problems(other.job("train", "cra", 2024)) == ["it was made by other code"]
    other = replace(plan, overrides={"train": {"clip_norm": 1.0}})
    assert problems(other.job("train", "cra", 2024)) == ["it was made with other settings"]
    assert problems(other.job("sample")) == [] == problems(other.job("prepare"))
    other = replace(plan, overrides={"causal": {"num_confounders": 7}})
    assert problems(other.job("sample")) and not problems(other.job("prepare"))
    other = replace(plan, overrides={"train": {"threads": 3, "accelerator": "cpu"}})
    assert problems(other.job("train", "cra", 2024)) == []


def test_a_folder_that_moved_keeps_its_records(plan, tmp_path):
    moved = shutil.move(plan.results.root, tmp_path / "elsewhere")
    from cra_lib.paths import ResultFiles

    assert [run.problem for run in find_runs(ResultFiles(Path(moved)))] == ["", ""]


def test_an_experiment_gets_a_folder_and_a_row_of_its_own(plan):
    folders = (plan.data_dir, plan.results_dir)
    work = find_workspace(
        "shapes", "quick", *folders, "cra", overrides={"model": {"heads": 4}},
        train={"max_steps": 5},
    )  # fmt: skip
    name = "cra@model.heads=4,train.max_steps=5"
    assert work.run.root == plan.results.root / "runs" / name / "seed2024"
    with recorded(job_of("train", work)):
        train(work.run, work.config)
    with recorded(job_of("evaluate", work)):
        evaluate(work.run, plan.evaluated_splits)
    assert plan.not_as_planned() == []  # the table is as it was
    assert {report.variant for report in read_reports(plan.results)} == {"cra", "ng+", name}
    again = open_workspace("shapes", "quick", *folders, name)
    assert again.config == work.config and again.run == work.run
    assert plan.settings_of("figures") != plan.settings_of("train", "cra", 2024)
    flip(work.run.weights)
    assert {report.variant for report in read_reports(plan.results)} == {"cra", "ng+"}


def test_planned_settings_are_no_experiment(plan):
    planned = plan.config("cra", 2024)
    folders = (plan.data_dir, plan.results_dir)
    work = find_workspace("shapes", "quick", *folders, "cra", train={"threads": 1})
    assert differences(work.config, planned) == {}
    assert work.run == plan.results.run("cra", 2024)


def test_long_and_odd_settings_make_short_and_plain_names(plan):
    config = plan.config("cra", 2024)
    odd = config.model_copy(
        update={"model": config.model.model_copy(update={"text_encoder": "../" * 60})}
    )
    name = run_name(odd, config)
    assert len(name) <= 100 and "/" not in name
    assert plan.results.run(name, 1).root.parent.parent == plan.results.root / "runs"


@pytest.mark.parametrize("name", ["../../x", "a/b", "", ".", "cra@../x", "cra@", "Cra x", "cra\n"])
def test_a_name_that_is_no_name_never_becomes_a_path(plan, name):
    with pytest.raises(InputError, match="not the name of a run"):
        plan.results.run(name, 1)
    with pytest.raises(InputError, match="not the name of a run"):
        plan.results.run("cra", "1/../..")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"variants": 5}', "\x00", '{"dataset": "x"}'])
def test_a_damaged_plan_is_one_sentence(plan, text):
    (plan.folder / "plan.json").write_text(text)
    with pytest.raises(InputError, match=r"plan\.json: not a plan of the workflow"):
        read_reports(plan.results)


def test_settings_of_reproduce_get_results_of_their_own(tmp_path, monkeypatch):
    own = make_plan(settings={"train": {"epochs": 2}}, data=str(tmp_path))
    assert own.results.root.name == "shapes@train.epochs=2"
    assert own.config("cra", 1).train.epochs == 2 and own.config("ng+", 1).train.epochs == 2
    assert own.profile_word.endswith("profile.yaml")


def test_a_profile_file_travels_to_the_notebooks(tmp_path):
    import yaml

    profile = tmp_path / "mine.yaml"
    content = {"variants": ["cra"], "seeds": [7], "settings": {"train": {"epochs": 3}}}
    profile.write_text(yaml.safe_dump(content))
    plan = make_plan(
        profile=str(profile), results=str(tmp_path / "r"), data=str(tmp_path),
        settings={"span": {"reach": 4.0}},
    )  # fmt: skip
    plan.save()
    work = find_workspace("shapes", plan.profile_word, str(tmp_path), plan.results_dir, "cra", 7)
    assert work.config == plan.config("cra", 7)
    assert (work.config.train.epochs, work.config.span.reach) == (3, 4.0)
    assert work.run == plan.results.run("cra", 7)
