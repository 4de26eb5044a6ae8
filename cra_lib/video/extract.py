"""Raw videos -> one feature file: parallel decoding, one batch of frames a video, safe to kill.

A video is encoded in one batch of its own, so that its features do not depend on which videos came
before it, and is kept in a work folder (`cra_lib.video.work`) until the feature file is written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cra_lib.evaluator.annotations import NUM_FRAMES, read_questions, read_stamps, stamps_from_count
from cra_lib.paths import DataFiles
from cra_lib.records import InputError
from cra_lib.video.encoders import FrameEncoder
from cra_lib.video.features import FeatureStore
from cra_lib.video.frames import find_videos, probe, read_frames
from cra_lib.video.work import Decoded, Work, drop_work


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

    def report(self, say: Callable[[str], None], *, skip_bad: bool = False) -> None:
        """Say which videos were odd or bad and why, then the sum, a line each.

        Raises:
            InputError: bad videos, and they are not to be skipped.
        """
        for video_id, notes in self.odd.items():
            say(f"odd  {video_id}: {'; '.join(notes)}")
        for video_id, reason in self.bad.items():
            say(f"bad  {video_id}: {reason}")
        if self.bad and not skip_bad:
            raise InputError(
                f"{len(self.bad)} videos cannot be used (listed above), so {self.out} was not "
                "written; replace them and run again (the others are kept), or go on without them "
                "(`cra features extract --skip-bad`, `cra prepare --skip-bad`)."
            )
        left_out = f", {len(self.bad)} left out" if self.bad else ""
        say(f"{self.out}: {self.done} videos, {self.resumed} of them from before{left_out}")


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
        Which videos are done, bad or odd. With bad ones and without `skip_bad` nothing is written;
        the finished work is kept.

    Raises:
        InputError: no videos, no usable video, or `out` exists with other contents.
    """
    if not video_paths:
        raise InputError(f"{out}: there are no videos to extract features from.")
    result = Extraction(out)
    if out.exists():
        result.done = result.resumed = _found_finished(
            out, video_paths, stamps, encoder, skip_bad=skip_bad
        )
        drop_work(out)  # a run that was killed at the very end
        return result
    shape = (num_frames, encoder.width)
    with Work(out, encoder.name, shape) as work:
        todo = {
            video_id: path
            for video_id, path in video_paths.items()
            if not work.holds(video_id, path, _wanted(stamps, video_id))
        }
        result.resumed = len(video_paths) - len(todo)
        progress(result.resumed, len(video_paths))
        encoded = _encode_all(todo, stamps, encoder, num_frames, workers)
        for finished, (video_id, made) in enumerate(encoded, start=result.resumed + 1):
            if isinstance(made, str):
                result.bad[video_id] = made
            else:
                decoded, features = made
                work.add(video_id, video_paths[video_id], decoded, _checked(features, shape))
            progress(finished, len(video_paths))
        _publish(work, result, video_paths, encoder, skip_bad=skip_bad)
    return result


def _publish(
    work: Work,
    result: Extraction,
    video_paths: Mapping[str, Path],
    encoder: FrameEncoder,
    *,
    skip_bad: bool,
) -> None:
    """Write the feature file, unless bad videos stand against it; say what is in it."""
    result.odd = {v: work.notes(v) for v in video_paths if work.notes(v)}
    usable = [video_id for video_id in video_paths if video_id not in result.bad]
    result.done = len(usable)
    if not usable:
        raise InputError(
            f"{result.out}: none of {len(video_paths)} videos can be used; the first because: "
            f"{next(iter(result.bad.values()))}"
        )
    if skip_bad or not result.bad:
        work.publish(usable, encoder)


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


def _found_finished(
    out: Path,
    video_paths: Mapping[str, Path],
    stamps: Mapping[str, Sequence[float]] | None,
    encoder: FrameEncoder,
    *,
    skip_bad: bool,
) -> int:
    """Videos in a feature file that is already what was asked for; it is never overwritten."""
    with FeatureStore(out, key=encoder.key, width=encoder.width) as store:
        there = set(store.video_ids)
        same = there == set(video_paths) or (skip_bad and there < set(video_paths))
        if same and stamps is not None and store.has_stamps:
            same = all(store.stamps(v) == tuple(map(float, stamps.get(v, ()))) for v in there)
    if not same:
        raise InputError(f"{out} already exists with other videos or stamps; move it away first.")
    return len(there)


Made = tuple[Decoded, np.ndarray] | str
"""One video's times and notes with its features [T, F], or why there are none."""


def _encode_all(
    videos: Mapping[str, Path],
    stamps: Mapping[str, Sequence[float]] | None,
    encoder: FrameEncoder,
    num_frames: int,
    workers: int,
) -> Iterator[tuple[str, Made]]:
    """Each video's features, or why there are none, in order.

    Videos are decoded ahead of a large encoder, which has the machine to itself; a small one
    encodes a video in each worker, in one thread, since sharing out one small video among threads
    takes longer than encoding it. The features have the same bits.
    """

    def attempt(video_id: str) -> Decoded | str:
        return _attempt(videos[video_id], _wanted(stamps, video_id), num_frames)

    if getattr(encoder, "is_small", False):
        with one_thread_each() as start:
            yield from _done_ahead(
                videos, lambda video_id: _encoded(attempt(video_id), encoder), workers, start
            )
        return
    for video_id, decoded in _done_ahead(videos, attempt, workers):
        yield video_id, _encoded(decoded, encoder)


def _encoded(decoded: Decoded | str, encoder: FrameEncoder) -> Made:
    if isinstance(decoded, str):
        return decoded
    features = np.asarray(encoder.encode(decoded.frames), dtype=np.float32)
    return decoded._replace(frames=decoded.frames[:0]), features


def _attempt(path: Path, times: tuple[float, ...] | None, num_frames: int) -> Decoded | str:
    """The frames of one video, or why there are none."""
    try:
        return decode(path, times, num_frames)
    except (InputError, MemoryError, ValueError, OSError) as error:
        return str(error) or type(error).__name__


@contextmanager
def one_thread_each() -> Iterator[Callable[[], None]]:
    """Gives what a worker calls first, so that torch computes in that thread alone."""
    import torch

    before = torch.get_num_threads()
    try:
        yield partial(torch.set_num_threads, 1)
    finally:
        torch.set_num_threads(before)  # it counts for threads that start later, too


def _done_ahead(
    names: Iterable[str],
    job: Callable[[str], Any],
    workers: int,
    start: Callable[[], None] | None = None,
) -> Iterator[tuple[str, Any]]:
    """What a job returns for each name, in order. Only ``workers`` + 1 are done ahead, which bounds
    the memory."""
    waiting: deque[tuple[str, Future]] = deque()
    left = iter(names)
    with ThreadPoolExecutor(max(1, workers), initializer=start) as pool:
        try:
            while True:
                while len(waiting) <= workers and (name := next(left, None)) is not None:
                    waiting.append((name, pool.submit(job, name)))
                if not waiting:
                    return
                name, future = waiting.popleft()
                done = future.result()
                del future  # else the frames of this video live until the next one is done
                yield name, done
                del done
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
