"""A RoBERTa text tower and its tokenizer without transformers, which takes seconds to import.

`cra ask` answers in the time that it takes to import torch, as far as this module can help it:
for text towers of RoBERTa's kind whose tokenizer lies in a local folder. Anything else goes
through transformers. Parameter names are those of transformers' ``RobertaModel``, so the same
weights fit both; a test holds their outputs to each other.

N texts, L tokens, H hidden width.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cra_lib.config import ModelConfig
from cra_lib.model.saving import text_tower
from cra_lib.model.text import load_tokenizer, tokenizer_of

TOKENIZER, SPECIAL = "tokenizer.json", "tokenizer_config.json"


class TowerConfig(dict):
    """A text encoder's configuration, read the way transformers' own is."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def to_dict(self) -> dict[str, Any]:
        return dict(self)


class Hidden(NamedTuple):
    """What a text encoder returns."""

    last_hidden_state: Tensor
    """[N, L, H]."""


class RobertaTower(nn.Module):
    """Embeddings and post-norm layers of RoBERTa (Liu et al., 2019), for reading only."""

    def __init__(self, config: TowerConfig):
        super().__init__()
        self.config, width, eps = config, config.hidden_size, config.layer_norm_eps
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(config.vocab_size, width),
                "position_embeddings": nn.Embedding(config.max_position_embeddings, width),
                "token_type_embeddings": nn.Embedding(config.type_vocab_size, width),
                "LayerNorm": nn.LayerNorm(width, eps=eps),
            }
        )
        layers = [_layer(width, config.intermediate_size, eps) for _ in range(_depth(config))]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Hidden:
        """Encode token ids [N, L]; ``attention_mask`` is 1 on real tokens."""
        parts, pad = self.embeddings, self.config.pad_token_id
        real = (input_ids != pad).long()
        places = real.cumsum(dim=1) * real + pad  # positions count from the padding's number on
        # In this order, so that the sum has transformers' bits.
        x = parts["word_embeddings"](input_ids)
        x = x + parts["token_type_embeddings"](torch.zeros_like(input_ids))
        x = parts["LayerNorm"](x + parts["position_embeddings"](places))
        mask = attention_mask.bool()[:, None, None, :]
        for layer in self.encoder["layer"]:
            x = self._through(layer, x, mask)
        return Hidden(x)

    def _through(self, layer: nn.ModuleDict, x: Tensor, mask: Tensor) -> Tensor:
        attention, heads = layer["attention"], self.config.num_attention_heads
        split = [
            attention["self"][name](x).unflatten(-1, (heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        ]
        mixed = F.scaled_dot_product_attention(*split, attn_mask=mask).transpose(1, 2).flatten(2)
        x = attention["output"]["LayerNorm"](attention["output"]["dense"](mixed) + x)
        hidden = layer["output"]["dense"](F.gelu(layer["intermediate"]["dense"](x)))
        return layer["output"]["LayerNorm"](hidden + x)


def _layer(width: int, ffn_width: int, eps: float) -> nn.ModuleDict:
    query_key_value = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
    attention = {"self": nn.ModuleDict(query_key_value), "output": _joined(width, width, eps)}
    return nn.ModuleDict(
        {
            "attention": nn.ModuleDict(attention),
            "intermediate": nn.ModuleDict({"dense": nn.Linear(width, ffn_width)}),
            "output": _joined(ffn_width, width, eps),
        }
    )


def _joined(inputs: int, outputs: int, eps: float) -> nn.ModuleDict:
    return nn.ModuleDict(
        {"dense": nn.Linear(inputs, outputs), "LayerNorm": nn.LayerNorm(outputs, eps=eps)}
    )


def _depth(config: TowerConfig) -> int:
    return config.num_hidden_layers


def light_tower(config: dict[str, Any]) -> nn.Module:
    """The text encoder of a configuration, with room for its weights.

    Raises:
        KeyError: a setting is missing.
    """
    plain = (
        config.get("model_type") == "roberta"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
    )
    return RobertaTower(TowerConfig(config)) if plain else text_tower(config)


class LightTokenizer:
    """A tokenizer folder read by the tokenizers library alone, as far as `TokenTable` asks."""

    def __init__(self, folder: Path):
        from tokenizers import Tokenizer

        special = json.loads((folder / SPECIAL).read_text(encoding="utf-8"))
        self._inner = Tokenizer.from_file(str(folder / TOKENIZER))
        self._inner.no_padding()
        self._inner.no_truncation()
        self.sep_token, self.eos_token = special.get("sep_token"), special.get("eos_token")
        self.unk_token_id = self._inner.token_to_id(special.get("unk_token") or "")
        self.pad_token_id = self._inner.token_to_id(special["pad_token"])

    def __call__(
        self, text: str | Sequence[str], add_special_tokens: bool = True, verbose: bool = True
    ) -> dict[str, list]:
        """Token ids of one text, or of each of several."""
        if isinstance(text, str):
            encoded = self._inner.encode(text, add_special_tokens=add_special_tokens)
            return {"input_ids": encoded.ids}
        many = self._inner.encode_batch(list(text), add_special_tokens=add_special_tokens)
        return {"input_ids": [encoded.ids for encoded in many]}


def tokenizer_for(settings: ModelConfig) -> Any:
    """The tokenizer of a model's settings, without transformers where that can be."""
    if settings.is_frozen:
        return tokenizer_of(settings)
    return light_tokenizer(settings.text_encoder)


def light_tokenizer(name: str) -> Any:
    """The tokenizer of a text encoder's name: light where it lies in a folder, else transformers'.

    Raises:
        InputError: as `load_tokenizer`.
    """
    folder = Path(name).expanduser()
    if name == "shapes-clip":
        from cra_lib.video.shapes_clip import text_folder

        folder = text_folder()
    try:
        return LightTokenizer(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return load_tokenizer(name)
