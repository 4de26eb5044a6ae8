from __future__ import annotations

import numpy as np
import pytest

from cra_lib.records import InputError
from cra_lib.video.encoders import _BACKBONES, LOADERS, load_encoder

RNG = np.random.default_rng(0)


def test_pixels_average_equal_areas():
    frames = RNG.integers(0, 256, (3, 32, 48, 3), np.uint8)
    features = load_encoder("pixels").encode(frames)
    expected = frames.reshape(3, 16, 2, 16, 3, 3).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(features, expected.reshape(3, 768), atol=1e-6)
    assert features.dtype == np.float32


def test_pixels_take_any_size():
    features = load_encoder("pixels").encode(np.full((2, 45, 77, 3), 51, np.uint8))
    np.testing.assert_allclose(features, 0.2, atol=1e-6)


@pytest.mark.parametrize("name", ["clip-vit-l14", "resnet50", "swin_t"])
def test_absent_weights_say_what_to_get(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"Where there is a network .*--weights"):
        load_encoder(name, tmp_path / "none")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(InputError, match="did you mean 'pixels'"):
        load_encoder("pixel")


def test_the_embedded_encoder_needs_no_download():
    encoder = load_encoder("shapes-clip")
    features = encoder.encode(RNG.integers(0, 256, (2, 96, 96, 3), np.uint8))
    assert features.shape == (2, encoder.width)
    assert np.isfinite(features).all()


@pytest.mark.parametrize(("name", "width"), [("resnet50", 2048), ("swin_t", 768)])
def test_torchvision_backbones_give_pooled_features(name, width, tmp_path):
    import torch
    from torchvision import models

    torch.manual_seed(0)
    torch.save(models.get_model(name).state_dict(), tmp_path / "w.pth")
    encoder = load_encoder(name, tmp_path / "w.pth")
    features = encoder.encode(RNG.integers(0, 256, (1, 40, 50, 3), np.uint8))
    assert (encoder.width, features.shape) == (width, (1, width))
    (tmp_path / "w.pth").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a readable weights file"):
        load_encoder(name, tmp_path / "w.pth")


def test_clip_is_read_from_a_local_folder(tmp_path):
    """A tiny CLIP of the same architecture; preprocessing is checked against transformers' own."""
    import torch
    from PIL import Image
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    size = CLIPVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                            num_attention_heads=2, patch_size=14, projection_dim=24)  # fmt: skip
    model = CLIPVisionModelWithProjection(size).eval()
    model.save_pretrained(tmp_path)
    encoder = load_encoder("clip-vit-l14", tmp_path)
    smooth = np.linspace(0, 255, 320 * 240 * 3).reshape(1, 240, 320, 3).astype(np.uint8)
    features = encoder.encode(smooth)
    assert features.shape == (1, 24)
    pixels = CLIPImageProcessor()(Image.fromarray(smooth[0]), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        expected = model(pixel_values=pixels).image_embeds.numpy()
    np.testing.assert_allclose(features, expected, atol=0.02)


def test_recorded_addresses_are_those_of_torchvision():
    from torchvision import models

    for name, backbone in _BACKBONES.items():
        assert models.get_model_weights(name).DEFAULT.url == backbone.weights


def test_every_documented_encoder_exists():
    assert set(LOADERS) == {"clip-vit-l14", "resnet50", "swin_t", "shapes-clip", "pixels"}
