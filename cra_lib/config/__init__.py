"""Every setting of a run: frozen, documented, validated; unknown names are refused.

A run's settings are the defaults below (the paper's recipe), then the profile's, then the
variant's, then what the caller overrides. Leaf modules never see these objects: they take numbers.
Only the assemblers (`model.build_model`, `training.fit`, `evaluation.predict`, ...) read a section.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from cra_lib.config.variants import FROZEN, VARIANTS, check_variant, merge
from cra_lib.datasets import DATASETS
from cra_lib.evaluator.metrics import HEADLINE
from cra_lib.evaluator.spans import RULES
from cra_lib.records import InputError, one_of


class Section(BaseModel):
    """A frozen group of settings; a name that is not declared is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DataConfig(Section):
    """Which dataset, seen through which encoder."""

    encoder: str = "clip-vit-l14"
    """Frame encoder: clip-vit-l14, resnet50, swin_t, shapes-clip or pixels."""
    feature_width: int = Field(768, ge=1)
    """Width of one frame feature, D_feat."""
    stamps: Literal["frame2time", "upbd"] = "frame2time"
    """Which official stamp file turns frame weights into seconds."""
    train_from: Literal["official", "nextoe"] = "official"
    """Training questions: the multiple-choice csv, or built from the open-ended edition."""
    selection: Literal["described", "released"] = "described"
    """STAR only: select on a split of the training videos, or on val as the release does."""
    lengths: Literal["videos", "annotation"] = "videos"
    """STAR only: how long a video is by its file, or, for a look at the data, by annotation."""
    train_videos: int = Field(0, ge=0)
    """shapes only: number of training videos; 0 keeps the dataset's default."""
    eval_videos: int = Field(0, ge=0)
    """shapes only: number of videos of each other split; 0 keeps the dataset's default."""
    bias: float | None = Field(None, ge=0, le=1)
    """shapes only: strength of both confounders in the biased splits; None keeps the default."""
    noise: float | None = Field(None, ge=0, allow_inf_nan=False)
    """shapes only: standard deviation of the noise on every pixel of the videos, in grey levels of
    255; None draws none."""


class CausalConfig(Section):
    """How the confounder dictionaries are sampled."""

    parser: str = "en_core_web_sm"
    """A spaCy model by name, or "rules" for the project's own rule pipeline."""
    node_encoder: str = "openai/clip-vit-large-patch14"
    """Text encoder of the graph nodes: "hashed", "shapes-clip", or a transformers name."""
    num_confounders: int = Field(512, ge=1)
    """K, clusters per modality."""
    batch_size: int = Field(4096, ge=1)
    """Rows that k-means holds at a time; only the rounding of the centres depends on it."""
    seed: int = Field(43, ge=0, lt=2**32)
    """Seed of both clusterings (the release's)."""


class ModelConfig(Section):
    """What the network is made of. Each choice names a class that the assembler picks."""

    family: Literal["cra", "temp-clip", "frozen-cra", "frozen-bilm", "random"] = "cra"
    """CRA, NExT-GQA's Temp[CLIP] baselines, CRA on FrozenBiLM, the FrozenBiLM baselines, or no
    model at all: answers by chance."""
    width: int = Field(768, ge=8)
    """Model width D."""
    ffn_width: int = Field(768, ge=8)
    """Hidden width of the feed-forward layers."""
    heads: int = Field(8, ge=1)
    """Attention heads."""
    layers: int = Field(2, ge=1)
    """Transformer layers over the frames."""
    position_dropout: float = Field(0.3, ge=0, lt=1)
    """Dropout after the positional embedding."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in the layers, in front of the video projection and of the Gaussian's head."""
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the attention weights over the frames (0.3 in the release's Temp[CLIP])."""
    text_encoder: str = "roberta-base"
    """A transformers name or local folder, or "shapes-clip", the embedded dataset's tower."""
    max_pair_tokens: int = Field(38, ge=4)
    """Tokens of "question </s> choice", at most."""
    max_question_tokens: int = Field(30, ge=4)
    """Tokens of a bare question, at most."""
    text_pooling: Literal["masked", "padded"] = "masked"
    """Softmax over real tokens only, or (released) over fixed padding too."""
    question_stage_query: Literal["max", "question"] = "max"
    """Grounding query of the question stage: maximum over candidates, or (released) the truth."""
    grounding: Literal["product", "scaled-gate", "similarity", "released"] = "product"
    """How a frame's relevance to the question is scored."""
    smoothing: Literal["sum", "softmax", "none"] = "sum"
    """Smoothed weights become a distribution by their sum or by softmax (released)."""
    kernel_size: int = Field(5, ge=1)
    """Taps of the Gaussian filter; odd, so that it has a centre."""
    front_door: Literal["frames", "batch", "none"] = "frames"
    """Visual intervention: over the frames of its own video, over the batch (released), or none."""
    back_door: Literal["applied", "query", "unused", "none"] = "applied"
    """Linguistic intervention: on the query and the candidates, on the query alone (what the
    release's interrupted line would do), built but never called (released), or none."""
    norm_scale: Literal["balanced", "ones"] = "balanced"
    """Initial scale of the interventions' norms: width^(-1/4), which starts logits (dot products of
    two normed vectors) at variance one; or (released) one, which starts them at the width."""
    baseline: Literal["post-hoc", "gaussian"] = "post-hoc"
    """Baselines only: attention read post hoc (PH), or the Gaussian mask (NG, NG+)."""
    sees_video: bool = True
    """False blanks the frames: the blind reference row."""
    language_model: str = "microsoft/deberta-v2-xlarge"
    """Frozen families: the masked language model that is kept frozen, a name or local folder, or
    "shapes-lm", the embedded dataset's."""
    max_prompt_tokens: int = Field(100, ge=16)
    """Frozen families: tokens of a prompt, at most; a longer question is cut, never the mask."""
    adapter_factor: int = Field(8, ge=1)
    """Frozen families: width of the language model over that of its adapters."""
    inner_width: int = Field(768, ge=1)
    """frozen-cra: width in which the interventions compare texts, videos and confounders."""
    answer_bias: Literal["zero", "words"] = "zero"
    """Frozen families: bias of Yes and No, zero (as released), or that of their words."""
    gaussian_answer: Literal["masked", "unmasked"] = "masked"
    """Frozen NG: the answer is read after the pass with the Gaussian mask, or (released) before."""
    evidence: Literal["added", "ignored"] = "added"
    """frozen-cra without a front-door: the evidence is added to the mask's state, or (released)
    not read by the answer at all."""

    @property
    def is_frozen(self) -> bool:
        """Whether the backbone is a frozen language model."""
        return self.family.startswith("frozen")

    @property
    def is_trained(self) -> bool:
        """Whether there is a model to train at all; `random` draws its answers."""
        return self.family != "random"

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {value}")
        return value


class TrainConfig(Section):
    """The recipe."""

    epochs: int = Field(30, ge=1)
    """Passes over the training questions."""
    drop_last: bool = False
    """Leave out the last, smaller batch of an epoch (released)."""
    batch_size: int = Field(64, ge=1)
    """Questions per optimizer step and process."""
    learning_rate: float = Field(1e-5, gt=0)
    """Peak learning rate."""
    text_learning_rate_factor: float = Field(1.0, gt=0)
    """Learning rate of the pre-trained text encoder, or of what lies in a frozen language model and
    the frames' projection to it, relative to the rest."""
    beta2: float = Field(0.999, gt=0, lt=1)
    """Adam's second decay rate."""
    amsgrad: bool = True
    """Adam's AMSGrad form."""
    schedule: Literal["cosine", "linear", "linear-released"] = "cosine"
    """Descent of the learning rate after the warm-up; "linear-released" sets it one step late."""
    start_from: str = ""
    """Folder of a model whose trained weights to start from, where names and shapes agree, or
    "shapes-lm": frames as that language model reads them, learnt on frames drawn for it."""
    gradient_checkpointing: bool = False
    """Frozen families: compute layers again in the backward pass instead of keeping them."""
    warmup_epochs: float = Field(1.0, ge=0)
    """Linear warm-up from zero, in epochs."""
    final_learning_rate_factor: float = Field(0.001, ge=0, le=1)
    """Learning rate that the cosine ends at, one step after the last, relative to the peak."""
    clip_norm: float = Field(12.0, gt=0)
    """Gradient norm is clipped at this."""
    accumulate: int = Field(1, ge=1)
    """Batches per optimizer step."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic of the forward and backward pass."""
    accelerator: str = "auto"
    """auto, cpu or cuda (Lightning's names)."""
    devices: int = Field(1, ge=1)
    """Processes per node."""
    num_nodes: int = Field(1, ge=1)
    """Machines."""
    compile: bool = False
    """torch.compile the model."""
    deterministic: bool | None = None
    """None: deterministic on CPU, free on GPU."""
    threads: int = Field(0, ge=0)
    """CPU threads of one process; 0 leaves torch's default."""
    chunk_tokens: int = Field(0, ge=0)
    """Tokens of one call of the text encoder; 0 fits RoBERTa-base on the device at hand."""
    max_steps: int | None = Field(None, ge=1)
    """Stop after this many optimizer steps (dry runs)."""
    question_stage: bool = True
    """Train the VQ stage (which question belongs to this video?) beside the VQA stage."""
    alignment: Literal["symmetric", "released", "none"] = "symmetric"
    """Cross-modal alignment: both directions, the release's one with drawn negatives, or none."""
    alignment_weight: float = Field(0.5, ge=0)
    """Weight of the alignment losses."""
    temperature: float = Field(0.07, gt=0)
    """InfoNCE temperature."""
    num_negatives: int = Field(32, ge=1)
    """Negatives per anchor of the released alignment."""
    strata: bool = False
    """Let the dictionaries' strata explain what they can of the answers while training: the
    back-door sum taken literally (ours; `causal.strata`)."""
    distractors: Literal["described", "released"] = "described"
    """Exclude the true text from the distractors, or the release's way of not quite doing so."""
    same_video_probability: float = Field(0.3, ge=0, le=1)
    """Chance that the question stage's distractors come from the same video."""
    random_answer_probability: float = Field(0.3, ge=0, le=1)
    """Chance that a question's wrong answers are replaced by others of its class."""
    paraphrase_probability: float = Field(0.3, ge=0, le=1)
    """Chance that a question's text is replaced by a paraphrase, where there are any."""
    select_by: Annotated[str, AfterValidator(one_of((*HEADLINE, "last")))] = "Acc@QA"
    """Validation metric that picks the epoch kept, of `evaluator.metrics.HEADLINE`. "last" picks
    none and keeps the last one: where validation is small, picking adds more chance than it
    removes."""
    ties: Literal["later", "earlier"] = "later"
    """Which of two equally good epochs is kept."""
    patience: int | None = Field(None, ge=1)
    """Stop after this many epochs without a better one."""
    tensorboard: bool = False
    """Also write TensorBoard event files."""


class SpanConfig(Section):
    """From frame weights to seconds."""

    rule: Annotated[str, AfterValidator(one_of(RULES))] = "post-hoc"
    """The rule whose span the tables report: a name of `evaluator.spans.RULES`."""
    threshold: float = Field(1.3, gt=0)
    """Post-hoc: a frame joins at this many times the mean weight."""
    reach: float = Field(10.0, gt=0)
    """Post-hoc: seconds; scale of the distance penalty; failing frames nearer are passed over."""
    window_lengths: tuple[int, ...] = (1, 3, 5)
    """Windows: lengths in frames."""
    windows: Literal["described", "released"] = "described"
    """Windows: mean weight with a length prior, or the largest sum (released)."""
    length_prior: float = 0.5
    """Windows, described: the score of a window is its mean weight times length ** length_prior."""
    gamma: float = Field(1.0, gt=0)
    """Gaussian: half width of the interval in units of width / sigma."""
    sigma: float = Field(9.0, gt=0)
    """Gaussian: divides the predicted width, in the interval and in the mask that NG, NG+ train."""


class RunConfig(Section):
    """All settings of one training run; saved beside its results as config.yaml."""

    dataset: Annotated[str, AfterValidator(one_of(DATASETS))] = "shapes"
    """shapes, nextgqa or star."""
    variant: Annotated[str, AfterValidator(lambda name: check_variant(name))] = "cra"
    """A name of VARIANTS."""
    seed: int = Field(2024, ge=0, lt=2**32)
    """Seed of everything random in training."""
    data: DataConfig = DataConfig()
    causal: CausalConfig = CausalConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    span: SpanConfig = SpanConfig()


MACHINE = {"accelerator", "threads", "tensorboard"}  # where a run computes, not what


def run_config(
    dataset: str,
    variant: str = "cra",
    seed: int = 2024,
    *,
    profile: dict[str, dict[str, Any]] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> RunConfig:
    """The settings of one run: defaults, then profile, then variant, then overrides, by section.

    Args:
        profile: section -> settings, as under ``settings`` of a profile's YAML. Its section
            ``frozen`` holds such a mapping itself, which wins in variants of a frozen family.
        overrides: section -> settings that win over everything; values of None are ignored.

    Raises:
        InputError: an unknown variant, section or setting, or a value out of range.
    """
    check_variant(variant)
    given = {
        section: {name: value for name, value in values.items() if value is not None}
        for section, values in (overrides or {}).items()
    }
    general = dict(profile or {})
    frozen = general.pop("frozen", {})
    sections = merge(general, frozen if variant in FROZEN else {}, VARIANTS[variant], given)
    names = {"dataset": dataset, "variant": variant, "seed": seed}
    try:
        return RunConfig.model_validate({**sections, **names})
    except ValidationError as error:
        raise InputError(explain(error)) from None


def explain(error: ValidationError) -> str:
    """The first problem of a validation error as one sentence."""
    problem = error.errors()[0]
    name = ".".join(str(part) for part in problem["loc"]) or "settings"
    if problem["type"] == "extra_forbidden":
        return f"Unknown setting {name!r}; see cra_lib/config/__init__.py for the names."
    return f"Setting {name!r}: {problem['msg']} (got {reprlib.repr(problem['input'])})."
