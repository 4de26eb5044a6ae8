"""How many parameters a model has, and what the paper's number is made of."""

from __future__ import annotations

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, RobertaConfig

from cra_lib.config import run_config
from cra_lib.model import build_model
from cra_lib.model.text import located, without_pooler

PUBLISHED, RELEASED = 145_000_000, 144_800_000
"""The paper's number for CRA on Temp[CLIP], and the release counted (RoBERTa-base, K = 512)."""

UNUSED_IN_RELEASE = {
    "text pooler (a head on the first token)": 768 * 768 + 768,
    "attention selectors (2 layers)": 2 * ((2 * 96 + 2) + (96 * 2 + 96)),
    "second frame attention": 768 * 384 + 384 + 384 + 1,
}
"""Tensors that the release builds and no part of its model reads; ours are not built."""


def paper_sized(
    variant: str = "cra", text_encoder: str = "roberta-base", num_confounders: int = 512
) -> nn.Module:
    """The variant at the paper's widths, without memory for its weights.

    Args:
        text_encoder: any name of which the configuration is at hand; RoBERTa-base always is.
    """
    text = RobertaConfig(
        vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5
    )
    if text_encoder != "roberta-base":
        with located(text_encoder) as source:
            text = AutoConfig.from_pretrained(source)
    with torch.device("meta"):
        return build_model(
            run_config("nextgqa", variant).model,
            visual=torch.zeros(num_confounders, 768),
            graphs=torch.zeros(num_confounders, 8, 768),
            backbone=without_pooler(AutoModel.from_config(text)),
        )


def explain_size(counts: dict[str, int]) -> str:
    """The count of a full CRA by part, and what makes it up to the published one."""
    total, unused = counts["total"], sum(UNUSED_IN_RELEASE.values())
    rows = [
        *counts.items(),
        *UNUSED_IN_RELEASE.items(),
        ("with what the release never reads", total + unused),
        ("the release, as counted", RELEASED),
        ("published in the paper", PUBLISHED),
    ]
    return "\n".join(f"{name:<42}{count:>13,}" for name, count in rows)
