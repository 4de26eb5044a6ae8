"""A released FrozenBiLM checkpoint becomes our model and goes back without loss."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from cra_lib.model.frozen_bilm import FrozenBiLM, Vocabulary
from cra_lib.records import InputError
from cra_lib.released import export_checkpoint, export_state, import_checkpoint, import_state

RECORDED = Path(__file__).parent.parent / "golden" / "frozenbilm" / "released_parameters.json"
VOCABULARY = Vocabulary(mask=119, answers=(7, 9))
SIZES = {1536: 48, 3072: 96, 768: 24, 192: 6, 6144: 64, 128100: 120, 512: 64}
"""Sizes of the release -> those of the test, so that every relation between them is kept."""


def released_state(kind, layers=2):
    """Names of the release, small random weights, tied duplicates."""
    recorded = json.loads(RECORDED.read_text())
    shapes = {
        name: shape
        for part in ("common", kind)
        for name, (shape, _) in recorded.get(part, {}).items()
    }
    generator, state = torch.Generator().manual_seed(0), {}
    for name, shape in shapes.items():
        for number in range(layers if ".layer.0." in name and name.startswith("deberta") else 1):
            small = [SIZES.get(size, size) for size in shape]
            own = name.replace("encoder.layer.0.", f"encoder.layer.{number}.")
            state[own] = 0.1 * torch.randn(small, generator=generator)
    state["deberta.embeddings.position_ids"] = torch.arange(64)[None]
    if "do._lin_do.gcn.lin.weight" in state:  # 96 of 768: an eighth of a node's width
        state["do._lin_do.gcn.lin.weight"] = 0.1 * torch.randn(3, 24, generator=generator)
        state["do._lin_do.gcn.bias"] = torch.zeros(3)
    words, head = "deberta.embeddings.word_embeddings.weight", "lm_predictions.lm_head."
    state[f"{head}decoder.weight"] = state[words]
    state[f"{head}decoder.bias"] = state[f"{head}bias"]
    state["answer_embeddings.weight"] = state[words][[7, 9]].clone()
    return state


def bring(state, **options):
    return import_state(state, vocabulary=VOCABULARY, heads=4, **options)


@pytest.mark.parametrize("kind", ["plain", "ng", "cra"])
def test_round_trip_is_lossless(kind):
    state = released_state(kind)
    imported = bring({f"module.{name}": value for name, value in state.items()})
    assert imported.missing == []
    assert set(imported.leftovers) == {"deberta.embeddings.position_ids"}
    back = export_state(imported.model, imported.leftovers)
    assert set(back) == set(state)
    assert all(torch.equal(back[name], state[name]) for name in back)


def test_settings_come_from_the_tensors():
    settings = bring(released_state("cra")).model.settings
    assert (settings.family, settings.inner_width, settings.adapter_factor) == ("frozen-cra", 24, 8)
    assert (settings.front_door, settings.back_door) == ("batch", "unused")
    assert bring(released_state("ng")).model.settings.gaussian_answer == "unmasked"


def test_cross_modal_pre_training_has_no_answers_yet():
    """The checkpoint that training starts from: answers are made from the words."""
    state = released_state("plain")
    words = state["deberta.embeddings.word_embeddings.weight"]
    del state["answer_embeddings.weight"], state["answer_bias"]
    assert torch.equal(bring(state).model.answers.weight, words[[7, 9]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer_embeddings.weight": torch.zeros(2, 48)}, "not the words Yes and No"),
        ({"fusion.1.weight": torch.zeros(48, 90)}, "other tensors ask for"),
        ({"deberta.encoder.rel_embeddings.weight": None}, "rel_embeddings.weight' is missing"),
    ],
)
def test_states_that_do_not_fit(change, message):
    state = {**released_state("cra"), **change}
    with pytest.raises(InputError, match=message):
        bring({name: value for name, value in state.items() if value is not None})


def test_a_file_becomes_a_folder_and_a_file(tmp_path):
    """With its language model beside it; FrozenBiLM calls the state "model"."""
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "w4", "w5", "w6", "Yes", "w8", "No"]
    words += [f"w{number}" for number in range(10, 119)]
    ids = {word: number for number, word in enumerate([*words, "[MASK]"])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, mask_token="[MASK]", pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / "config.json").write_text('{"model_type": "deberta-v2"}')
    state = released_state("cra")
    torch.save({"model": state, "epoch": 8}, tmp_path / "released.pth")
    imported = import_checkpoint(
        tmp_path / "released.pth",
        tmp_path / "folder",
        language_model=str(tmp_path / "tokenizer"),
        heads=4,
    )
    model = FrozenBiLM.from_pretrained(tmp_path / "folder")
    own = imported.model.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in model.state_dict().items())
    back = export_checkpoint(tmp_path / "folder", tmp_path / "back.pth")
    assert set(back) == set(state)
    assert all(torch.equal(back[name], state[name]) for name in back)
