"""Raw videos -> one feature file: parallel decoding, one batch of frames a video, safe to kill.

While it works, finished videos are kept in ``.<file>.work/`` beside the result:

``rows.f32``      raw features, one [T, F] block a video, only ever appended to
``journal.jsonl`` a header (encoder, T), then one line a block: video, stamps, file size and date

A block counts once its journal line is complete, and the line is written after the block is on
disk; what a killed run left behind these is cut off by the next. A video is encoded in one batch of
its own, so that its features do not depend on which videos came before.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cra_lib.data.annotations import NUM_FRAMES, read_questions, read_stamps, stamps_from_count
from cra_lib.data.features import FeatureStore, write_features
from cra_lib.paths import DataFiles
from cra_lib.records import InputError
from cra_lib.video.encoders import FrameEncoder
from cra_lib.video.frames import probe, read_frames

SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".flv", ".wmv")


class Decoded(NamedTuple):
    """The wanted frames of one video."""

    frames: np.ndarray
    """uint8 [T, H, W, 3]."""
    times: tuple[float, ...]
    """Seconds of the T frames."""
    notes: tuple[str, ...]
    """Oddities that were dealt with."""


@dataclass
class Extraction:
    """What happened to each video."""

    out: Path
    done: int = 0
    """Videos in the feature file."""
    resumed: int = 0
    """Of these, videos that an earlier run had finished."""
    bad: dict[str, str] = field(default_factory=dict)
    """Video id -> why it could not be used."""
    odd: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Video id -> oddities that were dealt with."""


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


def extract_features(
    video_paths: Mapping[str, Path],
    stamps: Mapping[str, Sequence[float]] | None,
    encoder: FrameEncoder,
    out: Path,
    *,
    num_frames: int = NUM_FRAMES,
    workers: int = 2,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Extraction:
    """Encode the frames of many videos into one feature file; a killed run goes on where it was.

    Args:
        video_paths: video id -> file; the order of the rows in the result.
        stamps: video id -> T seconds; None takes the stamp rule and each file's own length.
        workers: videos decoded at the same time.
        skip_bad: write the file without the videos that cannot be read.
        progress: called with (videos finished, videos in all).

    Returns:
        What was done, and which videos are bad or odd. With bad videos and without `skip_bad`
        nothing is written; the finished work is kept for the next run.

    Raises:
        InputError: no videos, no usable video, or `out` exists with other contents.
    """
    if not video_paths:
        raise InputError(f"{out}: there are no videos to extract features from.")
    result = Extraction(out)
    if out.exists():
        _refuse_other_contents(out, video_paths, stamps, encoder)
        result.done = result.resumed = len(video_paths)
        return result
    shape = (num_frames, encoder.width)
    with _Work(out, encoder.name, shape) as work:
        todo = {}
        for video_id, path in video_paths.items():
            if work.holds(video_id, path, _wanted(stamps, video_id)):
                result.resumed += 1
            else:
                todo[video_id] = path
        finished = result.resumed
        progress(finished, len(video_paths))
        for video_id, decoded in _decode_all(todo, stamps, num_frames, workers):
            if isinstance(decoded, str):
                result.bad[video_id] = decoded
            else:
                features = np.asarray(encoder.encode(decoded.frames), dtype=np.float32)
                work.add(video_id, video_paths[video_id], decoded, _checked(features, shape))
            finished += 1
            progress(finished, len(video_paths))
        result.odd = {v: work.notes(v) for v in video_paths if work.notes(v)}
        usable = [video_id for video_id in video_paths if video_id not in result.bad]
        result.done = len(usable)
        if not usable:
            raise InputError(f"{out}: none of {len(video_paths)} videos can be used; the first "
                             f"because: {next(iter(result.bad.values()))}")  # fmt: skip
        if skip_bad or not result.bad:
            work.publish(usable, encoder)
    return result


def _wanted(
    stamps: Mapping[str, Sequence[float]] | None, video_id: str
) -> tuple[float, ...] | None:
    return None if stamps is None else tuple(stamps.get(video_id, ()))


def _checked(features: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if features.shape != shape or not np.isfinite(features).all():
        raise InputError(
            f"The encoder returned {features.shape} where finite {shape} was expected; are its "
            "weights those of this encoder?"
        )
    return features


def _refuse_other_contents(
    out: Path,
    video_paths: Mapping[str, Path],
    stamps: Mapping[str, Sequence[float]] | None,
    encoder: FrameEncoder,
) -> None:
    """A finished file is left alone if it is what was asked for, and never overwritten."""
    with FeatureStore(out, key=encoder.key, width=encoder.width) as store:
        same = set(store.video_ids) <= set(video_paths)
        if same and stamps is not None and store.has_stamps:
            same = all(store.stamps(v) == tuple(map(float, stamps[v])) for v in store.video_ids)
    if not same:
        raise InputError(f"{out} already exists with other videos or stamps; move it away first.")


def _decode_all(
    videos: Mapping[str, Path],
    stamps: Mapping[str, Sequence[float]] | None,
    num_frames: int,
    workers: int,
) -> Iterator[tuple[str, Decoded | str]]:
    """Each video's frames, or why there are none, in order.

    Only `workers` + 1 videos are decoded ahead, which bounds the memory.
    """
    waiting: deque[tuple[str, Future[Decoded]]] = deque()
    left = iter(videos.items())
    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            while True:
                while len(waiting) <= workers and (item := next(left, None)):
                    times = _wanted(stamps, item[0])
                    waiting.append((item[0], pool.submit(decode, item[1], times, num_frames)))
                if not waiting:
                    return
                video_id, future = waiting.popleft()
                try:
                    decoded: Decoded | str = future.result()
                except (InputError, MemoryError, ValueError, OSError) as error:
                    decoded = str(error) or type(error).__name__
                del future  # else the frames of this video live until the next one is done
                yield video_id, decoded
        finally:
            pool.shutdown(cancel_futures=True)


def decode(path: Path, times: tuple[float, ...] | None, num_frames: int) -> Decoded:
    """The wanted frames of one video; without `times`, where the stamp rule puts them.

    Raises:
        InputError: the video is missing or damaged, or the stamps are too few or past its end.
    """
    info = probe(path)
    if times is None:
        times = stamps_from_count(info.frame_count, info.fps, num_frames)
    if len(times) != num_frames:
        raise InputError(f"{path}: expected {num_frames} time stamps, got {len(times)}.")
    return Decoded(read_frames(path, times), tuple(map(float, times)), info.notes)


class _Work:
    """Finished videos of an unfinished extraction; see the module's docstring."""

    def __init__(self, out: Path, encoder_name: str, shape: tuple[int, int]):
        self._out, self._shape = out, shape
        self._folder = out.parent / f".{out.name}.work"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._rows_path, self._journal_path = (
            self._folder / name for name in ("rows.f32", "journal.jsonl")
        )
        self._block = 4 * shape[0] * shape[1]
        header = {"encoder": encoder_name, "frames": shape[0], "width": shape[1]}
        lines = self._intact_lines()
        if not lines or lines[0] != header:
            lines = [header]
        self._entries = {entry["video"]: (row, entry) for row, entry in enumerate(lines[1:])}
        self._next = len(lines) - 1
        self._rows = self._cut(self._rows_path, self._next * self._block)
        text = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        self._journal_path.write_bytes(text)
        self._journal = self._cut(self._journal_path, len(text))

    def _intact_lines(self) -> list[dict]:
        """The journal up to its first torn line or the first block that is not whole."""
        if not self._journal_path.exists() or not self._rows_path.exists():
            return []
        blocks = self._rows_path.stat().st_size // self._block
        lines = []
        for line in self._journal_path.read_bytes().splitlines(keepends=True)[: blocks + 1]:
            try:
                if not line.endswith(b"\n"):
                    break
                lines.append(json.loads(line))
            except ValueError:
                break
        return lines

    @staticmethod
    def _cut(path: Path, size: int):
        """Open for appending after dropping everything past `size` bytes."""
        path.touch()
        os.truncate(path, size)
        return open(path, "ab")

    def __enter__(self) -> _Work:
        return self

    def __exit__(self, *exception: object) -> None:
        self._rows.close()
        self._journal.close()

    def holds(self, video_id: str, path: Path, times: tuple[float, ...] | None) -> bool:
        """Whether this very file was already encoded at these times."""
        if video_id not in self._entries:
            return False
        entry = self._entries[video_id][1]
        same_times = times is None or list(times) == entry["times"]
        return same_times and entry["file"] == _identity(path)

    def notes(self, video_id: str) -> tuple[str, ...]:
        """Oddities of a finished video."""
        return tuple(self._entries[video_id][1]["notes"]) if video_id in self._entries else ()

    def add(self, video_id: str, path: Path, decoded: Decoded, features: np.ndarray) -> None:
        """Keep one video's features: the block first, then the line that makes it count."""
        _append(self._rows, features.tobytes())
        entry = {
            "video": video_id,
            "times": list(decoded.times),
            "file": _identity(path),
            "notes": list(decoded.notes),
        }
        _append(self._journal, f"{json.dumps(entry)}\n".encode())
        self._entries[video_id] = (self._next, entry)
        self._next += 1

    def publish(self, video_ids: Sequence[str], encoder: FrameEncoder) -> None:
        """Write the feature file in the order asked for and drop the work folder."""
        blocks = np.memmap(self._rows_path, np.float32, "r", shape=(self._next, *self._shape))
        rows = [self._entries[video_id][0] for video_id in video_ids]
        # In the usual order the rows are written straight from the mapped file.
        features = blocks if rows == list(range(self._next)) else blocks[rows]
        times = {video_id: self._entries[video_id][1]["times"] for video_id in video_ids}
        about = {"encoder": encoder.name}
        write_features(self._out, video_ids, features, encoder.key, times, about)
        del features, blocks
        shutil.rmtree(self._folder)


def _append(file, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _identity(path: Path) -> list[int]:
    """Size and date of a file: a replaced video is encoded again."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def extract_dataset(
    files: DataFiles,
    splits: Iterable[str],
    encoder: FrameEncoder,
    *,
    workers: int = 2,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Extraction]:
    """The feature file of each split of a prepared dataset, at its own time stamps.

    Splits without a stamp file (training) get the stamp rule. Videos lie in ``videos/``, also in
    folders below it.

    Raises:
        InputError: as `extract_features`, or a question file that is missing or damaged.
    """
    found = find_videos(files.root / "videos")
    results = {}
    for split in splits:
        wanted = dict.fromkeys(q.video_id for q in read_questions(files.questions(split)))
        paths = {video_id: found.get(video_id, files.video(video_id)) for video_id in wanted}
        stamps = read_stamps(files.stamps(split)) if files.stamps(split).exists() else None
        out = files.features(encoder.name, split)
        results[split] = extract_features(
            paths, stamps, encoder, out, workers=workers, skip_bad=skip_bad, progress=progress
        )
    return results
