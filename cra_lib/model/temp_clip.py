"""Temp[CLIP], the baselines of NExT-GQA: attention read post hoc (PH), Gaussian mask (NG, NG+)."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cra_lib.model.cra import ModelOutput, QueryRule
from cra_lib.model.grounding import pool_frames
from cra_lib.model.video import Attention, check_features, sinusoid

MASK_FLOOR = 1e-10
"""Added to the Gaussian mask, so that a frame far from its centre keeps a finite score."""


class PositionedFrames(nn.Module):
    """LN(LN(GELU(Linear(v))) + positions)."""

    def __init__(self, feature_width: int, width: int, dropout: float):
        super().__init__()
        self.project = nn.Linear(feature_width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.position_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Float[Tensor, "B T F"]) -> Float[Tensor, "B T D"]:
        check_features(features, self.project.in_features)
        frames = self.norm(F.gelu(self.project(features)))
        return self.dropout(self.position_norm(frames + sinusoid(frames.shape[1], frames)))


class PostNormLayer(nn.Module):
    """norm(x + attend(x)), then norm(x + W2 gelu(W1 x))."""

    def __init__(self, width: int, ffn_width: int, heads: int, dropout: float):
        super().__init__()
        self.attention = Attention(width, heads)
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.expand = nn.Linear(width, ffn_width)
        self.contract = nn.Linear(ffn_width, width)
        self.ffn_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "B S D"], bias: Float[Tensor, "B S"] | None
    ) -> Float[Tensor, "B S D"]:
        x = self.attention_norm(x + self.attention(x, bias))
        return self.ffn_norm(x + self.dropout(self.contract(F.gelu(self.expand(x)))))


class Transformer(nn.Module):
    """Post-norm layers; a bias of log(mask) multiplies the attention by the mask, renormalised."""

    def __init__(self, width: int, *, ffn_width: int, heads: int, layers: int, dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(
            PostNormLayer(width, ffn_width, heads, dropout) for _ in range(layers)
        )

    def forward(
        self, x: Float[Tensor, "B S D"], bias: Float[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B S D"]:
        for layer in self.layers:
            x = layer(x, bias)
        return x


class AdditivePooling(nn.Sequential):
    """softmax_T(Linear(tanh(Linear(x)))): the attention that PH reads as grounding."""

    def __init__(self, width: int):
        super().__init__(nn.Linear(width, width // 2), nn.Tanh(), nn.Linear(width // 2, 1))

    def forward(self, x: Float[Tensor, "B S D"]) -> Float[Tensor, "B S"]:
        return super().forward(x).squeeze(-1).softmax(dim=-1)


def gaussian_mask(
    centre: Float[Tensor, "B"], width: Float[Tensor, "B"], length: int, sigma: float
) -> Float[Tensor, "B T"]:
    """exp(-(t - centre)^2 / 2 s^2) over fractions of the video, s = max(width, 0.01) / sigma."""
    positions = torch.linspace(0, 1, length, device=centre.device, dtype=centre.dtype)
    spread = width.clamp(min=0.01)[:, None] / sigma
    mask = torch.exp(-0.5 * ((positions - centre[:, None]) / spread) ** 2)
    return mask / mask.amax(dim=-1, keepdim=True)


def _bias(keep: Bool[Tensor, "B S"] | None) -> Float[Tensor, "B S"] | None:
    if keep is None:
        return None
    return torch.zeros_like(keep, dtype=torch.float32).masked_fill(~keep, -torch.inf)


class TempCLIP(nn.Module):
    """PH: one pass over the frames; the pooling attention is the grounding."""

    def __init__(
        self,
        *,
        text: nn.Module,
        frames: nn.Module,
        transformer: nn.Module,
        query_rule: QueryRule,
        width: int,
        dropout: float,
    ):
        super().__init__()
        self.text = text
        self.frames = frames
        self.transformer = transformer
        self.attention = AdditivePooling(width)
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width))
        self.query_rule = query_rule

    def encode_video(
        self, features: Float[Tensor, "B T F"], keep: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B T D"]:
        """Frame features to contextual frames; ``keep`` hides padded frames."""
        return self.transformer(self.frames(features), _bias(keep))

    def encode_text(
        self, tokens: Int[Tensor, "N L"], keep: Bool[Tensor, "N L"]
    ) -> Float[Tensor, "N D"]:
        """Token ids to one vector a text; ``keep`` is True on real tokens."""
        return self.text(tokens, keep)

    def query_of(
        self, candidates: Float[Tensor, "B C D"], truth_index: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B D"]:
        """What the Gaussian is predicted from; ``truth_index`` in the question stage only."""
        return self.query_rule(candidates, truth_index)

    def forward(
        self,
        video: Float[Tensor, "B T D"],
        candidates: Float[Tensor, "B C D"],
        query: Float[Tensor, "B D"],
    ) -> ModelOutput:
        """Pool the frames and match every candidate; PH never looks at the query."""
        return self.read(video, candidates)

    def read(
        self,
        video: Float[Tensor, "B T D"],
        candidates: Float[Tensor, "B C D"],
        gaussian: Float[Tensor, "B 2"] | None = None,
    ) -> ModelOutput:
        """Pooling attention, pooled video and scores of encoded frames."""
        weights = self.attention(video)
        evidence = self.project(pool_frames(video, weights))
        logits = torch.einsum("bcd,bd->bc", candidates, evidence)
        return ModelOutput(logits, weights, weights, evidence, evidence, gaussian)


class GaussianTempCLIP(TempCLIP):
    """NG and NG+: a first pass with the query predicts a Gaussian that masks a second pass."""

    def __init__(self, *, width: int, dropout: float, sigma: float, **parts):
        super().__init__(width=width, dropout=dropout, **parts)
        self.locate_attention = AdditivePooling(width)
        self.locate = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 2))
        self.sigma = sigma

    def encode_video(
        self, features: Float[Tensor, "B T F"], keep: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B T D"]:
        """Frame features to positioned frames: both passes over them need the query."""
        return self.frames(features)

    def gaussian_of(
        self,
        video: Float[Tensor, "B T D"],
        query: Float[Tensor, "B D"],
        keep: Bool[Tensor, "B T+1"] | None = None,
    ) -> Float[Tensor, "B 2"]:
        """Centre and width of the evidence from a pass over frames and query together."""
        tokens = self.transformer(torch.cat([video, query.unsqueeze(1)], dim=1), _bias(keep))
        return self.locate(pool_frames(tokens, self.locate_attention(tokens))).sigmoid()

    def forward(
        self,
        video: Float[Tensor, "B T D"],
        candidates: Float[Tensor, "B C D"],
        query: Float[Tensor, "B D"],
    ) -> ModelOutput:
        """Locate the evidence, mask the frames around it, then match every candidate."""
        gaussian = self.gaussian_of(video, query)
        masked = self.transformer(video, self.mask_bias(gaussian, video.shape[1]))
        return self.read(masked, candidates, gaussian)

    def mask_bias(self, gaussian: Float[Tensor, "B 2"], length: int) -> Float[Tensor, "B T"]:
        """The Gaussian mask as what is added to attention scores."""
        centre, width = gaussian.unbind(dim=-1)
        return (gaussian_mask(centre, width, length, self.sigma) + MASK_FLOOR).log()
