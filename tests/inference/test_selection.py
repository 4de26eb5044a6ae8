"""What interventions read: measures on known attention, and the attention of a real model."""

from __future__ import annotations

import numpy as np
import pytest

from cra_lib.inference import selection


def test_measures_tell_aligned_from_indifferent_attention():
    labels = ["beach", "beach", "city", "city"]
    aligned = np.repeat(np.eye(2), 2, axis=0)
    flat = np.full((4, 2), 0.5)
    assert selection.entries_in_use(aligned) == pytest.approx(1, abs=1e-3)
    assert selection.entries_in_use(flat) == pytest.approx(2)
    assert selection.purity(aligned.argmax(axis=1), labels) == (100, 50)
    assert selection.spread_between(aligned, labels) == pytest.approx(100)
    assert selection.spread_between(flat, labels) == 0
    mixed = np.array([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    assert selection.spread_between(mixed, labels) == pytest.approx(0)
