"""Settings that a run does not read: changing them changes nothing, and that should be said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cra_lib.config import CausalConfig, ModelConfig, RunConfig

CAUSAL = tuple(f"causal.{name}" for name in CausalConfig.model_fields)
GROUNDING = ("model.grounding", "model.smoothing", "model.kernel_size")
FROZEN = tuple(
    f"model.{name}"
    for name in (
        "language_model", "max_prompt_tokens", "adapter_factor", "inner_width", "answer_bias",
        "gaussian_answer", "evidence",
    )
)  # fmt: skip

UNREAD: tuple[tuple[Callable[[ModelConfig], bool], tuple[str, ...], str], ...] = (
    (lambda m: m.smoothing == "none", ("model.kernel_size",), "it has no Gaussian filter"),
    (
        lambda m: m.front_door == "none" and m.back_door == "none",
        (*CAUSAL, "model.norm_scale"),
        "it has no causal intervention",
    ),
    (
        lambda m: m.family in ("temp-clip", "frozen-bilm"),
        GROUNDING,
        "a baseline has no Gaussian Smoothing Grounding",
    ),
    (lambda m: not m.sees_video, GROUNDING, "it sees no video"),
    (lambda m: not m.is_frozen, FROZEN, "its backbone is not FrozenBiLM"),
    (lambda m: m.family in ("cra", "frozen-cra"), ("model.baseline",), "it is not a baseline"),
)
"""When -> which settings are not read, and why."""


def unused_settings(config: RunConfig, overrides: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One sentence for each setting that was asked for and that the run does not read.

    Args:
        overrides: section -> settings, as a command line has them.
    """
    asked = {f"{section}.{name}" for section, values in overrides.items() for name in values}
    found: dict[str, str] = {}
    for is_so, names, reason in UNREAD:
        for name in sorted(asked & set(names)) if is_so(config.model) else ():
            found.setdefault(name, f"{name} changes nothing in {config.variant}: {reason}.")
    return list(found.values())
