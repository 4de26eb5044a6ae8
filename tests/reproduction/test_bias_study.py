"""The bias study: which runs it wants, where they lie, and what is made of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from cra_lib.cli import app, study
from cra_lib.cli.study import parse_strengths
from cra_lib.config import run_config
from cra_lib.evaluator.metrics import METRICS
from cra_lib.evaluator.video_scores import VideoScores, write_video_scores
from cra_lib.paths import DataFiles, ResultFiles
from cra_lib.records import InputError
from cra_lib.reporting.figures.bias import frames_by_noise, reliance_by_strength
from cra_lib.reporting.tables import bias as tables
from cra_lib.reproduction import bias_study
from cra_lib.reproduction.claims import sources_of
from cra_lib.reproduction.expected import Expected, Key
from cra_lib.reproduction.obtained import Run

STUDY = bias_study.Study(
    "quick", ("train.epochs=12",), ("cra", "no-causal"), (1, 2, 3), (0.5, 0.95)
)


def made_runs(results: ResultFiles) -> list[Run]:
    """Runs whose Acc@QA falls by 4 points at the default strength, and by 20 or 30 at 0.95."""
    falls = {("cra", 0.5): 4, ("no-causal", 0.5): 4, ("cra", 0.95): 20, ("no-causal", 0.95): 30}
    runs = []
    for (variant, strength), fall in falls.items():
        for seed in STUDY.seeds:
            files = STUDY.run(results, variant, strength, seed)
            for split, level in (("test_iid", 90), ("test", 85), ("test_ood", 90 - fall)):
                generator = np.random.default_rng(seed)
                sums = 4 * level + generator.normal(0, 10, (40, len(METRICS)))
                videos = tuple(f"{split}{number}" for number in range(40))
                files.root.mkdir(parents=True, exist_ok=True)
                write_video_scores(
                    files.video_scores(split), VideoScores(videos, np.full(40, 4), sums)
                )
                label = STUDY.label(variant, strength)
                runs.append(Run(label, seed, split, "post-hoc", {}, 160, "avx2", files, "shapes"))
    return runs


def test_the_studies_of_the_repository_can_be_read():
    clean, noisy = (bias_study.read_study(bias_study.study_file(n)) for n in bias_study.STUDIES)
    assert clean == bias_study.read_study() and clean.noise == 0 < noisy.noise
    assert 0.95 in clean.strengths
    for found in (clean, noisy):
        assert len(found.seeds) >= 5 and "literal-back-door" in found.variants


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"strengths": [2.0]}, "strengths should be numbers from 0 to 1"),
        ({"strengths": "all"}, "strengths should be a list"),
        ({"seeds": [-1]}, "seeds should be whole numbers"),
        ({"variants": ["craa"]}, "did you mean 'cra'"),
        ({"epochs": 3}, "expected the keys base, set, variants, seeds, strengths"),
        ({"seeds": []}, "seeds should be a list"),
        ({"set": ["epochs"]}, "A setting is section.name=value"),
        ({"set": ["data.noise=much"]}, "Setting 'data.noise'"),
        ({"set": ["data.noise=-1"]}, "Setting 'data.noise'"),
        ({"set": ["data.hum=3"]}, "Unknown setting 'data.hum'"),
    ],
)
def test_a_wrong_study_is_one_sentence(tmp_path, change, named):
    path = tmp_path / "study.yaml"
    good = {"base": "quick", "set": [], "variants": ["cra"], "seeds": [1], "strengths": [0.5]}
    path.write_text(yaml.safe_dump(good | change))
    with pytest.raises(InputError, match=named):
        bias_study.read_study(path)


def test_the_default_strength_has_the_pipelines_data_and_runs_of_its_own(tmp_path):
    data, results = DataFiles(tmp_path / "shapes"), ResultFiles(tmp_path / "results")
    assert STUDY.data(data, 0.5) == data
    names = {0.5: "cra@train.epochs=12", 0.95: "cra@data.bias=0.95,train.epochs=12"}
    for strength, name in names.items():
        run = STUDY.run(results, "cra", strength, 1)
        assert run.root.parent.name == name and results.root / "bias" in run.root.parents
    assert STUDY.data(data, 0.95).root == tmp_path / "shapes-bias-0.95"


def test_noisy_videos_have_datasets_and_runs_of_their_own(tmp_path):
    noisy = STUDY._replace(settings=("train.epochs=12", "data.noise=60"))
    data = DataFiles(tmp_path / "shapes")
    assert noisy.data(data, 0.5).root == tmp_path / "shapes-noise-60"
    assert noisy.data(data, 0.95).root == tmp_path / "shapes-bias-0.95-noise-60"
    assert noisy.label("cra", 0.5) == "cra@data.noise=60,train.epochs=12"


@pytest.mark.parametrize(
    ("there", "is_kept"),
    [({"bias": [0.95, 0.95]}, True), ({"bias": [0.95, 0.95], "noise": 60.0}, False),
     ({"bias": [0.5, 0.5]}, False), (None, False)],
)  # fmt: skip
def test_a_dataset_is_prepared_unless_it_has_that_strength_and_noise(
    tmp_path, monkeypatch, there, is_kept
):
    data, prepared = DataFiles(tmp_path), []
    for path in (data.language_confounders, data.visual_confounders):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    if there:
        (tmp_path / "reference.json").write_text(json.dumps({"settings": there}))
    monkeypatch.setattr(
        "cra_lib.data.prepare.prepare_dataset", lambda *_, **__: prepared.append("dataset")
    )
    monkeypatch.setattr(
        "cra_lib.cli.causal.sample_dictionaries", lambda *_: prepared.append("dictionaries")
    )
    config = run_config("shapes", overrides={"data": {"bias": 0.95}})
    study.prepare_world(config, data, workers=1)
    assert prepared == ([] if is_kept else ["dataset", "dictionaries"])


def test_reliance_and_its_differences(tmp_path):
    sources = sources_of(made_runs(ResultFiles(tmp_path)))
    rows = bias_study.reliance_table(sources, STUDY)
    assert len(rows) == 4 and all(row.reliance.seeds == 3 for row in rows)
    by_name = {(row.variant, row.strength): row.reliance for row in rows}
    assert by_name["cra", 0.95].figure == pytest.approx(20, abs=3)
    assert by_name["no-causal", 0.5].low < 4 < by_name["no-causal", 0.5].high
    [usual, strong] = bias_study.differences(sources, STUDY, "no-causal")
    assert usual[1] == 0.5 and usual[2].verdict != "holds" or abs(usual[2].figure) < 1
    assert strong[:2] == ("cra", 0.95) and strong[2].figure == pytest.approx(-10, abs=1)
    frame = tables.reliance_frame(rows)
    assert set(tables.reliance_texts(frame).columns) == {0.5, 0.95}
    assert "n = 3" in tables.difference_texts([strong]).to_string()
    found = [{"seed": s, "dictionary": "visual", "entries": 64, "purity": 40 + s} for s in (1, 2)]
    assert tables.alignment_means(found).loc["visual"].to_dict() == {
        "entries": 64, "purity": 41.5, "seeds": 2}  # fmt: skip
    figure = reliance_by_strength(frame, {"blind": {0.5: 10.0, 0.95: 30.0}})
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["CRA", "CRA without ECI", "best without video"]


def test_noise_is_shown_at_the_same_moments():
    frames = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), np.uint8)
    figure = frames_by_noise({0.0: frames, 80.0: frames}, (1.0, 2.0, 3.0))
    names = [part._supylabel.get_text() for part in figure.subfigs]
    moments = [axes.get_xlabel() for axes in figure.subfigs[1].axes]
    assert names == ["noise 0", "noise 80"] and moments == ["1.0 s", "2.0 s", "3.0 s"]


def test_the_recorded_reliance_has_intervals_over_seeds():
    expected = Expected("shapes", "quick")
    name = STUDY.label("cra", 0.95)
    for metric in ("Acc@QA", "Acc@GQA"):
        for split, level in (("test_iid", 90), ("test", 85), ("test_ood", 70)):
            # The second seed was recorded on both instruction sets, which counts once.
            values = {"avx2": {1: level + 0.0, 2: level + 1.0}, "avx512": {2: level + 3.0}}
            expected.cells[Key(name, split, metric, "post-hoc")] = values
    [row] = bias_study.recorded_reliance(expected, STUDY)
    assert (row.variant, row.strength, row.reliance.seeds) == ("cra", 0.95, 2)
    assert row.reliance.figure == 20 and row.answers.figure == 86
    assert row.answers.low < 85 < 87 < row.answers.high


def test_the_command_trains_what_is_missing_and_prepares_once(tmp_path, monkeypatch):
    jobs, prepared = [], []
    monkeypatch.setattr(
        "cra_lib.training.sweep.sweep", lambda todo, workers: jobs.extend(todo) or {}
    )
    monkeypatch.setattr(
        study, "prepare_world", lambda config, data, workers: prepared.append(
            (config.data.bias, config.data.noise, data.root.name)))  # fmt: skip
    words = ["bias", "--variants", "cra,literal-back-door", "--seeds", "1-2",
             "--strengths", "0.5,0.95",
             "--data", str(tmp_path), "--results", str(tmp_path / "out"), "--no-show"]  # fmt: skip
    assert CliRunner().invoke(app, words).exit_code == 0
    assert len(jobs) == 8 and {job.splits for job in jobs} == {bias_study.SPLITS}
    assert {(job.config.train.epochs, job.config.data.bias) for job in jobs} == {
        (12, None), (12, 0.95)}  # fmt: skip
    assert prepared == [(None, None, "shapes"), (0.95, None, "shapes-bias-0.95")]


def test_the_profile_trains_every_study_with_the_variants_and_seeds_asked_for(monkeypatch):
    trained, shown = [], []
    monkeypatch.setattr(study, "run_study", lambda s, *_: trained.append(s) or {"cra": "killed"})
    monkeypatch.setattr(study, "show_studies", lambda *_: shown.append("07"))
    words = ["reproduce", "--profile", "bias", "--variants", "cra", "--seeds", "7"]
    assert CliRunner().invoke(app, words).exit_code == 1
    assert [one.noise > 0 for one in trained] == [False, True] and shown == ["07"]
    assert {(one.variants, one.seeds) for one in trained} == {(("cra",), (7,))}


def test_words_that_are_no_strengths():
    with pytest.raises(InputError, match="--strengths takes numbers from 0 to 1"):
        parse_strengths("much")


def test_other_datasets_have_no_bias_study():
    result = CliRunner().invoke(app, ["reproduce", "star", "--profile", "bias"])
    assert result.exit_code != 0 and "for shapes" in str(result.exception)
