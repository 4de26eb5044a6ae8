"""One preparation for every dataset: it refuses before it writes, and a new one is an entry."""

from __future__ import annotations

import csv
from importlib import import_module

import numpy as np
import pytest
from typer.testing import CliRunner

from cra_lib import datasets
from cra_lib.cli import app
from cra_lib.config import DataConfig, run_config
from cra_lib.data.card import data_card
from cra_lib.data.prepare import prepare_dataset
from cra_lib.datasets import DATASETS, Dataset, dataset_named
from cra_lib.evaluator.annotations import write_questions, write_segments, write_stamps
from cra_lib.paths import DataFiles, RunFiles
from cra_lib.records import InputError, Question
from cra_lib.video.features import write_features

COLOURS = ("red", "blue", "green")


def read_colours(root, *, seed, workers):
    """A reader of its own: ``colours.csv`` (video, colour) to questions about colours."""
    files = DataFiles(root)
    with open(root / "colours.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for split in DATASETS["colours"].splits:
        mine = [row for row in rows if row["split"] == split]
        questions = [
            Question(row["video"], "0", f"which colour has shape {place % 4}", COLOURS,
                     COLOURS.index(row["colour"]), "TC", frame_count=100, width=8, height=8)
            for place, row in enumerate(mine)
        ]  # fmt: skip
        write_questions(files.questions(split), questions)
        write_stamps(files.stamps(split), {q.video_id: [1.0, 2.0, 3.0, 4.0] for q in questions})
        if split != "train":
            places = {
                q.video_id: {"duration": 5.0, "location": {"0": [[1, 3]]}, "fps": 20}
                for q in questions
            }
            write_segments(files.segments(split), places)
        rng = np.random.default_rng(seed)
        shown = rng.normal(size=(len(mine), 4, 6)).astype(np.float32)
        for place, row in enumerate(mine):
            shown[place, 1, COLOURS.index(row["colour"])] += 9
        write_features(files.features("pixels", split), [r["video"] for r in mine], shown)
    return data_card(files, "colours")


@pytest.fixture
def colours(monkeypatch, tmp_path):
    """A dataset that the library has never heard of, registered by one entry."""
    entry = Dataset(
        name="colours",
        splits=("train", "val", "test"),
        reader="colours_reader:read_colours",
        encoder="pixels",
        confounded_words=("red", "blue"),
        marks=("colours.csv",),
        source="a test",
    )
    monkeypatch.setitem(DATASETS, "colours", entry)
    monkeypatch.setattr(Dataset, "load_reader", lambda self: read_colours)
    lines = ["video,colour,split"]
    for split, count in (("train", 12), ("val", 3), ("test", 3)):
        lines += [f"{split}{n},{COLOURS[n % 3]},{split}" for n in range(count)]
    (tmp_path / "colours.csv").write_text("\n".join(lines))
    return DataFiles(tmp_path)


def test_a_new_dataset_is_an_entry_and_a_reader(colours, tmp_path):
    from cra_lib.causal.sampling import sample_language, sample_visual
    from cra_lib.evaluator.annotations import read_questions
    from cra_lib.inference.predict import predict_run, score_run
    from cra_lib.training import fit

    config = run_config("colours", "cra", 1, overrides={
        "data": {"encoder": "pixels", "feature_width": 6},
        "causal": {"parser": "rules", "node_encoder": "hashed", "num_confounders": 2},
        "model": {"width": 16, "ffn_width": 16, "heads": 2, "layers": 1,
                  "text_encoder": "shapes-clip"},
        "train": {"epochs": 1, "batch_size": 4, "accelerator": "cpu"},
    })  # fmt: skip
    card = prepare_dataset("colours", config.data, colours, seed=3)
    assert card["splits"]["test"]["segments"] == 3
    questions = read_questions(colours.questions("train"))
    sample_language(
        questions, colours.language_confounders, config.causal,
        source=colours.questions("train"), width=16,
    )  # fmt: skip
    videos = {question.video_id for question in questions}
    sample_visual(colours.features("pixels", "train"), colours.visual_confounders, config.causal,
                  video_ids=videos)  # fmt: skip
    run = RunFiles(tmp_path / "run")
    fit(config, colours, run, log=lambda line: None)
    assert len(predict_run(run, colours, "test")) == 3
    scores = score_run(run, colours, "test", bootstrap=10)
    assert scores["rules"]["post-hoc"]["questions"] == 3


def test_every_reader_is_where_the_table_says():
    for dataset in DATASETS.values():
        assert callable(dataset.load_reader())


def test_an_unknown_dataset_is_named_with_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'nextgqa'"):
        dataset_named("nextqga")


@pytest.mark.parametrize("encoder", ["clip-vit", "no such encoder"])
def test_what_cannot_be_done_is_refused_before_anything_is_written(tmp_path, encoder):
    with pytest.raises(InputError, match="encoder"):
        prepare_dataset("shapes", DataConfig(encoder=encoder), DataFiles(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_another_seed_over_an_existing_set_renews_its_features(tmp_path, monkeypatch):
    shapes = import_module("cra_lib.data.shapes.generate")
    monkeypatch.setattr(shapes, "SIZES", dict.fromkeys(DATASETS["shapes"].splits, 1))
    run = CliRunner().invoke
    command = ["prepare", "shapes", "--data", str(tmp_path), "--workers", "1"]
    assert run(app, command).exit_code == 0
    files = DataFiles(tmp_path / "shapes")
    before = files.features("shapes-clip", "val").read_bytes()
    assert run(app, [*command, "--seed", "1"]).exit_code == 0
    assert files.features("shapes-clip", "val").read_bytes() != before


def test_the_table_names_files_once():
    for dataset in datasets.DATASETS.values():
        paths = [source.path for source in dataset.files]
        assert len(paths) == len(set(paths))
