"""FrozenBiLM with post-hoc grounding (PH): frames as a prefix, yes or no at the mask."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cra_lib.model.base import Pretrained
from cra_lib.model.frozen_bilm.language_model import (
    AnswerHead,
    MaskedLanguageModel,
    Sequence,
    SequenceKeep,
    State,
)
from cra_lib.model.saving import fingerprint
from cra_lib.model.video import check_features
from cra_lib.records import InputError

Features = Float[Tensor, "N T F"]
Tokens = Int[Tensor, "N L"]
Keep = Bool[Tensor, "N L"]
FrameKeep = Bool[Tensor, "N T"] | None
Weights = Float[Tensor, "N T"]


class SequenceOutput(NamedTuple):
    """What a model says about N sequences, each a video with one candidate."""

    answer_logits: Float[Tensor, "N A"]
    """Yes, No."""
    frame_weights: Weights | None
    """What spans are read from; None in training, where a model only reads attention post hoc."""
    raw_weights: Weights | None
    """The same before smoothing."""
    query: State | None = None
    """What grounding listens to, and the text side of the alignment as released."""
    grounded: State | None = None
    """The grounded segment, without the state at the mask."""
    evidence: State | None = None
    """The grounded segment joined with the state at the mask."""
    segment: State | None = None
    """The grounded segment of the frames alone, before any text: one side of the alignment."""
    wording: State | None = None
    """The words alone, before any frame, each as much as it is attended to: the other side."""
    gaussian: Float[Tensor, "N 2"] | None = None
    """Centre and width as fractions of the video, where the model predicts a Gaussian."""

    @property
    def score(self) -> Float[Tensor, "*batch"]:
        """Log-probability of Yes."""
        return self.answer_logits.log_softmax(dim=-1)[..., 0]


class Encoded(NamedTuple):
    """N sequences after the language model."""

    mask_state: State
    """State at the mask, phi."""
    inputs: Sequence
    """Frames and words before it: neither has seen the other."""
    states: Sequence
    keep: SequenceKeep
    mask_place: Int[Tensor, "N"]
    attention: Weights | None
    """Attention of the mask over the frames."""


class FrozenBiLM(Pretrained):
    """PH: the attention of the mask over the frames is read as grounding.

    Args:
        language: the frozen language model; adapters are put into it and all else is frozen.
        feature_width: width of a frame feature.
        adapter_factor: the language model's width over that of the adapters.
        dropout: of the adapters.
        biased_answers: give the answers the bias that their words have; False as released.
    """

    def __init__(
        self,
        *,
        language: MaskedLanguageModel,
        feature_width: int,
        adapter_factor: int,
        dropout: float,
        biased_answers: bool = False,
    ):
        super().__init__()
        self.width = language.config.hidden_size
        self.language = language
        self.answers = AnswerHead(
            language, [(token,) for token in language.vocabulary.answers], biased_answers
        )
        self.frames = nn.Linear(feature_width, self.width)
        language.adapt(adapter_factor, dropout)
        language.freeze()

    mixes_sequences = False
    """Whether a result depends on the other sequences of a call or on padding, as released."""

    def forward(
        self, features: Features, tokens: Tokens, keep: Keep, frame_keep: FrameKeep = None
    ) -> SequenceOutput:
        """Answer N sequences, each with frames of its own.

        Args:
            tokens: a text with one mask token each; ``keep`` is True on real tokens.
            frame_keep: False on padded frames; None: all frames are real.
        """
        read = self.encode(features, tokens, keep, frame_keep)
        return SequenceOutput(self.answer(read.mask_state), read.attention, read.attention)

    def encode(
        self, features: Features, tokens: Tokens, keep: Keep, frame_keep: FrameKeep = None
    ) -> Encoded:
        """Frames and words through the language model.

        Raises:
            InputError: features of another width, a text without its mask, too many tokens.
        """
        check_features(features, self.frames.in_features)
        masks = tokens == self.language.vocabulary.mask
        # On a GPU looking would mean waiting; prompts are checked when they are made.
        if tokens.is_cpu and not (masks.sum(dim=1) == 1).all():
            raise InputError("A prompt should hold the mask token once; see cra_lib.data.prompts.")
        length = features.shape[1]
        if frame_keep is None:
            frame_keep = keep.new_ones(features.shape[:2])
        place = masks.int().argmax(dim=1) + length
        inputs = torch.cat([self.frames(features), self.language.embed(tokens)], dim=1)
        whole = torch.cat([frame_keep, keep], dim=1)
        states, attention = self.language.read(
            inputs, whole, place, with_attention=not self.training
        )
        rows = torch.arange(len(tokens), device=tokens.device)
        seen = None if attention is None else attention[:, :length]
        return Encoded(states[rows, place], inputs, states, whole, place, seen)

    def answer(self, state: State) -> Float[Tensor, "N A"]:
        """Logits of Yes and No from a state at the mask."""
        return self.answers(self.language.head(state))

    def backbone_record(self) -> dict[str, Any]:
        """Name and hash of what was frozen."""
        frozen = {name: value.to("cpu") for name, value in self.frozen_state().items()}
        name = self.settings.language_model
        return {"frozen": {"language_model": name, "sha256": fingerprint(frozen)}}

    def trained_state(self) -> dict[str, Tensor]:
        """What training changes, and the answers' rows; the frozen language model is kept by name
        and hash instead."""
        kept = {name for name, value in self.named_parameters() if value.requires_grad}
        kept |= {f"answers.{name}" for name, _ in self.answers.named_parameters()}
        return {name: value for name, value in self.state_dict().items() if name in kept}

    def frozen_state(self) -> dict[str, Tensor]:
        """What training leaves as it is."""
        trained = self.trained_state()
        return {name: value for name, value in self.state_dict().items() if name not in trained}

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Load what `trained_state` gave into a model whose frozen part is the same."""
        self.load_state_dict({**self.frozen_state(), **state})
