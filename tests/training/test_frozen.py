"""A frozen language model is trained, killed, taken up again, saved and asked."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers.pre_tokenizers import BertPreTokenizer

from cra_lib.data.shapes.word_tokens import word_tokenizer
from cra_lib.inference.predict import load_evaluation, predict, predict_run
from cra_lib.inference.session import VideoSession
from cra_lib.model.frozen_bilm import FrozenBiLM, MaskedLanguageModel
from cra_lib.model.frozen_bilm.loading import save_language_model, vocabulary_of, word_state
from cra_lib.model.saving import fingerprint
from cra_lib.model.text import tokenizer_of
from cra_lib.paths import RunFiles
from cra_lib.records import InputError
from cra_lib.training import fit
from cra_lib.training.setup import new_model, new_optimizer


def say_nothing(line):
    """A log that keeps nothing."""


@pytest.fixture(scope="module")
def language_folder(tmp_path_factory, deberta_config):
    """A tiny masked language model with a tokenizer of words."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    words = "question what can the video clip answer is it yes no subtitles red do why".split()
    names = ("pad", "cls", "sep", "unk", "mask")
    roles = {f"{name}_token": token for name, token in zip(names, special, strict=True)}
    words = [*":?.'", *words, "jumps", "waves"]
    fast = word_tokenizer(special, words, BertPreTokenizer(), gap=1, max_length=64, **roles)
    torch.manual_seed(0)
    config = deberta_config(words=len(fast), width=16, heads=2)
    model = MaskedLanguageModel(config, vocabulary_of(fast, "tiny"))
    folder = tmp_path_factory.mktemp("language")
    save_language_model(word_state(model), config, fast, folder)
    return folder


@pytest.fixture
def settings(world, language_folder):
    """Settings of a frozen variant on the small world."""

    def make(variant="frozen-cra", model=None, **train):
        own = {"language_model": str(language_folder), "max_prompt_tokens": 40, "inner_width": 16}
        recipe = {"beta2": 0.95, "amsgrad": False, "schedule": "linear", "clip_norm": 0.1}
        return world.config(
            variant, model={**own, **(model or {})}, train={**recipe, "epochs": 1, **train}
        )

    return make


def test_a_killed_training_goes_on_and_saves_what_was_trained(
    world, settings, language_folder, tmp_path
):
    """One unbroken run, and one with a second process from the checkpoint on: equal bytes."""
    config = settings(epochs=2, batch_size=24, gradient_checkpointing=True)
    whole, broken = RunFiles(tmp_path / "whole"), RunFiles(tmp_path / "broken")
    fit(config, world.data, whole, log=say_nothing)

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(config, world.data, broken, log=stop)
    kept = torch.load(broken.resume / "state.pt", weights_only=True)["model"]
    fit(config, world.data, broken, log=say_nothing)
    assert whole.weights.read_bytes() == broken.weights.read_bytes()
    saved = load_file(whole.weights)
    assert set(saved) == set(kept)
    assert not any("word_embeddings" in name or "query_proj" in name for name in saved)
    record = json.loads((whole.root / "config.json").read_text())["frozen"]
    model = FrozenBiLM.from_pretrained(whole.root)
    assert record["language_model"] == str(language_folder)
    assert record["sha256"] == fingerprint(model.frozen_state())
    predictions = predict_run(whole, world.data, "val")
    assert all(abs(sum(p.choice_probabilities) - 1) < 1e-5 for p in predictions)


@pytest.mark.parametrize("variant", ["frozen-post-hoc", "frozen-ng+", "frozen-cra-released"])
def test_every_kind_trains_a_step(world, settings, tmp_path, variant):
    config = settings(variant, max_steps=1, num_negatives=3, schedule="linear-released")
    history = fit(config, world.data, RunFiles(tmp_path / "run"), log=say_nothing)
    assert history[0]["grad_norm"] > 0
    aligned = history[0].get("loss_alignment_answer") is not None
    assert aligned == (variant == "frozen-cra-released")


def test_one_question_in_half_precision(world, settings):
    """A batch of one, and bf16 arithmetic: finite losses and gradients for all that is trained."""
    from cra_lib.data.batches import TrainingBatches, load_split
    from cra_lib.data.distractors import DistractorSampler
    from cra_lib.training.frozen_steps import frozen_step_losses
    from cra_lib.training.steps import Objective

    config = settings()
    split = load_split(config, world.data, "train", tokenizer_of(config.model))
    sampler = DistractorSampler(split.questions, split.texts)
    batches = TrainingBatches(split, sampler, batch_size=1, seed=0)
    model = new_model(config, world.data).train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = frozen_step_losses(model, next(batches.epoch(0)), Objective())
    sum(losses.values()).backward()
    assert losses["alignment_answer"] == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert model.frames.weight.grad.any()


def test_only_what_is_trained_is_in_the_optimizer(world, settings):
    model = new_model(settings(), world.data)
    optimizer = new_optimizer(model, settings().train)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}
    assert optimizer.defaults["betas"] == (0.9, 0.95)
    pretrained = {id(p) for part in (model.language, model.frames) for p in part.parameters()}
    slow = {id(p) for group in optimizer.param_groups[1:] for p in group["params"]}
    assert slow == held & pretrained


def test_a_session_answers_as_a_prediction_does(world, settings):
    config = settings("frozen-ng+")
    model = new_model(config, world.data).eval()
    tokenizer = tokenizer_of(config.model)
    evaluation = load_evaluation(config, world.data, "val", tokenizer)
    expected = predict(model, evaluation, config)[3]
    question = evaluation.split.questions[3]
    features = evaluation.split.features[evaluation.split.video_index[3]]
    session = VideoSession(model, features, evaluation.frame_times[3], span=config.span)
    answer = session.ask(question.text, question.choices)
    assert answer.index == expected.answer
    np.testing.assert_allclose(answer.frame_weights, expected.frame_weights, atol=1e-5)


def test_training_starts_from_another_model(world, settings, tmp_path):
    model = new_model(settings("frozen-post-hoc"), world.data)
    model.save_pretrained(tmp_path)
    started = new_model(settings(start_from=str(tmp_path)), world.data)
    assert torch.equal(started.frames.weight, model.frames.weight)
    with pytest.raises(InputError, match="start_from"):
        new_model(settings(start_from=str(tmp_path / "nothing")), world.data)
    with pytest.raises(InputError, match="none of its weights fits"):
        new_model(settings(start_from="shapes-lm"), world.data)


def test_another_language_model_is_refused(world, settings, language_folder, tmp_path):
    """Weights were trained on top of exactly these frozen ones."""
    import shutil

    model = new_model(settings(), world.data)
    model.save_pretrained(tmp_path / "model")
    shutil.copytree(language_folder, tmp_path / "model" / "language_model")
    FrozenBiLM.from_pretrained(tmp_path / "model")
    state = load_file(language_folder / "model.safetensors")
    state["deberta.embeddings.word_embeddings.weight"] += 1
    from safetensors.torch import save_file

    save_file(state, tmp_path / "model" / "language_model" / "model.safetensors")
    with pytest.raises(InputError, match="get the same ones"):
        FrozenBiLM.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": '{"model_type": "roberta"}'}, "is a roberta; a frozen backbone"),
        ({"model.safetensors": None}, "neither model.safetensors nor pytorch_model.bin"),
        ({"model.safetensors": "junk"}, "not a file of weights"),
        ({"model.safetensors": "lm_predictions.lm_head.bias"}, "'head.bias' is missing"),
        ({"model.safetensors": "deberta.encoder.rel_embeddings.weight"}, "different models"),
    ],
)
def test_language_models_that_are_refused(
    world, settings, language_folder, tmp_path, files, message
):
    """A backbone of another kind, without its head, of another size, or damaged: one sentence."""
    import shutil

    from safetensors.torch import save_file

    folder = tmp_path / "language"
    shutil.copytree(language_folder, folder)
    for name, content in files.items():
        path = folder / name
        if content is None:
            path.unlink()
        elif content.startswith(("{", "junk")):
            path.write_text(content)
        else:
            state = load_file(path)
            tensor = state.pop(content)
            if "rel_embeddings" in content:
                state[content] = tensor[:4].clone()
            save_file(state, path)
    with pytest.raises(InputError, match=message):
        new_model(settings(model={"language_model": str(folder)}), world.data)
