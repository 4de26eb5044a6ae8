"""The only reader of the model settings: it picks the parts and puts them together."""

from jaxtyping import Float
from torch import Tensor, nn

from cra_lib.config import ModelConfig
from cra_lib.model import grounding, intervention, temp_clip, text, video
from cra_lib.model.base import Pretrained, maximum_query, true_query
from cra_lib.model.cra import CRA
from cra_lib.records import InputError

TEXT_ENCODERS = {"masked": text.TextEncoder, "padded": text.PaddedTextEncoder}
QUERY_RULES = {"max": maximum_query, "question": true_query}
NORM_SCALES = {"balanced": lambda width: width**-0.25, "ones": lambda width: 1.0}
BASELINES = {"post-hoc": temp_clip.TempCLIP, "gaussian": temp_clip.GaussianTempCLIP}

Centres = Float[Tensor, "K F"] | None
Graphs = Float[Tensor, "J 8 N"] | None


def build_model(
    cfg: ModelConfig,
    *,
    visual: Centres = None,
    graphs: Graphs = None,
    backbone: nn.Module | None = None,
    feature_width: int | None = None,
    mask_sigma: float = 9.0,
) -> Pretrained:
    """The model that the settings describe, with random weights but for its language model.

    Args:
        visual: confounder centres of the front-door; without one they are not needed.
        graphs: confounder graphs of the back-door; without one they are not needed.
        backbone: the text encoder; None loads ``cfg.text_encoder``. Its pooler is dropped. In the
            frozen families, the masked language model; None loads ``cfg.language_model``.
        feature_width: width of a frame feature; None: that of ``visual``, else CLIP's 768.
        mask_sigma: NG and NG+ only, ``span.sigma``: divides the predicted width of the mask.

    Raises:
        InputError: widths that do not fit, a missing dictionary, absent text weights.
    """
    if not cfg.is_trained:
        raise InputError("The variant 'random' draws its answers; there is no model of it.")
    if feature_width is None:
        feature_width = 768 if visual is None else visual.shape[1]
    _check(cfg, feature_width, visual, graphs)
    if cfg.is_frozen:
        # Only they need transformers at once, which takes seconds to import.
        from cra_lib.model.frozen_bilm.assemble import build_frozen

        dictionaries = {"visual": visual, "graphs": graphs}
        model = build_frozen(cfg, backbone, feature_width, mask_sigma, **dictionaries)
        model.settings, model.feature_width = cfg, feature_width
        return model
    shared = {
        "text": _text(cfg, text.load_backbone(cfg.text_encoder) if backbone is None else backbone),
        "query_rule": QUERY_RULES[cfg.question_stage_query],
        "width": cfg.width,
        "dropout": cfg.dropout,
    }
    if cfg.family == "temp-clip":
        mask = {"sigma": mask_sigma} if cfg.baseline == "gaussian" else {}
        model = BASELINES[cfg.baseline](**_frames(cfg, feature_width), **shared, **mask)
    else:
        parts = {**_grounding(cfg, feature_width), **_interventions(cfg, visual, graphs)}
        model = CRA(**parts, **shared)
    model.settings, model.feature_width = cfg, feature_width  # what `save_pretrained` writes
    return model


Pretrained.builder = staticmethod(build_model)


def _check(cfg: ModelConfig, feature_width: int, visual: Centres, graphs: Graphs) -> None:
    if not cfg.is_frozen and (cfg.width % cfg.heads or cfg.width % intervention.NUM_NODES):
        raise InputError(
            f"model.width {cfg.width} should be a multiple of 8 and of model.heads {cfg.heads}."
        )
    if cfg.front_door != "none" and visual is None:
        raise InputError("The front-door needs visual confounders; sample them first.")
    if cfg.front_door != "none" and visual.shape[1] != feature_width:
        raise InputError(
            f"Visual confounders are {visual.shape[1]} wide, frame features {feature_width}; "
            "sample them again from these features."
        )
    if cfg.back_door in ("applied", "query") and graphs is None:
        raise InputError("The back-door needs language confounders; sample them first.")


def _text(cfg: ModelConfig, backbone: nn.Module) -> text.TextEncoder:
    poolings = {"cra": text.AttentionPooling, "temp-clip": lambda width: text.MeanPooling()}
    return TEXT_ENCODERS[cfg.text_pooling](
        backbone,
        poolings[cfg.family](cfg.width),
        width=cfg.width,
        max_tokens=max(cfg.max_pair_tokens, cfg.max_question_tokens),
    )


def _frames(cfg: ModelConfig, feature_width: int) -> dict[str, object]:
    """The frame side of a baseline."""
    sizes = cfg.width, cfg.ffn_width, cfg.heads, cfg.dropout, cfg.attention_dropout
    return {
        "frames": temp_clip.PositionedFrames(feature_width, cfg.width, cfg.position_dropout),
        "layers": [temp_clip.PostNormLayer(*sizes) for _ in range(cfg.layers)],
    }


def _grounding(cfg: ModelConfig, feature_width: int) -> dict[str, nn.Module]:
    """Video encoder, grounder and smoother; a blind model has nothing to ground in."""
    if not cfg.sees_video:
        blank, uniform = video.BlankVideo(cfg.width), grounding.UniformGrounder()
        return {"video": blank, "grounder": uniform, "smoother": nn.Identity()}
    sizes = cfg.width, cfg.ffn_width, cfg.heads, cfg.dropout, cfg.attention_dropout
    embed = video.FrameEmbedding(feature_width, cfg.width, cfg.position_dropout)
    layers = [video.EncoderLayer(*sizes) for _ in range(cfg.layers)]
    return {
        "video": video.VideoEncoder(embed, layers, cfg.width),
        "grounder": grounding.GROUNDERS[cfg.grounding](cfg.width),
        "smoother": grounding.SMOOTHERS.get(cfg.smoothing, nn.Identity)(cfg.kernel_size),
    }


def _interventions(cfg: ModelConfig, visual: Centres, graphs: Graphs) -> dict[str, nn.Module]:
    front_door, back_door = intervention.NoFrontDoor(), nn.Identity()
    scale = NORM_SCALES[cfg.norm_scale](cfg.width)
    if cfg.front_door != "none":
        front_door = intervention.FRONT_DOORS[cfg.front_door](visual, cfg.width, scale)
    if cfg.back_door != "none" and graphs is not None:
        back_door = intervention.BACK_DOORS[cfg.back_door](graphs, cfg.width, scale)
    return {"front_door": front_door, "back_door": back_door}
