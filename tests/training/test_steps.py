"""The losses of a step: the same numbers however texts are cut into chunks or batches shared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cra_lib.config.variants import ON_TEMP_CLIP
from cra_lib.data.batches import (
    TrainingBatches,
    draw_negatives,
    load_split,
    question_keys,
    read_paraphrases,
)
from cra_lib.data.distractors import DistractorSampler
from cra_lib.model import losses
from cra_lib.model.text import load_tokenizer
from cra_lib.records import InputError
from cra_lib.training import Objective, step_losses
from cra_lib.training.setup import new_model


def _split(world, variant="cra"):
    config = world.config(variant)
    return load_split(config, world.data, "train", load_tokenizer(config.model.text_encoder))


def _batches(split, **settings) -> TrainingBatches:
    sampler = DistractorSampler(split.questions, split.texts)
    return TrainingBatches(split, sampler, **{"batch_size": 8, "seed": 3, **settings})


def _losses(world, variant="cra", **settings) -> dict[str, float]:
    config = world.config(variant)
    model = new_model(config, world.data).eval()
    batch = next(_batches(_split(world, variant), **settings).epoch(0))
    objective = Objective(config.train.question_stage, config.train.alignment)
    return {name: float(loss) for name, loss in step_losses(model, batch, objective).items()}


def test_chunking_texts_does_not_change_the_losses(world):
    whole, cut = _losses(world, chunk_tokens=10**6), _losses(world, chunk_tokens=40)
    padded = _losses(world, chunk_tokens=10**6, fixed_width=True)
    assert whole == pytest.approx(cut, abs=1e-5)
    assert whole == pytest.approx(padded, abs=1e-5)
    assert set(whole) == {"answer", "question", "alignment_answer", "alignment_question"}


@pytest.mark.parametrize("variant", ON_TEMP_CLIP)
def test_every_variant_trains_the_terms_it_should(world, variant):
    train = world.config(variant).train
    padded = variant.endswith("released")
    losses = _losses(world, variant, fixed_width=padded, num_negatives=4)
    expected = Objective(train.question_stage, train.alignment).terms
    assert set(losses) == set(expected)
    assert all(np.isfinite(value) for value in losses.values())


def test_a_batch_of_one_has_no_alignment(world):
    losses = _losses(world, batch_size=1)
    assert losses["alignment_answer"] == losses["alignment_question"] == 0.0
    assert losses["answer"] > 0


def test_every_question_is_taken_once_an_epoch_in_another_order(world):
    batches = _batches(_split(world))
    taken = [torch.cat([batch.questions for batch in batches.epoch(e)]).tolist() for e in (0, 1)]
    assert sorted(taken[0]) == sorted(taken[1]) == list(range(47))
    assert taken[0] != taken[1]
    assert len(batches) == 6


def test_a_batch_depends_on_seed_epoch_and_place_only(world):
    split = _split(world)
    whole = list(_batches(split).epoch(1))
    rest = list(_batches(split).epoch(1, start=4))
    assert len(rest) == 2
    for first, again in zip(whole[4:], rest, strict=True):
        assert torch.equal(first.questions, again.questions)
        assert torch.equal(first.pair_rows, again.pair_rows)
        for one, other in zip(first.chunks, again.chunks, strict=True):
            assert torch.equal(one.tokens, other.tokens)


@pytest.mark.parametrize("world_size", [2, 3])
def test_shares_of_processes_make_up_the_batch_of_one(world, world_size):
    split = _split(world)
    alone = list(_batches(split, batch_size=4 * world_size).epoch(0))
    shares = [
        list(_batches(split, batch_size=4, rank=rank, world_size=world_size).epoch(0))
        for rank in range(world_size)
    ]
    for step, batch in enumerate(alone):
        mine = [share[step] for share in shares]
        assert len({len(part.questions) for part in mine}) == 1
        weights = torch.cat([part.weights for part in mine])
        questions = torch.cat([part.questions for part in mine])[weights > 0]
        assert questions.tolist() == batch.questions.tolist()
        # The mean over a share of weighted losses, averaged over shares, is the plain mean.
        assert float(weights.mean()) == pytest.approx(1.0)
        assert {part.num_questions for part in mine} == {len(batch.questions)}


def test_candidates_point_at_their_own_texts(world):
    split = _split(world)
    batch = next(_batches(split, chunk_tokens=60).epoch(0))
    tokenizer = load_tokenizer(str(world.text_folder))
    texts = [
        tokenizer.decode(tokens[keep], skip_special_tokens=True)
        for chunk in batch.chunks
        for tokens, keep in zip(chunk.tokens, chunk.keep, strict=True)
    ]
    for row, number in enumerate(batch.questions.tolist()):
        question = split.questions[number]
        right = texts[batch.pair_rows[row, batch.answer_index[row]]]
        assert right == f"{question.text.strip()} {question.choices[question.answer]}"
        asked = texts[batch.question_rows[row, batch.question_index[row]]]
        assert asked == question.text.strip()
    assert question_keys(split, batch)[0] == split.questions[int(batch.questions[0])].key


def test_drawn_negatives_are_others_of_the_step(world):
    for batch in _batches(_split(world), num_negatives=32).epoch(0):
        size = len(batch.questions)
        assert batch.negatives.shape == (2, size, 32)
        assert (batch.negatives != torch.arange(size)[:, None]).all()
        assert 0 <= int(batch.negatives.min()) and int(batch.negatives.max()) < size
        assert not torch.equal(*batch.negatives)  # each stage has its own


@given(size=st.integers(2, 70), value=st.floats(0, 1, exclude_max=True, width=32))
def test_every_uniform_number_is_a_place_of_another(size, value):
    places = draw_negatives(np.full((size, 1), value, np.float32))[:, 0]
    assert (places != torch.arange(size)).all()
    assert 0 <= int(places.min()) and int(places.max()) < size


def test_the_last_smaller_batch_can_be_left_out(world):
    batches = _batches(_split(world), drop_last=True)
    sizes = [len(batch.questions) for batch in batches.epoch(0)]
    assert sizes == [8] * 5 and len(batches) == 5
    with pytest.raises(InputError, match="47 training questions do not fill one step of 48"):
        _batches(_split(world), batch_size=48, drop_last=True)


def test_released_variants_leave_it_out_and_no_other_does(world):
    leaves_out = {name for name in ON_TEMP_CLIP if world.config(name).train.drop_last}
    assert leaves_out == {name for name in ON_TEMP_CLIP if name.endswith("-released")}


def test_training_takes_the_checked_losses(world, monkeypatch):
    """The losses that recorded numbers hold are those that a step is made of."""
    from cra_lib.training import steps

    asked = []

    def answer_loss(logits, truth, weights):
        asked.append((logits.shape, weights))
        return losses.answer_loss(logits, truth, weights)

    monkeypatch.setattr(steps, "answer_loss", answer_loss)
    found = _losses(world)
    assert [shape for shape, _ in asked] == [(8, 5), (8, 5)] and found["answer"] > 0


def test_paraphrases_are_read_and_bad_files_refused(own_world):
    assert read_paraphrases(own_world.data) == {}
    own_world.data.paraphrases.write_text('{"v_1": {"ori": "a", "gen": ["b", "c"]}}')
    assert read_paraphrases(own_world.data) == {"v_1": ["b", "c"]}
    own_world.data.paraphrases.write_text('{"v_1": ["b"]}')
    with pytest.raises(InputError, match="train_gpt4_sub.json: expected"):
        read_paraphrases(own_world.data)
