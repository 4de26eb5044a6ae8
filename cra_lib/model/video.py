"""Video encoder: frame features through two pre-norm transformer layers (4.1)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from cra_lib.records import InputError


def sinusoid(length: int, like: Float[Tensor, "*batch D"]) -> Float[Tensor, "T D"]:
    """Sine and cosine positions, interleaved; on the device and in the type of ``like``."""
    width = like.shape[-1]
    # Computed in float64: the release's table was, and float32 angles drift by 1e-6 at frame 31.
    steps = torch.arange(length, device=like.device, dtype=torch.float64)
    pairs = torch.arange(0, width, 2, device=like.device, dtype=torch.float64)
    angles = steps[:, None] * torch.exp(pairs * (-math.log(10000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width].to(like.dtype)


def check_features(features: Float[Tensor, "B T F"], width: int) -> None:
    """Refuse features of another width, or with a value that is not finite.

    Raises:
        InputError: in one sentence.
    """
    if features.shape[-1] != width:
        raise InputError(
            f"Frame features are {features.shape[-1]} wide, but the model takes {width}; "
            "extract them with the encoder that the model was trained on."
        )
    if not torch.compiler.is_compiling() and not torch.isfinite(features).all():
        raise InputError("Frame features hold NaN or infinite values; extract them again.")


class FrameEmbedding(nn.Module):
    """LayerNorm(GELU(Linear(v))) plus positions."""

    def __init__(self, feature_width: int, width: int, dropout: float):
        super().__init__()
        self.project = nn.Linear(feature_width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Float[Tensor, "B T F"]) -> Float[Tensor, "B T D"]:
        frames = self.norm(F.gelu(self.project(features)))
        return self.dropout(frames + sinusoid(frames.shape[1], frames))


class UnbiasedNorm(nn.Module):
    """gamma (x - mean) / (std + 1e-6) + beta with the unbiased standard deviation."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        centred = x - x.mean(dim=-1, keepdim=True)
        return self.weight * centred / (x.std(dim=-1, keepdim=True) + 1e-6) + self.bias


class Attention(nn.Module):
    """Multi-head softmax attention of the frames among themselves; no attention dropout."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(
        self, x: Float[Tensor, "B S D"], bias: Float[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B S D"]:
        """Attend; ``bias`` is added to the scores of each attended position."""
        query, key, value = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mask = None if bias is None else bias[:, None, None, :].to(query.dtype)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """x + drop(attend(norm x)), then x + drop(W2 drop(relu(W1 norm x)))."""

    def __init__(self, width: int, ffn_width: int, heads: int, dropout: float):
        super().__init__()
        self.attention_norm = UnbiasedNorm(width)
        self.attention = Attention(width, heads)
        self.ffn_norm = UnbiasedNorm(width)
        self.expand = nn.Linear(width, ffn_width)
        self.contract = nn.Linear(ffn_width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        hidden = self.dropout(F.relu(self.expand(self.ffn_norm(x))))
        return x + self.dropout(self.contract(hidden))


class VideoEncoder(nn.Module):
    """Frame features v to contextual frames x_bar."""

    def __init__(
        self,
        feature_width: int,
        width: int,
        *,
        ffn_width: int,
        heads: int,
        layers: int,
        position_dropout: float,
        dropout: float,
    ):
        super().__init__()
        self.embed = FrameEmbedding(feature_width, width, position_dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(width, ffn_width, heads, dropout) for _ in range(layers)
        )
        self.norm = UnbiasedNorm(width)

    def forward(self, features: Float[Tensor, "B T F"]) -> Float[Tensor, "B T D"]:
        check_features(features, self.embed.project.in_features)
        x = self.embed(features)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class BlankVideo(nn.Module):
    """No video at all: every frame of every video is one learned vector."""

    def __init__(self, width: int):
        super().__init__()
        self.frame = nn.Parameter(torch.randn(width) / math.sqrt(width))

    def forward(self, features: Float[Tensor, "B T F"]) -> Float[Tensor, "B T D"]:
        return self.frame.expand(*features.shape[:2], -1)
