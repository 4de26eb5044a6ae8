from __future__ import annotations

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cra_lib.evaluator.annotations import (
    read_questions,
    read_segments,
    read_stamps,
    read_truths,
    stamps_from_count,
    write_questions,
    write_segments,
    write_stamps,
)
from cra_lib.paths import DataFiles
from cra_lib.records import InputError, Question, Span

text = st.text(
    st.characters(codec="utf-8", exclude_categories=("C",), exclude_characters="\x85"), min_size=1
).map(str.strip)
words = text.filter(bool)


@given(st.lists(st.tuples(words, st.lists(words, min_size=4, max_size=4)), min_size=1, max_size=5))
def test_questions_survive_being_written_and_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "q.csv"
    questions = [
        Question("7", str(number), asked, tuple(choices), choices.index(choices[-1]), "CW", 9, 4, 2)
        for number, (asked, choices) in enumerate(rows)
    ]
    write_questions(path, questions)
    assert read_questions(path) == questions


def test_answer_that_is_not_public_stays_unknown(tmp_path):
    write_questions(tmp_path / "q.csv", [Question("7", "0", "why", ("a", "b"), None, "CW")])
    assert read_questions(tmp_path / "q.csv")[0].answer is None


def test_official_files_of_the_parent_dataset_are_understood(tmp_path):
    """NExT-QA calls the column `video` and gives the answer as an index."""
    path = tmp_path / "train.csv"
    path.write_text(
        "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2\n"
        "5,30,4,4,why,2,0,CW,sit,run,jump\n5,30,4,4,how,0,1,CH,sit,run,jump\n"
    )
    first, second = read_questions(path)
    assert (first.video_id, first.answer, second.answer) == ("5", 2, 0)


def test_numbers_among_the_choices_are_texts(tmp_path):
    """'how many': the answer "2" is the choice that reads 2, not the third one."""
    path = tmp_path / "val.csv"
    path.write_text(
        "video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2\n"
        "5,30,4,4,how many,2,0,DC,2,1,0\n"
    )
    assert read_questions(path)[0].answer == 0


def test_answer_given_twice_is_the_first_of_the_two(tmp_path):
    path = tmp_path / "val.csv"
    path.write_text(
        "video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2\n"
        "5,30,4,4,how,happy,0,TC,sad,happy,happy\n"
    )
    assert read_questions(path)[0].answer == 1


def test_truths_keep_segments_as_annotated(mini_nextgqa):
    """The official metric scores segments that run past the video; nothing is clipped here."""
    path = mini_nextgqa / "gsub_val.json"
    videos = json.loads(path.read_text())
    videos["21"]["location"]["0"] = [[-0.1, 25.1]]
    path.write_text(json.dumps(videos))
    truths = read_truths(DataFiles(mini_nextgqa), "val")
    assert list(truths) == ["21_0", "21_3"]
    assert truths["21_0"].segments == (Span(-0.1, 25.1),)
    assert truths["21_3"].num_choices == 5


def test_training_split_has_no_truths(mini_nextgqa):
    with pytest.raises(InputError, match="never has any"):
        read_truths(DataFiles(mini_nextgqa), "train")


def test_segments_and_stamps_survive_being_written(tmp_path):
    write_segments(tmp_path / "g.json", {"a": {"duration": 3.5, "location": {"1": [[0, 1]]},
                                               "fps": 8}})  # fmt: skip
    assert read_segments(tmp_path / "g.json")["a"]["location"] == {"1": (Span(0.0, 1.0),)}
    write_stamps(tmp_path / "f.json", {"a": (0.5, 1.5)})
    assert read_stamps(tmp_path / "f.json") == {"a": (0.5, 1.5)}


@given(st.integers(1, 100_000), st.floats(1, 120), st.integers(1, 64))
def test_stamps_ascend_and_stay_near_the_video(count, fps, num_frames):
    stamps = stamps_from_count(count, fps, num_frames)
    assert len(stamps) == num_frames
    assert list(stamps) == sorted(stamps)
    assert stamps[0] >= 0
    assert stamps[-1] <= count / fps + 1  # a second past the end gives the last frame


@pytest.mark.parametrize(("count", "fps"), [(0, 30), (30, 0), (30, float("nan"))])
def test_stamps_need_a_length(count, fps):
    with pytest.raises(InputError, match="Cannot place"):
        stamps_from_count(count, fps)


@pytest.mark.parametrize(
    ("kept", "taken"), [(1, {0}), (2, {0}), (3, {0, 1}), (4, {0, 1, 2, 3}), (40, None)]
)
def test_clips_at_the_edges_are_filled_as_released(kept, taken):
    """Stamp of kept frame i: (3 i + 1) / 6. Of two or three kept frames the last is never taken."""
    stamps = stamps_from_count(max(1, 3 * kept - 3), 6.0)
    frames = [round((6 * stamp - 1) / 3) for stamp in stamps]
    assert frames == sorted(frames) and len(frames) == 32
    assert set(frames) == (taken or {int(kept / 33 * i) for i in range(1, 33)})


@pytest.mark.shared
def test_official_stamps_follow_from_the_length(shared_data):
    exact, worst, videos = 0, 0.0, 0
    for split in ("val", "test"):
        folder = shared_data / "nextgqa"
        with open(folder / f"{split}.csv", newline="") as file:
            counts = {row["video_id"]: int(row["frame_count"]) for row in csv.DictReader(file)}
        rates = {
            v: video["fps"] for v, video in read_segments(folder / f"gsub_{split}.json").items()
        }
        stamps = read_stamps(folder / f"frame2time_{split}.json")
        for video_id in counts:
            official = stamps[video_id]
            ours = stamps_from_count(counts[video_id], rates[video_id])
            difference = max(abs(a - b) for a, b in zip(ours, official, strict=True))
            worst, videos = max(worst, difference), videos + 1
            exact += difference < 1e-6
    assert videos == 1557, "those with a question; 12 more have stamps alone"
    assert worst < 0.51
    assert exact == 1536
