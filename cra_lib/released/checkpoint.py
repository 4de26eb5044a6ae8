"""The release's checkpoints: read into our model, and written back under the released names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from cra_lib.config import ModelConfig, run_config
from cra_lib.model import CRA, TempCLIP, build_model
from cra_lib.model.base import Pretrained
from cra_lib.model.frozen_bilm import FrozenBiLM, Vocabulary
from cra_lib.model.frozen_bilm.loading import save_language_model, vocabulary_of
from cra_lib.model.saving import LANGUAGE_MODEL, fit_state
from cra_lib.model.text import load_tokenizer
from cra_lib.paths import atomic, require
from cra_lib.records import InputError
from cra_lib.released import names
from cra_lib.released.frozen import (
    export_frozen,
    import_frozen,
    is_frozen_state,
    language_state,
)

LEFTOVERS = "released_only.safetensors"
"""Beside an imported model: the release's tensors that have no counterpart here."""

LANGUAGE_MODEL_NAME = "microsoft/deberta-v2-xlarge"
RELEASED_HEADS = 8
"""Attention heads over the frames; the release fixes them, whatever its configuration says."""

State = Mapping[str, torch.Tensor]


@dataclass
class Imported:
    """A released state as our model, and what the translation left over."""

    model: CRA | TempCLIP | FrozenBiLM
    leftovers: dict[str, torch.Tensor]
    """The release's tensors without a counterpart, under its names; none of them is ever used."""
    missing: list[str] = field(default_factory=list)
    """Our parameters that the state does not have; they keep their initial values."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A released ``.pth``: {"epoch", "state_dict", "optimizer", "monitor_best"}, or a bare state.

    Raises:
        InputError: it is missing, broken, or holds more than tensors and plain values.
    """
    require(path, "Checkpoint", "Give the .pth file of a released training run.")
    scalars = [np._core.multiarray.scalar, np.dtype, *_dtype_classes()]
    try:
        with torch.serialization.safe_globals(scalars):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its parser happens to meet
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{path}: not a checkpoint that can be read safely ({reason}).") from None
    is_mapping = isinstance(content, dict)
    # FrozenBiLM's own checkpoints call their state "model".
    state = content.get("state_dict", content.get("model", content)) if is_mapping else None
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InputError(f"{path}: no state_dict of tensors in it.")
    return content if "state_dict" in content else {"state_dict": state}


def _dtype_classes() -> list[type]:
    return [type(np.dtype(kind)) for kind in ("float64", "float32", "int64")]


def import_state(
    state: State,
    *,
    backbone: nn.Module | None = None,
    heads: int | None = None,
    settings: dict[str, Any] | None = None,
    vocabulary: Vocabulary | None = None,
) -> Imported:
    """A released state in our model, in its as-released settings.

    Args:
        state: parameter name -> tensor; a ``module.`` prefix is dropped.
        backbone: the text encoder; None infers RoBERTa or BERT from the tensors' shapes.
        heads: attention heads over the frames (8 as released), or of a frozen language model.
        vocabulary: of a FrozenBiLM, its tokenizer's mask and answers.
        settings: model settings that win over what the state shows, such as dropout.

    Raises:
        InputError: not a state of the release, or one whose widths do not fit together.
    """
    bare = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    if is_frozen_state(bare):
        if vocabulary is None:
            raise InputError("A FrozenBiLM state needs the tokenizer of its language model.")
        return Imported(*import_frozen(bare, vocabulary, heads=heads, settings=settings or {}))
    table = names.TEMP_CLIP_NAMES if "linear_video.weight" in bare else names.CRA_NAMES
    ours, leftovers = names.from_released(bare, table)
    config = _settings(ours, heads or RELEASED_HEADS, settings or {})
    backbone = _backbone(ours) if backbone is None else backbone
    model = build_model(
        config,
        visual=ours.get("front_door.centres"),
        graphs=ours.get("back_door.graphs"),
        backbone=backbone,
        feature_width=_shape(ours, _FRAME_WEIGHT[config.family])[1],
    )
    own = model.state_dict()
    leftovers |= {  # tensors of the text encoder that newer library versions do not have
        names.translate(name, _reverse(table)): ours.pop(name)
        for name in sorted(set(ours) - set(own))
    }
    missing = sorted(set(own) - set(ours))
    fit_state(model, {**own, **ours}, "released state")
    return Imported(model, leftovers, missing)


def export_state(model: CRA | TempCLIP, leftovers: State | None = None) -> dict[str, torch.Tensor]:
    """The model's state under the released names, with what the import left over put back.

    Raises:
        InputError: the model has parameters that the release has no place for.
    """
    if isinstance(model, FrozenBiLM):
        return export_frozen(model, leftovers or {})
    table = names.CRA_NAMES if isinstance(model, CRA) else names.TEMP_CLIP_NAMES
    reverse = _reverse(table)
    for name in model.state_dict():
        if names.translate(name, reverse) is None:
            raise InputError(f"The release has no place for {name!r}; export a released variant.")
    return {**names.to_released(model.state_dict(), table), **(leftovers or {})}


def import_checkpoint(
    path: Path,
    out_dir: Path,
    *,
    language_model: str = LANGUAGE_MODEL_NAME,
    heads: int | None = None,
) -> Imported:
    """Read a released checkpoint and write it as a model folder with its leftovers.

    A FrozenBiLM's language model is written beside it, to ``language_model``.

    Args:
        language_model: name or folder of the one that a FrozenBiLM was trained with; only its
            tokenizer is read.
        heads: see `import_state`.
    """
    state = read_checkpoint(path)["state_dict"]
    bare = {name.removeprefix("module."): value for name, value in state.items()}
    tokenizer = vocabulary = None
    if is_frozen_state(bare):
        tokenizer = load_tokenizer(language_model, "model.language_model")
        vocabulary = vocabulary_of(tokenizer, language_model)
    imported = import_state(bare, heads=heads, vocabulary=vocabulary)
    if tokenizer is not None:
        config = imported.model.language.config
        save_language_model(language_state(bare), config, tokenizer, out_dir / LANGUAGE_MODEL)
    imported.model.save_pretrained(out_dir)
    if imported.leftovers:
        with atomic(out_dir / LEFTOVERS) as partial:
            save_file({n: t.contiguous() for n, t in imported.leftovers.items()}, partial)
    return imported


def export_checkpoint(folder: Path, path: Path) -> dict[str, torch.Tensor]:
    """Write a model folder as a released checkpoint ``{"state_dict": ...}``."""
    model = Pretrained.from_pretrained(folder)
    leftovers = load_file(folder / LEFTOVERS) if (folder / LEFTOVERS).exists() else {}
    state = export_state(model, leftovers)
    with atomic(path) as partial:
        torch.save({"state_dict": state}, partial)
    return state


_FRAME_WEIGHT = {"cra": "video.embed.project.weight", "temp-clip": "frames.project.weight"}
_EXPAND_WEIGHT = {"cra": "video.layers.0.expand.weight", "temp-clip": "layers.0.expand.weight"}


def _reverse(table: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [(ours, theirs) for theirs, ours in table]


def _shape(ours: State, name: str) -> torch.Size:
    if name not in ours:
        raise InputError(f"Not a state of the released model: nothing in it becomes {name!r}.")
    return ours[name].shape


def _settings(ours: State, heads: int, given: dict[str, Any]) -> ModelConfig:
    """What the tensors say about the model that they belong to."""
    family = "cra" if _FRAME_WEIGHT["cra"] in ours else "temp-clip"
    layers = {name.split("layers.")[1].split(".")[0] for name in ours if ".expand.weight" in name}
    found = {
        "family": family,
        "width": _shape(ours, _FRAME_WEIGHT[family])[0],
        "ffn_width": _shape(ours, _EXPAND_WEIGHT[family])[0],
        "heads": heads,
        "layers": len(layers),
        "front_door": "batch" if "front_door.centres" in ours else "none",
        "back_door": "unused" if "back_door.graphs" in ours else "none",
        "baseline": "gaussian" if "locate.1.weight" in ours else "post-hoc",
    }
    return run_config("nextgqa", "cra-released", overrides={"model": {**found, **given}}).model


def _backbone(ours: State) -> nn.Module:
    """A RoBERTa or BERT of the shapes in the state; heads are 64 wide, as in both families."""
    prefix = "text.backbone."
    vocabulary, width = _shape(ours, prefix + "embeddings.word_embeddings.weight")
    types = _shape(ours, prefix + "embeddings.token_type_embeddings.weight")[0]
    layers = {n.split("layer.")[1].split(".")[0] for n in ours if n.startswith(prefix + "encoder")}
    kind = transformers.RobertaConfig if types == 1 else transformers.BertConfig
    config = kind(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, width // 64),
        intermediate_size=_shape(ours, prefix + "encoder.layer.0.intermediate.dense.weight")[0],
        max_position_embeddings=_shape(ours, prefix + "embeddings.position_embeddings.weight")[0],
        type_vocab_size=types,
        layer_norm_eps=1e-5 if types == 1 else 1e-12,
    )
    return transformers.AutoModel.from_config(config)
