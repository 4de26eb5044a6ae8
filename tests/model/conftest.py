"""Small models with random weights, for every variant."""

import pytest
import torch
from transformers import RobertaConfig, RobertaModel

from cra_lib.config import run_config
from cra_lib.model import build_model

SIZES = {"width": 32, "ffn_width": 48, "heads": 4}
FEATURE_WIDTH, CONFOUNDERS, NODE_WIDTH = 24, 6, 20


def tiny_backbone(seed: int = 0, width: int = 16) -> RobertaModel:
    torch.manual_seed(seed)
    return RobertaModel(
        RobertaConfig(
            vocab_size=60,
            hidden_size=width,
            intermediate_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=64,
            type_vocab_size=1,
        )
    )


def tiny_model(variant: str, seed: int = 0, **overrides):
    torch.manual_seed(seed)
    config = run_config("shapes", variant, overrides={"model": {**SIZES, **overrides}})
    return build_model(
        config.model,
        visual=torch.randn(CONFOUNDERS, FEATURE_WIDTH),
        graphs=torch.randn(CONFOUNDERS, 8, NODE_WIDTH),
        backbone=tiny_backbone(seed),
        feature_width=FEATURE_WIDTH,
    )


@pytest.fixture(name="tiny_model")
def _tiny_model():
    return tiny_model
