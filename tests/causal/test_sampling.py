"""Sampling both dictionaries: files, cards, and that only training data are read."""

import json

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from cra_lib.causal import inspection, sampling
from cra_lib.cli import app
from cra_lib.config import CausalConfig
from cra_lib.data.confounders import read_confounders, write_confounders
from cra_lib.evaluator.annotations import read_questions
from cra_lib.records import InputError

SETTINGS = CausalConfig(parser="rules", node_encoder="hashed", num_confounders=6, batch_size=32)


def sample_both(files, workers=1):
    questions = read_questions(files.questions("train"))
    language = sampling.sample_language(
        questions,
        files.language_confounders,
        SETTINGS,
        source=files.questions("train"),
        width=32,
        workers=workers,
    )
    visual = sampling.sample_visual(
        files.features("shapes-clip", "train"),
        files.visual_confounders,
        SETTINGS,
        video_ids={question.video_id for question in questions},
        workers=workers,
    )
    return language, visual


def test_dictionaries_have_the_promised_shapes(small_data):
    language, visual = sample_both(small_data)
    graphs = read_confounders(small_data.language_confounders)
    frames = read_confounders(small_data.visual_confounders)
    assert graphs.shape == (6, 8, 32)
    assert frames.shape == (6, 16)
    assert graphs.dtype == frames.dtype == np.float32
    assert sum(language["counts"]) == 96
    assert sum(visual["counts"]) == visual["frames"] == 12 * 8
    assert language["empty"] == visual["empty"] == 0


def test_only_training_items_are_used(small_data, monkeypatch):
    opened = []
    real_open = h5py.File
    monkeypatch.setattr(
        h5py, "File", lambda *a, **k: opened.append(str(a[0])) or real_open(*a, **k)
    )
    for split in ("val", "test"):
        small_data.questions(split).unlink()
    language, visual = sample_both(small_data)
    assert {path for path in opened if path.endswith(".h5")} == {
        str(small_data.features("shapes-clip", "train"))
    }
    named = {name.rpartition("#")[0] for near in visual["nearest"] for name in near}
    named |= {key.partition("_")[0] for near in language["nearest"] for key in near}
    assert named
    assert all(name.startswith("train") for name in named)
    assert visual["videos_left_out"] == 3
    assert visual["videos"] == 12


def test_features_of_other_videos_change_nothing(small_data):
    sample_both(small_data)
    before = small_data.visual_confounders.read_bytes()
    with h5py.File(small_data.features("shapes-clip", "train"), "r+") as file:
        file["SHAPESCLIP_I"][12:] = 99.0  # the videos without a training question
    sample_both(small_data)
    assert small_data.visual_confounders.read_bytes() == before


def test_the_file_of_another_split_is_refused(small_data):
    with pytest.raises(InputError, match="another split"):
        sampling.sample_visual(
            small_data.features("shapes-clip", "val"),
            small_data.visual_confounders,
            SETTINGS,
            video_ids={"train0"},
        )
    assert not small_data.visual_confounders.exists()


def test_same_bytes_again_and_for_any_number_of_workers(small_data):
    paths = small_data.language_confounders, small_data.visual_confounders
    sample_both(small_data)
    first = [path.read_bytes() for path in paths]
    sample_both(small_data, workers=2)
    assert [path.read_bytes() for path in paths] == first


def test_card_says_what_was_done(small_data, tmp_path):
    language, visual = sample_both(small_data)
    path = tmp_path / "results" / "confounders_card.json"
    sampling.write_card(path, language=language)
    sampling.write_card(path, visual=visual)
    card = json.loads(path.read_text(encoding="utf-8"))
    assert card["language"]["parser"] == "rules"
    assert card["language"]["node_encoder"] == "hashed"
    assert card["language"]["text_counts"]["pairs"] == 96
    assert len(card["language"]["sha256"]) == len(card["visual"]["source"]["sha256"]) == 64
    assert set(card["language"]["seconds"]) == {"parse", "encode", "cluster"}


def test_questions_near_a_centre_are_readable(small_data):
    language, visual = sample_both(small_data)
    questions = read_questions(small_data.questions("train"))
    centres = inspection.largest_centres(language, 2)
    assert language["counts"][centres[0]] == max(language["counts"])
    rows = inspection.nearest_questions(language, questions, centres)
    assert {row["centre"] for row in rows} == set(centres)
    assert all(row["question"].startswith("why did the") for row in rows)
    frames = inspection.nearest_frames(visual, small_data, "shapes-clip", [0])
    assert all(frame is None for line in frames.values() for frame in line)


def test_too_many_confounders_are_refused(small_data):
    many = SETTINGS.model_copy(update={"num_confounders": 97})
    questions = read_questions(small_data.questions("train"))
    with pytest.raises(InputError, match="num_confounders"):
        sampling.sample_language(questions, small_data.language_confounders, many, width=8)


def test_rows_that_repeat_each_other_make_no_more_clusters_than_they_are(small_data):
    questions = read_questions(small_data.questions("train"))
    few = [questions[0], questions[-1]] * 20
    expected = r"differ too little for 6 clusters: 4 stay empty; set causal.num_confounders to 2"
    with pytest.raises(InputError, match=expected):
        sampling.sample_language(few, small_data.language_confounders, SETTINGS, width=8)
    assert not small_data.language_confounders.exists()


def test_another_number_goes_to_files_of_its_own(small_data, tmp_path):
    """What the profile's runs read stays as it is."""
    results = tmp_path / "results"
    command = ["confounders", "sample", "shapes", "--node-encoder", "hashed"]
    command += ["--data", str(small_data.root), "--results", str(results)]
    for kind in ("language", "visual"):
        usual = getattr(small_data, f"{kind}_confounders")
        usual.parent.mkdir(exist_ok=True)
        usual.write_bytes(b"of the profile")
    done = CliRunner().invoke(app, [*command, "--num-confounders", "5"])
    assert done.exit_code == 0, done.output
    for kind in ("language", "visual"):
        assert len(read_confounders(small_data.confounders(kind, 5), kind)) == 5
        assert small_data.confounders(kind, 64).read_bytes() == b"of the profile"
    assert [path.name for path in results.iterdir()] == ["confounders_card-5.json"]


@pytest.mark.parametrize("content", [b"", b"no tensors"])
def test_damaged_dictionaries_are_refused(tmp_path, content):
    path = tmp_path / "visual.safetensors"
    with pytest.raises(InputError, match="not found"):
        read_confounders(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match="sample it again"):
        read_confounders(path)


def test_undefined_centres_are_refused(tmp_path):
    path = tmp_path / "visual.safetensors"
    write_confounders(path, np.full((2, 3), np.nan), np.ones(2))
    with pytest.raises(InputError, match="finite"):
        read_confounders(path)
