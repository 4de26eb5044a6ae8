"""Video encoder: frame features through two pre-norm transformer layers (4.1)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from cra_lib.model.base import Features, Frames
from cra_lib.records import InputError


def sinusoid(length: int, like: Frames, precision: torch.dtype) -> Float[Tensor, "T D"]:
    """Interleaved sine and cosine positions, on the device and in the type of ``like``.

    Args:
        precision: of the angles; the table itself always passes through float32, as released.
    """
    steps = torch.arange(length, device=like.device, dtype=precision)
    pairs = torch.arange(0, like.shape[-1], 2, device=like.device, dtype=precision)
    angles = steps[:, None] * torch.exp(pairs * (-math.log(10000.0) / like.shape[-1]))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float().to(like.dtype)


def check_features(features: Features, width: int) -> None:
    """Refuse features of another width, or (on a CPU: a GPU would be waited for) not finite."""
    if features.shape[-1] != width:
        raise InputError(
            f"Frame features are {features.shape[-1]} wide, but the model takes {width}; "
            "extract them with the encoder that the model was trained on."
        )
    if features.is_cpu and not torch.compiler.is_compiling() and not features.isfinite().all():
        raise InputError("Frame features hold NaN or infinite values; extract them again.")


class FrameEmbedding(nn.Module):
    """LayerNorm(GELU(Linear(v))) plus positions."""

    def __init__(self, feature_width: int, width: int, dropout: float):
        super().__init__()
        self.project = nn.Linear(feature_width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Features) -> Frames:
        check_features(features, self.project.in_features)
        frames = self.norm(F.gelu(self.project(features)))
        return self.dropout(frames + sinusoid(frames.shape[1], frames, torch.float32))


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
    """Multi-head softmax attention; ``dropout`` falls on its weights."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(
        self,
        query: Float[Tensor, "B Q D"],
        key: Float[Tensor, "B S D"],
        value: Float[Tensor, "B S D"],
        bias: Float[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B Q D"]:
        """Attend; ``bias`` (the log of a mask) is added to the scores of each attended position."""
        pairs = ((self.query, query), (self.key, key), (self.value, value))
        split = [part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part, x in pairs]
        mask = None if bias is None else bias[:, None, None, :].to(split[0].dtype)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(*split, attn_mask=mask, dropout_p=dropout)
        return self.out(mixed.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """x + drop(attend(norm x)), then x + drop(W2 drop(relu(W1 norm x)))."""

    def __init__(
        self, width: int, ffn_width: int, heads: int, dropout: float, attention_dropout: float = 0.0
    ):
        super().__init__()
        self.attention_norm = UnbiasedNorm(width)
        self.attention = Attention(width, heads, attention_dropout)
        self.ffn_norm = UnbiasedNorm(width)
        self.expand = nn.Linear(width, ffn_width)
        self.contract = nn.Linear(ffn_width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Frames) -> Frames:
        normed = self.attention_norm(x)
        x = x + self.dropout(self.attention(normed, normed, normed))
        hidden = self.dropout(F.relu(self.expand(self.ffn_norm(x))))
        return x + self.dropout(self.contract(hidden))


class VideoEncoder(nn.Module):
    """Frame features v to contextual frames x_bar."""

    def __init__(self, embed: FrameEmbedding, layers: list[EncoderLayer], width: int):
        super().__init__()
        self.embed = embed
        self.layers = nn.ModuleList(layers)
        self.norm = UnbiasedNorm(width)

    def forward(self, features: Features) -> Frames:
        return self.contextualise(self.embed(features))

    def contextualise(self, frames: Frames) -> Frames:
        """The layers and the final norm: each frame learns of the others."""
        for layer in self.layers:
            frames = layer(frames)
        return self.norm(frames)


class BlankVideo(nn.Module):
    """No video at all: every frame of every video is one learned vector."""

    def __init__(self, width: int):
        super().__init__()
        self.frame = nn.Parameter(torch.randn(width) / math.sqrt(width))

    def forward(self, features: Features) -> Frames:
        return self.frame.expand(*features.shape[:2], -1)
