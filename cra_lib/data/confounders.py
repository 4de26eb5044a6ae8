"""Confounder dictionaries on disk: one format, one reader, one writer.

A file is safetensors with ``centres`` float32 [K, F] (visual: frame features) or [K, 8, N]
(language: node vectors of question graphs) and ``counts`` int64 [K], the training items nearest to
each centre (zeros where nobody counted them).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cra_lib.paths import atomic, require
from cra_lib.records import InputError

AXES = {"visual": ("K", "F"), "language": ("K", "8", "N")}
"""Kind of dictionary -> the axes of its centres."""
NODES = (
    "question",
    "question word",
    "subject",
    "verbs",
    "objects",
    "answer",
    "answer verbs",
    "answer objects",
)
"""Names of the nodes, in the order of a parsed pair (4.4)."""
NUM_NODES = len(NODES)
EDGES = (
    (0, 5), (0, 1), (0, 2), (0, 3), (0, 4), (2, 4), (2, 3), (4, 3), (5, 6), (5, 7), (6, 7), (2, 5),
)  # fmt: skip
"""(source, target) node numbers of a question graph."""


def write_confounders(path: Path, centres: np.ndarray, counts: np.ndarray | None = None) -> None:
    """Write a dictionary, whole or not at all; the same input gives the same bytes.

    Args:
        centres: [K, F] or [K, 8, N].
        counts: training items of each centre [K]; None where they are not known.
    """
    from safetensors.numpy import save_file

    counts = np.zeros(len(centres)) if counts is None else counts
    tensors = {
        "centres": np.ascontiguousarray(centres, dtype=np.float32),
        "counts": np.ascontiguousarray(counts, dtype=np.int64),
    }
    with atomic(path) as partial:
        save_file(tensors, partial)


def read_confounders(path: Path, kind: str | None = None) -> np.ndarray:
    """The centres of a dictionary: float32 [K, F] (visual) or [K, 8, N] (language).

    Args:
        kind: "visual" or "language", where only that one will do.

    Raises:
        InputError: the file is missing, damaged, or holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    what = f"{kind.capitalize()} confounders" if kind else "Confounder dictionary"
    require(path, what, "Sample them first: `cra confounders sample` or notebook 02.")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file ({error}); sample it again.") from None
    centres = tensors.get("centres")
    kinds = [kind] if kind else list(AXES)
    if centres is None or not any(_is(centres, each) for each in kinds):
        wanted = " or ".join(f"[{', '.join(AXES[each])}]" for each in kinds)
        found = {name: list(tensor.shape) for name, tensor in tensors.items()}
        raise InputError(
            f'{path}: expected finite "centres" {wanted}, found {found or "nothing"}; '
            "sample it again."
        )
    return centres.astype(np.float32, copy=False)


def _is(centres: np.ndarray, kind: str) -> bool:
    """Whether an array could be the centres of this kind."""
    if centres.ndim != len(AXES[kind]) or not centres.size or centres.dtype.kind != "f":
        return False
    right = kind != "language" or centres.shape[1] == NUM_NODES
    return right and bool(np.isfinite(centres).all())
