"""The embedded dataset's masked language model: what lies in the repository, and what it knows."""

import hashlib
import importlib.util
import json
import random
from pathlib import Path

import torch
from safetensors.torch import load_file

from cra_lib.data.shapes.stories import MOMENTS, draw_sentence, draw_story
from cra_lib.model.frozen_bilm.loading import load_language_model
from cra_lib.model.text import SHAPES_LM, SHAPES_LM_ALIGNED, load_tokenizer

SCRIPTS = Path(__file__).parents[3] / "scripts"


def script(name: str = "train_shapes_lm"):
    """A training script as a module."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_card_describes_the_weights():
    card = json.loads((SHAPES_LM / "card.json").read_text())
    assert (SHAPES_LM / "model.safetensors").stat().st_size < 1_000_000
    for name, digest in card["sha256"].items():
        assert hashlib.sha256((SHAPES_LM / name).read_bytes()).hexdigest() == digest, name
    model = load_language_model("shapes-lm")
    assert sum(p.numel() for p in model.parameters()) == card["parameters"]
    start = json.loads((SHAPES_LM_ALIGNED / "card.json").read_text())
    assert start["language_model_sha256"] == card["sha256"]["model.safetensors"]
    weights = (SHAPES_LM_ALIGNED / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == start["sha256"]["model.safetensors"]


def test_it_can_read_frames_that_nobody_fitted(monkeypatch):
    align = script("align_shapes_lm")
    monkeypatch.setattr(align, "BATCH", 60)
    features, captions = align.draw_features("others", 60)
    model, tokenizer = load_language_model("shapes-lm"), load_tokenizer("shapes-lm")
    start = load_file(SHAPES_LM_ALIGNED / "model.safetensors")
    said = features @ start["frames.weight"].T + start["frames.bias"]
    scores = align.test(said, align.word_means(model, tokenizer, captions), captions)
    assert scores["variance_explained_percent"] > 80
    assert scores["own_caption_nearest_percent"] > 85


def test_the_tokenizer_is_the_one_that_its_script_makes():
    made, kept = script().make_tokenizer(), load_tokenizer("shapes-lm")
    assert made.get_vocab() == kept.get_vocab()
    text = "Question: what did the red circle do? Is it 'Jump up'? [MASK]. Subtitles:"
    assert made(text)["input_ids"] == kept(text)["input_ids"]
    assert made(text, text)["input_ids"] == kept(text, text)["input_ids"]


def test_it_finds_hidden_words_in_stories_that_it_never_read():
    train = script()
    model, tokenizer = load_language_model("shapes-lm"), load_tokenizer("shapes-lm")
    batch = train.Batch(tokenizer, 120, random.Random("another"))
    with torch.inference_mode():
        found = train.percent([train.hits(train.predictions(model, batch), batch)])
    assert found["answer"] > 80 and found["statement"] > 70


def test_the_whole_story_fits_and_knows_its_words():
    tokenizer, rng = load_tokenizer("shapes-lm"), random.Random(5)
    story = draw_story(rng)
    assert len(story.moments) == MOMENTS
    for _ in range(60):
        sentence = draw_sentence(story, draw_story(rng), rng)
        assert sentence.hidden in sentence.text
        assert tokenizer.unk_token_id not in tokenizer(sentence.text)["input_ids"]
    assert tokenizer.unk_token_id not in tokenizer(list(story.moments))["input_ids"][0]
