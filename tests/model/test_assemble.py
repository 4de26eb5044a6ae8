"""Putting a model together, and refusing what does not fit."""

import os

import pytest
import torch
from transformers import BertConfig, DebertaConfig, DistilBertConfig

from cra_lib.config import ModelConfig, run_config
from cra_lib.model import build_model
from cra_lib.model.parameters import paper_sized
from cra_lib.model.saving import count_parameters
from cra_lib.model.text import load_backbone, load_tokenizer
from cra_lib.records import InputError

SMALL = {"width": 16, "ffn_width": 16, "heads": 2, "layers": 1}


def test_features_of_another_width(tiny):
    with pytest.raises(InputError, match="23 wide, but the model takes 24"):
        tiny.build("cra").encode_video(torch.zeros(1, 16, 23))


@pytest.mark.parametrize("variant", ["cra", "post-hoc", "ng+"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_not_finite(tiny, variant, value):
    features = torch.zeros(1, 16, 24)
    features[0, 3, 5] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        tiny.build(variant).encode_video(features)


def test_no_choices(tiny):
    with pytest.raises(InputError, match="no choices"):
        tiny.build("cra").query_of(torch.zeros(2, 0, 32))


def test_too_many_tokens(tiny):
    tokens = torch.full((1, 39), 5)
    with pytest.raises(InputError, match="39 tokens, but the model takes at most 38"):
        tiny.build("cra").encode_text(tokens, tokens > 0)


@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        ({"width": 20}, {}, "multiple of 8"),
        ({}, {"visual": None}, "needs visual confounders"),
        ({}, {"graphs": None}, "needs language confounders"),
        ({}, {"visual": torch.zeros(3, 9)}, "9 wide, frame features 12"),
    ],
)
def test_parts_that_do_not_fit(tiny, settings, given, message):
    parts = {"visual": torch.zeros(3, 12), "graphs": torch.zeros(3, 8, 10), "feature_width": 12}
    with pytest.raises(InputError, match=message):
        build_model(
            ModelConfig(**{**SMALL, **settings}), backbone=tiny.backbone(), **{**parts, **given}
        )


def test_text_encoder_that_is_not_there():
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    for load in (load_backbone, load_tokenizer):
        with pytest.raises(InputError, match="No text encoder 'roberta-base'.*hf download"):
            load("roberta-base")
        with pytest.raises(InputError, match="No text encoder './nowhere'"):
            load("./nowhere")


@pytest.mark.parametrize("kind", [BertConfig, DistilBertConfig, DebertaConfig])
def test_other_text_encoders_from_a_local_folder(kind, tmp_path):
    """BERT, DistilBERT and DeBERTa differ in their heads and sizes' names; all fit."""
    from transformers import AutoModel

    sizes = {"vocab_size": 40, "num_hidden_layers": 1, "num_attention_heads": 2}
    if kind is DistilBertConfig:
        sizes = {"vocab_size": 40, "dim": 16, "hidden_dim": 16, "n_layers": 1, "n_heads": 2}
    else:
        sizes |= {"hidden_size": 16, "intermediate_size": 16}
    AutoModel.from_config(kind(**sizes)).save_pretrained(tmp_path)
    config = run_config("shapes", "no-causal", overrides={"model": SMALL}).model
    model = build_model(config.model_copy(update={"text_encoder": str(tmp_path)}), feature_width=12)
    tokens = torch.randint(3, 40, (4, 9))
    texts = model.encode_text(tokens, torch.ones_like(tokens, dtype=torch.bool))
    assert texts.shape == (4, 16)
    texts.sum().backward()
    assert all(p.grad is not None for p in model.text.parameters())


def test_mask_of_the_gaussian_baselines_has_the_width_it_is_built_with(tiny):
    """One value divides the predicted width in the mask and in the interval."""
    config = run_config("shapes", "ng+", overrides={"model": SMALL}).model
    model = build_model(config, backbone=tiny.backbone(), feature_width=12, mask_sigma=3.0).eval()
    frames, gaussian = torch.randn(1, 16, 16), torch.tensor([[0.5, 0.3]])
    narrow = build_model(config, backbone=tiny.backbone(), feature_width=12).eval()
    narrow.load_state_dict(model.state_dict())
    assert (model.sigma, narrow.sigma) == (3.0, 9.0)
    assert not torch.equal(
        model.mask_frames(frames, gaussian), narrow.mask_frames(frames, gaussian)
    )


def test_size_of_the_paper():
    """143.9 M, and 144.8 M with what the release builds and never reads; the paper says 145 M."""
    from cra_lib.model.parameters import UNUSED_IN_RELEASE

    model = paper_sized("cra-released")
    total = count_parameters(model)["total"]
    assert total == 143_926_371
    assert total + sum(UNUSED_IN_RELEASE.values()) == 144_813_608
