"""CRA on FrozenBiLM: ground the question in the frames' states, intervene at the mask."""

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cra_lib.model.base import Frames, pool_frames
from cra_lib.model.frozen_bilm.gaussian import extra_layer, key_bias
from cra_lib.model.frozen_bilm.model import (
    Encoded,
    Features,
    FrameKeep,
    FrozenBiLM,
    Keep,
    SequenceOutput,
    State,
    Tokens,
)
from cra_lib.model.intervention import BatchFrontDoor, Project
from cra_lib.model.text import AttentionPooling


class Fusion(nn.Module):
    """Linear(LN([state; other])): two vectors of the model's width to one."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(2 * width)
        self.project = nn.Linear(2 * width, width)

    def forward(self, state: State, other: Float[Tensor, "N *T D"]) -> Float[Tensor, "N *T D"]:
        """Join a state with one vector, or with every frame of a video."""
        if other.ndim > state.ndim:
            state = state.unsqueeze(1).expand_as(other)
        return self.project(self.norm(torch.cat([state, other], dim=-1)))


class AddedEvidence(nn.Module):
    """No front-door: the evidence itself is added to the state at the mask."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, grounded: State, video: Frames, project: Project, onto: State) -> State:
        return self.norm(onto + grounded)


class IgnoredEvidence(AddedEvidence):
    """As released without front-door: the evidence reaches the loss through alignment only."""

    def forward(self, grounded: State, video: Frames, project: Project, onto: State) -> State:
        return self.norm(onto)


class FrozenCRA(FrozenBiLM):
    """Grounding, smoothing and both interventions between the language model and its head.

    Args:
        grounder, smoother, back_door, front_door: as in `cra_lib.model.CRA`, of the language
            model's width; ``nn.Identity`` or `AddedEvidence` leave an intervention out.
        pools_padding: the words' attention counts padding too, as released.
    """

    def __init__(
        self,
        *,
        grounder: nn.Module,
        smoother: nn.Module,
        back_door: nn.Module,
        front_door: nn.Module,
        dropout: float,
        pools_padding: bool = False,
        **parts,
    ):
        super().__init__(dropout=dropout, **parts)
        self.grounder, self.smoother = grounder, smoother
        self.back_door, self.front_door = back_door, front_door
        self.extra = extra_layer(self.width, dropout)
        self.word_pooling = AttentionPooling(self.width)
        self.fuse_words, self.fuse_frames = Fusion(self.width), Fusion(self.width)
        self.pools_padding = pools_padding
        self.mixes_sequences = pools_padding or isinstance(front_door, BatchFrontDoor)

    def forward(
        self, features: Features, tokens: Tokens, keep: Keep, frame_keep: FrameKeep = None
    ) -> SequenceOutput:
        """Ground the query in the frames' states, intervene, and answer at the mask."""
        read = self.encode(features, tokens, keep, frame_keep)
        length = features.shape[1]
        frames, join = read.states[:, :length], partial(self.fuse_frames, read.mask_state)
        word_weights = self.word_weights(read, length)
        words, own_words = (
            torch.einsum("nld,nl->nd", of[:, length:], word_weights)
            for of in (read.states, read.inputs)
        )
        query = self.back_door(self.fuse_words(read.mask_state, words))
        raw_weights = self.grounder(frames, query)
        frame_weights = self.smoother(raw_weights)
        video = self.extra(frames, key_bias(read.keep[:, :length], frames))
        grounded = pool_frames(video, frame_weights)
        evidence = join(grounded)
        state = self.front_door(evidence, video, join, onto=read.mask_state)
        return SequenceOutput(
            self.answer(state),
            frame_weights,
            raw_weights,
            query,
            grounded,
            evidence,
            segment=pool_frames(read.inputs[:, :length], frame_weights),
            wording=own_words,
        )

    def word_weights(self, read: Encoded, length: int) -> Float[Tensor, "N L"]:
        """How much each word counts; the mask does not."""
        words = read.states[:, length:]
        places = torch.arange(words.shape[1], device=words.device)
        others = places != (read.mask_place - length)[:, None]
        counts = others if self.pools_padding else self.real(read, others)
        return self.word_pooling.weights(words, counts)

    def real(self, read: Encoded, others: Bool[Tensor, "N L"]) -> Bool[Tensor, "N L"]:
        """Words that are neither the mask nor padding."""
        return others & read.keep[:, -others.shape[1] :]
