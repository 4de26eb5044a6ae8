"""The variants: each row of the paper's tables is a name, and what it changes of the settings."""

from __future__ import annotations

from typing import Any

from cra_lib.records import InputError


def merge(*layers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Lay settings over each other, section by section; later layers win."""
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for section, values in layer.items():
            merged[section] = {**merged.get(section, {}), **values}
    return merged


_RELEASED = {
    "model": {
        "text_pooling": "padded", "question_stage_query": "question", "grounding": "released",
        "smoothing": "softmax", "front_door": "batch", "back_door": "unused", "norm_scale": "ones",
    },
    "train": {"alignment": "released", "distractors": "released", "drop_last": True},
    "span": {"windows": "released"},
}  # fmt: skip
_TEMP_CLIP = {
    "model": {"family": "temp-clip", "front_door": "none", "back_door": "none"},
    "train": {"alignment": "none"},
}
_RELEASED_TEMP_CLIP = {
    "model": {"text_pooling": "padded", "question_stage_query": "question"}
    | {"dropout": 0.3, "attention_dropout": 0.3},
    "train": {"drop_last": True},
}
_NO_STAGE = {"train": {"question_stage": False}}
_GAUSSIAN = {"model": {"baseline": "gaussian"}, "span": {"rule": "merged"}}
_NO_CAUSAL = {"model": {"front_door": "none", "back_door": "none"}}

_FROZEN_BASELINE = merge(_TEMP_CLIP, {"model": {"family": "frozen-bilm"}})
_FROZEN_CRA = {"model": {"family": "frozen-cra"}}
# Its loader keeps the last, smaller batch: 5,689 steps an epoch are 34,132 questions by sixes.
_FROZEN_CRA_RELEASED = merge(
    _RELEASED, _FROZEN_CRA, {"model": {"evidence": "ignored"}, "train": {"drop_last": False}}
)
_UNMASKED = {"model": {"gaussian_answer": "unmasked"}, "train": {"distractors": "released"}}

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "cra": {},
    "no-gsg": {"model": {"smoothing": "none"}},
    "no-cma": {"train": {"alignment": "none"}},
    "no-causal": _NO_CAUSAL,
    "no-lci": {"model": {"back_door": "none"}},
    "no-vci": {"model": {"front_door": "none"}},
    "literal-back-door": merge(_NO_CAUSAL, {"train": {"strata": True}}),
    "post-hoc": merge(_TEMP_CLIP, _NO_STAGE),
    "ng": merge(_TEMP_CLIP, _NO_STAGE, _GAUSSIAN),
    "ng+": merge(_TEMP_CLIP, _GAUSSIAN),
    "blind": merge(_NO_CAUSAL, {"model": {"sees_video": False}}, {"train": {"alignment": "none"}}),
    "random": {"model": {"family": "random"}},
    "cra-released": _RELEASED,
    "no-gsg-released": merge(_RELEASED, {"model": {"smoothing": "none"}}),
    "no-cma-released": merge(_RELEASED, {"train": {"alignment": "none"}}),
    "no-causal-released": merge(_RELEASED, _NO_CAUSAL),
    "no-vci-released": merge(_RELEASED, {"model": {"front_door": "none"}}),
    "post-hoc-released": merge(_TEMP_CLIP, _RELEASED_TEMP_CLIP, _NO_STAGE),
    "ng+-released": merge(_TEMP_CLIP, _RELEASED_TEMP_CLIP, _GAUSSIAN),
    "frozen-post-hoc": merge(_FROZEN_BASELINE, _NO_STAGE),
    "frozen-ng": merge(_FROZEN_BASELINE, _NO_STAGE, _GAUSSIAN),
    "frozen-ng+": merge(_FROZEN_BASELINE, _GAUSSIAN),
    "frozen-cra": _FROZEN_CRA,
    "frozen-no-gsg": merge(_FROZEN_CRA, {"model": {"smoothing": "none"}}),
    "frozen-no-cma": merge(_FROZEN_CRA, {"train": {"alignment": "none"}}),
    "frozen-no-causal": merge(_FROZEN_CRA, _NO_CAUSAL),
    "frozen-no-lci": merge(_FROZEN_CRA, {"model": {"back_door": "none"}}),
    "frozen-no-vci": merge(_FROZEN_CRA, {"model": {"front_door": "none"}}),
    "frozen-ng+-released": merge(_FROZEN_BASELINE, _GAUSSIAN, _UNMASKED),
    "frozen-cra-released": _FROZEN_CRA_RELEASED,
    "frozen-no-vci-released": merge(_FROZEN_CRA_RELEASED, {"model": {"front_door": "none"}}),
}
"""Variant name -> what it changes. Every row of the paper's tables is one name."""
TRAINED = tuple(name for name in VARIANTS if name != "random")
"""Variants that have a model (`ModelConfig.is_trained`)."""
FROZEN = tuple(name for name in TRAINED if name.startswith("frozen-"))
"""Variants on a frozen language model."""
ON_TEMP_CLIP = tuple(name for name in TRAINED if name not in FROZEN)
"""Variants whose text encoder is fine-tuned and whose video encoder is trained."""


def check_variant(name: str) -> str:
    """The name itself, or an InputError that lists the variants and the nearest one."""
    if name in VARIANTS:
        return name
    from difflib import get_close_matches

    near = get_close_matches(name, VARIANTS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise InputError(f"Unknown variant {name!r}{hint} The variants are: {', '.join(VARIANTS)}.")
