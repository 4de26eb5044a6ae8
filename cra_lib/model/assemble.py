"""The only reader of the model settings: it picks the parts and puts them together."""

from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from cra_lib.config import ModelConfig
from cra_lib.model import grounding, intervention, temp_clip, text, video
from cra_lib.model.cra import CRA, QueryRule, maximum_query, true_query
from cra_lib.records import InputError

CLIP_WIDTH = 768

GROUNDERS = {
    "product": grounding.ProductGrounder,
    "scaled-gate": grounding.ScaledGateGrounder,
    "similarity": grounding.SimilarityGrounder,
    "released": grounding.ReleasedGrounder,
}
SMOOTHERS = {"sum": grounding.SumSmoother, "softmax": grounding.SoftmaxSmoother}
FRONT_DOORS = {"frames": intervention.FrontDoor, "batch": intervention.BatchFrontDoor}
BACK_DOORS = {"applied": intervention.BackDoor, "unused": intervention.UncalledBackDoor}
ATTENTION_POOLINGS = {"masked": text.AttentionPooling, "padded": text.PaddedAttentionPooling}
MEAN_POOLINGS = {"masked": text.MeanPooling, "padded": text.PaddedMeanPooling}
QUERY_RULES: dict[str, QueryRule] = {"max": maximum_query, "question": true_query}
MASK_SIGMA = 9.0
"""The Gaussian's width is divided by this (NExT-GQA's sigma; also SpanConfig.sigma)."""


def build_model(
    cfg: ModelConfig,
    *,
    visual: Float[Tensor, "K F"] | None = None,
    graphs: Float[Tensor, "K 8 N"] | None = None,
    backbone: nn.Module | None = None,
    feature_width: int | None = None,
) -> CRA | temp_clip.TempCLIP:
    """The model that the settings describe, with random weights but for its text encoder.

    Args:
        visual: confounder centres of the front-door; without one they are not needed.
        graphs: confounder graphs of the back-door; without one they are not needed.
        backbone: the text encoder; None loads ``cfg.text_encoder``. Its pooler is dropped.
        feature_width: width of a frame feature; None: that of ``visual``, else CLIP's 768.

    Raises:
        InputError: widths that do not fit, a missing dictionary, absent text weights.
    """
    _check(cfg, visual, graphs)
    if feature_width is None:
        feature_width = CLIP_WIDTH if visual is None else visual.shape[1]
    if cfg.front_door != "none" and visual.shape[1] != feature_width:
        raise InputError(
            f"Visual confounders are {visual.shape[1]} wide, frame features {feature_width}; "
            "sample them again from these features."
        )
    backbone = text.load_backbone(cfg.text_encoder) if backbone is None else backbone
    families = {"cra": _cra, "temp-clip": _temp_clip}
    return families[cfg.family](cfg, backbone, feature_width, visual, graphs)


def _check(cfg: ModelConfig, visual: Tensor | None, graphs: Tensor | None) -> None:
    if cfg.width % cfg.heads or cfg.width % intervention.NUM_NODES:
        raise InputError(
            f"model.width {cfg.width} should be a multiple of 8 and of model.heads {cfg.heads}."
        )
    if cfg.front_door != "none" and visual is None:
        raise InputError("The front-door needs visual confounders; sample them first.")
    if cfg.back_door == "applied" and graphs is None:
        raise InputError("The back-door needs language confounders; sample them first.")


def _text(cfg: ModelConfig, backbone: nn.Module, pooling: nn.Module) -> text.TextEncoder:
    longest = max(cfg.max_pair_tokens, cfg.max_question_tokens)
    return text.TextEncoder(backbone, pooling, width=cfg.width, max_tokens=longest)


def _cra(
    cfg: ModelConfig,
    backbone: nn.Module,
    feature_width: int,
    visual: Tensor | None,
    graphs: Tensor | None,
) -> CRA:
    return CRA(
        text=_text(cfg, backbone, ATTENTION_POOLINGS[cfg.text_pooling](cfg.width)),
        back_door=_back_door(cfg, graphs),
        front_door=_front_door(cfg, visual),
        query_rule=QUERY_RULES[cfg.question_stage_query],
        width=cfg.width,
        dropout=cfg.dropout,
        **_grounding(cfg, feature_width),
    )


def _grounding(cfg: ModelConfig, feature_width: int) -> dict[str, nn.Module]:
    """Video encoder, grounder and smoother; a blind model has nothing to ground in."""
    if not cfg.sees_video:
        return {
            "video": video.BlankVideo(cfg.width),
            "grounder": grounding.UniformGrounder(),
            "smoother": nn.Identity(),
        }
    smoothers = {name: partial(part, cfg.kernel_size) for name, part in SMOOTHERS.items()}
    encoder = video.VideoEncoder(
        feature_width,
        cfg.width,
        ffn_width=cfg.ffn_width,
        heads=cfg.heads,
        layers=cfg.layers,
        position_dropout=cfg.position_dropout,
        dropout=cfg.dropout,
    )
    return {
        "video": encoder,
        "grounder": GROUNDERS[cfg.grounding](cfg.width),
        "smoother": smoothers.get(cfg.smoothing, nn.Identity)(),
    }


def _front_door(cfg: ModelConfig, visual: Tensor | None) -> nn.Module:
    if cfg.front_door == "none":
        return intervention.NoFrontDoor()
    return FRONT_DOORS[cfg.front_door](visual, cfg.width)


def _back_door(cfg: ModelConfig, graphs: Tensor | None) -> nn.Module:
    if cfg.back_door == "none" or graphs is None:
        return nn.Identity()
    return BACK_DOORS[cfg.back_door](graphs, cfg.width)


def _temp_clip(
    cfg: ModelConfig,
    backbone: nn.Module,
    feature_width: int,
    visual: Tensor | None,
    graphs: Tensor | None,
) -> temp_clip.TempCLIP:
    families = {
        "post-hoc": temp_clip.TempCLIP,
        "gaussian": partial(temp_clip.GaussianTempCLIP, sigma=MASK_SIGMA),
    }
    return families[cfg.baseline](
        text=_text(cfg, backbone, MEAN_POOLINGS[cfg.text_pooling]()),
        frames=temp_clip.PositionedFrames(feature_width, cfg.width, cfg.position_dropout),
        transformer=temp_clip.Transformer(
            cfg.width,
            ffn_width=cfg.ffn_width,
            heads=cfg.heads,
            layers=cfg.layers,
            dropout=cfg.dropout,
        ),
        query_rule=QUERY_RULES[cfg.question_stage_query],
        width=cfg.width,
        dropout=cfg.dropout,
    )
