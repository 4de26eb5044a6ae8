"""Sample both confounder dictionaries from the training data, and describe them in a card.

The files are those of `cra_lib.data.confounders`. The card is a dict for confounders_card.json:
sources with hashes, settings, counts, inertia, seconds per stage, and the nearest training items of
every centre.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cra_lib.causal.clusters import ArrayRows, Clusters, streaming_kmeans
from cra_lib.causal.node_encoders import NodeEncoder, load_node_encoder
from cra_lib.causal.parsing import RULES, Pair, ParsedPairs, load_pipeline, pairs_of, parse_pairs
from cra_lib.causal.question_graphs import QuestionGraphs, build_graphs, coverage
from cra_lib.config import CausalConfig
from cra_lib.data.confounders import NODES, write_confounders
from cra_lib.paths import atomic, sha256
from cra_lib.records import InputError, Question
from cra_lib.video.features import FeatureStore

NEAREST = 5
"""Training items that the card lists for each centre."""
FRAMES_PER_BLOCK = 256
"""Frame features read from disk at a time, about."""


class FrameRows:
    """The frame features of some videos as rows, read from HDF5 a few videos at a time."""

    def __init__(self, store: FeatureStore, video_ids: Sequence[str]):
        self._store, self.video_ids = store, tuple(video_ids)
        self.frames, self.width = store.num_frames, store.width
        self.num_rows = len(self.video_ids) * self.frames
        self._videos = max(1, FRAMES_PER_BLOCK // self.frames)

    @property
    def num_blocks(self) -> int:
        return -(-len(self.video_ids) // self._videos)

    def block(self, number: int) -> np.ndarray:
        start = number * self._videos
        taken = self._store.take(self.video_ids[start : start + self._videos])
        return taken.reshape(-1, self.width)

    def name(self, row: int) -> str:
        """Video and frame of a row: ``4010069381#12``."""
        return f"{self.video_ids[row // self.frames]}#{row % self.frames}"


def sample_visual(
    feature_path: Path,
    out: Path,
    cfg: CausalConfig,
    *,
    video_ids: Collection[str],
    workers: int = 1,
) -> dict[str, Any]:
    """Cluster the frame features of the training videos and write their centres.

    Args:
        feature_path: HDF5 of the training split.
        video_ids: videos of the training questions; others in the file are left alone.
        workers: threads; the centres do not depend on it.

    Returns:
        The visual part of the card.

    Raises:
        InputError: no training video has features, or fewer different frames than clusters.
    """
    clock: dict[str, float] = {}
    wanted = set(video_ids)
    with FeatureStore(feature_path) as store:
        used = [video_id for video_id in store.video_ids if video_id in wanted]
        if not used:
            raise InputError(
                f"{feature_path}: none of its {len(store)} videos has a training question; "
                "is it the file of another split?"
            )
        rows = FrameRows(store, used)
        with _timed(clock, "cluster"):
            clusters = _filled(_cluster(rows, cfg, workers), "frames")
        write_confounders(out, clusters.centres, clusters.counts)
        card = {
            "source": _source(feature_path),
            "videos": len(used),
            "videos_left_out": len(store) - len(used),
            "videos_without_features": len(wanted - set(used)),
            "frames": rows.num_rows,
            "ids_sha256": _digest(used),
            **_described(clusters, cfg, out, rows.name),
        }
    return card | {"seconds": clock}


def sample_language(
    questions: Iterable[Question] | Iterable[Pair],
    out: Path,
    cfg: CausalConfig,
    *,
    source: Path | None = None,
    width: int = 768,
    workers: int = 1,
    progress: Callable[[Iterable], Iterable] = iter,
    encoder: NodeEncoder | None = None,
    parsed: ParsedPairs | None = None,
) -> dict[str, Any]:
    """Parse, encode and cluster the training pairs and write the centres of their graphs.

    Args:
        questions: training questions, or pairs of question and answer.
        source: the file they come from, for the card.
        width: width of the "hashed" encoder; the others have their own.
        workers: processes for parsing and threads for clustering; no result depends on it.
        encoder: instead of the one that ``cfg`` names.
        parsed: what `parse_pairs` made of these pairs, where that has been done already.

    Returns:
        The linguistic part of the card.

    Raises:
        InputError: parser or encoder is not installed, or fewer different pairs than clusters.
    """
    clock: dict[str, float] = {}
    if parsed is None:
        with _timed(clock, "parse"):
            # One process parses as fast by rules as two that send documents to each other.
            processes = 1 if cfg.parser == RULES else workers
            pipeline = load_pipeline(cfg.parser)
            parsed = parse_pairs(
                _as_pairs(questions), pipeline, workers=processes, progress=progress
            )
    with _timed(clock, "encode"):
        encoder = encoder or load_node_encoder(cfg.node_encoder, width)
        graphs = build_graphs(parsed.components, encoder, progress=progress)
    with _timed(clock, "cluster"):
        clusters = _filled(
            _cluster(_graph_rows(graphs), cfg, workers), "pairs of question and answer"
        )
    centres = clusters.centres.reshape(len(clusters.centres), len(NODES), -1)
    write_confounders(out, centres, clusters.counts)
    card = _language_card(parsed, graphs, cfg, encoder)
    if source is not None:
        card["source"] = _source(source)
    named = _described(clusters, cfg, out, lambda row: parsed.keys[row])
    return card | named | {"seconds": clock}


def _as_pairs(questions: Iterable[Question] | Iterable[Pair]) -> list[Pair]:
    items = list(questions)
    if items and isinstance(items[0], Pair):
        return items
    return pairs_of(items)


def _graph_rows(graphs: QuestionGraphs) -> ArrayRows:
    return ArrayRows(graphs.take, len(graphs.nodes), graphs.width)


def _cluster(rows, cfg: CausalConfig, workers: int) -> Clusters:
    return streaming_kmeans(
        rows, cfg.num_confounders, seed=cfg.seed, batch_size=cfg.batch_size, workers=workers
    )


def _filled(clusters: Clusters, rows: str) -> Clusters:
    """The clusters, none of them empty.

    Raises:
        InputError: a centre has no row.
    """
    filled = int((clusters.counts > 0).sum())
    if filled < len(clusters.counts):
        raise InputError(
            f"The {clusters.counts.sum()} training {rows} differ too little for "
            f"{len(clusters.counts)} clusters: {len(clusters.counts) - filled} stay empty; set "
            f"causal.num_confounders to {filled} or less."
        )
    return clusters


def _language_card(
    parsed: ParsedPairs, graphs: QuestionGraphs, cfg: CausalConfig, encoder: NodeEncoder
) -> dict[str, Any]:
    return {
        "parser": cfg.parser,
        "node_encoder": encoder.name,
        "node_width": encoder.width,
        "texts": len(graphs.texts),
        "text_counts": parsed.counts,
        "coverage": coverage(parsed.components),
        "ids_sha256": _digest(parsed.keys),
    }


def _described(
    clusters: Clusters, cfg: CausalConfig, out: Path, name: Callable[[int], str]
) -> dict[str, Any]:
    """What the card says about a clustering."""
    nearest = clusters.nearest(NEAREST)
    return {
        "num_confounders": len(clusters.centres),
        "seed": cfg.seed,
        "batch_size": cfg.batch_size,
        "reseeded": clusters.reseeded,
        "empty": int((clusters.counts == 0).sum()),
        "inertia": clusters.inertia,
        "counts": clusters.counts.tolist(),
        "nearest": [[name(int(row)) for row in rows if row >= 0] for rows in nearest],
        "file": out.name,
        "sha256": sha256(out),
    }


def write_card(path: Path, **parts: dict[str, Any]) -> None:
    """Put the visual and / or linguistic part into a card file, keeping the other one."""
    card = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    text = json.dumps({**card, **parts}, indent=1, sort_keys=True)
    with atomic(path) as partial:
        partial.write_text(f"{text}\n", encoding="utf-8")


def k_study(
    rows_of: QuestionGraphs, cfg: CausalConfig, sizes: Sequence[int], workers: int = 1
) -> dict[int, float]:
    """K -> mean squared distance of a graph to its centre, for a figure."""
    source = _graph_rows(rows_of)
    chosen = [size for size in sizes if size <= source.num_rows]
    return {
        size: _cluster(source, cfg.model_copy(update={"num_confounders": size}), workers).inertia
        / source.num_rows
        for size in chosen
    }


def _source(path: Path) -> dict[str, str]:
    return {"file": Path(path).name, "sha256": sha256(path)}


def _digest(names: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


@contextmanager
def _timed(clock: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    clock[stage] = round(time.perf_counter() - start, 3)
