"""The embedded dataset's own image-text model: it plays the part that CLIP plays in the paper.

A small convolutional image tower and a RoBERTa-type text tower, trained contrastively on single
rendered frames with captions by ``scripts/train_shapes_clip.py``. The weights lie beside this file:

``shapes_clip/towers.safetensors``  image tower, text projection and temperature, float16
``shapes_clip/text/``               text tower and tokenizer, as transformers saves them
``shapes_clip/card.json``           seed, script, hash, zero-shot accuracy

N frames or texts, L tokens, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from safetensors.torch import load_file
from torch import Tensor, nn

from cra_lib.paths import require
from cra_lib.records import InputError

FOLDER = Path(__file__).with_name("shapes_clip")
WIDTH = 128
TEXT_WIDTH = 64
"""Width of the text tower: it takes most of a training step of the embedded dataset."""
FRAME_SIZE = 96
BATCH = 256
REMEDY = "It is part of the repository: restore the folder, or run scripts/train_shapes_clip.py."


def text_folder() -> Path:
    """The folder of the text tower, for transformers' ``from_pretrained``."""
    return require(FOLDER / "text", "The shapes-clip text tower", REMEDY)


class ImageTower(nn.Module):
    """Four convolutions and attention pooling, 0.34 M parameters.

    The receptive field (56 pixels) holds an actor with what it does. Each head of the pooling looks
    for one place in the frame (who is acting, what is in the sky), so that colour, shape and action
    are read off the same actor; the mean sees the scene.
    """

    def __init__(self, heads: int = 4) -> None:
        super().__init__()
        self.grid = nn.Sequential(
            *_block(3, 24, size=5, stride=2),
            *_block(24, 64, size=3, stride=2),
            *_block(64, 96, size=3, stride=2),
            *_block(96, 128, size=3, stride=1),
        )
        self.look = nn.Conv2d(128, heads, 1)
        self.project = nn.Linear((heads + 1) * 128, WIDTH)

    def forward(self, pixels: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N 128"]:
        """Embeddings of pixels scaled to [-1, 1]."""
        grid = self.grid(pixels)
        place_weights = self.look(grid).flatten(2).softmax(dim=-1)
        seen = torch.einsum("nhp,ncp->nhc", place_weights, grid.flatten(2)).flatten(1)
        return self.project(torch.cat([seen, grid.mean(dim=(2, 3))], dim=-1))


def _block(inputs: int, outputs: int, *, size: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class Towers(nn.Module):
    """Both towers and the temperature; the text tower is a transformers model."""

    def __init__(self, text: nn.Module):
        super().__init__()
        self.image = ImageTower()
        self.text = text
        self.text_projection = nn.Linear(TEXT_WIDTH, WIDTH)
        self.log_scale = nn.Parameter(torch.tensor(2.66))  # 1 / 0.07, as in CLIP

    def images(self, pixels: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N 128"]:
        """Image embeddings, not normalised."""
        return self.image(pixels)

    def texts(self, tokens: Tensor, keep: Bool[Tensor, "N L"]) -> Float[Tensor, "N 128"]:
        """Text embeddings, not normalised: the mean over the real tokens, projected."""
        hidden = self.text(input_ids=tokens, attention_mask=keep.long()).last_hidden_state
        weight = keep[..., None].to(hidden.dtype)
        return self.text_projection((hidden * weight).sum(dim=1) / weight.sum(dim=1))

    def similarity(
        self, images: Float[Tensor, "N 128"], texts: Float[Tensor, "M 128"]
    ) -> Float[Tensor, "N M"]:
        """Scaled cosine of every image with every text."""
        scale = self.log_scale.exp().clamp(max=100)
        return scale * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T


class ShapesClip:
    """Frames and texts of the embedded dataset in one space; also a `FrameEncoder`.

    Embeddings are normalised and multiplied by sqrt(128), so that their entries are of order one,
    as a network that takes them as input likes it.
    """

    name, key, width, side = "shapes-clip", "SHAPESCLIP_I", WIDTH, FRAME_SIZE
    is_small = True

    def __init__(self, towers: Towers, tokenizer: Any):
        self.towers, self.tokenizer = towers.eval(), tokenizer

    @classmethod
    def load(cls) -> ShapesClip:
        """The model whose weights lie in the repository.

        Raises:
            InputError: the weights are not there.
        """
        from transformers import AutoModel, AutoTokenizer

        towers = Towers(AutoModel.from_pretrained(text_folder(), add_pooling_layer=False))
        _load(towers, _weights(), kept_elsewhere="text.")
        return cls(towers, AutoTokenizer.from_pretrained(text_folder()))

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Image embeddings, as a `FrameEncoder` gives them."""
        return self.encode_images(frames)

    def encode_images(self, frames: np.ndarray) -> np.ndarray:
        """Embeddings of uint8 frames [N, 96, 96, 3]: float32 [N, 128].

        Raises:
            InputError: frames of another size or type.
        """
        return encode_images(self.towers.image, frames)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings of texts: float32 [N, 128]; unknown words count as ``<unk>``."""
        parts = [list(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        with torch.inference_mode():
            return _scaled([self.towers.texts(*self.tokens(part)) for part in parts])

    def tokens(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Token ids [N, L] and which of them are real, [N, L] bool."""
        return tokenize(self.tokenizer, texts)


def load_image_tower() -> ImageTower:
    """The image tower alone, which takes no text library to load.

    Raises:
        InputError: the weights are not there.
    """
    state = {
        name.removeprefix("image."): value
        for name, value in _weights().items()
        if name.startswith("image.")
    }
    return _load(ImageTower(), state).eval()


def _weights() -> dict[str, Tensor]:
    path = require(FOLDER / "towers.safetensors", "The shapes-clip weights", REMEDY)
    return {name: value.float() for name, value in load_file(path).items()}


def _load(towers: nn.Module, state: dict[str, Tensor], kept_elsewhere: str = "") -> nn.Module:
    missing, unexpected = towers.load_state_dict(state, strict=False)
    # Batch counts are only used in training.
    elsewhere = tuple(part for part in (kept_elsewhere, "num_batches_tracked") if part)
    lost = [name for name in missing if not any(part in name for part in elsewhere)]
    if unexpected or lost:
        raise InputError(f"{FOLDER / 'towers.safetensors'}: not of this version. {REMEDY}")
    return towers


def encode_images(tower: ImageTower, frames: np.ndarray) -> np.ndarray:
    """Embeddings of uint8 frames [N, 96, 96, 3], scaled as `ShapesClip` says: float32 [N, 128].

    Raises:
        InputError: frames of another size or type.
    """
    if frames.dtype != np.uint8 or frames.shape[1:] != (FRAME_SIZE, FRAME_SIZE, 3):
        raise InputError(
            f"shapes-clip takes uint8 frames [N, {FRAME_SIZE}, {FRAME_SIZE}, 3], got "
            f"{frames.dtype} {list(frames.shape)}; it was trained on the embedded dataset only."
        )
    parts = [frames[i : i + BATCH] for i in range(0, len(frames), BATCH)]
    with torch.inference_mode():
        return _scaled([tower(to_pixels(part)) for part in parts])


def tokenize(tokenizer: Any, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Token ids [N, L], padded to the longest text, and which of them are real, [N, L] bool."""
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    return batch["input_ids"], batch["attention_mask"].bool()


def to_pixels(frames: np.ndarray) -> Float[Tensor, "N 3 H W"]:
    """uint8 frames [N, H, W, 3] as the image tower takes them, in [-1, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    return pixels.float().div_(127.5).sub_(1)


def _scaled(parts: list[Tensor]) -> np.ndarray:
    if not parts:
        return np.zeros((0, WIDTH), np.float32)
    return (F.normalize(torch.cat(parts), dim=-1) * WIDTH**0.5).numpy()
