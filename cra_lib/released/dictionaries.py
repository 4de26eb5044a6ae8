"""The release's confounder files: graphs of questions, centres of frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cra_lib.data.confounders import EDGES, NUM_NODES
from cra_lib.records import InputError
from cra_lib.released.unpickle import StandIn, read_pickle


def read_visual_clusters(path: Path) -> torch.Tensor:
    """The visual confounders of `visual_clusters.npy` [K, F], float32.

    Raises:
        InputError: the file is refused, or holds no matrix of finite numbers.
    """
    return _matrix(read_pickle(path), path)


def read_qa_graphs(path: Path) -> torch.Tensor:
    """The nodes of the language confounders of `qa_graphs.npy` [K, 8, N], float32.

    Raises:
        InputError: the file is refused, or its graphs are not the 8-node ones of the method.
    """
    content = read_pickle(path)
    if isinstance(array := _as_tensor(content), torch.Tensor):
        return _nodes(array, path)
    graphs = list(_graphs(content))
    if not graphs:
        raise InputError(f"{path}: holds no graphs with node features x.")
    for graph in graphs:
        _check_edges(graph, path)
    return torch.cat([_nodes(_as_tensor(graph["x"]), path) for graph in graphs])


def read_dictionary(path: Path) -> tuple[str, torch.Tensor]:
    """Either of the two files: ("visual", [K, F]) or ("language", [K, 8, N]), whichever it is."""
    content = read_pickle(path)
    array = _as_tensor(content)
    if isinstance(array, torch.Tensor) and array.ndim == 2:
        return "visual", _matrix(content, path)
    return "language", read_qa_graphs(path)


def _as_tensor(content: Any) -> torch.Tensor | Any:
    if isinstance(content, np.ndarray) and content.dtype.kind in "fiu":
        return torch.from_numpy(np.ascontiguousarray(content)).float()
    return content.detach().float() if isinstance(content, torch.Tensor) else content


def _matrix(content: Any, path: Path) -> torch.Tensor:
    centres = _as_tensor(content)
    if isinstance(centres, dict) and len(centres) == 1:
        centres = _as_tensor(next(iter(centres.values())))
    if isinstance(centres, list) and all(isinstance(row, torch.Tensor) for row in centres):
        centres = torch.stack([row.detach().float() for row in centres])
    if not isinstance(centres, torch.Tensor) or centres.ndim != 2:
        raise InputError(f"{path}: expected a matrix of cluster centres.")
    if not torch.isfinite(centres).all():
        raise InputError(f"{path}: a centre is NaN (the mean of an empty cluster); sample anew.")
    return centres


def _graphs(content: Any) -> Iterator[dict[str, Any]]:
    """Whatever was saved with node features, however deep: a graph, a batch, a list of either."""
    if isinstance(content, StandIn):
        content = content.data
    if isinstance(content, dict):
        if isinstance(_as_tensor(content.get("x")), torch.Tensor):
            yield content
            return
        content = [value for key, value in content.items() if key != "_parent"]
    if isinstance(content, list | tuple):
        for item in content:
            yield from _graphs(item)


def _check_edges(graph: dict[str, Any], path: Path) -> None:
    edges = _as_tensor(graph.get("edge_index"))
    if not isinstance(edges, torch.Tensor):
        return
    first = {tuple(int(end) for end in edge) for edge in edges.T[: len(EDGES)].tolist()}
    if first != set(EDGES):
        raise InputError(f"{path}: its graphs have other edges than the method's twelve.")


def _nodes(x: torch.Tensor, path: Path) -> torch.Tensor:
    """Node features [8, N], [K * 8, N] or [K, 8, N] as [K, 8, N]."""
    if x.ndim == 2 and len(x) % NUM_NODES == 0:
        x = x.unflatten(0, (-1, NUM_NODES))
    if x.ndim != 3 or x.shape[1] != NUM_NODES:
        raise InputError(f"{path}: expected {NUM_NODES} nodes a graph, got {list(x.shape)}.")
    if not torch.isfinite(x).all():
        raise InputError(f"{path}: a node is NaN (the mean of an empty cluster); sample anew.")
    return x
