"""Puts FrozenBiLM together from the model settings."""

from __future__ import annotations

from typing import Any

from torch import nn

from cra_lib.config import ModelConfig
from cra_lib.model import grounding, intervention
from cra_lib.model.frozen_bilm.cra import AddedEvidence, FrozenCRA, IgnoredEvidence
from cra_lib.model.frozen_bilm.gaussian import (
    HEADS,
    GaussianFrozenBiLM,
    ReleasedGaussianFrozenBiLM,
)
from cra_lib.model.frozen_bilm.language_model import MaskedLanguageModel
from cra_lib.model.frozen_bilm.loading import load_language_model
from cra_lib.model.frozen_bilm.model import FrozenBiLM
from cra_lib.records import InputError

GAUSSIAN = {"masked": GaussianFrozenBiLM, "unmasked": ReleasedGaussianFrozenBiLM}
BACK_DOORS = {**intervention.BACK_DOORS, "unused": intervention.ReleasedFrozenBackDoor}
NO_FRONT_DOOR = {"added": AddedEvidence, "ignored": IgnoredEvidence}


def build_frozen(
    cfg: ModelConfig,
    language: MaskedLanguageModel | None,
    feature_width: int,
    mask_sigma: float = 9.0,
    *,
    visual=None,
    graphs=None,
) -> FrozenBiLM:
    """The model of a frozen family; every new Linear starts as the language model's own did.

    Args:
        language: None loads ``cfg.language_model``.

    Raises:
        InputError: widths that do not fit.
    """
    language = language or load_language_model(cfg.language_model)
    width = language.config.hidden_size
    if width % HEADS or width < cfg.adapter_factor:
        raise InputError(
            f"The frozen language model is {width} wide; that should be a multiple of {HEADS}, and "
            f"no less than model.adapter_factor ({cfg.adapter_factor})."
        )
    before = set(language.modules())
    shared = {
        "language": language,
        "feature_width": feature_width,
        "adapter_factor": cfg.adapter_factor,
        "dropout": cfg.dropout,
        "biased_answers": cfg.answer_bias == "words",
    }
    if cfg.family == "frozen-cra":
        model = FrozenCRA(
            **_grounding(cfg, width),
            **_interventions(cfg, width, visual, graphs),
            pools_padding=cfg.text_pooling == "padded",
            **shared,
        )
    elif cfg.baseline == "gaussian":
        model = GAUSSIAN[cfg.gaussian_answer](**shared, sigma=mask_sigma)
    else:
        model = FrozenBiLM(**shared)
    _initialise(model, before, language.config.initializer_range)
    return model


def _grounding(cfg: ModelConfig, width: int) -> dict[str, nn.Module]:
    smoother = grounding.SMOOTHERS.get(cfg.smoothing, nn.Identity)(cfg.kernel_size)
    return {"grounder": grounding.GROUNDERS[cfg.grounding](width), "smoother": smoother}


def _interventions(cfg: ModelConfig, width: int, visual: Any, graphs: Any) -> dict[str, nn.Module]:
    front_door = NO_FRONT_DOOR[cfg.evidence](width)
    back_door = nn.Identity()
    if cfg.front_door != "none":
        front_door = intervention.FRONT_DOORS[cfg.front_door](visual, width, inner=cfg.inner_width)
    if cfg.back_door != "none" and graphs is not None:
        # A convolved graph is as wide as a node, each of its eight nodes an eighth of that.
        nodes = -(-graphs.shape[-1] // intervention.NUM_NODES) * intervention.NUM_NODES
        back_door = BACK_DOORS[cfg.back_door](
            graphs, width, inner=cfg.inner_width, graph_width=nodes
        )
    return {"front_door": front_door, "back_door": back_door}


def _initialise(model: nn.Module, before: set[nn.Module], spread: float) -> None:
    """Normal weights and zero biases in every Linear that is no part of the language model's."""
    for module in model.modules():
        if isinstance(module, nn.Linear) and module not in before:
            nn.init.normal_(module.weight, std=spread)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
