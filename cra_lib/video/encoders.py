"""Frames to features: one small interface, and the encoders behind it.

| name           | width | dataset name  | weights                                      |
|----------------|-------|---------------|----------------------------------------------|
| clip-vit-l14   | 768   | CLIPL_I       | transformers folder, or the hub cache        |
| resnet50       | 2048  | RESNET50_I    | torchvision file, or torch's checkpoint cache|
| swin_t         | 768   | SWINT_I       | torchvision file, or torch's checkpoint cache|
| shapes-clip    | 128   | SHAPESCLIP_I  | in this repository                           |
| pixels         | 768   | PIXELS_I      | none                                         |

torch is imported when an encoder that needs it is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from cra_lib.records import InputError

CLIP_NAME = "openai/clip-vit-large-patch14"
THUMBNAIL = 16
"""The `pixels` encoder keeps this many pixels a side."""


class FrameEncoder(Protocol):
    """What extraction needs of an encoder."""

    name: str
    width: int
    """F, the width of one frame's feature."""
    key: str
    """Name of the HDF5 dataset that holds its features."""
    side: int | None
    """The one size of frames that it takes, in pixels a side; None takes any."""
    is_small: bool
    """Whether one thread encodes a video fastest, so that several are encoded at once."""

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Features of uint8 frames [N, H, W, 3]: float32 [N, F]."""
        ...


class Pixels:
    """Each frame averaged over areas to 16 x 16 RGB in [0, 1]: no weights, a weak baseline."""

    name, key, side, is_small = "pixels", "PIXELS_I", None, False
    width = THUMBNAIL * THUMBNAIL * 3

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Area means of uint8 [N, H, W, 3], flattened: float32 [N, 768]."""
        return _area_means(frames, THUMBNAIL, 255).reshape(len(frames), self.width)


def _area_means(frames: np.ndarray, side: int, divisor: int) -> np.ndarray:
    """uint8 [N, H, W, 3] averaged over areas and divided: float32 [N, side, side, 3]."""
    height, width = frames.shape[1:3]
    rows, columns = _area_weights(height, side) / divisor, _area_weights(width, side)
    means = np.empty((len(frames), side, side, 3), np.float32)
    for place, frame in enumerate(frames):  # frame by frame: as floats they are four times big
        bands = rows @ frame.reshape(height, width * 3).astype(np.float32)
        means[place] = np.einsum("jw,iwc->ijc", columns, bands.reshape(-1, width, 3))
    return means


def fitted(frames: np.ndarray, side: int | None) -> np.ndarray:
    """Frames as an encoder takes them: the middle square of each, scaled to ``side`` pixels.

    Args:
        frames: uint8 [N, H, W, 3].
        side: an encoder's ``side``; None, or the size they have, leaves them as they are.
    """
    height, width = frames.shape[1:3]
    if side is None or height == width == side:
        return frames
    size = min(height, width)
    top, left = (height - size) // 2, (width - size) // 2
    square = frames[:, top : top + size, left : left + size]
    return _area_means(np.ascontiguousarray(square), side, 1).round().astype(np.uint8)


def _area_weights(size: int, parts: int) -> np.ndarray:
    """[parts, size] weights that average `size` pixels over equal areas; rows sum to one."""
    edges = np.linspace(0, size, parts + 1)
    starts, ends = edges[:-1, None], edges[1:, None]
    pixels = np.arange(size)
    covered = np.minimum(ends, pixels + 1) - np.maximum(starts, pixels)
    return (np.clip(covered, 0, None) / (size / parts)).astype(np.float32)


class ShapesClipFrames:
    """The embedded dataset's own contrastive image tower."""

    name, key, width, is_small = "shapes-clip", "SHAPESCLIP_I", 128, True

    def __init__(self) -> None:
        from cra_lib.video import shapes_clip

        self._encode, self._tower = shapes_clip.encode_images, shapes_clip.load_image_tower()
        self.side = shapes_clip.FRAME_SIZE

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Image embeddings of uint8 [N, 96, 96, 3]: float32 [N, 128]."""
        return self._encode(self._tower, frames)


class TorchFrames:
    """A torch network behind a preprocessing of its own.

    Args:
        prepare: uint8 tensor [N, 3, H, W] -> the network's input.
        features: that input -> [N, F].
        device: where the network lies, a torch name.
    """

    def __init__(
        self,
        name: str,
        key: str,
        width: int,
        prepare: Callable[[Any], Any],
        features: Callable[[Any], Any],
        device: str,
    ):
        self.name, self.key, self.width, self.side = name, key, width, None
        self.is_small = False
        self._prepare, self._features, self._device = prepare, features, device

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Features of uint8 [N, H, W, 3]: float32 [N, F]."""
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            features = self._features(self._prepare(pixels.to(self._device)))
        return features.float().cpu().numpy()


def hub_folder(name: str) -> Path:
    """Where the hub's client keeps a model, by its own environment variables."""
    home = os.environ.get("HF_HOME", os.path.join(os.path.expanduser("~"), ".cache/huggingface"))
    cache = os.environ.get("HF_HUB_CACHE", os.path.join(home, "hub"))
    return Path(cache) / f"models--{name.replace('/', '--')}"


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def _clip(weights: Path | None, device: str) -> FrameEncoder:
    """CLIP ViT-L/14: the projected image embedding, as in NExT-GQA's published features."""
    folder = weights or hub_folder(CLIP_NAME)
    absent = InputError(
        f"No CLIP ViT-L/14 weights at {folder}. Where there is a network run "
        f"`hf download {CLIP_NAME} --local-dir FOLDER` (1.7 GB) and pass --weights FOLDER."
    )
    if not folder.is_dir():  # before the imports, which take seconds
        raise absent
    from torchvision.transforms import v2
    from transformers import CLIPVisionModelWithProjection

    try:
        model = CLIPVisionModelWithProjection.from_pretrained(
            str(weights or CLIP_NAME), local_files_only=True
        )
    except (OSError, ValueError):
        raise absent from None
    size = model.config.image_size
    prepare = v2.Compose(
        [
            v2.Resize(size, interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
            v2.CenterCrop(size),
            _unit_range(),
            v2.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        ]
    )
    device = _device(device)
    model = model.eval().to(device)
    return TorchFrames(
        "clip-vit-l14",
        "CLIPL_I",
        model.config.projection_dim,
        prepare,
        lambda pixels: model(pixel_values=pixels).image_embeds,
        device,
    )


def _unit_range() -> Any:
    import torch
    from torchvision.transforms import v2

    return v2.ToDtype(torch.float32, scale=True)


class _Backbone(NamedTuple):
    """A torchvision network whose classifier is taken off."""

    classifier: str
    weights: str
    """Address of torchvision's current default weights."""


_TORCHVISION = "https://download.pytorch.org/models"
_BACKBONES = {
    "resnet50": _Backbone("fc", f"{_TORCHVISION}/resnet50-11ad3fa6.pth"),
    "swin_t": _Backbone("head", f"{_TORCHVISION}/swin_t-704ceda3.pth"),
}


def _torchvision(name: str) -> Callable[[Path | None, str], FrameEncoder]:
    """A loader of one torchvision backbone without its classifier (pooled features)."""
    backbone = _BACKBONES[name]

    def load(weights: Path | None, device: str) -> FrameEncoder:
        state = _state(weights or _torch_cache() / Path(backbone.weights).name, backbone.weights)
        import torch
        from torchvision import models

        model = models.get_model(name)
        model.load_state_dict(state)
        width = getattr(model, backbone.classifier).in_features
        setattr(model, backbone.classifier, torch.nn.Identity())
        device = _device(device)
        model = model.eval().to(device)
        key = name.replace("_", "").upper() + "_I"
        prepare = models.get_model_weights(name).DEFAULT.transforms()
        return TorchFrames(name, key, width, prepare, model, device)

    return load


def _torch_cache() -> Path:
    """Where torch keeps downloaded weights, by its own environment variable."""
    home = os.environ.get("TORCH_HOME", os.path.join(os.path.expanduser("~"), ".cache/torch"))
    return Path(home) / "hub" / "checkpoints"


def _state(file: Path, url: str) -> dict[str, Any]:
    remedy = f"Where there is a network download {url} and pass --weights FILE."
    if not file.is_file():
        raise InputError(f"No weights at {file}. {remedy}")
    import pickle

    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{file}: not a readable weights file ({error!s:.80}). {remedy}") from None


LOADERS: dict[str, Callable[[Path | None, str], FrameEncoder]] = {
    "clip-vit-l14": _clip,
    "resnet50": _torchvision("resnet50"),
    "swin_t": _torchvision("swin_t"),
    "shapes-clip": lambda weights, device: ShapesClipFrames(),
    "pixels": lambda weights, device: Pixels(),
}


def load_encoder(name: str, weights: Path | None = None, device: str = "cpu") -> FrameEncoder:
    """An encoder by name, with local weights; nothing is downloaded.

    Args:
        weights: a folder (CLIP) or file (torchvision); None looks in the usual cache.
        device: where a torch network should lie: cpu, cuda, cuda:1, ...; auto takes a GPU if any.

    Raises:
        InputError: an unknown name, or weights that are absent: what to get, and where to put it.
    """
    if name not in LOADERS:
        near = get_close_matches(name, LOADERS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise InputError(f"Unknown encoder {name!r}{hint} The encoders are: {', '.join(LOADERS)}.")
    return LOADERS[name](weights, device)
