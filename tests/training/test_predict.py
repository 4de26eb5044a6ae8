"""Predictions do not depend on how a split is cut up, and come with scores."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from cra_lib.cli import app
from cra_lib.cli.training import parse_settings
from cra_lib.evaluator.metrics import score
from cra_lib.inference import predict as inference
from cra_lib.inference.predict import load_evaluation, load_run, predict, predict_run, score_run
from cra_lib.model.text import load_tokenizer
from cra_lib.paths import RunFiles
from cra_lib.records import InputError, read_predictions
from cra_lib.training import fit
from cra_lib.video.features import write_features


def _quiet(line: str) -> None:
    """Swallow a line of the log."""


@pytest.fixture(scope="module")
def run(world, tmp_path_factory) -> RunFiles:
    """A trained model."""
    run = RunFiles(tmp_path_factory.mktemp("run"))
    fit(world.config(train={"epochs": 3, "learning_rate": 5e-3}), world.data, run, log=_quiet)
    return run


def _evaluation(world, config, split="val"):
    return load_evaluation(config, world.data, split, load_tokenizer(config.model.text_encoder))


def test_predictions_are_whole_and_score_as_in_the_history(run, world):
    predictions = predict_run(run, world.data, "val")
    assert list(read_predictions(run.predictions("val"))) == predictions
    report = score_run(run, world.data, "val", bootstrap=20)
    assert report == json.loads(run.scores("val").read_text())
    best = max(float(row["val_Acc@QA"]) for row in csv.DictReader(run.history.open()))
    assert report["rules"]["post-hoc"]["Acc@QA"] == pytest.approx(best)
    for prediction in predictions:
        assert set(prediction.spans) == {"post-hoc", "windows", "merged"}
        assert sum(prediction.choice_probabilities) == pytest.approx(1, abs=1e-4)
        assert sum(prediction.frame_weights) == pytest.approx(1, abs=1e-4)
        assert prediction.answer == int(np.argmax(prediction.choice_probabilities))
        assert len(prediction.frame_times) == len(prediction.raw_weights) == 8


def test_predicting_on_a_processor_imports_no_heavy_library(run, world):
    """Lightning and transformers take longer to import than a thousand predictions take."""
    expected = predict_run(run, world.data, "val", precision="32-true")
    code = (
        "import sys; from pathlib import Path; from cra_lib.inference.predict import predict_run\n"
        "from cra_lib.paths import DataFiles, RunFiles\n"
        f"run = RunFiles(Path({str(run.root)!r}))\n"
        f"predict_run(run, DataFiles(Path({str(world.data.root)!r})), 'val')\n"
        "heavy = {'transformers', 'lightning_fabric', 'sklearn', 'scipy', 'sympy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ
    )
    assert done.stdout.strip() == "[]", done.stderr
    assert list(read_predictions(run.predictions("val"))) == expected


def test_cutting_a_split_differently_changes_nothing(run, world, monkeypatch):
    config, model = load_run(run)
    split = _evaluation(world, config)
    whole = predict(model, split, config)
    monkeypatch.setattr(inference, "QUESTIONS_AT_ONCE", 3)
    small = config.train.model_copy(update={"chunk_tokens": 30})
    small = config.model_copy(update={"train": small})
    cut = predict(model, split, small)
    for one, other in zip(whole, cut, strict=True):
        assert one.answer == other.answer and one.spans == other.spans
        np.testing.assert_allclose(one.choice_probabilities, other.choice_probabilities, atol=2e-6)


def test_predicting_leaves_the_model_in_its_mode(run, world):
    config, model = load_run(run)
    model.train()
    split = _evaluation(world, config)
    first, again = predict(model, split, config), predict(model, split, config)
    assert model.training and first == again


def test_truth_is_scored_against_its_own_split(run, world):
    config, model = load_run(run)
    split = _evaluation(world, config, "test")
    scores = score(predict(model, split, config), split.truths, "merged")
    assert scores["questions"] == 12 and scores["skipped"] == 0


def test_a_split_without_truth_is_predicted_but_not_scored(run, world):
    config, model = load_run(run)
    split = load_evaluation(
        config, world.data, "val", load_tokenizer(config.model.text_encoder)
    )._replace(truths=None)
    assert len(predict(model, split, config)) == 20
    with pytest.raises(InputError, match="predictions_test.jsonl.*cra predict"):
        score_run(run, world.data, "test")


def test_inputs_that_do_not_fit_are_refused(run, own_world):
    config, _ = load_run(run)
    features = np.zeros((5, 6, 16), np.float32)
    videos = [f"val{number}" for number in range(5)]
    write_features(own_world.data.features("clip-vit-l14", "val"), videos, features)
    with pytest.raises(InputError, match="8 stamps a video, but the features have 6 frames"):
        _evaluation(own_world, config)
    own_world.data.stamps("val").write_text('{"val0": [0, 1, 2, 3, 4, 5]}')
    with pytest.raises(InputError, match="no frame stamps for video 'val1'"):
        _evaluation(own_world, config)
    own_world.data.stamps("val").unlink()
    with pytest.raises(InputError, match="Frame stamps not found"):
        _evaluation(own_world, config)


def test_stamps_beside_the_features_will_do(run, own_world):
    config, model = load_run(run)
    own_world.data.stamps("val").unlink()
    own_world.data.segments("val").unlink()
    videos = [f"val{number}" for number in range(5)]
    stamps = {video: [0.5 + frame for frame in range(8)] for video in videos}
    path = own_world.data.features("clip-vit-l14", "val")
    write_features(path, videos, np.zeros((5, 8, 16), np.float32), stamps=stamps)
    split = _evaluation(own_world, config)
    assert split.truths is None and (split.durations == 8).all()
    assert len(predict(model, split, config)) == 20


def test_the_command_line_trains_predicts_and_scores(world, tmp_path):
    import yaml

    settings = world.config().model_dump(mode="json")
    sections = {name: settings[name] for name in ("data", "causal", "model", "train")}
    profile = tmp_path / "tiny.yaml"
    profile.write_text(yaml.safe_dump({"settings": sections}))
    options = ["--profile", str(profile), "--data", str(world.data.root.parent)]
    # Settings of its own: a folder of its own, beside where a planned run would lie.
    name = "no-gsg@train.batch_size=4,train.max_steps=3"
    run = tmp_path / "results" / "runs" / name / "seed3"
    trained = CliRunner().invoke(
        app,
        ["train", "nextgqa", "--variant", "no-gsg", "--seed", "3", *options, "--max-steps", "3"]
        + ["--results", str(tmp_path / "results"), "--set", "train.batch_size=4"],
    )
    assert trained.exit_code == 0, trained.output
    predicted = CliRunner().invoke(
        app, ["predict", str(run), "--split", "val", "--data", str(world.data.root)]
    )
    assert predicted.exit_code == 0, predicted.output
    assert "20 questions" in predicted.output and "post-hoc" in predicted.output
    assert f"{RunFiles(run).scores('val')}:" in predicted.output.splitlines()
    assert RunFiles(run).scores("val").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nextgqa", "--set", "epochs=3"], "is section.name=value"),
        (["train", "mars"], "Unknown dataset 'mars'"),
        (["train", "nextgqa", "--variant", "crah"], "did you mean 'cra'"),
        (["predict", "nowhere"], "Trained run not found at nowhere"),
    ],
)
def test_wrong_commands_are_one_sentence(arguments, message):
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, InputError) and message in str(result.exception)


def test_settings_are_read_as_yaml():
    assert parse_settings(["span.window_lengths=[1, 3]", "train.max_steps=null"]) == {
        "span": {"window_lengths": [1, 3]},
        "train": {"max_steps": None},
    }
