"""Parameter names of the authors' release and ours, as one table that is read both ways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

Value = TypeVar("Value")

_LAYER_PARTS = (
    (r"self_attn.linears.0", "attention.query"),
    (r"self_attn.linears.1", "attention.key"),
    (r"self_attn.linears.2", "attention.value"),
    (r"self_attn.linears.3", "attention.out"),
    (r"feed_forward.w_1", "expand"),
    (r"feed_forward.w_2", "contract"),
)
_MASKED_LAYER_PARTS = (
    (r"attention.q_lin", "attention.query"),
    (r"attention.k_lin", "attention.key"),
    (r"attention.v_lin", "attention.value"),
    (r"attention.out_lin", "attention.out"),
    (r"sa_layer_norm", "attention_norm"),
    (r"ffn.lin1", "expand"),
    (r"ffn.lin2", "contract"),
    (r"output_layer_norm", "ffn_norm"),
)
_TEXT = (
    ("lang_model.bert.bert.", "text.backbone."),
    ("lang_model.linear_text.", "text.project."),
    ("lang_model.word_attn.0.", "text.pooling.score."),
)
CRA_NAMES = (
    *_TEXT,
    ("video_model.proj.", "video.embed.project."),
    ("video_model.norm.", "video.embed.norm."),
    *((f"decoder.layers.#.{theirs}.", f"video.layers.#.{ours}.") for theirs, ours in _LAYER_PARTS),
    ("decoder.layers.#.sublayer_self.norm.gamma", "video.layers.#.attention_norm.weight"),
    ("decoder.layers.#.sublayer_self.norm.beta", "video.layers.#.attention_norm.bias"),
    ("decoder.layers.#.sublayer_ff.norm.gamma", "video.layers.#.ffn_norm.weight"),
    ("decoder.layers.#.sublayer_ff.norm.beta", "video.layers.#.ffn_norm.bias"),
    ("decoder.norm.gamma", "video.norm.weight"),
    ("decoder.norm.beta", "video.norm.bias"),
    ("decoder.grounding_module.qa_proj.", "grounder.project_query."),
    ("decoder.grounding_module.v_proj.", "grounder.project_frames."),
    ("decoder.grounding_module.grounding.", "grounder.score."),
    ("decoder.grounding_module.gs_filter.sigma", "smoother.sigma"),
    ("decoder.video_proj.1.", "project.1."),
    ("decoder.do.visual_clusters", "front_door.centres"),
    ("decoder.do.do.prob_m.", "front_door.mediator."),
    ("decoder.do.do.prob_x.", "front_door.video."),
    ("decoder.do.do.prob_x_hat.", "front_door.confounder."),
    ("decoder.do.do.prob_x_m.", "front_door.from_video."),
    ("decoder.do.do.prob_x_hat_x.", "front_door.from_confounders."),
    ("decoder.do.do.fc.", "front_door.combine."),
    ("decoder.do.norm.", "front_door.norm."),
    ("do.node", "back_door.graphs"),
    ("do.norm.", "back_door.norm."),
    ("do.gcn.lin.", "back_door.convolve.project."),
    ("do.gcn.bias", "back_door.convolve.bias"),
    ("do.do.q.", "back_door.query."),
    ("do.do.k.", "back_door.key."),
    ("do.do.v.", "back_door.value."),
)
"""Released CRA: (theirs, ours); # is a layer number, a trailing dot any parameter below."""

TEMP_CLIP_NAMES = (
    *_TEXT[:2],
    ("linear_video.", "frames.project."),
    ("norm_video.", "frames.norm."),
    ("position_v.LayerNorm.", "frames.position_norm."),
    *((f"mmt.layer.#.{theirs}.", f"layers.#.{ours}.") for theirs, ours in _MASKED_LAYER_PARTS),
    ("satt_pool_frame.", "attention."),
    ("satt_pool_frame_gs.", "locate_attention."),
    ("logit_gauss.1.", "locate.1."),
    ("vpos_proj.1.", "project.1."),
)
"""Released Temp[CLIP] baselines: (theirs, ours)."""

_EXTRA_LAYER = tuple(
    (f"{name}.layer.0.{theirs}.", f"extra.{ours}.")
    for name in ("trans", "trans_gauss")
    for theirs, ours in _MASKED_LAYER_PARTS
)
_ADAPTED_PARTS = (
    ("attention.output.dense", "attention.output.dense.dense"),
    ("attention.output.adapter", "attention.output.dense.adapter"),
    ("output.dense", "output.dense.dense"),
    ("output.adapter", "output.dense.adapter"),
)
_DEBERTA_PARTS = ("embeddings.word_embeddings", "embeddings.LayerNorm", "encoder")
FROZEN_NAMES = (
    ("answer_embeddings.weight", "answers.weight"),
    ("answer_bias", "answers.bias"),
    ("deberta.embeddings.linear_video.", "frames."),
    ("deberta.embeddings.position_embeddings.weight", "language.positions.weight"),
    ("lm_predictions.lm_head.dense.", "language.head.dense."),
    ("lm_predictions.lm_head.LayerNorm.", "language.head.LayerNorm."),
    ("lm_predictions.lm_head.bias", "language.head.bias"),
    *(
        (
            f"deberta.encoder.layer.#.{part}.{theirs}.",
            f"language.deberta.encoder.layer.#.{part}.{ours}.",
        )
        for part in ("attention.output", "output")
        for theirs, ours in (("dense", "dense.dense"), ("adapter", "dense.adapter"))
    ),
    (
        "deberta.embeddings.word_embeddings.weight",
        "language.deberta.embeddings.word_embeddings.weight",
    ),
    ("deberta.embeddings.LayerNorm.", "language.deberta.embeddings.LayerNorm."),
    ("deberta.encoder.", "language.deberta.encoder."),
    *_EXTRA_LAYER[:8],
    ("word_attn.0.", "word_pooling.score."),
    ("fusion_lin.0.", "fuse_words.norm."),
    ("fusion_lin.1.", "fuse_words.project."),
    ("fusion.0.", "fuse_frames.norm."),
    ("fusion.1.", "fuse_frames.project."),
    ("grounding_module.qa_proj.", "grounder.project_query."),
    ("grounding_module.v_proj.", "grounder.project_frames."),
    ("grounding_module.grounding.", "grounder.score."),
    ("grounding_module.gs_filter.sigma", "smoother.sigma"),
    ("do._vis_do.visual_clusters", "front_door.centres"),
    ("do._vis_do.do.prob_m.", "front_door.mediator."),
    ("do._vis_do.do.prob_x.", "front_door.video."),
    ("do._vis_do.do.prob_x_hat.", "front_door.confounder."),
    ("do._vis_do.do.prob_x_m.", "front_door.from_video."),
    ("do._vis_do.do.prob_x_hat_x.", "front_door.from_confounders."),
    ("do._vis_do.do.fc.", "front_door.combine."),
    ("do.vis_norm.", "front_door.norm."),
    ("do._lin_do.node", "back_door.graphs"),
    ("do._lin_do.norm.", "back_door.inner_norm."),
    ("do._lin_do.gcn.lin.", "back_door.convolve.project."),
    ("do._lin_do.gcn.bias", "back_door.convolve.bias"),
    ("do._lin_do.do.q.", "back_door.query."),
    ("do._lin_do.do.k.", "back_door.key."),
    ("do._lin_do.do.v.", "back_door.value."),
    ("do.lin_norm.", "back_door.norm."),
)
"""Released CRA on FrozenBiLM, and plain FrozenBiLM: (theirs, ours)."""

FROZEN_GAUSSIAN_NAMES = (
    *(pair for pair in FROZEN_NAMES if not pair[0].startswith("trans.")),
    *_EXTRA_LAYER[8:],
    ("logit_gauss.1.", "locate.1."),
)
"""Released NG on FrozenBiLM: (theirs, ours)."""


def _matcher(pattern: str) -> re.Pattern[str]:
    body = re.escape(pattern).replace(r"\#", r"(\d+)")
    return re.compile(body + (r"(.+)" if pattern.endswith(".") else "") + "$")


def _filled(pattern: str, parts: Iterable[str]) -> str:
    parts = list(parts)
    for _ in range(pattern.count("#")):
        pattern = pattern.replace("#", parts.pop(0), 1)
    return pattern + "".join(parts)


def translate(name: str, table: Iterable[tuple[str, str]]) -> str | None:
    """The name on the other side of the table, or None where it has none.

    >>> translate("decoder.layers.1.feed_forward.w_1.bias", CRA_NAMES)
    'video.layers.1.expand.bias'
    """
    for pattern, other in table:
        if found := _matcher(pattern).match(name):
            return _filled(other, found.groups())
    return None


def from_released(
    state: Mapping[str, Value], table: Iterable[tuple[str, str]]
) -> tuple[dict[str, Value], dict[str, Value]]:
    """A released state under our names, and what has no counterpart under its own names.

    ``module.``, which a state saved from several GPUs carries before each name, is dropped.
    """
    table, ours, rest = list(table), {}, {}
    for name, value in state.items():
        bare = name.removeprefix("module.")
        if (translated := translate(bare, table)) is None:
            rest[bare] = value
        else:
            ours[translated] = value
    return ours, rest


def to_released(state: Mapping[str, Value], table: Iterable[tuple[str, str]]) -> dict[str, Value]:
    """Our state under the released names; what has no counterpart is left out."""
    reverse = [(ours, theirs) for theirs, ours in table]
    named = {translate(name, reverse): value for name, value in state.items()}
    return {name: value for name, value in named.items() if name is not None}
