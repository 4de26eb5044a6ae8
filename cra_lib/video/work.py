"""Finished videos of an unfinished extraction, safe against being killed at any moment.

They are kept in ``.<file>.work/`` beside the feature file that is to be:

``rows.f32``      raw features, one [T, F] block a video, only ever appended to
``journal.jsonl`` a header (encoder, T, F), then one line a block: video, stamps, file size and date

A block counts once its journal line is complete, and the line is written after the block is on
disk; what a killed run left behind these is cut off by the next.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cra_lib.paths import atomic
from cra_lib.video.encoders import FrameEncoder
from cra_lib.video.features import write_features


class Decoded(NamedTuple):
    """The wanted frames of one video."""

    frames: np.ndarray
    """uint8 [T, H, W, 3]."""
    times: tuple[float, ...]
    """Seconds of the T frames."""
    notes: tuple[str, ...]
    """Oddities that were dealt with."""


class Work:
    """The work folder of one feature file; a context manager.

    Args:
        out: the feature file that it is for.
        encoder_name: work of another encoder is dropped.
        shape: (T, F) of a block.
    """

    def __init__(self, out: Path, encoder_name: str, shape: tuple[int, int]):
        self._out, self._shape = out, shape
        self._folder = _folder(out)
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
        with atomic(self._journal_path) as partial:
            partial.write_bytes(text)
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

    def __enter__(self) -> Work:
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
        whole = self._folder / "features.h5"  # here, so that a kill leaves nothing beside `out`
        write_features(whole, video_ids, features, encoder.key, times, about)
        del features, blocks
        os.replace(whole, self._out)
        drop_work(self._out)


def drop_work(out: Path) -> None:
    """Remove the work folder of a feature file that is finished."""
    shutil.rmtree(_folder(out), ignore_errors=True)


def _folder(out: Path) -> Path:
    return out.parent / f".{out.name}.work"


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
