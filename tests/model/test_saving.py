"""Model folders: what is saved is what is loaded, and a wrong folder is one sentence."""

import json

import pytest
import torch
from transformers import RobertaConfig, RobertaModel

from cra_lib.config import run_config
from cra_lib.config.variants import ON_TEMP_CLIP
from cra_lib.model import CRA, TempCLIP, build_model
from cra_lib.model.base import GroundedModel
from cra_lib.records import InputError

TEXT = RobertaConfig(
    vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
    num_attention_heads=2, max_position_embeddings=64, type_vocab_size=1,
)  # fmt: skip


def build(variant, **settings):
    config = run_config(
        "shapes",
        variant,
        overrides={"model": {"width": 16, "ffn_width": 16, "heads": 2, "layers": 1, **settings}},
    )
    return build_model(
        config.model,
        visual=torch.randn(3, 12),
        graphs=torch.randn(4, 8, 10),
        backbone=RobertaModel(TEXT),
        feature_width=12,
    )


@pytest.mark.parametrize("variant", ON_TEMP_CLIP)
def test_every_variant_comes_back(variant, tmp_path):
    model = build(variant)
    model.save_pretrained(tmp_path)
    again = GroundedModel.from_pretrained(tmp_path)
    assert type(again) is type(model) and not again.training
    assert again.settings == model.settings
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_the_mask_of_the_gaussian_baselines_comes_back(tmp_path):
    model = build("ng+")
    model.sigma = 4.0
    model.save_pretrained(tmp_path)
    assert GroundedModel.from_pretrained(tmp_path).sigma == 4.0
    path = tmp_path / "config.json"
    older = json.loads(path.read_text())
    del older["mask_sigma"]  # folders of earlier versions
    path.write_text(json.dumps(older))
    assert GroundedModel.from_pretrained(tmp_path).sigma == 9.0


def test_folder_is_deterministic_and_has_a_card(tmp_path):
    model = build("cra")
    for name in ("one", "two"):
        model.save_pretrained(tmp_path / name)
    files = {path.name for path in (tmp_path / "one").iterdir()}
    assert files == {"model.safetensors", "config.json", "README.md"}
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    card = (tmp_path / "one" / "README.md").read_text()
    assert card.startswith("---\n") and "from_pretrained" in card and "| total |" in card


def test_another_class_is_refused(tmp_path):
    build("post-hoc").save_pretrained(tmp_path)
    assert isinstance(TempCLIP.from_pretrained(tmp_path), TempCLIP)
    with pytest.raises(InputError, match="holds a TempCLIP, not a CRA"):
        CRA.from_pretrained(tmp_path)


def test_weights_of_another_width_are_one_sentence(tmp_path):
    build("cra").save_pretrained(tmp_path / "narrow")
    build("cra", width=32).save_pretrained(tmp_path / "wide")
    (tmp_path / "wide" / "config.json").write_bytes(
        (tmp_path / "narrow" / "config.json").read_bytes()
    )
    with pytest.raises(InputError, match="another width"):
        CRA.from_pretrained(tmp_path / "wide")


def test_weights_of_another_variant_are_one_sentence(tmp_path):
    build("cra").save_pretrained(tmp_path / "full")
    build("no-vci").save_pretrained(tmp_path / "part")
    (tmp_path / "full" / "model.safetensors").write_bytes(
        (tmp_path / "part" / "model.safetensors").read_bytes()
    )
    with pytest.raises(InputError, match="'front_door.centres' is missing"):
        CRA.from_pretrained(tmp_path / "full")


@pytest.mark.parametrize("name", ["no/such/folder", "./nowhere", "absent", "nobody/nothing"])
def test_missing_model_is_one_sentence(name):
    with pytest.raises(InputError, match="No model folder"):
        CRA.from_pretrained(name)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: "{", "not valid JSON"),
        (lambda c: json.dumps({"model_type": "bert"}), "not a model of this library"),
        (lambda c: json.dumps({**c, "settings": {"widht": 3}}), "a setting is missing or wrong"),
        (lambda c: json.dumps({k: c[k] for k in c if k != "text"}), "missing or wrong"),
    ],
)
def test_damaged_configuration_is_one_sentence(edit, message, tmp_path):
    build("cra").save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(edit(json.loads(path.read_text())))
    with pytest.raises(InputError, match=message):
        CRA.from_pretrained(tmp_path)


def test_cut_weights_are_one_sentence(tmp_path):
    build("cra").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="not a safetensors file"):
        CRA.from_pretrained(tmp_path)


def damage(folder, change):
    """config.json with one change."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda c: c["text"].update(vocab_size=10**11), r"another width"),
        (lambda c: c["text"].update(num_hidden_layers=10**5), r"100000 layers, but \d+ tensors"),
        (lambda c: c["text"].update(max_position_embeddings=10**12), r"another width"),
        (lambda c: c["text"].update(hidden_size=-4), "a setting is missing or wrong"),
        (lambda c: c["text"].update(hidden_size="wide"), "a setting is missing or wrong"),
        (lambda c: c.update(visual=[10**11, 12]), "another width"),
        (lambda c: c.update(visual="all"), "a setting is missing or wrong"),
        (lambda c: c.update(text=None), "a setting is missing or wrong"),
        (lambda c: c.pop("settings"), "a setting is missing or wrong"),
        (lambda c: c["settings"].update(layers=10**9), "1000000000 layers"),
        (lambda c: c["settings"].update(width=10**9), "."),
        (lambda c: c["settings"].update(wings=2), "'wings': Extra inputs"),
        (lambda c: c["text"].update(auto_map={"AutoModel": "evil--model.Model"}), "auto_map"),
        (lambda c: c["text"].update(trust_remote_code=True), "trust_remote_code"),
        (lambda c: c["text"].update(attn_implementation="evil/kernel"), "eager or sdpa"),
        (lambda c: c["text"].update(_attn_implementation="evil/kernel@main:f"), "eager or sdpa"),
        (lambda c: c["text"].update(nested=[{"auto_map": "x"}]), "runs no code of others"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_absurd_or_foreign_configurations_are_refused_first(tmp_path, monkeypatch, change, hint):
    build("cra").save_pretrained(tmp_path)
    damage(tmp_path, change)
    monkeypatch.setattr("cra_lib.model.saving.load_file", lambda path: pytest.fail("was read"))
    with pytest.raises(InputError, match=hint) as refused:
        GroundedModel.from_pretrained(tmp_path)
    assert str(tmp_path) in str(refused.value)
