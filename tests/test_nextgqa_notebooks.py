"""Real NExT-GQA questions through the notebooks 01 and 03: random features, our own text tower."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from cra_lib.evaluator.annotations import read_questions
from cra_lib.paths import DataFiles, ResultFiles, RunFiles
from cra_lib.reproduction.notebook import run_notebook
from cra_lib.video.features import write_features

pytestmark = pytest.mark.shared
QUESTIONS = 900
WIDTH = 32


@pytest.fixture(scope="module")
def data(shared_data, tmp_path_factory) -> DataFiles:
    """The official val and test files, the first open-ended training questions, random features."""
    files = DataFiles(tmp_path_factory.mktemp("data") / "nextgqa")
    (files.root / "nextoe").mkdir(parents=True)
    for path in (shared_data / "nextgqa").iterdir():
        (files.root / path.name).symlink_to(path)
    with (shared_data / "nextoe" / "train.csv").open(encoding="utf-8") as source:
        rows = list(csv.reader(source))[: QUESTIONS + 1]
    with (files.root / "nextoe" / "train.csv").open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(rows)
    generator = np.random.default_rng(0)
    videos = {"train": sorted({row[rows[0].index("video")] for row in rows[1:]})}
    for split in ("val", "test"):
        asked = read_questions(files.questions(split))
        videos[split] = sorted({question.video_id for question in asked})
    for split, names in videos.items():
        path = files.features("clip-vit-l14", split)
        path.parent.mkdir(parents=True, exist_ok=True)
        features = generator.normal(size=(len(names), 32, WIDTH)).astype(np.float32)
        write_features(path, names, features, key="CLIPL_I")
    return files


@pytest.fixture(scope="module")
def clone(data, tmp_path_factory) -> Path:
    """A repository whose quick profile of NExT-GQA fits a laptop without weights."""
    root = tmp_path_factory.mktemp("clone")
    repository = Path(__file__).resolve().parent.parent
    profile = yaml.safe_load((repository / "workflow/profiles/nextgqa-quick.yaml").read_text())
    profile["settings"] = {
        "data": {"feature_width": WIDTH, "train_from": "nextoe"},
        "causal": {"parser": "rules", "node_encoder": "hashed", "num_confounders": 8},
        "model": {"width": 32, "ffn_width": 32, "heads": 2, "text_encoder": "shapes-clip"},
        "train": {"epochs": 1, "accelerator": "cpu"},
    }
    (root / "workflow" / "profiles").mkdir(parents=True)
    (root / "workflow/profiles/nextgqa-quick.yaml").write_text(yaml.safe_dump(profile))
    for name in ("cra_lib", "notebooks"):
        (root / name).symlink_to(repository / name)
    return root


def test_a_dry_epoch_goes_from_annotation_to_a_model(clone, data, monkeypatch):
    monkeypatch.setenv("CRA_ROOT", str(clone))
    results = ResultFiles(clone / "results")
    where = {
        "DATASET": "nextgqa",
        "DATA_DIR": str(data.root.parent),
        "RESULTS_DIR": str(results.root),
    }

    def execute(name: str, **more) -> None:
        executed = results.notebooks / f"{name}.ipynb"
        run_notebook(clone / "notebooks" / f"{name}.ipynb", executed, where | more, html=False)

    execute("01_prepare_data")
    card = json.loads(results.data_card.read_text())
    assert card["splits"]["val"]["questions"] == 3358
    centres = np.random.default_rng(0).normal(size=(8, 8, 768)).astype(np.float32)
    counts = np.ones(8, np.int64)
    data.visual_confounders.parent.mkdir()
    visual = np.ascontiguousarray(centres[:, 0, :WIDTH])
    save_file({"centres": visual, "counts": counts}, data.visual_confounders)
    save_file({"centres": centres, "counts": counts}, data.language_confounders)
    execute("03_train", VARIANT="cra", MAX_STEPS=3)
    # Fewer steps than the profile says: a run with a folder of its own.
    [folder] = results.root.glob("runs/cra@*/seed2024")
    run = RunFiles(folder)
    history = list(csv.DictReader(run.history.open()))
    assert [row["step"] for row in history] == ["3"] and float(history[0]["loss"]) > 0
    # Features are random: what is right is chance, and the whole path has run.
    assert float(history[0]["val_Acc@QA"]) == pytest.approx(20, abs=4)
    assert run.weights.exists()
