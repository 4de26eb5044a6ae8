"""The committed image-text model: complete, honest about itself, and good at its task."""

import hashlib
import json
import random

import numpy as np
import pytest

from cra_lib.data.shapes.captions import caption, draw_shot, labels, render_shot, vocabulary
from cra_lib.records import InputError
from cra_lib.video import shapes_clip
from cra_lib.video.shapes_clip import FOLDER, TEXT_WIDTH, WIDTH, ShapesClip, text_folder


@pytest.fixture(scope="module")
def clip():
    return ShapesClip.load()


@pytest.fixture(scope="module")
def shots():
    rng = random.Random("none of the training frames")
    drawn = [draw_shot(rng) for _ in range(300)]
    return np.stack([render_shot(shot, rng) for shot in drawn]), drawn


@pytest.mark.parametrize(
    ("topic", "floor"),
    [("event", 94), ("action", 98), ("actor", 94), ("scene", 99), ("weather", 99)],
)
def test_zero_shot(clip, shots, topic, floor):
    frames, drawn = shots
    names = labels(topic)
    images = clip.encode_images(frames)
    texts = clip.encode_texts([caption(topic, name) for name in names])
    nearest = (images @ texts.T).argmax(axis=1)
    hits = [names[i] == shot.label(topic) for i, shot in zip(nearest, drawn, strict=True)]
    assert 100 * sum(hits) / len(hits) >= floor


def test_the_card_describes_these_files():
    card = json.loads((FOLDER / "card.json").read_text())
    for name, digest in card["sha256"].items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
    assert card["zero_shot_percent"]["event"] >= 90
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    assert size < 3_000_000


def test_embeddings_have_unit_entries_and_do_not_depend_on_the_batch(clip, shots):
    frames = shots[0][:5]
    together = clip.encode_images(frames)
    assert together.shape == (5, WIDTH) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), WIDTH**0.5, rtol=1e-5)
    alone = np.concatenate([clip.encode_images(frame[None]) for frame in frames])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    texts = ["the red circle", "why did the blue star jump up"]
    alone = np.concatenate([clip.encode_texts([text]) for text in texts])
    np.testing.assert_allclose(clip.encode_texts(texts), alone, atol=1e-4)
    assert clip.encode_texts([]).shape == (0, WIDTH)


def test_the_text_tower_loads_by_itself_and_knows_every_word():
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(text_folder())
    model = AutoModel.from_pretrained(text_folder(), add_pooling_layer=False)
    assert model.config.hidden_size == TEXT_WIDTH
    assert next(model.parameters()).dtype.is_floating_point
    assert str(next(model.parameters()).dtype) == "torch.float32"
    ids = tokenizer(" ".join(vocabulary()))["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer("a zeppelin")["input_ids"][2] == tokenizer.unk_token_id


def test_separator_in_a_text_is_the_separator_token():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(text_folder())
    ids = tokenizer("what did the star do </s> jump up")["input_ids"]
    assert ids.count(tokenizer.sep_token_id) == 2 and ids[-1] == tokenizer.sep_token_id
    assert ids[0] == tokenizer.bos_token_id


def test_wrong_frames_are_refused(clip):
    with pytest.raises(InputError, match="uint8 frames"):
        clip.encode_images(np.zeros((1, 64, 64, 3), np.uint8))
    with pytest.raises(InputError, match="uint8 frames"):
        clip.encode_images(np.zeros((1, 96, 96, 3), np.float32))


def test_missing_weights_say_where_they_belong(monkeypatch, tmp_path):
    monkeypatch.setattr(shapes_clip, "FOLDER", tmp_path)
    with pytest.raises(InputError, match="restore the folder"):
        ShapesClip.load()
