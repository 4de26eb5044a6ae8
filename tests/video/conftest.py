"""Small real videos, some of them odd or damaged."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest


def numbered_frames(count: int, height: int = 64, width: int = 96):
    """Frames that carry their own number: 10 bits as bright or dark blocks of 8 x 8 pixels."""
    for number in range(count):
        frame = np.full((height, width, 3), 90, np.uint8)
        for bit in range(10):
            frame[:8, 8 * bit : 8 * bit + 8] = 235 if number >> bit & 1 else 20
        frame[20:40, (3 * number) % (width - 16) :][:, :16] = (200, 40, 40)
        yield frame


def read_number(frame: np.ndarray) -> int:
    """The number that `numbered_frames` wrote."""
    return sum(int(frame[4, 8 * bit + 4].mean() > 128) << bit for bit in range(10))


@pytest.fixture(scope="session")
def frame_number():
    """Reads the number of a decoded frame."""
    return read_number


@pytest.fixture(scope="session")
def make_video():
    """Writes a video of numbered frames: make_video(path, count, fps)."""
    from cra_lib.video.writing import write_video

    def make(path: Path, count: int = 80, fps: float = 8, **settings) -> Path:
        write_video(path, numbered_frames(count), fps, **settings)
        return path

    return make


def _mux(path: Path, times, rotation: int = 0, options=None) -> None:
    """Numbered frames at the given times (in 1/100 s) without B frames."""
    import av

    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate=100, options={"tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 100)
        if rotation:
            stream.set_display_rotation(rotation)
        for pixels, time in zip(numbered_frames(len(times)), times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _audio_only(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())


def _no_frames(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        audio = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux(audio.encode(silence))
        container.mux(audio.encode())


@pytest.fixture
def odd_videos(tmp_path, make_video) -> dict[str, Path]:
    """Name of an oddity or a damage -> a file that has it."""
    folder = tmp_path / "odd"
    folder.mkdir()
    names = "variable rotated text empty audio frameless cut headless scrambled".split()
    paths = {name: folder / f"{name}.mp4" for name in names}
    _mux(paths["variable"], [*range(0, 200, 10), *range(200, 1000, 40)])
    _mux(paths["rotated"], list(range(0, 400, 4)), rotation=90)
    paths["no-duration"] = folder / "no-duration.mkv"
    _mux(paths["no-duration"], list(range(0, 400, 4)), options={"live": "1"})
    paths["no-times"] = folder / "no-times.h264"
    _mux(paths["no-times"], list(range(0, 400, 4)))
    paths["text"].write_text("this is not a video")
    paths["empty"].touch()
    _audio_only(paths["audio"])
    _no_frames(paths["frameless"])
    whole = make_video(folder / "whole.mp4", 400).read_bytes()
    (folder / "whole.mp4").unlink()
    paths["headless"].write_bytes(whole[: int(0.7 * len(whole))])  # the index is at the end
    _cut_behind_the_index(whole, paths["cut"])
    middle = bytearray(whole)
    middle[2000:-6000] = bytes(len(whole) - 8000)
    paths["scrambled"].write_bytes(middle)
    return paths


def _cut_behind_the_index(whole: bytes, path: Path) -> None:
    """The same video with its index in front, cut in the middle."""
    import io

    import av

    with (
        av.open(io.BytesIO(whole)) as source,
        av.open(str(path), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    data = path.read_bytes()
    path.write_bytes(data[: int(0.5 * len(data))])
