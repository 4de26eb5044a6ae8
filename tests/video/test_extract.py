from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from cra_lib.evaluator.annotations import stamps_from_count, write_questions, write_stamps
from cra_lib.paths import DataFiles
from cra_lib.records import InputError, Question
from cra_lib.video.encoders import load_encoder
from cra_lib.video.extract import extract_dataset, extract_features, find_videos
from cra_lib.video.features import FeatureStore
from cra_lib.video.frames import read_frames

PIXELS = load_encoder("pixels")


@pytest.fixture
def videos(tmp_path, make_video):
    folder = tmp_path / "videos"
    (folder / "deeper").mkdir(parents=True)
    for number in range(5):
        make_video(folder / "deeper" / f"{number}.mp4", 40 + 8 * number)
    return folder


def test_features_are_those_of_the_frames_at_the_stamps(videos, tmp_path):
    result = extract_features(find_videos(videos), None, PIXELS, tmp_path / "f.h5")
    assert (result.done, result.bad, result.odd) == (5, {}, {})
    with FeatureStore(tmp_path / "f.h5") as store:
        assert store.key == "PIXELS_I"
        times = stamps_from_count(56, 8)
        assert store.stamps("2") == times
        frames = read_frames(videos / "deeper" / "2.mp4", times)
        np.testing.assert_array_equal(store.take(["2"])[0], PIXELS.encode(frames))
    assert not (tmp_path / ".f.h5.work").exists()


def test_bad_videos_are_listed_and_the_rest_is_kept(videos, tmp_path):
    (videos / "broken.mp4").write_text("no video")
    paths = find_videos(videos) | {"gone": videos / "gone.mp4"}
    result = extract_features(paths, None, PIXELS, tmp_path / "f.h5")
    assert set(result.bad) == {"broken", "gone"}
    assert "not a readable video" in result.bad["broken"]
    assert not (tmp_path / "f.h5").exists(), "nothing half done where it was not asked for"
    again = extract_features(paths, None, PIXELS, tmp_path / "f.h5", skip_bad=True)
    assert (again.done, again.resumed) == (5, 5)
    with FeatureStore(tmp_path / "f.h5") as store:
        assert store.video_ids == ("0", "1", "2", "3", "4")


def test_odd_videos_are_used_and_noted(odd_videos, tmp_path):
    names = ("variable", "rotated", "no-duration")
    paths = {name: odd_videos[name] for name in names}
    result = extract_features(paths, None, PIXELS, tmp_path / "f.h5")
    assert result.done == 3
    assert set(result.odd) == set(names)


def test_a_replaced_video_is_encoded_again(videos, tmp_path, make_video):
    (videos / "broken.mp4").write_text("no video")
    extract_features(find_videos(videos), None, PIXELS, tmp_path / "f.h5")
    (videos / "broken.mp4").unlink()
    make_video(videos / "deeper" / "1.mp4", 72)
    result = extract_features(find_videos(videos), None, PIXELS, tmp_path / "f.h5")
    assert (result.done, result.resumed) == (5, 4)
    with FeatureStore(tmp_path / "f.h5") as store:
        assert store.video_ids == ("0", "1", "2", "3", "4")
        assert store.stamps("1") == stamps_from_count(72, 8)


def test_another_encoder_does_not_resume_the_work_of_the_first(videos, tmp_path):
    class Constant:
        name, key, width = "constant", "CONSTANT_I", 3

        def encode(self, frames):
            return np.ones((len(frames), 3), np.float32)

    (videos / "broken.mp4").write_text("no video")
    extract_features(find_videos(videos), None, PIXELS, tmp_path / "f.h5")
    result = extract_features(find_videos(videos), None, Constant(), tmp_path / "f.h5")
    assert result.resumed == 0


def test_a_small_encoder_works_in_one_thread_of_each_worker(videos, tmp_path):
    """The same file; torch has its threads back afterwards."""
    extract_features(find_videos(videos), None, PIXELS, tmp_path / "large.h5")
    threads, seen = torch.get_num_threads(), set()

    class Small(type(PIXELS)):
        is_small = True

        def encode(self, frames):
            seen.add((threading.current_thread().name, torch.get_num_threads()))
            return super().encode(frames)

    extract_features(find_videos(videos), None, Small(), tmp_path / "small.h5", workers=2)
    assert {count for _, count in seen} == {1}
    assert threading.current_thread().name not in {name for name, _ in seen}
    assert torch.get_num_threads() == threads
    assert (tmp_path / "small.h5").read_bytes() == (tmp_path / "large.h5").read_bytes()


def test_a_finished_file_is_left_alone(videos, tmp_path):
    out = tmp_path / "f.h5"
    extract_features(find_videos(videos), None, PIXELS, out)
    written = out.stat().st_mtime_ns
    result = extract_features(find_videos(videos), None, PIXELS, out)
    assert (result.done, result.resumed, out.stat().st_mtime_ns) == (5, 5, written)
    with pytest.raises(InputError, match="already exists with other videos"):
        extract_features({"0": videos / "0.mp4"}, None, PIXELS, out)


def test_a_torn_end_is_cut_off(videos, tmp_path):
    """What a kill in the middle of a write leaves: half a block and half a line."""
    (videos / "broken.mp4").write_text("no video")
    paths = find_videos(videos)
    extract_features(paths, None, PIXELS, tmp_path / "f.h5")
    work = tmp_path / ".f.h5.work"
    rows, journal = (work / "rows.f32").read_bytes(), (work / "journal.jsonl").read_bytes()
    (work / "rows.f32").write_bytes(rows[:-1000])
    (work / "journal.jsonl").write_bytes(journal[:-20])
    (videos / "broken.mp4").unlink()
    del paths["broken"]
    result = extract_features(paths, None, PIXELS, tmp_path / "f.h5")
    assert (result.done, result.resumed) == (5, 4)
    extract_features(paths, None, PIXELS, tmp_path / "whole.h5")
    assert (tmp_path / "f.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


SCRIPT = """
import sys, time
from pathlib import Path
from cra_lib.video.encoders import load_encoder
from cra_lib.video import extract
encoder = load_encoder("pixels")
plain = encoder.encode
encoder.encode = lambda frames: (time.sleep(0.02), plain(frames))[1]
extract.extract_features(extract.find_videos(Path(sys.argv[1])), None, encoder, Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_killed_ten_times_the_file_is_the_same(tmp_path, make_video):
    videos = tmp_path / "many"
    videos.mkdir()
    for number in range(14):
        make_video(videos / f"{number:02}.mp4", 32 + number)
    extract_features(find_videos(videos), None, PIXELS, tmp_path / "calm.h5")
    out = tmp_path / "killed" / "f.h5"
    rng = random.Random(3)
    command = [sys.executable, "-c", SCRIPT, str(videos), str(out)]
    kills = 0
    while kills < 10 and not out.exists():
        process = subprocess.Popen(command)
        journal = out.parent / f".{out.name}.work" / "journal.jsonl"
        before = journal.read_bytes() if journal.exists() else b""
        while process.poll() is None and (not journal.exists() or journal.read_bytes() == before):
            time.sleep(0.005)  # the imports take longest: wait until it has begun to work
        time.sleep(rng.uniform(0, 0.02))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == 10
    subprocess.run(command, check=True)
    assert out.read_bytes() == (tmp_path / "calm.h5").read_bytes()
    assert [path.name for path in out.parent.iterdir()] == ["f.h5"]


def test_a_whole_dataset_uses_its_official_stamps(videos, tmp_path):
    files = DataFiles(tmp_path)
    for split, ids in {"train": ("0", "1"), "val": ("2",)}.items():
        choices = ("a", "b")
        write_questions(files.questions(split), [Question(v, "0", "why", choices, 0, "CW")
                                                 for v in ids])  # fmt: skip
    official = tuple(float(second) / 8 for second in range(32))
    write_stamps(files.stamps("val"), {"2": official})
    results = extract_dataset(files, ("train", "val"), PIXELS)
    assert [result.done for result in results.values()] == [2, 1]
    with FeatureStore(files.features("pixels", "val")) as store:
        assert store.stamps("2") == official


def test_folders_are_checked(tmp_path, videos, make_video):
    with pytest.raises(InputError, match="No folder"):
        find_videos(tmp_path / "none")
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="No videos"):
        find_videos(tmp_path / "bare")
    make_video(videos / "0.mp4", 8)
    with pytest.raises(InputError, match="Two files claim"):
        find_videos(videos)
