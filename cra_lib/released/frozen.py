"""The release's FrozenBiLM checkpoints: read into our models, and written back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import DebertaV2Config

from cra_lib.config import ModelConfig, run_config
from cra_lib.model import build_model
from cra_lib.model.frozen_bilm import (
    FrozenBiLM,
    GaussianFrozenBiLM,
    MaskedLanguageModel,
    Vocabulary,
)
from cra_lib.records import InputError
from cra_lib.released import names

State = Mapping[str, torch.Tensor]

MARK = "deberta.embeddings.linear_video.weight"
"""Every released FrozenBiLM has it, and no other model."""
TIED = {
    "lm_predictions.lm_head.decoder.weight": "deberta.embeddings.word_embeddings.weight",
    "lm_predictions.lm_head.decoder.bias": "lm_predictions.lm_head.bias",
}
"""Duplicates in a released state; they are dropped, and made again on the way back."""
LAYER = "deberta.encoder.layer."
HEAD_WIDTH = 64
"""Width of an attention head in every DeBERTa-v2 of its authors."""


def table_of(gaussian: bool) -> tuple[tuple[str, str], ...]:
    """Released names and ours."""
    return names.FROZEN_GAUSSIAN_NAMES if gaussian else names.FROZEN_NAMES


def is_frozen_state(state: State) -> bool:
    """Whether a state is that of a FrozenBiLM."""
    return MARK in state


def import_frozen(
    state: State, vocabulary: Vocabulary, *, heads: int | None, settings: dict[str, Any]
) -> tuple[FrozenBiLM, dict[str, torch.Tensor], list[str]]:
    """A released state as our model, what has no counterpart, and what is missing.

    Args:
        vocabulary: mask and answer tokens of the tokenizer that it was trained with.
        heads: attention heads of the language model; None takes 64-wide ones.

    Raises:
        InputError: tensors that do not fit together, or answers other than Yes and No.
    """
    bare = {name: value for name, value in state.items() if not _is_tied(name, state)}
    gaussian = "logit_gauss.1.weight" in bare
    ours, leftovers = names.from_released(bare, table_of(gaussian))
    language = MaskedLanguageModel(language_config(bare, heads), vocabulary)
    model = build_model(
        _settings(bare, settings),
        visual=ours.get("front_door.centres"),
        graphs=ours.get("back_door.graphs"),
        backbone=language,
        feature_width=bare[MARK].shape[1],
    )
    own = model.state_dict()
    _check_shapes(own, ours)
    if "answers.weight" in ours:
        words = bare[TIED["lm_predictions.lm_head.decoder.weight"]]
        if not torch.equal(ours["answers.weight"], words[list(vocabulary.answers)]):
            raise InputError(
                "released state: its answers are not the words Yes and No of this tokenizer; "
                "give the folder of the language model that it was trained with."
            )
    else:
        words = bare[TIED["lm_predictions.lm_head.decoder.weight"]]
        ours["answers.weight"] = words[list(vocabulary.answers)].clone()
    missing = sorted(set(own) - set(ours) - {"answers.bias"})
    model.load_state_dict({**own, **ours})
    return model.eval(), leftovers, missing


def export_frozen(model: FrozenBiLM, leftovers: State) -> dict[str, torch.Tensor]:
    """The model's state under the released names, with the tied duplicates."""
    table = table_of(isinstance(model, GaussianFrozenBiLM))
    reverse = [(ours, theirs) for theirs, ours in table]
    state = model.state_dict()
    for name in state:
        if names.translate(name, reverse) is None:
            raise InputError(f"The release has no place for {name!r}; export a released variant.")
    released = {**names.to_released(state, table), **leftovers}
    return {**released, **{copy: released[name] for copy, name in TIED.items()}}


def language_state(state: State) -> dict[str, torch.Tensor]:
    """The language model alone, as a folder on the hub has it."""
    ours = ("linear_video", ".adapter.", "position_ids", "lm_head.decoder")
    return {
        name: value
        for name, value in state.items()
        if name.startswith(("deberta.", "lm_predictions.")) and not any(p in name for p in ours)
    }


def language_config(state: State, heads: int | None) -> DebertaV2Config:
    """The configuration of a DeBERTa-v2 with the shapes of a released state."""
    words, width = _shape(state, "deberta.embeddings.word_embeddings.weight")
    numbers = {name.split(".")[3] for name in state if name.startswith(LAYER)}
    return DebertaV2Config(
        vocab_size=words,
        hidden_size=width,
        num_hidden_layers=len(numbers),
        num_attention_heads=heads or max(1, width // HEAD_WIDTH),
        intermediate_size=_shape(state, f"{LAYER}0.intermediate.dense.weight")[0],
        max_position_embeddings=_shape(state, "deberta.embeddings.position_embeddings.weight")[0],
        position_buckets=_shape(state, "deberta.encoder.rel_embeddings.weight")[0] // 2,
        relative_attention=True,
        position_biased_input=False,
        pos_att_type=["p2c", "c2p"],
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        conv_kernel_size=_shape(state, "deberta.encoder.conv.conv.weight")[2],
        conv_act="gelu",
        type_vocab_size=0,
        layer_norm_eps=1e-7,
    )


def _settings(state: State, given: dict[str, Any]) -> ModelConfig:
    """What the tensors say about the model that they belong to."""
    width = _shape(state, "deberta.embeddings.word_embeddings.weight")[1]
    down = _shape(state, f"{LAYER}0.output.adapter.down.weight")[0]
    found = {"adapter_factor": width // down}
    variant = "frozen-post-hoc"
    if "logit_gauss.1.weight" in state:
        variant = "frozen-ng+-released"
    elif "fusion.1.weight" in state:
        variant = "frozen-cra-released"
        if "do._vis_do.do.prob_m.weight" in state:
            found["inner_width"] = state["do._vis_do.do.prob_m.weight"].shape[0]
        else:
            found["front_door"] = "none"
        if "do._lin_do.node" not in state:
            found["back_door"] = "none"
    return run_config("nextgqa", variant, overrides={"model": {**found, **given}}).model


def _is_tied(name: str, state: State) -> bool:
    return name in TIED and TIED[name] in state and torch.equal(state[name], state[TIED[name]])


def _check_shapes(own: State, ours: State) -> None:
    for name, value in ours.items():
        if name not in own:
            raise InputError(f"released state: nothing here takes {name!r}.")
        if own[name].shape != value.shape:
            raise InputError(
                f"released state: {name!r} is {list(value.shape)}, where its other tensors ask for "
                f"{list(own[name].shape)}."
            )


def _shape(state: State, name: str) -> torch.Size:
    if name not in state:
        raise InputError(f"Not a state of the released FrozenBiLM: {name!r} is missing.")
    return state[name].shape
