"""How far a video's frames lie from everything that training showed.

The visual confounders are centres of all training frames. The distance of a frame is that to the
nearest centre, measured in the spread that training frames have around theirs (Mahalanobis): plain
distances let noise pass, because an encoder puts what it never saw close to the middle of things.
On `shapes` the farthest of 400 training videos lies at 10.1, unseen test videos below 10, and
photographs, noise and plain colours beyond 21.

V videos, T frames, F feature width, K centres.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from cra_lib.model.saving import FAMILIAR
from cra_lib.paths import atomic
from cra_lib.records import InputError

MARGIN = 1.1
"""The farthest training video, times this, is where the unknown begins."""
SHRINKAGE = 1e-2
"""Share of the mean variance that is added to every direction, so that none counts without end."""
MOST_VIDEOS = 1000
"""Training videos that are measured, evenly chosen."""


class Familiar(NamedTuple):
    """What frames of the training look like."""

    centres: np.ndarray
    """[K, F]."""
    whitening: np.ndarray
    """[F, F]; features times this have unit spread around their centres."""
    limit: float
    """Distance of a video that is farther than any training video by a margin."""

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Mean over a video's frames of the distance to the nearest centre: [V, T, F] -> [V]."""
        centres = self.centres @ self.whitening
        return np.array([_nearest(video @ self.whitening, centres)[1].mean() for video in features])


def _nearest(frames: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of each frame, and its distance: [T, F], [K, F] -> [T], [T]."""
    squared = (frames**2).sum(1)[:, None] - 2 * frames @ centres.T + (centres**2).sum(1)
    nearest = squared.argmin(axis=1)
    return nearest, np.sqrt(squared[np.arange(len(frames)), nearest].clip(min=0))


def learn_familiar(features: np.ndarray, centres: np.ndarray) -> Familiar:
    """Measure the training frames [V, T, F] around the centres [K, F]."""
    chosen = np.asarray(features, np.float32)[:: max(1, len(features) // MOST_VIDEOS)]
    centres = np.asarray(centres, np.float32)
    rests = np.concatenate([video - centres[_nearest(video, centres)[0]] for video in chosen])
    spread = np.atleast_2d(np.cov(rests.T.astype(np.float64)))
    spread += np.eye(len(spread)) * max(SHRINKAGE * np.trace(spread) / len(spread), 1e-9)
    whitening = np.linalg.cholesky(np.linalg.inv(spread)).astype(np.float32)
    measured = Familiar(centres, whitening, 0.0).distance(chosen)
    return Familiar(centres, whitening, float(measured.max()) * MARGIN)


def write_familiar(folder: Path, familiar: Familiar) -> None:
    """Write known.safetensors into a model folder, in half precision: it is a measure, no weight.

    The whitening is scaled to fit that; its largest entry is kept beside it.
    """
    scale = float(np.abs(familiar.whitening).max()) or 1.0
    tensors = {
        "centres": familiar.centres.astype(np.float16),
        "whitening": (familiar.whitening / scale).astype(np.float16),
        "scale": np.array([scale], np.float32),
        "limit": np.array([familiar.limit], np.float32),
    }
    with atomic(folder / FAMILIAR) as partial:
        save_file(tensors, partial)


def read_familiar(folder: Path) -> Familiar | None:
    """What a model folder says about familiar frames; None where it says nothing.

    Raises:
        InputError: a damaged file.
    """
    path = folder / FAMILIAR
    if not path.is_file():
        return None
    try:
        read = {name: value.astype(np.float32) for name, value in load_file(path).items()}
        whitening = read["whitening"] * read["scale"]
        return Familiar(read["centres"], whitening, float(read["limit"][0]))
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not what training wrote ({error}); copy it again.") from None
