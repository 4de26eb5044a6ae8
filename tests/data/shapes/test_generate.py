"""The dataset on disk: the normal form, the same bytes again, whole or not at all."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from cra_lib.data.shapes import generate
from cra_lib.data.shapes.world import FPS
from cra_lib.datasets import DATASETS
from cra_lib.evaluator.annotations import read_questions, read_stamps, read_truths
from cra_lib.paths import DataFiles
from cra_lib.records import InputError
from cra_lib.video.frames import probe, read_frames

SMALL = {"train": 3, "val": 2, "test_iid": 1, "test": 2, "test_ood": 1}


def fingerprint(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    generate(folder, sizes=SMALL, workers=1, progress=False)
    return folder


def test_every_split_is_in_the_normal_form(dataset):
    files = DataFiles(dataset)
    for split in DATASETS["shapes"].splits:
        questions = read_questions(files.questions(split))
        videos = {question.video_id for question in questions}
        assert len(videos) == SMALL[split]
        stamps = read_stamps(files.stamps(split))
        assert set(stamps) == videos and all(len(times) == 32 for times in stamps.values())
        assert all(files.video(video_id).exists() for video_id in videos)
        assert all(q.answer is not None and (q.width, q.height) == (96, 96) for q in questions)


def test_only_train_has_no_segments_and_they_lie_inside_the_videos(dataset):
    files = DataFiles(dataset)
    with pytest.raises(InputError, match="segments"):
        read_truths(files, "train")
    for split in DATASETS["shapes"].splits[1:]:
        truths = read_truths(files, split)
        assert set(truths) == {q.key for q in read_questions(files.questions(split))}
        for truth in truths.values():
            assert all(0 <= s.start < s.end <= truth.duration for s in truth.segments)


def test_videos_are_as_long_as_the_annotation_says(dataset):
    files = DataFiles(dataset)
    for question in read_questions(files.questions("test")):
        info = probe(files.video(question.video_id))
        assert info.frame_count == question.frame_count
        assert info.duration == pytest.approx(question.frame_count / FPS, abs=0.01)
        assert (info.width, info.height, info.fps) == (96, 96, FPS)


def test_evidence_survives_compression(dataset):
    """Decoded at the stamps, frames inside an event differ from the idle frame before it."""
    files = DataFiles(dataset)
    worlds = json.loads((dataset / "world.json").read_text())
    for video_id in read_stamps(files.stamps("test")):
        for event in worlds[video_id]["events"]:
            middle = (event["start"] + event["end"]) / 2
            frames = read_frames(files.video(video_id), [event["start"] - 1.5 / FPS, middle])
            before, during = frames.astype(int)
            assert (np.abs(before - during).max(axis=2) > 40).sum() >= 30


def test_worlds_tell_which_events_answer_a_question(dataset):
    worlds = json.loads((dataset / "world.json").read_text())
    truths = read_truths(DataFiles(dataset), "val")
    for key, truth in truths.items():
        world = worlds[truth.video_id]
        question = world["questions"][int(key.split("_")[1])]
        shown = [world["events"][index] for index in question["evidence"]]
        assert [(e["start"], e["end"]) for e in shown] == [tuple(s) for s in truth.segments]
        assert question["actions"][truth.answer] in {event["action"] for event in shown}


def test_same_seed_same_bytes_whatever_the_number_of_workers(dataset, tmp_path):
    generate(tmp_path, sizes=SMALL, workers=2, progress=False)
    assert fingerprint(tmp_path) == fingerprint(dataset)


def test_a_damaged_run_is_completed_to_the_same_bytes(dataset, tmp_path):
    generate(tmp_path, sizes=SMALL | {"train": 2}, seed=1, workers=1, progress=False)
    (tmp_path / "videos" / "val0001.mp4").unlink()
    (tmp_path / "gsub_val.json").write_text("{")
    generate(tmp_path, sizes=SMALL, workers=1, progress=False)
    assert fingerprint(tmp_path) == fingerprint(dataset)


def test_finished_videos_are_not_drawn_again(dataset):
    video = dataset / "videos" / "train0000.mp4"
    before = video.stat().st_mtime_ns
    generate(dataset, sizes=SMALL, workers=1, progress=False)
    assert video.stat().st_mtime_ns == before


def test_the_dataset_can_be_made_by_a_process_that_imports_nothing_else(tmp_path):
    """As docs/shapes.md shows it; what other modules import first must not matter."""
    few = {"train": 1, "val": 0, "test_iid": 0, "test": 0, "test_ood": 0}
    call = f"generate(sys.argv[1], sizes={few}, workers=1, progress=False)"
    code = f"import sys; from cra_lib.data.shapes import generate; {call}"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert (tmp_path / "reference.json").is_file()


def test_noise_changes_what_is_seen_and_nothing_else(dataset, tmp_path):
    few = {"train": 1, "val": 1, "test_iid": 0, "test": 1, "test_ood": 0}
    clean, noisy, again = (tmp_path / name for name in ("clean", "noisy", "again"))
    for folder, noise, workers in ((clean, 0.0, 1), (noisy, 40.0, 1), (again, 40.0, 2)):
        generate(folder, sizes=few, noise=noise, workers=workers, progress=False)
    assert fingerprint(noisy) == fingerprint(again)
    before, after = fingerprint(clean), fingerprint(noisy)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"reference.json", "videos/worlds.json",
                       *(name for name in before if name.endswith(".mp4"))}  # fmt: skip
    assert json.loads((noisy / "reference.json").read_text())["settings"]["noise"] == 40.0
    videos = [read_frames(folder / "videos" / "test0000.mp4", [0.2]) for folder in (clean, noisy)]
    assert 15 < np.std(videos[0].astype(float) - videos[1].astype(float)) < 60
    # Videos of another noise are drawn again, also without any.
    generate(noisy, sizes=few, workers=1, progress=False)
    assert fingerprint(noisy) == before


@pytest.mark.parametrize("noise", [-1.0, float("nan"), float("inf")])
def test_noise_that_is_none_is_refused(tmp_path, noise):
    with pytest.raises(InputError, match="noise of shapes should be 0 grey levels or more"):
        generate(tmp_path, sizes=SMALL, noise=noise, progress=False)
    assert not list(tmp_path.iterdir())


def test_the_reference_is_missing_while_the_set_is_incomplete(tmp_path, monkeypatch):
    module = __import__("importlib").import_module("cra_lib.data.shapes.generate")

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_video", full_disk)
    with pytest.raises(OSError, match="No space"):
        generate(tmp_path, sizes=SMALL, workers=1, progress=False)
    assert not (tmp_path / "reference.json").exists()
    assert not list(tmp_path.glob("*.csv")) and not list(tmp_path.rglob("*.partial*"))


def test_reference_rows_cover_every_split(dataset):
    reference = json.loads((dataset / "reference.json").read_text())
    for knowledge in ("learned", "informed"):
        assert list(reference[knowledge]) == list(DATASETS["shapes"].splits)
        for rows in reference[knowledge].values():
            assert rows["chance"] == 20 and rows["ceiling"] == 100
    assert reference["informed"]["test"]["blind"] == 20
    assert reference["statistics"]["train"]["questions"] == len(
        read_questions(DataFiles(dataset).questions("train"))
    )


def test_a_split_of_size_zero_is_left_out(tmp_path):
    sizes = dict.fromkeys(SMALL, 0) | {"val": 1}
    generate(tmp_path, sizes=sizes, workers=1, progress=False)
    assert [path.name for path in tmp_path.glob("*.csv")] == ["val.csv"]


@pytest.mark.parametrize(
    ("sizes", "message"), [({"tset": 3}, "no split 'tset'"), ({"test": -1}, "0 or more")]
)
def test_wrong_sizes_are_refused(tmp_path, sizes, message):
    with pytest.raises(InputError, match=message):
        generate(tmp_path, sizes=sizes)
