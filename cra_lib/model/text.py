"""Text encoder: a pre-trained language model, projected and pooled to one vector a text (4.1)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cra_lib.config import ModelConfig
from cra_lib.model.base import Keep, Texts, Tokens
from cra_lib.records import InputError

SHORT_NAMES = {
    "roberta": "roberta-base",
    "bert": "bert-base-uncased",
    "distilbert": "distilbert-base-uncased",
    "deberta": "microsoft/deberta-base",
}
"""Short names of the text encoders that the paper's family of models uses."""

SHAPES_LM = Path(__file__).with_name("frozen_bilm") / "shapes_lm"
"""The embedded dataset's masked language model."""
SHAPES_LM_ALIGNED = SHAPES_LM / "aligned"
"""What training on it starts from: frames that it can read (`scripts/align_shapes_lm.py`)."""

Words = Float[Tensor, "N L D"]


def load_backbone(name: str) -> nn.Module:
    """The pre-trained transformer of a name, a local folder, or "shapes-clip".

    Raises:
        InputError: the weights are not in the folder, nor in the hub cache, nor to be had.
    """
    import transformers  # takes seconds: whoever brings a text tower along does not wait for it

    with located(name) as source:
        return without_pooler(transformers.AutoModel.from_pretrained(source))


def load_tokenizer(name: str, setting: str = "model.text_encoder") -> Any:
    """The fast tokenizer that belongs to `load_backbone(name)`; raises the same errors."""
    import transformers

    with located(name, setting) as source:
        return transformers.AutoTokenizer.from_pretrained(source)


def tokenizer_of(cfg: ModelConfig) -> Any:
    """The tokenizer of a model's settings; raises the errors of `load_tokenizer`."""
    if cfg.is_frozen:
        return load_tokenizer(cfg.language_model, "model.language_model")
    return load_tokenizer(cfg.text_encoder)


def without_pooler(backbone: nn.Module) -> nn.Module:
    """Drop the head that BERT and RoBERTa put on the first token: nothing here reads it."""
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None
    return backbone


@contextmanager
def located(name: str, setting: str = "model.text_encoder") -> Iterator[str]:
    """The folder or hub name to load from; a failed load inside becomes one sentence.

    Args:
        setting: what the sentence tells to change.
    """
    source, folder = SHORT_NAMES.get(name, name), Path(name).expanduser()
    if name == "shapes-clip":
        from cra_lib.video.shapes_clip import text_folder

        source = str(text_folder())
    elif name == "shapes-lm":
        source = str(SHAPES_LM)
    elif folder.is_dir():
        source = str(folder)
    try:
        yield source
    except (OSError, ValueError) as error:
        offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
        why = "HF_HUB_OFFLINE is set" if offline else "no such folder, and the hub has not sent it"
        kind = setting.removeprefix("model.").replace("_", " ")
        raise InputError(
            f"No {kind} {name!r} on this machine ({why}); run `hf download {source}` where "
            f"there is a network, or set {setting} to a folder that holds its weights."
        ) from error


class MeanPooling(nn.Module):
    """The mean over the tokens that are kept."""

    def forward(self, words: Words, keep: Keep) -> Texts:
        kept = keep.unsqueeze(-1).to(words.dtype)
        return (words * kept).sum(dim=1) / kept.sum(dim=1)


class AttentionPooling(nn.Module):
    """A weighted mean whose weights are a softmax over the tokens that are kept."""

    def __init__(self, width: int):
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, words: Words, keep: Keep) -> Texts:
        return torch.einsum("nld,nl->nd", words, self.weights(words, keep))

    def weights(self, words: Words, keep: Keep) -> Float[Tensor, "N L"]:
        """How much each token counts."""
        scores = self.score(words).squeeze(-1).masked_fill(~keep, -torch.inf)
        return scores.softmax(dim=-1).to(words.dtype)


class TextEncoder(nn.Module):
    """Tokens to one vector a text, pooled over its real tokens: padding does not matter."""

    def __init__(self, backbone: nn.Module, pooling: nn.Module, *, width: int, max_tokens: int):
        super().__init__()
        self.backbone = without_pooler(backbone)
        self.project = nn.Linear(backbone.config.hidden_size, width)
        self.pooling = pooling
        self.max_tokens = max_tokens

    def forward(self, tokens: Tokens, keep: Keep) -> Texts:
        """Encode N texts of L token ids; ``keep`` is True on real tokens.

        Raises:
            InputError: more tokens than the model was set up for.
        """
        if tokens.shape[1] > self.max_tokens:
            raise InputError(
                f"A text has {tokens.shape[1]} tokens, but the model takes at most "
                f"{self.max_tokens}; truncate it, or raise model.max_pair_tokens."
            )
        hidden = self.backbone(input_ids=tokens, attention_mask=keep.long()).last_hidden_state
        return self.pooling(self.project(hidden), self.pooled(keep))

    def pooled(self, keep: Keep) -> Keep:
        """Which tokens the pooling sees."""
        return keep


class PaddedTextEncoder(TextEncoder):
    """As released: padding is pooled too, so a result holds for one padded length only."""

    def pooled(self, keep: Keep) -> Keep:
        return torch.ones_like(keep)
