"""How many parameters a model has, and what the paper's number is made of."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel, DebertaV2Config, RobertaConfig

from cra_lib.config import run_config
from cra_lib.model import build_model
from cra_lib.model.frozen_bilm import MaskedLanguageModel, Vocabulary
from cra_lib.model.text import located, without_pooler

PUBLISHED, RELEASED = 145_000_000, 144_800_000
"""The paper's number for CRA on Temp[CLIP], and the release counted (RoBERTa-base, K = 512)."""

DEBERTA_V2 = {
    "relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True, "norm_rel_ebd": "layer_norm", "conv_kernel_size": 3,
    "conv_act": "gelu", "type_vocab_size": 0, "layer_norm_eps": 1e-7,
}  # fmt: skip
"""What DeBERTa-V2-XLarge is like, whatever its size: small ones of ours are the same."""
XLARGE = DEBERTA_V2 | {
    "vocab_size": 128_100, "hidden_size": 1536, "num_hidden_layers": 24, "num_attention_heads": 24,
    "intermediate_size": 6144, "max_position_embeddings": 512, "position_buckets": 256,
}  # fmt: skip
"""DeBERTa-V2-XLarge, the frozen language model of the paper."""

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
    settings = run_config("nextgqa", variant).model
    with torch.device("meta"):
        backbone = (
            MaskedLanguageModel(DebertaV2Config(**XLARGE), Vocabulary(128_000, (1, 2)))
            if settings.is_frozen
            else without_pooler(AutoModel.from_config(text))
        )
        return build_model(
            settings,
            visual=torch.zeros(num_confounders, 768),
            graphs=torch.zeros(num_confounders, 8, 768),
            backbone=backbone,
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


class StepCost(NamedTuple):
    """What one training step of a frozen variant takes, computed and not measured."""

    weights: int
    """Bytes of all weights, frozen ones included."""
    optimizer: int
    """Bytes of gradients and both of Adam's averages, trained weights only."""
    kept: int
    """Bytes that the forward pass keeps for the backward pass."""
    operations: int
    """Floating-point operations of the forward and backward pass."""


def step_cost(
    variant: str = "frozen-cra",
    *,
    sequences: int = 60,
    frames: int = 32,
    words: int = 48,
    checkpointing: bool = False,
    half: bool = False,
    model: nn.Module | None = None,
) -> StepCost:
    """Cost of one step at the paper's size, from a pass without memory for its numbers.

    Args:
        sequences: questions times candidates of both stages; 60 are six questions.
        checkpointing: layers are computed again in the backward pass.
        half: activations in 16 bits.
        model: another model on the meta device.
    """
    model = (paper_sized(variant) if model is None else model).train()
    if checkpointing:
        model.language.checkpoint_layers()
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if not any(value is weight for weight in weights):
            kept[storage._cdata] = storage.nbytes()
        return value

    weights = list(model.parameters())
    features = torch.empty(sequences, frames, model.feature_width, device="meta")
    tokens = torch.zeros(sequences, words, dtype=torch.long, device="meta")
    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        output = model(features, tokens, torch.ones_like(tokens, dtype=torch.bool))
        output.score.sum().backward()
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    return StepCost(
        weights=4 * sum(weight.numel() for weight in weights),
        optimizer=3 * 4 * trained,
        kept=sum(kept.values()) // (2 if half else 1),
        operations=counter.get_total_flops(),
    )


def explain_cost(variant: str) -> str:
    """Computed memory and work of one step of the recipe: six questions on one GPU."""
    stages = 1 + run_config("nextgqa", variant).train.question_stage
    lines = [f"computed, not measured: one step of 6 questions, {30 * stages} prompts of 48 tokens"]
    for checkpointing in (False, True):
        cost = step_cost(variant, sequences=30 * stages, checkpointing=checkpointing)
        memory = cost.weights + cost.optimizer + cost.kept
        how = "layers computed again" if checkpointing else "everything kept"
        lines.append(
            f"  {how:<22} {memory / 2**30:6.1f} GiB (weights {cost.weights / 2**30:.1f}, optimizer "
            f"{cost.optimizer / 2**30:.1f}, kept {cost.kept / 2**30:.1f}), "
            f"{cost.operations / 1e12:.1f} TFLOP"
        )
    return "\n".join(lines)
