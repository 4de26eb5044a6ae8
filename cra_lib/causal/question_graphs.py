"""Question graphs: eight text nodes and twelve directed edges for each question-answer pair.

The graphs of a dataset share most of their nodes ("what", "do", "boy"), so each different text is
encoded once and a graph is eight row numbers of that table. [n, 8, N] exists only in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from cra_lib.causal.node_encoders import NodeEncoder, encode_texts
from cra_lib.causal.parsing import Components
from cra_lib.data.confounders import NODES


class QuestionGraphs(NamedTuple):
    """Graphs of n pairs over U different texts."""

    texts: tuple[str, ...]
    """The U different texts, sorted."""
    vectors: np.ndarray
    """float32 [U, N], one row a text."""
    nodes: np.ndarray
    """int32 [n, 8], the row of each node's text."""

    @property
    def width(self) -> int:
        """Numbers in one flattened graph: 8 N."""
        return self.nodes.shape[1] * self.vectors.shape[1]

    def take(self, rows: Sequence[int] | np.ndarray | slice) -> np.ndarray:
        """Some graphs, float32 [m, 8, N]."""
        return self.vectors[self.nodes[rows]]


def build_graphs(
    components: Sequence[Components],
    encoder: NodeEncoder,
    *,
    batch_size: int = 256,
    progress: Callable[[Iterable], Iterable] = iter,
) -> QuestionGraphs:
    """Encode each different component text once and index the graphs into them."""
    texts = sorted({text for row in components for text in row})
    place = {text: number for number, text in enumerate(texts)}
    nodes = np.array([[place[text] for text in row] for row in components], dtype=np.int32)
    vectors = encode_texts(encoder, texts, batch_size=batch_size, progress=progress)
    return QuestionGraphs(tuple(texts), vectors, nodes.reshape(-1, len(NODES)))


def coverage(components: Sequence[Components]) -> dict[str, float]:
    """Share of pairs in which each node has a text, by node name."""
    if not components:
        return dict.fromkeys(NODES, 0.0)
    filled = np.array([[bool(text) for text in row] for row in components])
    return {name: float(share) for name, share in zip(NODES, filled.mean(axis=0), strict=True)}
