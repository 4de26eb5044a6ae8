"""Every odd video gets an answer or one sentence, and none takes much memory."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from cra_lib.inference.session import LONGEST_SIDE, VideoSession
from cra_lib.records import InputError
from cra_lib.video.frames import read_frames
from cra_lib.video.writing import write_video

QUESTION, CHOICES = "what did the red square do", ["jump up", "fade away"]


def ask(path, model, **part):
    return VideoSession.open(path, model, **part).ask(QUESTION, CHOICES)


@pytest.mark.parametrize("size", [(160, 90), (90, 160), (54, 98), (400, 640)], ids=str)
def test_any_shape_of_frame(size, shipped, tmp_path, pictures):
    write_video(tmp_path / "v.mp4", pictures(40, *size), 8)
    answer = ask(tmp_path / "v.mp4", shipped)
    assert answer.duration == pytest.approx(5) and answer.guessing
    assert 0 <= answer.span.start <= answer.span.end <= answer.duration


def test_two_frames(shipped, tmp_path, pictures):
    write_video(tmp_path / "v.mp4", pictures(2), 8)
    answer = ask(tmp_path / "v.mp4", shipped)
    assert answer.duration == pytest.approx(0.25)
    assert answer.span.end <= 0.25 and len(answer.frame_weights) == 32


def test_variable_rate(shipped, tmp_path, pictures):
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 96
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        clock = 0
        for number, pixels in enumerate(pictures(60)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = clock, Fraction(1, 1000)
            clock += 40 if number % 3 else 300
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert "variable frame rate" in " ".join(ask(path, shipped).notes)


def test_large_frames_are_scaled_down(tmp_path, pictures):
    write_video(tmp_path / "v.mp4", pictures(2, 1440, 2560), 8, preset="ultrafast")
    frames = read_frames(tmp_path / "v.mp4", [0.0], LONGEST_SIDE)
    assert frames.shape == (1, 1080, 1920, 3)
    whole = read_frames(tmp_path / "v.mp4", [0.0])
    assert abs(whole.mean() - frames.mean()) < 1


def test_a_part_of_a_video(shipped, sample):
    path, question, choices = sample
    answer = VideoSession.open(path, shipped, start=6, end=12).ask(question, choices)
    assert 6 < answer.frame_times[0] < answer.frame_times[-1] < 12
    assert 6 <= answer.span.start <= answer.span.end <= 12
    with pytest.raises(InputError, match="not inside the video"):
        VideoSession.open(path, shipped, start=20)


def sound_only(path, pictures):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def truncated(path, pictures):
    write_video(path, pictures(80), 8)
    path.write_bytes(path.read_bytes()[:4000])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (sound_only, "audio only"),
        (truncated, "not a readable video|cut short|damaged"),
        (lambda path, _: path.write_text("<!doctype html><html></html>"), "not a readable video"),
        (lambda path, _: path.write_bytes(b""), "the file is empty"),
        (lambda path, _: None, "No video at"),
    ],
    ids=["sound", "truncated", "html", "empty", "absent"],
)
def test_what_is_no_video_is_one_sentence(make, words, shipped, tmp_path, pictures):
    path = tmp_path / "v.mp4"
    make(path, pictures)
    with pytest.raises(InputError, match=words) as error:
        ask(path, shipped)
    assert "\n" not in str(error.value)


LONG = """
import re, sys
from cra_lib.inference.session import VideoSession
video = VideoSession.open(sys.argv[1])
answer = video.ask("what did the red square do", ["jump up", "fade away"])
# The peak since this program began; getrusage counts that of the process that started it, too.
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(round(answer.duration), len(answer.notes), peak)
"""


@pytest.mark.parametrize(
    ("hours", "fps"),
    [(0.1, 2), pytest.param(3, 24, marks=pytest.mark.slow)],
    ids=["6 minutes", "3 hours"],
)
def test_a_long_video_takes_no_more_memory(hours, fps, tmp_path, pictures):
    path = tmp_path / "long.mp4"
    write_video(
        path, pictures(round(hours * 3600 * fps)), fps, preset="ultrafast", keyframe_every=10
    )
    done = subprocess.run([sys.executable, "-c", LONG, str(path)], capture_output=True, text=True)
    seconds, notes, kilobytes = map(int, done.stdout.split())
    assert seconds == hours * 3600 and notes == 1 and kilobytes < 1_500_000
