from __future__ import annotations

import json
import sys
import time

import h5py
import numpy as np
import pytest

from cra_lib.cli import main
from cra_lib.config import DataConfig
from cra_lib.data.card import (
    answer_cooccurrence,
    dataset_table,
    read_card,
    segment_ratios,
)
from cra_lib.data.distractors import question_class
from cra_lib.data.nextgqa import normalised, train_from_nextoe
from cra_lib.data.prepare import prepare_dataset
from cra_lib.evaluator.annotations import read_questions
from cra_lib.paths import DataFiles
from cra_lib.records import InputError, Question, Span, Truth

OPEN_ENDED = "video,frame_count,width,height,question,answer,qid,type\n" + "".join(
    f"{90 + number},300,640,480,why did the cat move {number},{answer},0,CW\n"
    for number, answer in enumerate(("eat", "Eat!", "sleep", "play", "see the bird", "bored"))
)


def prepare(root, **settings):
    """The data card of a folder with NExT-GQA's files."""
    return prepare_dataset("nextgqa", DataConfig(**settings), DataFiles(root), features=None)


def test_card_counts_what_is_there(mini_nextgqa):
    card = prepare(mini_nextgqa)
    assert card == json.loads((mini_nextgqa / "data_card.json").read_text())
    assert read_card(mini_nextgqa / "data_card.json")["train_from"] == "official"
    train, val, test = dataset_table(card)
    assert (train["videos"], train["questions"], train["segments"]) == (2, 4, 0)
    assert (test["videos"], test["questions"], test["segments"]) == (2, 4, 6)
    assert val["mean_segment_s"] == pytest.approx((1.5 + 4 + 3) / 3, abs=1e-3)
    assert card["splits"]["val"]["types"] == {"CW": 2}
    assert card["features"]["clip-vit-l14"]["test"] == {"videos": 2, "frames": 32, "width": 8}


def test_preparing_twice_changes_nothing(mini_nextgqa):
    prepare(mini_nextgqa)
    before = {path: path.read_bytes() for path in mini_nextgqa.rglob("*") if path.is_file()}
    prepare(mini_nextgqa)
    assert before == {path: path.read_bytes() for path in mini_nextgqa.rglob("*") if path.is_file()}


def test_segments_outside_the_video_are_counted_not_changed(mini_nextgqa):
    path = mini_nextgqa / "gsub_val.json"
    path.write_text(path.read_text().replace("[1, 2.5]", "[-0.1, 25.1]"))
    card = prepare(mini_nextgqa)
    assert card["splits"]["val"]["oddities"] == {"segments_outside_video": 1}
    assert any("1 of val: segments start before 0" in warning for warning in card["warnings"])


def test_published_features_are_used_where_they_lie(mini_nextgqa):
    for split in ("train", "val", "test"):
        there = mini_nextgqa / "video_feature" / "clip-vit-l14" / f"{split}.h5"
        published = mini_nextgqa / "CLIPL" / f"CLIPL_I_{split}.h5"
        published.parent.mkdir(exist_ok=True)
        there.rename(published)
    assert set(prepare(mini_nextgqa)["features"]["clip-vit-l14"]) == {"train", "val", "test"}


def test_official_training_file_may_lie_in_the_parent_datasets_folder(mini_nextgqa):
    (mini_nextgqa / "nextqa").mkdir()
    (mini_nextgqa / "train.csv").rename(mini_nextgqa / "nextqa" / "train.csv")
    assert prepare(mini_nextgqa)["splits"]["train"]["questions"] == 4


def _with_open_ended(root):
    (root / "train.csv").unlink()
    for path in root.glob("video_feature/*/train.h5"):
        path.unlink()
    (root / "nextoe").mkdir()
    (root / "nextoe" / "train.csv").write_text(OPEN_ENDED)


def test_open_ended_training_becomes_multiple_choice(mini_nextgqa):
    _with_open_ended(mini_nextgqa)
    card = prepare(mini_nextgqa, train_from="nextoe")
    assert card["train_from"] == "nextoe"
    assert "not the official ones" in card["warnings"][0]
    questions = read_questions(mini_nextgqa / "train.csv")
    assert len(questions) == 6
    for question in questions:
        same = [normalised(choice) for choice in question.choices]
        assert len(set(same)) == 5, "no wrong choice may equal the answer or another one"


def test_built_and_official_training_files_are_not_confused(mini_nextgqa):
    (mini_nextgqa / "nextoe").mkdir()
    (mini_nextgqa / "nextoe" / "train.csv").write_text(OPEN_ENDED)
    with pytest.raises(InputError, match="was not built by"):
        prepare(mini_nextgqa, train_from="nextoe")
    (mini_nextgqa / "train.csv").unlink()
    (mini_nextgqa / "video_feature" / "clip-vit-l14" / "train.h5").unlink()
    prepare(mini_nextgqa, train_from="nextoe")
    with pytest.raises(InputError, match="was built from the open-ended edition"):
        prepare(mini_nextgqa)


def test_failed_preparation_takes_its_training_file_back(mini_nextgqa):
    _with_open_ended(mini_nextgqa)
    (mini_nextgqa / "gsub_val.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        prepare(mini_nextgqa, train_from="nextoe")
    assert not (mini_nextgqa / "train.csv").exists()
    assert not (mini_nextgqa / "train_source.json").exists()


@pytest.fixture(scope="module")
def official(shared_data, tmp_path_factory):
    """The real annotations, prepared."""
    root = tmp_path_factory.mktemp("official") / "nextgqa"
    root.mkdir()
    for path in (shared_data / "nextgqa").iterdir():
        (root / path.name).symlink_to(path)
    (root / "nextoe").symlink_to(shared_data / "nextoe")
    prepare(root, train_from="nextoe")
    return root


@pytest.mark.shared
def test_official_files_have_the_published_counts(official):
    card = read_card(official / "data_card.json")
    rows = {row["split"]: row for row in dataset_table(card)}
    counts = {split: (row["videos"], row["questions"], row["segments"])
              for split, row in rows.items()}  # fmt: skip
    assert counts == {
        "train": (3870, 37523, 0),
        "val": (567, 3358, 3931),
        "test": (990, 5553, 6600),
    }
    assert rows["test"]["mean_ratio"] == pytest.approx(0.19, abs=0.005)
    oddities = {split: facts["oddities"] for split, facts in card["splits"].items()}
    assert oddities["val"]["segments_outside_video"] == 3
    assert oddities["val"]["listed_without_question"] == 3
    assert oddities["test"]["segments_outside_video"] == 36
    assert oddities["test"]["answers_twice"] == 1
    assert oddities["test"]["listed_without_question"] == 9


@pytest.mark.shared
def test_real_open_ended_questions_get_fair_choices(official):
    started = time.process_time()
    questions, facts = train_from_nextoe(official / "nextoe" / "train.csv")
    assert time.process_time() - started < 20
    assert len(questions) == 37523
    assert "3 question numbers" in facts["warnings"][1]
    owners: dict[str, set[str]] = {}
    for question in questions:
        owners.setdefault(question.choices[question.answer], set()).add(question.video_id)
    same_class: dict[str, set[str]] = {}
    for question in questions:
        kind = question_class(question.text)
        same_class.setdefault(kind, set()).add(question.choices[question.answer])
    for question in questions[::50]:
        wrong = [c for index, c in enumerate(question.choices) if index != question.answer]
        assert all(owners[choice] - {question.video_id} for choice in wrong)
        assert set(wrong) <= same_class[question_class(question.text)]
    places = np.bincount([question.answer for question in questions], minlength=5)
    assert places.min() > 0.19 * len(questions)
    assert questions == read_questions(official / "train.csv"), "the seed fixes every draw"


def test_cooccurrence_is_a_share_of_the_questions_with_the_word():
    def ask(qid, text, answer):
        return Question("1", qid, text, (answer, "other"), 0, "CW")

    questions = [
        ask("0", "why did the baby cry", "hungry"),
        ask("1", "what did the baby do", "hungry"),
        ask("2", "why did the Baby, there, laugh", "happy"),
        ask("3", "why did the woman sing", "happy"),
        ask("4", "what is babysitting", "job"),
    ]
    shares = answer_cooccurrence(questions, ("baby", "woman"))
    assert shares["hungry"] == pytest.approx({"baby": 200 / 3, "woman": 0})
    assert shares["happy"] == pytest.approx({"baby": 100 / 3, "woman": 100})
    assert "job" not in shares
    assert answer_cooccurrence(questions, ("baby", "dog")) == {}, "there is nothing to compare"


def test_ratios_are_clipped_to_the_video():
    truth = Truth("1_0", "1", 0, (Span(-1, 5), Span(8, 12)), 10.0, "CW")
    assert segment_ratios([truth]) == [0.5, 0.2]


def _edit(name, old, new):
    def damage(root):
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new, 1))

    return damage


def _features(change):
    def damage(root):
        with h5py.File(root / "video_feature" / "clip-vit-l14" / "test.h5", "a") as file:
            change(file)

    return damage


def _poison(file):
    file["CLIPL_I"][1, 3, 0] = np.nan


def _rename(file):
    file["vid"][1] = "77"


def _cut(name, keep=0.6):
    def damage(root):
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: int(keep * len(data))])

    return damage


DAMAGED = {
    "file missing": (lambda root: (root / "gsub_test.json").unlink(), "gsub_test.json"),
    "json cut off": (_cut("gsub_val.json"), "gsub_val.json: not valid JSON"),
    "csv cut off": (_cut("val.csv", 0.8), "val.csv, row"),
    "csv empty": (_cut("test.csv", 0), "the file is empty"),
    "csv not text": (
        lambda root: (root / "val.csv").write_bytes(b"video_id,\xff\xfe"),
        "not UTF-8 text",
    ),
    "column missing": (_edit("train.csv", "question,", "asked,"), "no column 'question'"),
    "answer not a choice": (_edit("val.csv", "jump 21,0", "fly 21,0"), "'fly 21' is not among"),
    "question twice": (_edit("val.csv", "jump 21,3", "jump 21,0"), "'21_0' was already given"),
    "frame count not a number": (_edit("test.csv", "31,300", "31,many"), "'frame_count'"),
    "video in two splits": (
        lambda root: (root / "train.csv").write_text((root / "test.csv").read_text()),
        "both train.csv and test.csv",
    ),
    "segment reversed": (_edit("gsub_val.json", "[1, 2.5]", "[2.5, 1]"), "ends before it starts"),
    "segment not numbers": (_edit("gsub_val.json", "2.5", '"end"'), "two finite numbers"),
    "question without segment": (_edit("gsub_test.json", '"3"', '"9"'), "no segment for question"),
    "duration zero": (_edit("gsub_val.json", '"duration": 10', '"duration": 0'), "seconds above 0"),
    "stamps missing": (_edit("frame2time_test.json", '"32"', '"99"'), "stamps for video '32'"),
    "stamps descending": (_edit("frame2time_val.json", "0.3,", "9.9,"), "should ascend"),
    "stamp missing": (_edit("frame2time_test.json", ", 9.3", ""), "expected 31 time stamps"),
    "features not finite": (_features(_poison), "video '32' are not finite"),
    "features of a video missing": (_features(_rename), "no features for video '32'"),
    "features without ids": (_features(lambda file: file.pop("vid")), "no dataset 'vid'"),
    "features cut off": (_cut("video_feature/clip-vit-l14/val.h5"), "not a readable HDF5"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damaged_input_is_one_sentence_and_leaves_nothing(mini_nextgqa, monkeypatch, capsys, what):
    damage, expected = DAMAGED[what]
    damage(mini_nextgqa)
    before = sorted(path.name for path in mini_nextgqa.rglob("*"))
    command = ["cra", "prepare", "nextgqa", "--data", str(mini_nextgqa.parent), "--offline"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("cra: ")
    assert expected in lines[0]
    assert sorted(path.name for path in mini_nextgqa.rglob("*")) == before
