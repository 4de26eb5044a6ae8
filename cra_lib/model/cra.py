"""CRA: ground the question in the video, intervene, match every candidate (section 4)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cra_lib.model.grounding import pool_frames
from cra_lib.records import InputError


class ModelOutput(NamedTuple):
    """Everything a loss, a metric or a figure may ask of one forward pass."""

    answer_logits: Float[Tensor, "B C"]
    frame_weights: Float[Tensor, "B T"]
    """Smoothed attention; sums to one. Spans are read from it."""
    raw_weights: Float[Tensor, "B T"]
    """Attention before smoothing, for figures."""
    grounded: Float[Tensor, "B D"]
    """The grounded segment m, before the visual intervention."""
    evidence: Float[Tensor, "B D"]
    """The grounded segment after the intervention; candidates are matched against it."""
    gaussian: Float[Tensor, "B 2"] | None = None
    """Centre and width as fractions of the video, where the model predicts a Gaussian."""


QueryRule = Callable[[Float[Tensor, "B C D"], Int[Tensor, "B"] | None], Float[Tensor, "B D"]]


def maximum_query(
    candidates: Float[Tensor, "B C D"], truth_index: Int[Tensor, "B"] | None
) -> Float[Tensor, "B D"]:
    """The element-wise maximum over the candidates: it never knows which one is right."""
    if candidates.shape[1] == 0:
        raise InputError("A question has no choices; give at least one.")
    return candidates.amax(dim=1)


def true_query(
    candidates: Float[Tensor, "B C D"], truth_index: Int[Tensor, "B"] | None
) -> Float[Tensor, "B D"]:
    """As released: the true question where it is known, which gives the label away."""
    if truth_index is None:
        return maximum_query(candidates, None)
    return candidates[torch.arange(len(candidates), device=candidates.device), truth_index]


class CRA(nn.Module):
    """Cross-modal Causal Relation Alignment, put together from the parts that it is given."""

    def __init__(
        self,
        *,
        text: nn.Module,
        video: nn.Module,
        grounder: nn.Module,
        smoother: nn.Module,
        back_door: nn.Module,
        front_door: nn.Module,
        query_rule: QueryRule,
        width: int,
        dropout: float,
    ):
        super().__init__()
        self.text = text
        self.video = video
        self.back_door = back_door
        self.grounder = grounder
        self.smoother = smoother
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width))
        self.front_door = front_door
        self.query_rule = query_rule

    def encode_video(self, features: Float[Tensor, "B T F"]) -> Float[Tensor, "B T D"]:
        """Frame features to contextual frames; once a video, however many questions follow."""
        return self.video(features)

    def encode_text(
        self, tokens: Int[Tensor, "N L"], keep: Bool[Tensor, "N L"]
    ) -> Float[Tensor, "N D"]:
        """Token ids to one vector a text; ``keep`` is True on real tokens."""
        return self.text(tokens, keep)

    def query_of(
        self, candidates: Float[Tensor, "B C D"], truth_index: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B D"]:
        """What the grounding listens to; ``truth_index`` is given in the question stage only."""
        return self.query_rule(candidates, truth_index)

    def forward(
        self,
        video: Float[Tensor, "B T D"],
        candidates: Float[Tensor, "B C D"],
        query: Float[Tensor, "B D"],
    ) -> ModelOutput:
        """Ground the query in the video, intervene, then match every candidate."""
        raw_weights = self.grounder(video, self.back_door(query))
        frame_weights = self.smoother(raw_weights)
        grounded = self.project(pool_frames(video, frame_weights))
        evidence = self.front_door(grounded, video, self.project)
        answer_logits = torch.einsum("bcd,bd->bc", self.back_door(candidates), evidence)
        return ModelOutput(answer_logits, frame_weights, raw_weights, grounded, evidence)
