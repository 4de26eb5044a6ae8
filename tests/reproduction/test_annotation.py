"""The profile `annotation`: chosen where there are no frames, and what it makes of a small set."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from cra_lib.config.profiles import ANNOTATION, default_profile
from cra_lib.data.star import prepare
from cra_lib.datasets import DATASETS, Dataset
from cra_lib.evaluator import packaged
from cra_lib.evaluator.annotations import read_truths
from cra_lib.paths import DataFiles, ResultFiles
from cra_lib.records import InputError
from cra_lib.reporting.report import write_report
from cra_lib.reproduction import make_plan
from cra_lib.reproduction.missing import listed, missing_inputs, unpack_annotation
from cra_lib.reproduction.run import describe
from cra_lib.reproduction.workspace import resolve_config


@pytest.fixture(autouse=True)
def quick_plans(monkeypatch):
    """Digests of all code are not at stake here, and take seconds."""
    monkeypatch.setattr("cra_lib.reproduction.planning.stage_digest", lambda stage, entry: "")


@pytest.fixture
def words(tmp_path):
    """Where a call finds no data and puts no results of anybody's."""
    return {"data": str(tmp_path / "data"), "results": str(tmp_path / "results"), "cores": 1}


@pytest.mark.parametrize(
    ("dataset", "file", "given", "profile"),
    [
        ("nextgqa", "", {}, ANNOTATION),
        ("star", "", {}, ANNOTATION),
        ("nextgqa", "val.csv", {}, ANNOTATION),
        ("nextgqa", "video_feature/clip-vit-l14/val.h5", {}, "paper"),
        ("nextgqa", "CLIPL/CLIPL_I_val.h5", {}, "paper"),
        ("nextgqa", "videos/1.mp4", {}, "paper"),
        ("star", "Charades_v1_480/A.mp4", {}, "paper"),
        ("nextgqa", "", {"profile": "quick"}, "quick"),
        ("nextgqa", "", {"variants": "cra"}, "paper"),
        ("shapes", "", {}, "quick"),
    ],
)
def test_it_is_chosen_where_there_are_no_frames(words, dataset, file, given, profile):
    if file:
        path = Path(words["data"], dataset, file)
        path.parent.mkdir(parents=True)
        path.touch()
    plan = make_plan(dataset, **words, **given)
    assert plan.profile == profile
    said = "\n".join(describe(plan, Counter()))
    assert (f"so the profile is '{ANNOTATION}'" in said) == (profile == ANNOTATION)


def test_it_trains_nothing_and_lacks_nothing(words):
    plan = make_plan("nextgqa", **words)
    assert plan.stages == ("prepare", "sample", "evaluate", "figures", "report")
    assert plan.trained_runs == [] and plan.num_jobs("train") == 0 and not plan.on_gpu
    products = plan.products()
    assert not [p for p in products if "model" in p or "visual" in p or "06_ask" in p]
    assert any(p.endswith("scores_test.json") for p in products)
    assert missing_inputs(plan) == []
    unpack_annotation(plan)
    assert len(plan.given()) == 8
    assert (plan.data.root / "nextoe" / "train.csv").is_file()
    mixed = make_plan("shapes", variants="cra,random", **words)
    assert [v for v, _ in mixed.trained_runs] == ["cra"] and mixed.num_jobs("evaluate") == 2


def test_files_of_the_users_own_stay(words):
    own = Path(words["data"], "nextgqa", "val.csv")
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    plan = make_plan("nextgqa", **words)
    [finding] = missing_inputs(plan)
    assert (finding.name, finding.status) == ("val.csv", "wrong hash")
    unpack_annotation(plan)
    assert own.read_text() == "mine"


def test_what_the_paper_profile_lacks_is_listed_as_before(words, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    text = "\n".join(listed(missing_inputs(make_plan("nextgqa", profile="paper", **words))))
    for name in ("train.csv", "video_feature/clip-vit-l14/val.h5", "model roberta-base"):
        assert f"  {name}: missing" in text
    assert "gsub_val.json" not in text, "the annotation comes with the package"


def test_missing_question_files_of_star_are_named_with_their_address(words):
    lines = list(listed(missing_inputs(make_plan("star", **words))))
    assert len(lines) == 3 and "STAR_train.json" in lines[1] and "STAR_val.json" in lines[2]
    assert all("missing" in line and "https://star-benchmark" in line for line in lines[1:])


def test_a_damaged_package_is_one_sentence(words, monkeypatch, tmp_path):
    folder = tmp_path / "packaged"
    shutil.copytree(packaged.FOLDER / "nextgqa", folder / "nextgqa")
    monkeypatch.setattr(packaged, "FOLDER", folder)
    plan = make_plan("nextgqa", **words)
    packed = folder / "nextgqa" / "gsub_val.json.bz2"
    packed.write_bytes(packed.read_bytes()[:500])
    with pytest.raises(InputError, match=r"gsub_val\.json"):
        unpack_annotation(plan)
    assert not (plan.data.root / "gsub_val.json").exists()


def test_a_new_dataset_needs_no_profile_file(words, monkeypatch):
    entry = Dataset(
        name="mine",
        splits=("train", "val", "test"),
        reader="cra_lib.data.nextgqa:prepare",
        encoder="resnet50",
        confounded_words=("a", "b"),
        source="a friend",
    )
    monkeypatch.setitem(DATASETS, "mine", entry)
    assert make_plan("mine", **words).profile == ANNOTATION
    config = resolve_config("mine", "paper")
    assert config.data.encoder == "resnet50" and config.dataset == "mine"
    assert default_profile(entry, "quick")["variants"] == ["cra", "post-hoc"]
    with pytest.raises(InputError, match="Did you mean 'paper'"):
        make_plan("mine", profile="papr", **words)


def _first_videos(path: Path, column: str, count: int) -> None:
    """Keep the rows of a csv that are about its first videos."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    place = head.index(column)
    kept = set(list(dict.fromkeys(row[place] for row in rows))[:count])
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *(row for row in rows if row[place] in kept)])


def _small_nextgqa(root: Path) -> None:
    packaged.unpack_dataset("nextgqa", root)
    for split in ("val", "test"):
        _first_videos(root / f"{split}.csv", "video_id", 20)
    _first_videos(root / "nextoe" / "train.csv", "video", 120)


def _small_star(root: Path) -> None:
    root.mkdir(parents=True)
    choices = ["The book.", "The cup.", "The bag.", "The door."]
    verbs, places = ("throw", "close"), ("near the sofa", "by the window", "in the hall")
    asked = [f"{verb} {place}" for verb in verbs for place in places]
    for name, count in (("train", 24), ("val", 6)):
        entries = [
            {
                "question_id": f"Interaction_T{number % 6 + 1}_{name}{number}",
                "question": f"Which object did the person {asked[number % 6]}?",
                "video_id": f"{name.upper()}{number // 2:02}",
                "start": 1.0 + number % 3,
                "end": 6.0 + number,
                "answer": choices[number % 4],
                "choices": [{"choice_id": i, "choice": text} for i, text in enumerate(choices)],
            }
            for number in range(count)
        ]
        (root / f"STAR_{name}.json").write_text(json.dumps(entries))
    (root / "Charades_v1_train.csv").write_text("id,subject,length\nTRAIN00,X,31.5\n")


def _run_notebook(path: Path, values: dict) -> None:
    names = {"display": lambda *shown: None}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
        if "parameters" in cell["metadata"].get("tags", []):
            names |= {name: value for name, value in values.items() if name in names}


def _values(dataset: str, words: dict, repository: Path, tmp_path: Path) -> dict:
    """Parameters of the notebooks, with the dataset's profile made small."""
    path = repository / "workflow" / "profiles" / f"{dataset}-annotation.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["settings"]["causal"]["num_confounders"] = 6
    profile["settings"]["model"] = {"width": 16}
    small = tmp_path / "annotation.yaml"
    small.write_text(yaml.safe_dump(profile))
    return {
        "DATASET": dataset, "PROFILE": str(small), "DATA_DIR": words["data"],
        "RESULTS_DIR": words["results"], "VARIANT": "random", "SEED": 2024,
    }  # fmt: skip


def test_from_annotation_to_figures(words, repository, monkeypatch, tmp_path):
    data, results = DataFiles(Path(words["data"]) / "nextgqa"), ResultFiles(Path(words["results"]))
    _small_nextgqa(data.root)
    values = _values("nextgqa", words, repository, tmp_path)
    for name in ("01_prepare_data", "02_sample_causal_features", "04_evaluate", "05_figures"):
        if name == "05_figures":  # others have loaded torch; this notebook must not
            monkeypatch.delitem(sys.modules, "torch", raising=False)
        _run_notebook(repository / "notebooks" / f"{name}.ipynb", values)
    assert data.language_confounders.exists() and not data.visual_confounders.exists()
    blind = (results.tables / "blind_test.md").read_text()
    assert "middle third" in blind and "GroundFormer" in blind
    assert (
        "video_feature/clip-vit-l14/train.h5 | 379.5 MB"
        in (results.tables / "missing.md").read_text()
    )
    for figure in ("evidence_cover", "answer_cooccurrence", "node_coverage", "blind_test"):
        assert (results.figures / f"{figure}.png").exists()
    assert not (results.figures / "attention.png").exists()


def test_star_goes_from_its_lists_to_figures(words, repository, monkeypatch, tmp_path):
    """No video tells a length, and no question has the words of the paper's figure."""
    data, results = DataFiles(Path(words["data"]) / "star"), ResultFiles(Path(words["results"]))
    _small_star(data.root)
    values = _values("star", words, repository, tmp_path)
    for name in ("01_prepare_data", "02_sample_causal_features", "04_evaluate", "05_figures"):
        if name == "05_figures":
            monkeypatch.delitem(sys.modules, "torch", raising=False)
        _run_notebook(repository / "notebooks" / f"{name}.ipynb", values)
    card = json.loads(results.data_card.read_text())
    assert sum(split["videos"] for split in card["splits"].values()) == 15
    assert any(
        text.startswith("1 videos have their length from Charades") for text in card["warnings"]
    )
    assert any(text.startswith("14 videos are taken to end") for text in card["warnings"])
    truths = read_truths(data, "test")
    assert all(span.end < truth.duration for truth in truths.values() for span in truth.segments)
    made = {path.stem for path in [*results.figures.glob("*.png"), *results.tables.glob("*.md")]}
    assert {"evidence_cover", "node_coverage", "blind_test", "main", "missing"} <= made
    assert not made & {"answer_cooccurrence", "answer_counts", "training_curves"}
    report = json.loads(results.run("random", 2024).scores("test").read_text())
    assert report["header"]["questions"] == 6 and report["header"]["dataset"] == "star"


def test_a_length_that_is_no_number_is_one_sentence(tmp_path):
    _small_star(tmp_path / "star")
    (tmp_path / "star" / "Charades_v1_train.csv").write_text("id,length\nTRAIN00,long\n")
    with pytest.raises(InputError, match="row 2: expected an id and a length"):
        prepare(tmp_path / "star", lengths="annotation")


@pytest.fixture
def report_of_chance(words, tmp_path):
    """A report of a run that was planned without training, before anything was scored."""
    plan = make_plan("nextgqa", **words)
    plan.save()
    plan.results.tables.mkdir()
    return write_report("nextgqa", plan.results).read_text()


def test_the_report_says_what_it_is(report_of_chance):
    assert "Annotation alone (profile annotation; no frame features" in report_of_chance
    assert "training_curves" not in report_of_chance and "evidence_cover" in report_of_chance
    assert "trains more" not in report_of_chance, "nothing here is trained"


@pytest.mark.slow
def test_the_whole_annotation_ends_in_a_report(words):
    command = [sys.executable, "-m", "cra_lib", "reproduce", "nextgqa"]
    command += ["--data", words["data"], "--results", words["results"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    results = ResultFiles(Path(words["results"]))
    page = results.report.read_text(encoding="utf-8")
    assert "37,523" in page and "Annotation alone" in page and "GroundFormer" in page
    card = json.loads(results.confounders_card.read_text())
    assert card["language"]["text_counts"]["pairs"] == 37523
    assert results.explorer.exists()
