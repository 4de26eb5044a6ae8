"""Frame features on disk: HDF5 in the layout that NExT-GQA publishes.

``vid``      [V] video ids (strings)
``<KEY>``    [V, T, F] float32, one row a video; KEY is ``CLIPL_I`` for CLIP ViT-L/14
``stamps``   [V, T] seconds at which the frames were taken (ours; absent in published files)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cra_lib.paths import atomic, require
from cra_lib.records import InputError

IDS, STAMPS = "vid", "stamps"


def write_features(
    path: Path,
    video_ids: Sequence[str],
    features: np.ndarray,
    key: str = "CLIPL_I",
    stamps: Mapping[str, Sequence[float]] | None = None,
    about: Mapping[str, str] | None = None,
) -> None:
    """Write the features of all videos, whole or not at all; the same input gives the same bytes.

    Args:
        features: [V, T, F], a row for each of `video_ids`.
        key: name of the dataset that holds them.
        stamps: video id -> T seconds.
        about: short facts kept as attributes (encoder, version).

    Raises:
        InputError: shapes that do not fit, an id given twice, a value that is not finite.
    """
    import h5py

    features = np.asarray(features, dtype=np.float32)
    if features.ndim != 3 or len(features) != len(video_ids):
        raise InputError(
            f"{path}: expected features [{len(video_ids)}, T, F], got {list(features.shape)}."
        )
    if len(set(video_ids)) != len(video_ids):
        raise InputError(f"{path}: a video id is given twice.")
    for video_id, rows in zip(video_ids, features, strict=True):
        _check_finite(rows, video_id, path)
    with atomic(path) as partial, h5py.File(partial, "w") as file:
        ids = file.create_dataset(IDS, (len(video_ids),), dtype=h5py.string_dtype())
        ids[:] = list(video_ids)
        file.create_dataset(key, data=features)
        if stamps is not None:
            file.create_dataset(STAMPS, data=_stamp_table(stamps, video_ids, features, path))
        for name, value in (about or {}).items():
            file.attrs[name] = value


def _stamp_table(
    stamps: Mapping[str, Sequence[float]],
    video_ids: Sequence[str],
    features: np.ndarray,
    path: Path,
) -> np.ndarray:
    """[V, T] float64 seconds in the order of `video_ids`."""
    for video_id in video_ids:
        if len(stamps.get(video_id, ())) != features.shape[1]:
            raise InputError(
                f"{path}: video {video_id!r} has {features.shape[1]} frames but "
                f"{len(stamps.get(video_id, ()))} time stamps."
            )
    return np.array([stamps[video_id] for video_id in video_ids], dtype=np.float64)


def _check_finite(rows: np.ndarray, video_id: str, path: Path) -> None:
    if not np.isfinite(rows).all():
        raise InputError(
            f"{path}: the features of video {video_id!r} are not finite (NaN or infinity); "
            "extract them again."
        )


class FeatureStore:
    """Features of one split, read video by video when asked for; usable as a context manager.

    The file is opened at the first read in each process, so a store may be handed to workers.

    Args:
        key: the dataset to read; None takes the only one with three axes.
        width: the expected F, checked if given.

    Raises:
        InputError: a missing or damaged file, no feature dataset, an unexpected width.
    """

    def __init__(self, path: Path, *, key: str | None = None, width: int | None = None):
        self.path = require(
            Path(path),
            "Feature file",
            "`cra prepare shapes` makes those of shapes, `cra features extract` those of your "
            "videos; `cra doctor` says where published ones come from.",
        )
        self._file: Any = None
        self._process = -1
        with self._opened() as file:
            self.key = _feature_key(file, key, self.path)
            count, self.num_frames, self.width = file[self.key].shape
            self.video_ids = tuple(map(_text, file[IDS][()]))
            self._stamps = file[STAMPS][()] if STAMPS in file else None
        self._rows = {video_id: row for row, video_id in enumerate(self.video_ids)}
        self._check(count, width)

    def _check(self, count: int, width: int | None) -> None:
        if len(self._rows) != len(self.video_ids) or len(self.video_ids) != count:
            raise InputError(
                f"{self.path}: {count} rows of features for {len(self._rows)} different video ids."
            )
        if width is not None and width != self.width:
            raise InputError(
                f"{self.path}: features are {self.width} wide, but the settings expect {width} "
                "(data.feature_width); extract with the encoder of the settings or change them."
            )
        if self._stamps is not None and self._stamps.shape != (count, self.num_frames):
            raise InputError(f"{self.path}: the stamps do not fit the features; extract again.")

    def _opened(self):
        import h5py

        try:
            return h5py.File(self.path, "r")
        except OSError as error:
            raise InputError(
                f"{self.path}: not a readable HDF5 file ({error}); is it truncated? "
                "Fetch or extract it again."
            ) from None

    def __len__(self) -> int:
        return len(self.video_ids)

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._rows

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_process": -1}

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file = None

    @property
    def has_stamps(self) -> bool:
        """Whether the file says when its frames were taken; published files do not."""
        return self._stamps is not None

    def stamps(self, video_id: str) -> tuple[float, ...]:
        """The T seconds at which the frames of one video were taken.

        Raises:
            InputError: the video is not in the file, or the file has no stamps.
        """
        row = self._row(video_id)
        if self._stamps is None:
            raise InputError(
                f"{self.path}: no time stamps beside the features (published files have none); "
                "use the frame2time file of the split."
            )
        return tuple(map(float, self._stamps[row]))

    def take(self, video_ids: Sequence[str]) -> np.ndarray:
        """The features of some videos, repeats allowed: float32 [n, T, F].

        Raises:
            InputError: a video that is not in the file, or values that are not finite.
        """
        rows = [self._row(video_id) for video_id in video_ids]
        taken = np.empty((len(rows), self.num_frames, self.width), dtype=np.float32)
        if self._file is None or self._process != os.getpid():
            # A handle inherited through fork shares its file position with the parent.
            self._file, self._process = self._opened(), os.getpid()
        data = self._file[self.key]
        first: dict[int, int] = {}
        for place, row in enumerate(rows):
            taken[place] = taken[first[row]] if row in first else data[row]
            first.setdefault(row, place)
        for place in first.values():
            _check_finite(taken[place], video_ids[place], self.path)
        return taken

    def _row(self, video_id: str) -> int:
        if video_id not in self._rows:
            raise InputError(
                f"{self.path}: no features for video {video_id!r} ({len(self)} videos in the "
                "file); extract them with `cra features extract`."
            )
        return self._rows[video_id]


def _feature_key(file: Any, key: str | None, path: Path) -> str:
    """The name of the [V, T, F] dataset."""
    found = [name for name, item in file.items() if getattr(item, "ndim", 0) == 3]
    if IDS not in file:
        raise InputError(f"{path}: no dataset 'vid' with the video ids; found {sorted(file)}.")
    if key is not None and key not in found:
        raise InputError(f"{path}: no features under {key!r}; found {found or sorted(file)}.")
    if key is None and len(found) != 1:
        raise InputError(
            f"{path}: expected one dataset [videos, frames, width], found {found or 'none'}."
        )
    return key or found[0]


def _text(value: object) -> str:
    """A video id as published files hold it: bytes, a string or a number."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
