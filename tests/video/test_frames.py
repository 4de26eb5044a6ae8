from __future__ import annotations

import av
import numpy as np
import pytest

from cra_lib.records import InputError
from cra_lib.video.frames import probe, read_frames
from cra_lib.video.writing import _instruction_set, write_video


def _all_frames(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("keyframe_every", [0.2, 2.0, 60.0])
def test_sought_frames_are_those_of_full_decoding(tmp_path, make_video, keyframe_every):
    path = make_video(tmp_path / "v.mp4", 240, 30, keyframe_every=keyframe_every)
    every = _all_frames(path)
    times = np.random.default_rng(0).uniform(0, 8, 40)
    for frame, time in zip(read_frames(path, times), times, strict=True):
        np.testing.assert_array_equal(frame, every[min(239, int(time * 30 + 1e-6))])


def test_times_may_repeat_and_need_no_order(tmp_path, make_video, frame_number):
    path = make_video(tmp_path / "v.mp4", 80, 8)
    frames = read_frames(path, [9.9, 0.0, 5.0, 5.0, 0.126, 10.4])
    assert [frame_number(frame) for frame in frames] == [79, 0, 40, 40, 1, 79]


def test_probe_reads_what_was_written(tmp_path, make_video):
    info = probe(make_video(tmp_path / "v.mp4", 81, 29.97))
    assert (info.frame_count, info.width, info.height, info.notes) == (81, 96, 64, ())
    assert info.fps == pytest.approx(29.97, abs=0.001)
    assert info.duration == pytest.approx(81 / 29.97, abs=0.05)


def test_the_same_frames_give_the_same_bytes(tmp_path, make_video):
    first, second = (make_video(tmp_path / name, 20) for name in ("a.mp4", "b.mp4"))
    assert first.read_bytes() == second.read_bytes()


def test_the_encoder_keeps_to_avx2_where_there_is_more(tmp_path, make_video):
    """x264 names the instruction sets that it uses when it starts."""
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture() as lines:
            make_video(tmp_path / "v.mp4", 4)
    finally:
        av.logging.set_level(None)
    (used,) = [text for _, _, text in lines if "cpu capabilities" in text]
    assert "AVX512" not in used
    if _instruction_set():
        assert "AVX2" in used


def test_frames_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InputError, match="no frames to write"):
        write_video(tmp_path / "v.mp4", [], 8)
    with pytest.raises(InputError, match="even height and width"):
        write_video(tmp_path / "v.mp4", [np.zeros((5, 6, 3), np.uint8)], 8)
    with pytest.raises(InputError, match="another shape"):
        write_video(tmp_path / "v.mp4", [np.zeros((s, 6, 3), np.uint8) for s in (4, 6)], 8)
    assert not list(tmp_path.iterdir())


def test_variable_rate_is_read_by_time(odd_videos, frame_number):
    info = probe(odd_videos["variable"])
    assert "variable frame rate" in info.notes[0]
    frames = read_frames(odd_videos["variable"], [1.05, 2.0, 2.39, 2.41, 9.0])
    assert [frame_number(frame) for frame in frames] == [10, 20, 20, 21, 37]


def test_a_stream_without_duration_is_measured(odd_videos):
    info = probe(odd_videos["no-duration"])
    assert info.frame_count == 100
    assert "no duration in the header" in info.notes[0]
    assert len(read_frames(odd_videos["no-duration"], [0, 0.5])) == 2


def test_a_rotated_video_is_turned_upright(odd_videos, frame_number):
    """The file asks players to turn it by 90 degrees, counter-clockwise."""
    info = probe(odd_videos["rotated"])
    assert (info.width, info.height) == (64, 96)
    assert "rotated by 90 degrees" in info.notes[0]
    frame = read_frames(odd_videos["rotated"], [0.2])[0]
    assert frame.shape == (96, 64, 3)
    assert frame_number(np.rot90(frame, -1)) == 5


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no-times", "no times"),
        ("text", "not a readable video"),
        ("empty", "the file is empty"),
        ("audio", "audio only"),
        ("frameless", "no frames|not a readable video|no video stream"),
        ("headless", "not a readable video"),
        ("cut", "cut short"),
        ("scrambled", "damaged|cannot be decoded"),
    ],
)
def test_damaged_videos_say_why(odd_videos, name, reason):
    with pytest.raises(InputError, match=reason):
        info = probe(odd_videos[name])
        read_frames(odd_videos[name], np.linspace(0, info.duration, 32))


def test_a_time_past_the_end_is_another_edition_of_the_video(tmp_path, make_video):
    path = make_video(tmp_path / "v.mp4", 80, 8)
    with pytest.raises(InputError, match=r"last frame is at 9.88 s, but a frame at 15.00 s"):
        read_frames(path, [1, 15])
    with pytest.raises(InputError, match="No video at"):
        read_frames(tmp_path / "none.mp4", [0])
