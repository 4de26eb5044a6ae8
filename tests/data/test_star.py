from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from cra_lib.cli import main
from cra_lib.data.star import prepare
from cra_lib.evaluator.annotations import (
    read_questions,
    read_stamps,
    read_truths,
    stamps_from_count,
)
from cra_lib.paths import DataFiles
from cra_lib.records import InputError, Span
from cra_lib.video.writing import write_video

TRAIN = [f"TR{letter}01" for letter in "ABCDEFGHIJKL"]
VAL = ["VAL01", "VAL02"]


def _entry(number, video, family="Interaction", kind="T1", **changes):
    choices = ["The book.", "The cup.", "The bag.", "The door."]
    entry = {
        "question_id": f"{family}_{kind}_{number}",
        "question": "Which object was put down by the person?",
        "video_id": video,
        "start": 0.5,
        "end": 3.2,
        "answer": "The cup.",
        "question_program": [],
        "choices": [{"choice_id": place, "choice": text} for place, text in enumerate(choices)],
        "situations": {},
    }
    return {**entry, **changes}


@pytest.fixture
def star(tmp_path):
    """STAR's layout with 12 + 2 real videos of 4 s, and its odd cases."""
    root = tmp_path / "star"
    (root / "Charades_v1_480").mkdir(parents=True)
    for number, video in enumerate(TRAIN + VAL):
        frames = (np.full((48, 64, 3), (number * 10 + step) % 256, np.uint8) for step in range(40))
        write_video(root / "Charades_v1_480" / f"{video}.mp4", frames, 10)
    train = [_entry(number, video) for number, video in enumerate(TRAIN)]
    train += [_entry(number, "TRA01", "Sequence", "T3") for number in range(20, 23)]
    val = [
        _entry(50, "VAL01"),
        _entry(51, "VAL01", "Prediction", "T2", end=4.4),  # runs past the video
        _entry(52, "VAL02", "Feasibility", "T6"),
    ]
    val[2]["choices"].reverse()  # their order in the list is not the order of their ids
    del val[2]["start"], val[2]["end"]
    (root / "STAR_train.json").write_text(json.dumps(train))
    (root / "STAR_val.json").write_text(json.dumps(val))
    (root / "Video_Segments.csv").write_text(
        "question_id,video_id,start,end\n"
        "Interaction_T1_50,VAL01,0.5,3.2\nFeasibility_T6_52,VAL02,1.0,2.0\n"
        "Prediction_T2_51,VAL01,0.5,3.0\n"
    )
    return root


def _edit(root, name, **changes):
    entries = json.loads((root / name).read_text())
    entries[0].update(changes)
    (root / name).write_text(json.dumps(entries))


def test_normal_form_of_the_public_validation_questions(star):
    card = prepare(star)
    files = DataFiles(star)
    questions = read_questions(files.questions("test"))
    assert [q.key for q in questions] == [
        "VAL01_Interaction_T1_50",
        "VAL01_Prediction_T2_51",
        "VAL02_Feasibility_T6_52",
    ]
    assert [q.type for q in questions] == ["T1", "T2", "T6"]
    assert {q.answer for q in questions} == {1}
    assert (questions[0].frame_count, questions[0].width, questions[0].height) == (40, 64, 48)
    truths = read_truths(files, "test")
    assert truths["VAL01_Prediction_T2_51"].segments == (Span(0.5, 4.4),)
    assert truths["VAL02_Feasibility_T6_52"].segments == (Span(1.0, 2.0),)
    assert truths["VAL01_Interaction_T1_50"].duration == pytest.approx(4.0)
    assert read_stamps(files.stamps("test"))["VAL01"] == stamps_from_count(40, 10)
    assert card["splits"]["test"]["oddities"]["segments_outside_video"] == 1
    assert (
        "1 questions have no times of their own; Video_Segments.csv has them." in card["warnings"]
    )
    assert any("other times in Video_Segments.csv" in warning for warning in card["warnings"])


def test_selection_split_is_a_tenth_of_the_training_videos(star):
    card = prepare(star)
    files = DataFiles(star)
    splits = {split: {q.video_id for q in read_questions(files.questions(split))}
              for split in ("train", "val", "test")}  # fmt: skip
    assert len(splits["val"]) == 1
    assert splits["train"] | splits["val"] == set(TRAIN)
    assert not splits["train"] & splits["val"]
    assert splits["test"] == set(VAL)
    assert not files.segments("train").exists(), "training intervals stay out of reach"
    before = files.questions("val").read_bytes()
    prepare(star)
    assert files.questions("val").read_bytes() == before
    assert card["selection"] == "described"


def test_released_selection_reports_on_what_it_selects_on(star):
    prepare(star, selection="released")
    files = DataFiles(star)
    assert files.questions("val").read_bytes() == files.questions("test").read_bytes()
    assert len({q.video_id for q in read_questions(files.questions("train"))}) == len(TRAIN)


def test_reported_videos_do_not_train(star):
    entries = json.loads((star / "STAR_train.json").read_text())
    entries.append(_entry(90, "VAL01"))
    (star / "STAR_train.json").write_text(json.dumps(entries))
    card = prepare(star)
    assert any("1 training questions on videos that are reported on" in w for w in card["warnings"])


def test_videos_that_cannot_be_read_are_left_out_on_request(star):
    (star / "Charades_v1_480" / "TRA01.mp4").unlink()
    (star / "Charades_v1_480" / "TRB01.mp4").write_text("no video")
    with pytest.raises(InputError, match=r"2 of STAR's videos cannot be used.*--skip-bad"):
        prepare(star)
    assert not (star / "train.csv").exists()
    card = prepare(star, skip_bad=True)
    assert any("5 questions were left out" in warning for warning in card["warnings"])


def test_videos_are_found_under_their_own_name(star):
    prepare(star)
    assert DataFiles(star).video("VAL01").exists()


DAMAGED = {
    "not json": (lambda root: (root / "STAR_val.json").write_text("[{"), "not valid JSON"),
    "no list": (lambda root: (root / "STAR_val.json").write_text("{}"), "a list of questions"),
    "file missing": (lambda root: (root / "STAR_train.json").unlink(), "cra doctor star"),
    "question twice": (
        lambda root: _edit(root, "STAR_val.json", question_id="Feasibility_T6_52"),
        "was already given",
    ),
    "strange id": (
        lambda root: _edit(root, "STAR_val.json", question_id="Interaction-1"),
        "such as",
    ),
    "answer not a choice": (
        lambda root: _edit(root, "STAR_val.json", answer="The cat."),
        "not among",
    ),
    "no answer": (lambda root: _edit(root, "STAR_val.json", answer=None), "should be texts"),
    "three choices": (
        lambda root: _edit(root, "STAR_train.json", choices=[]),
        "expected 4 choices",
    ),
    "reversed": (lambda root: _edit(root, "STAR_train.json", end=0.1), "ends before it starts"),
    "no times": (lambda root: _edit(root, "STAR_train.json", start=None), "nor a row in"),
    "bad times": (
        lambda root: (root / "Video_Segments.csv").write_text(
            "question_id,video_id,start,end\nx,y,now,1\n"
        ),
        "row 2: start and end should be seconds",
    ),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damaged_input_is_one_sentence_and_leaves_nothing(star, monkeypatch, capsys, what):
    damage, expected = DAMAGED[what]
    damage(star)
    before = sorted(star.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["cra", "prepare", "star", "--data", str(star.parent),
                                      "--offline"])  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert expected in line
    assert sorted(star.rglob("*")) == before
