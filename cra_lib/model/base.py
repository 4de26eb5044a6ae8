"""What every model of the family shares: shapes, outputs, queries, and being saved."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cra_lib.model.lookup import one_lookup
from cra_lib.model.saving import load_pretrained, save_pretrained
from cra_lib.records import InputError

Features = Float[Tensor, "B T F"]
Frames = Float[Tensor, "B T D"]
FrameWeights = Float[Tensor, "B T"]
Vector = Float[Tensor, "B D"]
Candidates = Float[Tensor, "B C D"]
TruthIndex = Int[Tensor, "B"] | None
Tokens = Int[Tensor, "N L"]
Keep = Bool[Tensor, "N L"]
Texts = Float[Tensor, "N D"]


class ModelOutput(NamedTuple):
    """Everything a loss, a metric or a figure may ask of one forward pass."""

    answer_logits: Float[Tensor, "B C"]
    frame_weights: FrameWeights
    """Smoothed attention; sums to one. Spans are read from it."""
    raw_weights: FrameWeights
    """Attention before smoothing, for figures."""
    grounded: Vector
    """The grounded segment m, before the visual intervention."""
    evidence: Vector
    """The grounded segment after the intervention; candidates are matched against it."""
    gaussian: Float[Tensor, "B 2"] | None = None
    """Centre and width as fractions of the video, where the model predicts a Gaussian."""


QueryRule = Callable[[Candidates, TruthIndex], Vector]


def maximum_query(candidates: Candidates, truth_index: TruthIndex = None) -> Vector:
    """The element-wise maximum over the candidates: it never knows which one is right."""
    if candidates.shape[1] == 0:
        raise InputError("A question has no choices; give at least one.")
    return candidates.amax(dim=1)


def true_query(candidates: Candidates, truth_index: TruthIndex = None) -> Vector:
    """As released: the true question where it is known, which gives the label away."""
    if truth_index is None:
        return maximum_query(candidates)
    return candidates[torch.arange(len(candidates), device=candidates.device), truth_index]


def pool_frames(video: Frames, frame_weights: FrameWeights) -> Vector:
    """Average the frames, each counted by how relevant it is to the question."""
    return torch.einsum("btd,bt->bd", video, frame_weights.to(video.dtype))


class Pretrained(nn.Module):
    """A model that can be saved to a folder and read back."""

    builder: ClassVar[Callable[..., "Pretrained"]]
    """What makes a model from its settings. The assembler knows every class of the family and
    leaves itself here, so that a class can be loaded without knowing the assembler."""

    def backbone_record(self) -> dict[str, Any]:
        """What config.json says about the pre-trained part."""
        config = self.text.backbone.config.to_dict()
        config.pop("_name_or_path", None)  # a folder of the machine that trained it
        return {"text": config}

    def trained_state(self) -> dict[str, Tensor]:
        """The weights that a checkpoint holds: all, unless a part is frozen."""
        return self.state_dict()

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Load what `trained_state` gave."""
        self.load_state_dict(state)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model.safetensors, config.json and a model card into a folder."""
        save_pretrained(self, Path(folder))

    @classmethod
    def from_pretrained(cls, source: str | Path) -> "Pretrained":
        """The model of a folder that `save_pretrained` wrote, or of a hub repository."""
        return load_pretrained(source, cls.builder, cls)


class GroundedModel(Pretrained):
    """Encode a video once, encode texts, then answer: ``forward(video, candidates, query)``."""

    is_compiled: bool = False
    """Whether `encode_text` went through torch.compile, which does not see a lookup of ours."""

    def __init__(self, text: nn.Module, query_rule: QueryRule, width: int, dropout: float):
        super().__init__()
        self.text = text
        self.query_rule = query_rule
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width))

    def encode_text(self, tokens: Tokens, keep: Keep) -> Texts:
        """Token ids to one vector a text; ``keep`` is True on real tokens."""
        return self.text(tokens, keep)

    def encode_chunks(self, chunks: Sequence[tuple[Tensor, Tensor]]) -> Texts:
        """Texts that are padded in several groups (tokens and what to keep), a vector each."""
        shared = [] if self.is_compiled else [tokens for tokens, _ in chunks]
        with one_lookup(self.text.backbone, shared):
            return torch.cat([self.encode_text(tokens, keep) for tokens, keep in chunks])

    def query_of(self, candidates: Candidates, truth_index: TruthIndex = None) -> Vector:
        """What the grounding listens to; ``truth_index`` is given in the question stage only."""
        return self.query_rule(candidates, truth_index)
