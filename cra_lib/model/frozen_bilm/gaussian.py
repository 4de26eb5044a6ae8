"""FrozenBiLM with NExT-GQA's Gaussian mask (NG, NG+)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cra_lib.model.frozen_bilm.language_model import Sequence
from cra_lib.model.frozen_bilm.model import (
    Encoded,
    Features,
    FrameKeep,
    FrozenBiLM,
    Keep,
    SequenceOutput,
    State,
    Tokens,
    Weights,
)
from cra_lib.model.temp_clip import PostNormLayer, gaussian_mask

MASK_FLOOR = 1e-12
"""Added to the Gaussian mask, so that a frame far from its centre keeps a finite score."""
HEADS = 8
"""Attention heads of the extra layer."""


def extra_layer(width: int, dropout: float) -> PostNormLayer:
    """The post-norm layer that NG and CRA put behind the language model; it has no positions."""
    return PostNormLayer(width, width, HEADS, dropout, attention_dropout=dropout)


def key_bias(keep: Bool[Tensor, "N S"], like: Tensor) -> Float[Tensor, "N S"]:
    """What to add to attention scores so that padding gets none."""
    return torch.zeros_like(keep, dtype=like.dtype).masked_fill(~keep, -torch.inf)


class GaussianFrozenBiLM(FrozenBiLM):
    """A first pass of an extra layer predicts a Gaussian that masks the frames in a second pass.

    The answer is read at the mask after the second pass.
    """

    def __init__(self, *, dropout: float, sigma: float = 9.0, **parts):
        super().__init__(dropout=dropout, **parts)
        self.extra = extra_layer(self.width, dropout)
        self.locate = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.width, 2))
        self.sigma = sigma

    def forward(
        self, features: Features, tokens: Tokens, keep: Keep, frame_keep: FrameKeep = None
    ) -> SequenceOutput:
        read = self.encode(features, tokens, keep, frame_keep)
        first = self.extra(read.states, key_bias(read.keep, read.states))
        gaussian = self.locate(self.at_mask(first, read)).sigmoid()
        mask = self.mask_of(gaussian, features.shape[1])
        answered = self.answer(self.masked_state(read, mask))
        return SequenceOutput(answered, read.attention, read.attention, gaussian=gaussian)

    def at_mask(self, states: Sequence, read: Encoded) -> State:
        """The state of the mask token of each sequence."""
        return states[torch.arange(len(states), device=states.device), read.mask_place]

    def mask_of(self, gaussian: Float[Tensor, "N 2"], length: int) -> Weights:
        """How much each frame counts in the second pass; 1 at the centre."""
        return gaussian_mask(gaussian, length, self.sigma)

    def masked_state(self, read: Encoded, mask: Weights) -> State:
        """State at the mask after a pass in which frames far from the centre count little."""
        bias = key_bias(read.keep, read.states)
        ones = torch.ones_like(bias[:, mask.shape[1] :])
        soft = torch.cat([mask.to(bias.dtype) + MASK_FLOOR, ones], dim=1).log()
        return self.at_mask(self.extra(read.states, bias + soft), read)


class ReleasedGaussianFrozenBiLM(GaussianFrozenBiLM):
    """As released: the second pass replaces the frames, and the answer is read at the mask.

    The mask's own state is left as it was, so neither answer nor loss depends on the Gaussian.
    """

    def masked_state(self, read: Encoded, mask: Weights) -> State:
        return read.mask_state

    def masked_frames(self, read: Encoded, mask: Weights) -> Sequence:
        """The second pass over the frames alone, which nothing reads."""
        frames = read.states[:, : mask.shape[1]]
        bias = key_bias(read.keep[:, : mask.shape[1]], frames)
        return self.extra(frames, bias + (mask + MASK_FLOOR).log())
