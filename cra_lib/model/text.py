"""Text encoder: a pre-trained language model, projected and pooled to one vector a text (4.1)."""

import os
from pathlib import Path

import torch
import transformers
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cra_lib.records import InputError

ALIASES = {
    "roberta": "roberta-base",
    "bert": "bert-base-uncased",
    "distilbert": "distilbert-base-uncased",
    "deberta": "microsoft/deberta-base",
}
"""Short names of the text encoders that the paper's family of models uses."""


def load_backbone(name: str) -> nn.Module:
    """The pre-trained transformer of a name, a local folder, or "shapes-clip".

    Raises:
        InputError: the weights are not in the folder, nor in the hub cache, nor to be had.
    """
    source = _source(name)
    with _explained(name):
        return without_pooler(transformers.AutoModel.from_pretrained(source))


def load_tokenizer(name: str) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer that belongs to `load_backbone(name)`."""
    source = _source(name)
    with _explained(name):
        return transformers.AutoTokenizer.from_pretrained(source)


def without_pooler(backbone: nn.Module) -> nn.Module:
    """Drop the head that BERT and RoBERTa put on the first token: nothing here reads it."""
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None
    return backbone


def _source(name: str) -> str:
    if name == "shapes-clip":
        from cra_lib.video.shapes_clip import text_folder

        return str(text_folder())
    if name.startswith((".", "/", "~")) and not Path(name).expanduser().is_dir():
        raise InputError(f"No folder {name} to load a text encoder from.")
    return (
        str(Path(name).expanduser())
        if Path(name).expanduser().is_dir()
        else ALIASES.get(name, name)
    )


class _explained:
    """Turn a failed load into one sentence that says what to fetch and where to put it."""

    def __init__(self, name: str):
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, OSError | ValueError) and not isinstance(error, InputError):
            offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
            why = "HF_HUB_OFFLINE is set" if offline else "the model hub did not deliver it"
            raise InputError(
                f"No weights or tokenizer for the text encoder {self.name!r} ({why}): run "
                f"`huggingface-cli download {ALIASES.get(self.name, self.name)}` where there is a "
                "network, or set model.text_encoder to a local folder."
            ) from error


class MeanPooling(nn.Module):
    """The mean over the real tokens."""

    def forward(
        self, words: Float[Tensor, "N L D"], keep: Bool[Tensor, "N L"]
    ) -> Float[Tensor, "N D"]:
        real = keep.unsqueeze(-1).to(words.dtype)
        return (words * real).sum(dim=1) / real.sum(dim=1)


class PaddedMeanPooling(nn.Module):
    """The mean over all positions, padding included, as released: it depends on the length."""

    def forward(
        self, words: Float[Tensor, "N L D"], keep: Bool[Tensor, "N L"]
    ) -> Float[Tensor, "N D"]:
        return words.mean(dim=1)


class AttentionPooling(nn.Module):
    """A weighted mean whose weights are a softmax over the real tokens."""

    def __init__(self, width: int):
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(
        self, words: Float[Tensor, "N L D"], keep: Bool[Tensor, "N L"]
    ) -> Float[Tensor, "N D"]:
        scores = self.score(words).squeeze(-1)
        return _weighted_mean(words, scores.masked_fill(~keep, -torch.inf))


class PaddedAttentionPooling(AttentionPooling):
    """The softmax also runs over padding, as released: it depends on the length."""

    def forward(
        self, words: Float[Tensor, "N L D"], keep: Bool[Tensor, "N L"]
    ) -> Float[Tensor, "N D"]:
        return _weighted_mean(words, self.score(words).squeeze(-1))


def _weighted_mean(
    words: Float[Tensor, "N L D"], scores: Float[Tensor, "N L"]
) -> Float[Tensor, "N D"]:
    return torch.einsum("nld,nl->nd", words, scores.softmax(dim=-1).to(words.dtype))


class TextEncoder(nn.Module):
    """Tokens to one vector a text; texts are encoded on their own, so batches do not matter."""

    def __init__(self, backbone: nn.Module, pooling: nn.Module, *, width: int, max_tokens: int):
        super().__init__()
        self.backbone = without_pooler(backbone)
        self.project = nn.Linear(backbone.config.hidden_size, width)
        self.pooling = pooling
        self.max_tokens = max_tokens

    def forward(
        self, tokens: Int[Tensor, "N L"], keep: Bool[Tensor, "N L"]
    ) -> Float[Tensor, "N D"]:
        """Encode N texts of L token ids; ``keep`` is True on real tokens.

        Raises:
            InputError: more tokens than the model was set up for.
        """
        if tokens.shape[1] > self.max_tokens:
            raise InputError(
                f"A text has {tokens.shape[1]} tokens, but at most {self.max_tokens} are "
                "expected; truncate it, or raise model.max_pair_tokens."
            )
        hidden = self.backbone(input_ids=tokens, attention_mask=keep.long()).last_hidden_state
        return self.pooling(self.project(hidden), keep)
