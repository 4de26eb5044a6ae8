"""CRA: ground the question in the video, intervene, match every candidate (section 4)."""

import torch
from torch import nn

from cra_lib.model.base import (
    Candidates,
    Features,
    Frames,
    GroundedModel,
    ModelOutput,
    QueryRule,
    Vector,
    pool_frames,
)


class CRA(GroundedModel):
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
        super().__init__(text, query_rule, width, dropout)
        self.video = video
        self.grounder = grounder
        self.smoother = smoother
        self.back_door = back_door
        self.front_door = front_door

    def encode_video(self, features: Features) -> Frames:
        """Frame features to contextual frames; once a video, however many questions follow."""
        return self.video(features)

    def forward(self, video: Frames, candidates: Candidates, query: Vector) -> ModelOutput:
        """Ground the query in the video, intervene, then match every candidate."""
        raw_weights = self.grounder(video, self.back_door(query))
        frame_weights = self.smoother(raw_weights)
        grounded = self.project(pool_frames(video, frame_weights))
        evidence = self.front_door(grounded, video, self.project)
        answer_logits = torch.einsum("bcd,bd->bc", self.back_door(candidates), evidence)
        return ModelOutput(answer_logits, frame_weights, raw_weights, grounded, evidence)
