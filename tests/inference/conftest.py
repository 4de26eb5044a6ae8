"""The shipped model, opened once, and videos of every odd kind, made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cra_lib.inference.trained import TrainedModel
from cra_lib.model.saving import SHIPPED

SAMPLES = SHIPPED / "cra-shapes" / "samples"


@pytest.fixture(scope="session")
def shipped() -> TrainedModel:
    """The model that comes with the library."""
    return TrainedModel("cra-shapes")


@pytest.fixture(scope="session")
def sample() -> tuple[Path, str, list[str]]:
    """A sample video, and a question with its choices."""
    asked = json.loads((SAMPLES / "samples.json").read_text())["shapes-1.mp4"]
    return SAMPLES / "shapes-1.mp4", asked["question"], asked["choices"]


def _pictures(count: int, height: int = 96, width: int = 96):
    """Frames that change: a bright square that walks through a gradient."""
    rows, columns = np.mgrid[0:height, 0:width]
    for number in range(count):
        frame = np.stack([rows % 256, columns % 256, np.full_like(rows, 90)], axis=-1)
        left = number * 3 % (width - 16)
        frame[20:36, left : left + 16] = (250, 240, 30)
        yield frame.astype(np.uint8)


@pytest.fixture(scope="session")
def pictures():
    """Makes ``count`` frames of a height and width."""
    return _pictures
