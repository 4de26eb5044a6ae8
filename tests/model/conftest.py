"""Small models with random weights for every variant, and the recorded numbers of the release."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import RobertaConfig, RobertaModel

from cra_lib.config import run_config
from cra_lib.model import build_model

GOLDEN = Path(__file__).parent.parent / "golden"
SIZES = {"width": 32, "ffn_width": 48, "heads": 4}
FEATURE_WIDTH, CONFOUNDERS, NODE_WIDTH, VOCABULARY = 24, 6, 20, 60


def tiny_backbone(width: int = 16) -> RobertaModel:
    """A RoBERTa of one layer; its heads are never enough to matter."""
    return RobertaModel(
        RobertaConfig(
            vocab_size=VOCABULARY,
            hidden_size=width,
            intermediate_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=64,
            type_vocab_size=1,
        )
    )


def build_tiny(variant: str, seed: int = 0, **settings):
    """The variant at a width of 32, in training mode."""
    torch.manual_seed(seed)
    config = run_config("shapes", variant, overrides={"model": {**SIZES, **settings}})
    return build_model(
        config.model,
        visual=torch.randn(CONFOUNDERS, FEATURE_WIDTH),
        graphs=torch.randn(CONFOUNDERS, 8, NODE_WIDTH),
        backbone=tiny_backbone(),
        feature_width=FEATURE_WIDTH,
    )


def random_batch(videos: int = 4, choices: int = 5, frames: int = 16, seed: int = 1):
    """Features, and tokens of every candidate with some padding at their ends."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, VOCABULARY, (videos * choices, 12), generator=generator)
    lengths = torch.randint(3, 13, (videos * choices,), generator=generator)
    keep = torch.arange(12) < lengths[:, None]
    return SimpleNamespace(
        features=torch.randn(videos, frames, FEATURE_WIDTH, generator=generator),
        tokens=tokens.masked_fill(~keep, 1),
        keep=keep,
        truth=torch.randint(choices, (videos,), generator=generator),
        shape=(videos, choices),
    )


def run(model, batch, truth=None):
    """One pass over a batch; ``truth`` as in the question stage."""
    candidates = model.encode_text(batch.tokens, batch.keep).unflatten(0, batch.shape)
    video = model.encode_video(batch.features)
    return model(video, candidates, model.query_of(candidates, truth))


def generated(manifest: str, tag: str) -> dict[str, torch.Tensor]:
    """The weights of one tag of a manifest, made from their names (see golden/README.md)."""
    entries = json.loads((GOLDEN / manifest).read_text())[tag]
    return {name: _tensor(f"{tag}/{name}", entry) for name, entry in entries.items()}


def _tensor(name: str, entry: dict) -> torch.Tensor:
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    count = int(np.prod(entry["shape"]))
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = np.uint64(seed) + steps
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    unit = 2 * ((z >> np.uint64(40)).astype(np.float64) / 2**24) - 1
    values = (entry["offset"] + entry["scale"] * unit).astype("<f4")
    assert hashlib.sha256(values.tobytes()).hexdigest().startswith(entry["sha256"]), name
    return torch.from_numpy(values.reshape(entry["shape"]))


def recorded(name: str) -> dict[str, torch.Tensor]:
    """The arrays of one recorded file."""
    with np.load(GOLDEN / name, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def stored_state(arrays: dict[str, torch.Tensor], prefix: str = "sd:") -> dict[str, torch.Tensor]:
    """The weights stored in a recorded file, under the released names."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


@pytest.fixture(scope="session")
def tiny():
    """`build`, `batch` and `run` of tiny models."""
    return SimpleNamespace(build=build_tiny, batch=random_batch, run=run, backbone=tiny_backbone)


@pytest.fixture(scope="session")
def golden():
    """Readers of the recorded numbers."""
    return SimpleNamespace(
        folder=GOLDEN,
        recorded=recorded,
        generated=generated,
        stored_state=stored_state,
        tensor=_tensor,
    )
