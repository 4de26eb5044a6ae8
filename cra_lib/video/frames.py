"""Video files: what they hold, and some of their frames. PyAV only, no ffmpeg binary.

The 32 wanted frames are a few percent of a video. `read_frames` therefore lists the packets first
(no decoding), finds the frame that is on screen at each wanted time, and decodes only from the
keyframe before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cra_lib.records import InputError

SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".flv", ".wmv")
END_TOLERANCE = 1.0
"""Seconds that a wanted time may lie past the last frame: containers round their length up."""


class VideoInfo(NamedTuple):
    """What a video file says, and its packets confirm, about itself."""

    frame_count: int
    fps: float
    duration: float
    """Seconds."""
    width: int
    """Pixels as displayed, that is after the rotation that the file asks for."""
    height: int
    notes: tuple[str, ...] = ()
    """Oddities that were dealt with: variable frame rate, rotation, no duration, ..."""


Take = Callable[[Any], np.ndarray]
"""What becomes of a decoded frame that is wanted."""


class _Packets(NamedTuple):
    """The time line of a video stream, from its packets alone."""

    times: list[int]
    """Presentation time of each frame, ascending, in units of `tick`."""
    keyframes: list[int]
    tick: Fraction


def find_videos(folder: Path) -> dict[str, Path]:
    """Video id (file name without suffix) -> path, of all videos below a folder.

    Raises:
        InputError: no such folder, no video in it, or two files with one name.
    """
    if not folder.is_dir():
        raise InputError(f"No folder of videos at {folder}.")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            if path.stem in found:
                raise InputError(
                    f"Two files claim to be video {path.stem!r}: {found[path.stem]} and {path}; "
                    "move one away."
                )
            found[path.stem] = path
    if not found:
        raise InputError(f"No videos ({', '.join(SUFFIXES)}) in {folder}.")
    return found


def probe(path: Path) -> VideoInfo:
    """Frame count, rate, duration and size, from the packets and one decoded frame.

    Raises:
        InputError: no such file, not a video, no video stream, no frames, or an undecodable one.
    """
    with _opened(path) as container:
        stream = _video_stream(container, path)
        packets = _packets(container, stream, path)
        header = _header_duration(container, stream)
        frame = next(_decoded(container, stream, packets.keyframes[0], path), None)
        if frame is None:
            raise InputError(f"{path}: no frame can be decoded; the video is damaged.")
        width, height = frame.width, frame.height
        if frame.rotation % 180:
            width, height = height, width
        times, tick = packets.times, packets.tick
        count = len(times)
        if count < 0.95 * stream.frames:
            raise InputError(
                f"{path}: cut short, it holds {count} of the {stream.frames} frames it announces."
            )
        steps = [b - a for a, b in zip(times, times[1:], strict=False)]
        typical = sorted(steps)[len(steps) // 2] if steps else 0
        length = float((times[-1] - times[0] + typical) * tick)
        fps = count / length if length > 0 else float(stream.average_rate or 1)
        notes = _notes(steps, typical, frame.rotation, header, length)
        return VideoInfo(count, _nominal(fps, stream), length or count / fps, width, height, notes)


def _nominal(fps: float, stream: Any) -> float:
    """The rate in the header where it agrees with the packets: 30000/1001 and not 29.9702."""
    rate = float(stream.average_rate) if stream.average_rate else 0.0
    return rate if rate and abs(rate / fps - 1) < 0.005 else fps


def _notes(
    steps: list[int], typical: int, rotation: int, header: float, length: float
) -> tuple[str, ...]:
    notes = []
    uneven = sum(abs(step - typical) > max(1, typical // 2) for step in steps)
    if uneven > max(2, len(steps) // 100):
        notes.append("variable frame rate: the frames are taken by time")
    if rotation:
        notes.append(f"rotated by {rotation % 360} degrees: the frames are turned upright")
    if not header:
        notes.append("no duration in the header: it is taken from the packets")
    elif abs(header - length) > max(1.0, 0.05 * length):
        notes.append(f"the header says {header:.1f} s, the packets {length:.1f} s")
    return tuple(notes)


def read_frames(path: Path, times: Sequence[float], longest_side: int = 0) -> np.ndarray:
    """The frames on screen at some times, decoded from the nearest keyframe: uint8 [T, H, W, 3].

    Times may repeat and need no order; a time within a second past the end gives the last frame.

    Args:
        longest_side: larger frames are scaled down to so many pixels; 0 keeps their size.

    Raises:
        InputError: the video is missing or damaged, or ends before one of the times.
    """
    with _opened(path) as container:
        stream = _video_stream(container, path)
        packets = _packets(container, stream, path)
        shown = [_on_screen(packets, time, path) for time in times]
        take = partial(_upright, longest_side=longest_side)
        frames: dict[int, np.ndarray] = {}
        for keyframe, wanted in _by_keyframe(packets, shown):
            frames.update(_decode_group(container, stream, keyframe, wanted, path, take))
        return np.stack([frames[pts] for pts in shown])


def _on_screen(packets: _Packets, time: float, path: Path) -> int:
    """Presentation time of the frame that is shown at `time` seconds after the first frame."""
    wanted = packets.times[0] + round(time / packets.tick)
    past_end = float((wanted - packets.times[-1]) * packets.tick)
    if past_end > END_TOLERANCE:
        last = float((packets.times[-1] - packets.times[0]) * packets.tick)
        raise InputError(
            f"{path}: the last frame is at {last:.2f} s, but a frame at {time:.2f} s is wanted; "
            "the file is cut short, or it is another edition of the video."
        )
    return packets.times[max(0, bisect_right(packets.times, wanted) - 1)]


def _by_keyframe(packets: _Packets, shown: list[int]) -> Iterator[tuple[int, list[int]]]:
    """Each keyframe that is needed, with the ascending wanted frames that follow it."""
    groups: dict[int, set[int]] = {}
    for pts in shown:
        place = max(0, bisect_right(packets.keyframes, pts) - 1)
        groups.setdefault(packets.keyframes[place], set()).add(pts)
    for keyframe in sorted(groups):
        yield keyframe, sorted(groups[keyframe])


def _decode_group(
    container: Any, stream: Any, keyframe: int, wanted: list[int], path: Path, take: Take
) -> dict[int, np.ndarray]:
    """Decode from one keyframe until all frames in `wanted` (same unit) are seen."""
    frames: dict[int, np.ndarray] = {}
    missing = set(wanted)
    for frame in _decoded(container, stream, keyframe, path, wanted=wanted):
        if frame.pts in missing:
            missing.discard(frame.pts)
            frames[frame.pts] = take(frame)
        if not missing:
            return frames
    return frames | _decode_plainly(container, stream, sorted(missing), path, take)


def _decode_plainly(
    container: Any, stream: Any, wanted: list[int], path: Path, take: Take
) -> dict[int, np.ndarray]:
    """The last decodable frame at or before each of `wanted`, from the start of the file.

    For streams that cannot be sought exactly, or whose packets and frames differ.
    """
    frames: dict[int, np.ndarray] = {}
    left = list(wanted)
    last = None
    for frame in chain(_decoded(container, stream, 0, path), [None]):
        pts = None if frame is None else frame.dts if frame.pts is None else frame.pts
        while left and last is not None and (frame is None or (pts is not None and pts > left[0])):
            gap = float((left[0] - last[0]) * stream.time_base)
            if gap > END_TOLERANCE:
                break
            frames[left.pop(0)] = take(last[1])
        if not left:
            return frames
        if frame is not None and pts is not None:
            last = (pts, frame)
    at = float(left[0] * stream.time_base)
    raise InputError(f"{path}: the frame at {at:.2f} s cannot be decoded; the file is damaged.")


def _decoded(
    container: Any, stream: Any, keyframe: int, path: Path, wanted: Sequence[int] = ()
) -> Iterator[Any]:
    """Decoded frames from a keyframe on; frames that nothing refers to may be left out.

    Only frames in `wanted` are certain to come out: the decoder is told to skip others that no
    later frame is predicted from, which saves about half of the work in usual files.
    """
    import av

    left = set(wanted)
    try:
        container.seek(keyframe, stream=stream, backward=True)
        for packet in container.demux(stream):
            skip = bool(wanted) and packet.pts is not None and packet.pts not in left
            stream.codec_context.skip_frame = "NONREF" if skip else "DEFAULT"
            yield from packet.decode()
    except av.FFmpegError as error:
        raise InputError(f"{path}: cannot be decoded ({error.strerror}); it is damaged.") from None


def _upright(frame: Any, longest_side: int = 0) -> np.ndarray:
    """A decoded frame as uint8 [H, W, 3], turned as the file asks players to turn it."""
    turns, longest = round(frame.rotation / 90) % 4, max(frame.width, frame.height)
    if longest_side and longest > longest_side:
        small = (max(2, side * longest_side // longest) for side in (frame.width, frame.height))
        frame = frame.reformat(*small, interpolation="AREA", threads=1)
    # Threads of the colour conversion take longer to start than the conversion takes.
    pixels = frame.to_ndarray(format="rgb24", threads=1)
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _opened(path: Path) -> Any:
    import av

    path = Path(path)
    if not path.is_file():
        raise InputError(f"No video at {path}.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty.")
    try:
        return av.open(str(path))
    except av.FFmpegError as error:
        raise InputError(f"{path}: not a readable video ({error.strerror}).") from None


def _video_stream(container: Any, path: Path) -> Any:
    if not container.streams.video:
        raise InputError(f"{path}: no video stream (audio only).")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise InputError(f"{path}: its video codec is unknown here.")
    # Each further thread would decode one more frame beyond the last that is wanted.
    stream.codec_context.thread_count = 1
    return stream


def _packets(container: Any, stream: Any, path: Path) -> _Packets:
    """All presentation times of the stream, read without decoding."""
    import av

    times, keyframes, timeless = [], [], 0
    try:
        for packet in container.demux(stream):
            if packet.size == 0:  # the flush packet at the end
                continue
            pts = packet.dts if packet.pts is None else packet.pts
            timeless += pts is None
            if pts is None or packet.is_discard:
                continue
            times.append(pts)
            if packet.is_keyframe:
                keyframes.append(pts)
    except av.FFmpegError as error:
        raise InputError(f"{path}: cannot be read to its end ({error.strerror}).") from None
    if timeless:
        raise InputError(f"{path}: its frames carry no times; copy it into an mp4 file.")
    if not times:
        raise InputError(f"{path}: the video stream holds no frames.")
    if not keyframes:
        raise InputError(f"{path}: the video stream holds no keyframe to start from.")
    return _Packets(sorted(times), sorted(keyframes), Fraction(stream.time_base))


def _header_duration(container: Any, stream: Any) -> float:
    """Seconds that the header claims; 0 where it claims nothing."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / 1_000_000
