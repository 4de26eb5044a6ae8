"""Videos that come with the library, each with a question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from cra_lib.paths import require
from cra_lib.records import InputError

FOLDER = Path(__file__).parent.parent / "model" / "shipped" / "cra-shapes" / "samples"
"""Named here and not taken from the model's module, which would import torch."""


class Sample(NamedTuple):
    """A video and what can be asked about it."""

    path: Path
    question: str
    choices: list[str]


def sample_videos() -> list[Sample]:
    """The videos that come with the library.

    Raises:
        InputError: an installation without them.
    """
    index = require(FOLDER / "samples.json", "The sample videos", "Install the library again.")
    try:
        rows = json.loads(index.read_text(encoding="utf-8"))
        return [
            Sample(FOLDER / file, row["question"], list(row["choices"]))
            for file, row in sorted(rows.items())
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{index}: damaged ({error}); install the library again.") from None
