"""How a dictionary of ours differs from one of the authors' release."""

from __future__ import annotations

import numpy as np

from cra_lib.records import InputError


def compare_dictionaries(ours: np.ndarray, theirs: np.ndarray) -> list[str]:
    """Lines of text: sizes, norms, and how near each centre is to the other dictionary.

    Raises:
        InputError: one is visual and the other linguistic.
    """
    if ours.ndim != theirs.ndim:
        raise InputError(
            f"Dictionaries of different kinds: ours is {list(ours.shape)}, "
            f"the release's {list(theirs.shape)}; visual ones have two axes, graphs three."
        )
    lines = [f"ours     {_summary(ours)}", f"release  {_summary(theirs)}"]
    if ours.shape[1:] != theirs.shape[1:]:
        lines.append("The widths differ, so the two come from different encoders; no distances.")
        return lines
    mine, others = _unit(ours), _unit(theirs)
    similarity = mine @ others.T
    lines.append(f"cosine of ours to its nearest of the release: {_spread(similarity.max(axis=1))}")
    lines.append(f"cosine of the release to its nearest of ours: {_spread(similarity.max(axis=0))}")
    return lines


def _summary(centres: np.ndarray) -> str:
    rows = centres.reshape(len(centres), -1)
    bad = int((~np.isfinite(rows).all(axis=1)).sum())
    norms = np.linalg.norm(rows[np.isfinite(rows).all(axis=1)], axis=1)
    return f"{list(centres.shape)}, norms {_spread(norms)}, {bad} centres not finite"


def _unit(centres: np.ndarray) -> np.ndarray:
    rows = np.nan_to_num(centres.reshape(len(centres), -1))
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _spread(values: np.ndarray) -> str:
    if not len(values):
        return "none"
    low, middle, high = np.quantile(values, (0, 0.5, 1))
    return f"{low:.3g} / {middle:.3g} / {high:.3g} (least / median / most)"
