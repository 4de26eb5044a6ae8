"""What causal sampling costs at full scale: python tests/benchmarks/bench_causal.py [PART ...]

Parts: language (parse, encode, cluster 37,523 pairs at 1/4, 1/2 and 1),
speedup (unique and batched against one component at a time, small transformer), visual (123,840 x
768 frame features from HDF5, against scikit-learn's MiniBatchKMeans in memory). Each part should
run in a process of its own, so that its peak memory is its own. Wall and CPU seconds are printed:
on a busy machine the CPU seconds are the ones to trust.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

K, SEED, WORKERS = 512, 43, 2


@contextmanager
def measured(name: str):
    """Print wall seconds, CPU seconds and the peak memory of the process so far."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    spent = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:34s} {spent[0]:7.1f} s  CPU {spent[1]:7.1f} s  peak {peak:.2f} GiB", flush=True)


def open_ended_pairs() -> list:
    """The open-ended training questions that come with the package."""
    from cra_lib.causal.parsing import Pair
    from cra_lib.evaluator.annotations import read_csv
    from cra_lib.evaluator.packaged import packaged_dataset

    path = packaged_dataset("nextgqa").root / "nextoe" / "train.csv"
    return [
        Pair(f"{row['video_id']}_{row['qid']}", row["question"].strip(), row["answer"].strip())
        for row in read_csv(path, required=("question", "answer", "qid"))
    ]


def language() -> None:
    """Parse, encode and cluster the open-ended training questions."""
    from cra_lib.causal.clusters import ArrayRows, streaming_kmeans
    from cra_lib.causal.node_encoders import HashedEncoder
    from cra_lib.causal.parsing import load_pipeline, parse_pairs
    from cra_lib.causal.question_graphs import build_graphs

    everything = open_ended_pairs()
    pipeline = load_pipeline("rules")
    for part in (4, 2, 1):
        pairs = everything[: len(everything) // part]
        with measured(f"parse {len(pairs)} pairs"):
            parsed = parse_pairs(pairs, pipeline)
        with measured("encode (hashed, 768)"):
            graphs = build_graphs(parsed.components, HashedEncoder(768))
        rows = ArrayRows(graphs.take, len(graphs.nodes), graphs.width)
        with measured(f"cluster K = {K}"):
            found = streaming_kmeans(rows, K, seed=SEED, workers=WORKERS)
        print(f"  {len(graphs.texts)} texts, inertia {found.inertia:.1f}")


def speedup(sample: int = 200) -> None:
    """Unique, batched encoding against each component of each pair on its own."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from cra_lib.causal.node_encoders import TransformerEncoder
    from cra_lib.causal.parsing import load_pipeline, parse_pairs
    from cra_lib.causal.question_graphs import build_graphs

    torch.set_num_threads(1)
    pairs = open_ended_pairs()
    parsed = parse_pairs(pairs[: 10 * sample], load_pipeline("rules"))
    words = sorted({word for row in parsed.components for text in row for word in text.split()})
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<unk>", *words])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", unk_token="<unk>")
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
    )
    encoder = TransformerEncoder(BertModel(config), tokenizer, "small")
    encoder.encode(["warm up"])
    start = time.process_time()
    for row in parsed.components[:sample]:
        for text in row:
            encoder.encode([text])
    alone = (time.process_time() - start) / sample
    start = time.process_time()
    build_graphs(parsed.components, encoder)
    together = (time.process_time() - start) / len(parsed.components)
    print(f"one at a time {1e3 * alone:.2f} ms a pair, ours {1e3 * together:.3f} ms a pair (CPU)")
    print(f"{alone / together:.1f} times faster")


def visual() -> None:
    """Stream features from disk; then scikit-learn with all of them in memory."""
    from cra_lib.causal.clusters import streaming_kmeans
    from cra_lib.causal.sampling import FrameRows
    from cra_lib.video.features import FeatureStore

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.h5"
        make_features(path)
        with FeatureStore(path) as store:
            rows = FrameRows(store, store.video_ids)
            with measured(f"cluster {rows.num_rows} frames, K = {K}"):
                found = streaming_kmeans(rows, K, seed=SEED, workers=WORKERS)
            print(f"  inertia {found.inertia:.1f}", flush=True)
            everything = store.take(store.video_ids).reshape(-1, store.width)
        from sklearn.cluster import MiniBatchKMeans

        with measured("scikit-learn, in memory"):
            theirs = MiniBatchKMeans(K, random_state=SEED, n_init=3).fit(everything)
        print(
            f"  inertia {theirs.inertia_:.1f}; ours / theirs {found.inertia / theirs.inertia_:.4f}"
        )


def make_features(path: Path, videos: int = 3870, frames: int = 32, width: int = 768) -> None:
    """CLIP-like features: a scene for each video, slow change over its frames, noise."""
    import h5py

    rng = np.random.default_rng(0)
    scenes = rng.standard_normal((400, width), dtype=np.float32)
    with h5py.File(path, "w") as file:
        file["vid"] = [f"v{number}".encode() for number in range(videos)]
        data = file.create_dataset("CLIPL_I", (videos, frames, width), dtype="f4")
        for video in range(videos):
            ends = scenes[rng.integers(400, size=2)]
            share = np.linspace(0, 1, frames, dtype=np.float32)[:, None]
            path_rows = (1 - share) * ends[0] + share * ends[1]
            rows = path_rows + 0.5 * rng.standard_normal((frames, width), dtype=np.float32)
            data[video] = 10 * rows / np.linalg.norm(rows, axis=1, keepdims=True)


PARTS = {"language": language, "speedup": speedup, "visual": visual}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        print(f"== {part}")
        PARTS[part]()
