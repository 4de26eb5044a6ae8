"""The model that comes with the library: small, quick, and the same as the run it is made from."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from hashlib import sha256

import numpy as np
import pytest
import torch
from transformers import AutoModel, RobertaConfig

from cra_lib.inference.known import read_known, unknown_words
from cra_lib.inference.light import RobertaTower, TowerConfig, light_tokenizer, light_tower
from cra_lib.inference.session import VideoSession
from cra_lib.inference.trained import TrainedModel
from cra_lib.model import CRA
from cra_lib.model.saving import SHIPPED, model_folder, shipped_models
from cra_lib.model.text import load_tokenizer
from cra_lib.records import InputError

FOLDER = SHIPPED / "cra-shapes"


def test_it_is_small_and_its_card_says_what_it_is_good_for():
    assert shipped_models() == ["cra-shapes"]
    assert (FOLDER / "model.safetensors").stat().st_size < 3_000_000
    card = (FOLDER / "README.md").read_text()
    assert "only" in card.splitlines()[0] and "shapes" in card.splitlines()[0]
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in (".safetensors", ".mp4"):
            assert sha256(path.read_bytes()).hexdigest() in card, path.name
    named = re.findall(r'"([^"]*)"', (FOLDER / "config.json").read_text())
    assert not [word for word in named if word.startswith(("/", "~", "."))], "a path of a machine"


def test_every_name_of_it_loads():
    assert isinstance(CRA.from_pretrained("cra-shapes"), CRA)
    assert model_folder("cra-shapes") == FOLDER
    with pytest.raises(InputError, match="comes along: cra-shapes"):
        TrainedModel("cra-shape")


def test_the_light_tower_is_the_library_s_own(shipped, sample):
    """The same answer through transformers, and for random weights the same hidden states."""
    path, question, choices = sample
    light = VideoSession.open(path, shipped).ask(question, choices)
    heavy = TrainedModel("cra-shapes")
    heavy.model, heavy.tokenizer = CRA.from_pretrained("cra-shapes"), load_tokenizer("shapes-clip")
    other = VideoSession.open(path, heavy).ask(question, choices)
    assert other.probabilities == light.probabilities  # to the bit: predictions rely on it
    config = RobertaConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, intermediate_size=24,
                           num_attention_heads=2, max_position_embeddings=20)  # fmt: skip
    torch.manual_seed(0)
    reference = AutoModel.from_config(config, add_pooling_layer=False).eval()
    tower = light_tower(config.to_dict())
    assert isinstance(tower, RobertaTower)
    tower.load_state_dict(reference.state_dict())
    tokens = torch.tensor([[0, 5, 6, 2, 1, 1], [0, 7, 8, 9, 4, 2]])
    keep = tokens != 1
    expected = reference(input_ids=tokens, attention_mask=keep.long()).last_hidden_state
    found = tower.eval()(input_ids=tokens, attention_mask=keep.long()).last_hidden_state
    assert torch.equal(found[keep], expected[keep])


def test_other_towers_go_through_transformers():
    config = {"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 9,
              "num_hidden_layers": 1, "intermediate_size": 8}  # fmt: skip
    assert type(light_tower(config)).__name__ == "BertModel"
    with pytest.raises(AttributeError):
        _ = TowerConfig(config).absent


def test_tokens_are_the_library_s_own():
    light, heavy = light_tokenizer("shapes-clip"), load_tokenizer("shapes-clip")
    for text in ("What did the red circle do </s> jump up", "a wug </s>", "it's"):
        assert light(text)["input_ids"] == heavy(text)["input_ids"]
        bare = light([text], add_special_tokens=False)["input_ids"]
        assert bare == heavy([text], add_special_tokens=False)["input_ids"]
    assert light.pad_token_id == heavy.pad_token_id and light.sep_token == heavy.sep_token


def test_asking_imports_no_heavy_library(sample):
    """What takes seconds to import stays out: an answer is there about when torch is."""
    path, question, _ = sample
    code = (
        "import sys; from cra_lib.inference.session import VideoSession\n"
        f"VideoSession.open({str(path)!r}).ask({question!r})\n"
        "heavy = {'transformers', 'sklearn', 'pandas', 'scipy', 'matplotlib', 'sympy', 'h5py'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_without_choices_it_ranks_what_it_learned(shipped, sample):
    path, question, choices = sample
    video = VideoSession.open(path, shipped)
    answer = video.ask(question)
    assert set(answer.choices) == set(shipped.known.answers["what do"]) >= set(choices)
    assert answer.choice == video.ask(question, choices).choice
    assert len(video.ask("is it so").choices) > len(answer.choices)  # of no class: all of them


def test_it_says_when_it_guesses(shipped, sample):
    path, question, choices = sample
    video = VideoSession.open(path, shipped)
    sure = video.ask(question, choices)
    assert sure.guessing == () and "guessing" not in "\n".join(sure.to_lines())
    unsure = video.ask("what did the dog do", ["jump up", "bark"])
    assert unsure.guessing == ("it never learned: dog, bark",)
    assert "Guessing" in unsure._repr_html_() and "guessing  it never" in "\n".join(
        unsure.to_lines()
    )
    noise = np.random.default_rng(0).integers(0, 255, (32, 96, 96, 3), dtype=np.uint8)
    strange = VideoSession(
        shipped.model,
        shipped.encoder.encode(noise),
        video.frame_times,
        known=shipped.known,
        familiar=shipped.familiar,
        tokenizer=shipped.tokenizer,
    )
    assert "unlike every training video" in strange.ask(question, choices).guessing[0]


def test_the_second_answer_has_its_own_interval(shipped, sample):
    path, question, choices = sample
    video = VideoSession.open(path, shipped)
    answer = video.ask(question, choices)
    second = answer.alternative
    ranked = [choice for choice, _ in answer.ranked()]
    assert [answer.choice, second.choice] == ranked[:2]
    assert second.probability == answer.probabilities[second.index]
    left = [choice for choice in choices if choice != answer.choice]
    assert second.span == video.ask(question, left).span
    assert video.ask(question, choices[:1]).alternative is None


def test_an_answer_draws_itself_and_escapes(shipped, sample):
    path, _, choices = sample
    answer = VideoSession.open(path, shipped).ask("<script>alert(1)</script>", choices)
    page = answer._repr_html_()
    assert "<script" not in page and "&lt;script" in page
    assert page.count("<tr>") == len(choices) and "<svg" in page and "data:image/png" in page
    assert str(answer.to_lines(plain=True)).isascii()
    row = json.loads(json.dumps(answer.to_json()))
    assert row["interval"] == list(answer.span) and len(row["frame_weights"]) == 32


def test_a_damaged_list_is_one_sentence(tmp_path):
    (tmp_path / "known.json").write_text('{"format": "cra-lib known 1", "dataset": 3}')
    with pytest.raises(InputError, match="known.json"):
        read_known(tmp_path)
    (tmp_path / "known.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        read_known(tmp_path)


def test_without_a_list_the_tokenizer_says_what_is_unknown(shipped):
    assert unknown_words(None, shipped.tokenizer, ["what did the wug do"]) == ["wug"]
