"""A tiny frozen language model, and the numbers recorded from the release's FrozenBiLM."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from cra_lib.config import run_config
from cra_lib.model import build_model
from cra_lib.model.frozen_bilm import MaskedLanguageModel, Vocabulary
from cra_lib.released.names import FROZEN_GAUSSIAN_NAMES, FROZEN_NAMES, from_released

MANIFEST = "frozenbilm/fbilm_s48_manifest.json"


def prompts(count: int = 4, length: int = 14, seed: int = 1, shortest: int = 6):
    """Features and texts with one mask each: features, tokens, keep."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(10, 119, (count, length), generator=generator)
    lengths = torch.randint(shortest, length + 1, (count,), generator=generator)
    keep = torch.arange(length) < lengths[:, None]
    tokens[torch.arange(count), lengths - 2] = 119
    features = torch.randn(count, 8, 20, generator=generator)
    return features, tokens.masked_fill(~keep, 0), keep


@pytest.fixture(scope="session")
def frozen(deberta_config):
    """`build`, `language_model` and `prompts` of tiny models."""

    def language_model(*, words=120, answers=(7, 9), **sizes) -> MaskedLanguageModel:
        """A DeBERTa-v2 with the settings of the large one; its mask is the last word."""
        config = deberta_config(words=words, **{"width": 48, "heads": 4, "inner": 64, **sizes})
        return MaskedLanguageModel(config, Vocabulary(words - 1, answers))

    def build(variant: str, *, seed: int = 0, language=None, **settings):
        """A tiny model of a frozen variant, features 20 wide, in evaluation mode."""
        torch.manual_seed(seed)
        config = run_config("shapes", variant, overrides={"model": {"inner_width": 24, **settings}})
        return build_model(
            config.model,
            visual=torch.randn(10, 20),
            graphs=torch.randn(6, 8, 16),
            backbone=language or language_model(),
            feature_width=20,
        ).eval()

    return SimpleNamespace(build=build, language_model=language_model, prompts=prompts)


RELEASED = {
    "plain": ("frozen-post-hoc", {}),
    "ng": ("frozen-ng+-released", {}),
    "cra": ("frozen-cra-released", {}),
    "nofd": ("frozen-no-vci-released", {}),
    "backdoor": ("frozen-cra-released", {"back_door": "applied"}),
}


@pytest.fixture(scope="session")
def released(golden, frozen):
    """Builds a model with the recorded weights: kind -> model in float64, evaluation mode."""

    def make(kind: str, dtype: torch.dtype = torch.float64):
        variant, settings = RELEASED[kind]
        tag = kind if kind in ("plain", "ng") else "cra"
        table = FROZEN_GAUSSIAN_NAMES if tag == "ng" else FROZEN_NAMES
        entries = json.loads((golden.folder / MANIFEST).read_text())["weights"][f"s48_{tag}"]
        state = {n: golden.tensor(f"s48_{tag}/{n}", entry) for n, entry in entries.items()}
        ours, rest = from_released(state, table)
        assert not rest
        model = frozen.build(variant, **settings)
        own = model.state_dict()
        rows = ours["language.deberta.embeddings.word_embeddings.weight"][[7, 9]]
        given = {**ours, "answers.weight": rows, "answers.bias": torch.zeros(2)}
        # Without an intervention its weights have no place here.
        assert set(own) <= set(given)
        model.load_state_dict({name: given[name] for name in own})
        return model.to(dtype)

    return make
