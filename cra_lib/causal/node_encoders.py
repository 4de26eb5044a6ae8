"""Text encoders of the graph's nodes: strings -> vectors, behind one protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cra_lib.records import InputError

HASHED, SHAPES_CLIP = "hashed", "shapes-clip"


class NodeEncoder(Protocol):
    """Turns texts into vectors; the same text always gives the same vector."""

    name: str
    width: int

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, width], one row a text."""
        ...


class HashedEncoder:
    """Character n-grams (1 to 4, within words) hashed into signed buckets: no weights at all.

    Texts that share words or stems are near each other; the empty text is the zero vector.
    """

    def __init__(self, width: int = 768):
        from sklearn.feature_extraction.text import HashingVectorizer

        self.name = HASHED
        self.width = width
        self._vectorizer = HashingVectorizer(
            n_features=width, analyzer="char_wb", ngram_range=(1, 4), dtype=np.float32
        )

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        if not texts:
            return np.zeros((0, self.width), dtype=np.float32)
        return self._vectorizer.transform(texts).toarray()


class ShapesClipEncoder:
    """The text tower of the embedded dataset's contrastive model."""

    def __init__(self):
        from cra_lib.video.shapes_clip import ShapesClip

        self.name = SHAPES_CLIP
        self._model = ShapesClip.load()
        self.width = self._model.encode_texts(["what"]).shape[1]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.asarray(self._model.encode_texts(list(texts)), dtype=np.float32)


class TransformerEncoder:
    """A transformers model: CLIP's text embedding, else the mean of the last hidden states.

    Args:
        model: a CLIP text model with projection, or any encoder with ``last_hidden_state``.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str):
        self.name = name
        self._model, self._tokenizer = model.eval(), tokenizer
        config = model.config
        self.width = getattr(config, "projection_dim", None) or config.hidden_size
        # Some tokenizers give no limit; CLIP's 77 positions are fewer than any other's.
        limit = getattr(config, "max_position_embeddings", 77)
        self._max_tokens = min(limit - 2, 77)

    @classmethod
    def load(cls, name: str) -> TransformerEncoder:
        """A model from a local folder or the hub's cache.

        Raises:
            InputError: it is in neither.
        """
        from transformers import AutoConfig, AutoModel, AutoTokenizer, CLIPTextModelWithProjection

        try:
            is_clip = AutoConfig.from_pretrained(name).model_type.startswith("clip")
            loader = CLIPTextModelWithProjection if is_clip else AutoModel
            return cls(loader.from_pretrained(name), AutoTokenizer.from_pretrained(name), name)
        except (OSError, ValueError):
            raise InputError(
                f"Text encoder {name!r} is neither a folder nor in the hub's cache; run "
                f"`hf download {name}` where there is a network, give a folder, or set "
                f'causal.node_encoder to "{HASHED}".'
            ) from None

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        import torch

        tokens = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
        )
        if tokens["input_ids"].shape[1] == 0:  # empty texts, no special tokens: nothing to read
            return np.zeros((len(texts), self.width), dtype=np.float32)
        with torch.inference_mode():
            output = self._model(**tokens)
            if (embedding := getattr(output, "text_embeds", None)) is None:
                keep = tokens["attention_mask"][..., None].to(output.last_hidden_state.dtype)
                embedding = (output.last_hidden_state * keep).sum(1) / keep.sum(1).clamp_min(1)
        return embedding.float().numpy()


def load_node_encoder(name: str, width: int = 768) -> NodeEncoder:
    """An encoder by name: "hashed" (of this width), "shapes-clip", or a transformers model.

    Raises:
        InputError: a transformers model that is not on this machine.
    """
    if name == HASHED:
        return HashedEncoder(width)
    if name == SHAPES_CLIP:
        return ShapesClipEncoder()
    return TransformerEncoder.load(str(Path(name)) if Path(name).is_dir() else name)


def encode_texts(
    encoder: NodeEncoder,
    texts: Sequence[str],
    *,
    batch_size: int = 256,
    progress: Callable[[Iterable], Iterable] = iter,
) -> np.ndarray:
    """Encode texts in batches of similar length, so that little is computed on padding.

    Returns:
        float32 [n, width], in the order of ``texts``.
    """
    order = sorted(range(len(texts)), key=lambda place: (len(texts[place]), place))
    vectors = np.empty((len(texts), encoder.width), dtype=np.float32)
    for start in progress(range(0, len(order), batch_size)):
        places = order[start : start + batch_size]
        vectors[places] = encoder.encode([texts[place] for place in places])
    return vectors
