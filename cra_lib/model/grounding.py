"""Gaussian Smoothing Grounding: which frames matter to the question (4.2)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from cra_lib.model.base import Frames, FrameWeights, Vector

SIGMA_RANGE = (0.3, 5.0)
"""Bounds of the described filter's width, in frames."""

Asked = Float[Tensor, "B 1 D"]


def _projection(width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())


def _scorer(width: int) -> list[nn.Module]:
    return [nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, 1)]


class Grounder(nn.Module):
    """Frame and query projections; what a subclass makes of them is a frame's relevance."""

    def __init__(self, width: int):
        super().__init__()
        self.project_frames = _projection(width)
        self.project_query = _projection(width)

    def forward(self, video: Frames, query: Vector) -> FrameWeights:
        """Weights over the frames that sum to one."""
        frames, asked = self.project_frames(video), self.project_query(query).unsqueeze(1)
        return self.relevance(frames, asked).softmax(dim=-1)


class ProductGrounder(Grounder):
    """MLP(v * q): the question chooses which features of a frame count."""

    def __init__(self, width: int):
        super().__init__(width)
        self.score = nn.Sequential(*_scorer(width))

    def relevance(self, frames: Frames, asked: Asked) -> FrameWeights:
        return self.score(frames * asked).squeeze(-1)


class ScaledGateGrounder(Grounder):
    """MLP(LN(v) * tanh(<v, q> / sqrt D)): the gate comes after the norm, and does not saturate."""

    def __init__(self, width: int):
        super().__init__(width)
        self.norm = nn.LayerNorm(width)
        self.score = nn.Sequential(*_scorer(width))

    def relevance(self, frames: Frames, asked: Asked) -> FrameWeights:
        match = (frames * asked).sum(dim=-1, keepdim=True) / math.sqrt(frames.shape[-1])
        return self.score(self.norm(frames) * match.tanh()).squeeze(-1)


class SimilarityGrounder(Grounder):
    """<v, q> / sqrt D: plain attention of the question over the frames."""

    def relevance(self, frames: Frames, asked: Asked) -> FrameWeights:
        return (frames * asked).sum(dim=-1) / math.sqrt(frames.shape[-1])


class ReleasedGrounder(Grounder):
    """MLP(LN(v tanh <v, q>)) as released: the norm cancels the gate, so the question is unseen."""

    def __init__(self, width: int):
        super().__init__(width)
        self.score = nn.Sequential(nn.LayerNorm(width), *_scorer(width))

    def relevance(self, frames: Frames, asked: Asked) -> FrameWeights:
        gate = (frames @ asked.transpose(1, 2)).tanh()
        return self.score(frames * gate).squeeze(-1)


class UniformGrounder(nn.Module):
    """Every frame counts the same: what is left to a model without a video."""

    def forward(self, video: Frames, query: Vector) -> FrameWeights:
        return video.new_full(video.shape[:2], 1 / video.shape[1])


def smooth(weights: FrameWeights, sigma: Float[Tensor, ""], size: int) -> FrameWeights:
    """Gaussian filter over the frames with zeros beyond both ends (mass is lost there)."""
    offsets = torch.arange(size, device=weights.device, dtype=weights.dtype) - size // 2
    taps = (-0.5 * (offsets / sigma.to(weights.dtype)) ** 2).softmax(dim=0)
    windows = F.pad(weights, (size // 2, size // 2)).unfold(-1, size, 1)
    return (windows * taps).sum(dim=-1)


class SumSmoother(nn.Module):
    """Smoothed weights divided by their sum: neighbours share evidence and the peak stays."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        # The inverse of `sigma` below at 1, the filter's initial width.
        self.raw_sigma = nn.Parameter(torch.tensor(math.log(math.expm1(1 - SIGMA_RANGE[0]))))

    @property
    def sigma(self) -> Float[Tensor, ""]:
        """Width in frames; the softplus starts at the lower bound, so it always has a gradient."""
        low, high = SIGMA_RANGE
        return (low + F.softplus(self.raw_sigma)).clamp(max=high)

    def forward(self, weights: FrameWeights) -> FrameWeights:
        smoothed = smooth(weights, self.sigma, self.size)
        return smoothed / smoothed.sum(dim=-1, keepdim=True)


class SoftmaxSmoother(nn.Module):
    """A second softmax over the smoothed probabilities, as released: nearly flat."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.sigma = nn.Parameter(torch.tensor(1.0))

    def forward(self, weights: FrameWeights) -> FrameWeights:
        return smooth(weights, self.sigma, self.size).softmax(dim=-1)


GROUNDERS = {
    "product": ProductGrounder,
    "scaled-gate": ScaledGateGrounder,
    "similarity": SimilarityGrounder,
    "released": ReleasedGrounder,
}
SMOOTHERS = {"sum": SumSmoother, "softmax": SoftmaxSmoother}
