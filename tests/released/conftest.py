"""A released state with the recorded names and shapes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

SHAPES = Path(__file__).parent.parent / "golden" / "released_parameters.json"


@pytest.fixture(scope="session")
def released_state():
    """Name -> tensor; small random weights, so that a pass stays finite."""
    generator = torch.Generator().manual_seed(0)
    shapes = json.loads(SHAPES.read_text())
    return {
        name: 0.02 * torch.randn(shape, generator=generator) + name.endswith("sigma")
        for name, shape in shapes.items()
    }
