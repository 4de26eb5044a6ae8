"""Temp[CLIP], the baselines of NExT-GQA: attention read post hoc (PH), Gaussian mask (NG, NG+)."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cra_lib.model.base import (
    Candidates,
    Features,
    Frames,
    FrameWeights,
    GroundedModel,
    ModelOutput,
    QueryRule,
    Vector,
    pool_frames,
)
from cra_lib.model.video import Attention, check_features, sinusoid

MASK_FLOOR = 1e-10
"""Added to the Gaussian mask, so that a frame far from its centre keeps a finite score."""

Sequence = Float[Tensor, "B S D"]
SequenceKeep = Bool[Tensor, "B S"] | None
Gaussian = Float[Tensor, "B 2"]


class PositionedFrames(nn.Module):
    """LN(LN(GELU(Linear(v))) + positions)."""

    def __init__(self, feature_width: int, width: int, dropout: float):
        super().__init__()
        self.project = nn.Linear(feature_width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.position_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Features) -> Frames:
        check_features(features, self.project.in_features)
        frames = self.norm(F.gelu(self.project(features)))
        positions = sinusoid(frames.shape[1], frames, torch.float64)
        return self.dropout(self.position_norm(frames + positions))


class PostNormLayer(nn.Module):
    """norm(x + attend(x)), then norm(x + drop(W2 gelu(W1 x)))."""

    def __init__(
        self, width: int, ffn_width: int, heads: int, dropout: float, attention_dropout: float = 0.0
    ):
        super().__init__()
        self.attention = Attention(width, heads, attention_dropout)
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.expand = nn.Linear(width, ffn_width)
        self.contract = nn.Linear(ffn_width, width)
        self.ffn_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Sequence, bias: Float[Tensor, "B S"] | None) -> Sequence:
        x = self.attention_norm(x + self.attention(x, x, x, bias))
        return self.ffn_norm(x + self.dropout(self.contract(F.gelu(self.expand(x)))))


class AdditivePooling(nn.Sequential):
    """softmax_T(Linear(tanh(Linear(x)))): the attention that PH reads as grounding."""

    def __init__(self, width: int):
        super().__init__(nn.Linear(width, width // 2), nn.Tanh(), nn.Linear(width // 2, 1))

    def forward(self, x: Sequence) -> Float[Tensor, "B S"]:
        return super().forward(x).squeeze(-1).softmax(dim=-1)


def gaussian_mask(gaussian: Gaussian, length: int, sigma: float) -> FrameWeights:
    """exp(-(t - c)^2 / 2 s^2) over fractions t of the video, s = max(width, 0.01) / sigma.

    Scaled so that the frame nearest to the centre c gets 1.
    """
    centre, width = gaussian.unsqueeze(-1).unbind(dim=1)
    positions = torch.linspace(0, 1, length, device=gaussian.device, dtype=gaussian.dtype)
    exponent = -0.5 * ((positions - centre) / (width.clamp(min=0.01) / sigma)) ** 2
    # Scaled before it is taken: a narrow Gaussian between two frames is zero at both in float32.
    return torch.exp(exponent - exponent.amax(dim=-1, keepdim=True))


class TempCLIP(GroundedModel):
    """PH: one pass over the frames; the pooling attention is the grounding."""

    def __init__(
        self,
        *,
        text: nn.Module,
        frames: PositionedFrames,
        layers: list[PostNormLayer],
        query_rule: QueryRule,
        width: int,
        dropout: float,
    ):
        super().__init__(text, query_rule, width, dropout)
        self.frames = frames
        self.layers = nn.ModuleList(layers)
        self.attention = AdditivePooling(width)

    def encode_video(self, features: Features, keep: SequenceKeep = None) -> Frames:
        """Frame features to contextual frames; ``keep`` is False on padded frames."""
        return self.contextualise(self.frames(features), keep)

    def contextualise(
        self, x: Sequence, keep: SequenceKeep = None, mask: Float[Tensor, "B S"] | None = None
    ) -> Sequence:
        """One pass; ``mask`` multiplies the attention, which is then renormalised."""
        bias = None if mask is None else mask.log()
        if keep is not None:
            bias = (x.new_zeros(x.shape[:2]) if bias is None else bias).masked_fill(
                ~keep, -torch.inf
            )
        for layer in self.layers:
            x = layer(x, bias)
        return x

    def forward(self, video: Frames, candidates: Candidates, query: Vector) -> ModelOutput:
        """Pool the frames and match every candidate; PH never looks at the query."""
        weights = self.attention(video)
        evidence = self.project(pool_frames(video, weights))
        logits = torch.einsum("bcd,bd->bc", candidates, evidence)
        return ModelOutput(logits, weights, weights, evidence, evidence)


class GaussianTempCLIP(TempCLIP):
    """NG and NG+: a first pass with the query predicts a Gaussian that masks a second pass.

    ``sigma`` divides the predicted width; `spans.gaussian_spans` should take the same one.
    """

    def __init__(self, *, width: int, dropout: float, sigma: float, **parts):
        super().__init__(width=width, dropout=dropout, **parts)
        self.locate_attention = AdditivePooling(width)
        self.locate = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 2))
        self.sigma = sigma

    def encode_video(self, features: Features, keep: SequenceKeep = None) -> Frames:
        """Frame features to positioned frames: both passes over them need the query."""
        return self.frames(features)

    def gaussian_of(self, video: Frames, query: Vector, keep: SequenceKeep = None) -> Gaussian:
        """Centre and width of the evidence, from a pass over the frames and the query."""
        x = self.contextualise(torch.cat([video, query.unsqueeze(1)], dim=1), keep)
        return self.locate(pool_frames(x, self.locate_attention(x))).sigmoid()

    def mask_frames(self, video: Frames, gaussian: Gaussian, keep: SequenceKeep = None) -> Frames:
        """The second pass, in which frames attend to those near the centre."""
        mask = gaussian_mask(gaussian, video.shape[1], self.sigma) + MASK_FLOOR
        return self.contextualise(video, keep, mask)

    def forward(self, video: Frames, candidates: Candidates, query: Vector) -> ModelOutput:
        """Locate the evidence, mask the frames around it, then match every candidate."""
        gaussian = self.gaussian_of(video, query)
        output = super().forward(self.mask_frames(video, gaussian), candidates, query)
        return output._replace(gaussian=gaussian)
